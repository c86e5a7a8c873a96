// @ts-check
// Global and local view: a ranked list of tests, a map of clusters, and the chosen cluster.
import { clusterCard } from "./cluster.js";
import { MAIN, tests } from "./data.js";
import { decisionBadge } from "./decision_store.js";
import { h, put, searchBox, select } from "./dom.js";
import { cut, interval, number, plural, qValue, signed } from "./format.js";
import { virtualList } from "./list.js";
import { named, titleOf } from "./names.js";
import { clusterMap, forest, reachOf } from "./plots.js";
import { go, state } from "./state.js";
import { LEVELS, ORDERS, chosenTests, inOrder } from "./tests.js";

/**
 * @import { List, MapPoint, Mount, Options, Test, View } from "../page_types.js"
 */

/**
 * @param {{ title: string, note: string, choices: [View, string][], maps: Options }} options
 * @returns {Mount}
 */
function explorer({ title, note, choices, maps }) {
  return (root) => {
    const card = clusterCard();
    /** @type {List<Test>} */
    const list = virtualList({
      label: "ranked tests",
      height: 62,
      render: (test) => testItem(test, reach),
      pick: (test) =>
        go({ cluster: choices[0][0] === "prompt" ? test.context : test.response, test: testId(test) }, true),
    });
    const filters = h("div", { class: "filters" }),
      status = h("p", { class: "note", "aria-live": "polite" }),
      mapBox = h("div", {});
    root.append(
      h("h1", {}, title),
      h("p", { class: "note" }, note),
      h(
        "div",
        { class: "explorer" },
        h("div", { class: "left" }, filters, status, list.node),
        h("div", { class: "right" }, mapBox, card.node),
      ),
    );
    /** @type {ReturnType<typeof clusterMap> | null} */
    let picture = null;
    let reach = 1,
      shown = "",
      drawnMap = "";

    async function update() {
      const all = await tests();
      const view = choices.find(([key]) => key === state.test_view)?.[0] ?? choices[0][0],
        order = state.sort || MAIN.summary.rank_by.replace("z", "d");
      const key = [view, order, state.level, state.direction, state.words, state.about].join("|");
      if (key !== shown) {
        shown = key;
        const level = state.level ?? "",
          any = MAIN.summary.views[view].found;
        const fallback = !level && !(any.chosen + any.rejected);
        const found = inOrder(
          chosenTests(all, view, { level: fallback ? "1" : level, words: state.words }),
          state.sort || (fallback ? "p" : order),
        );
        reach = reachOf(found.slice(0, 400));
        list.set(found, view === "global" ? 44 : 62);
        list.top();
        drawFilters(view, state.sort || (fallback ? "p" : order), fallback ? "1" : level);
        put(
          status,
          fallback ? "No finding in this view. These are leads, strongest first, to be read with suspicion. " : "",
          `${plural(found.length, "test")} shown of ${number(MAIN.summary.views[view].tested)} made.`,
          powerOf(view),
          state.about
            ? h("button", { class: "small", onclick: () => go({ about: "" }) }, `only with ${state.about}  ×`)
            : "",
        );
      }
      list.select((test) => testId(test) === state.test);
      drawMap(all);
      const first = list.first();
      const shownCluster = state.cluster || (first ? (view === "prompt" ? first.context : first.response) : "");
      picture?.select(shownCluster);
      await card.update(shownCluster);
    }

    /**
     * @param {string} view
     * @param {string} order
     * @param {string} level
     */
    function drawFilters(view, order, level) {
      const words = filters.querySelector("input");
      if (words && document.activeElement === words) return;
      put(
        filters,
        choices.length > 1 ? select("where", choices, view, (value) => go({ test_view: value, test: "" }, true)) : null,
        select(
          "direction",
          [
            ["", "both"],
            ["chosen", "to chosen"],
            ["rejected", "to rejected"],
          ],
          state.direction || "",
          (value) => go({ direction: value }, true),
        ),
        select("evidence", LEVELS, level, (value) => go({ level: value }, true)),
        select("order", ORDERS, order, (value) => go({ sort: value }, true)),
        searchBox("labels and tokens", state.words || "", (value) => go({ words: value }, true)),
      );
    }

    /** @param {Test[]} all */
    function drawMap(all) {
      const which = maps.find(([prefix]) => prefix === (state.map || maps[0][0])) || maps[0];
      if (which[0] === drawnMap) return;
      drawnMap = which[0];
      const buttons =
        maps.length > 1
          ? h(
              "div",
              { class: "buttons", role: "group", "aria-label": "map" },
              maps.map(([prefix, text]) =>
                h(
                  "button",
                  { "aria-pressed": String(prefix === which[0]), onclick: () => go({ map: prefix }, true) },
                  text,
                ),
              ),
            )
          : null;
      picture = clusterMap(mapPoints(which[0], all), (id) => go({ cluster: id, test: "" }, true), which[1]);
      put(mapBox, buttons, picture.node);
    }
    return update;
  };
}

/**
 * What the contexts of a view could have shown, and the findings that are left out because they repeat another.
 * @param {View} view
 */
function powerOf(view) {
  const { power, repeated, members } = MAIN.summary.views[view];
  const more =
    (members ? ` ${plural(members, "finding")} of these go${members === 1 ? "es" : ""} with a stronger one.` : "") +
    (repeated ? ` ${plural(repeated, "finding")} in nearly the same rows left out.` : "");
  return (power ? ` ${power}.` : "") + more;
}
/** @param {Test} test */
const testId = (test) => [test.view[0], test.context, test.response].join(".");

/**
 * Colour: the test in which the cluster stands out most; over all rows where it is tested there.
 * @param {string} prefix
 * @param {Test[]} all
 * @returns {MapPoint[]}
 */
function mapPoints(prefix, all) {
  /** @type {Map<string, number>} */
  const own = new Map();
  for (const test of all) {
    const id = prefix === "P" ? test.context : test.response;
    if ((prefix === "R") !== (test.view === "global")) continue;
    if (Math.abs(test.d) > Math.abs(own.get(id) || 0)) own.set(id, test.d);
  }
  const most = Math.max(...[...own.values()].map(Math.abs), 1e-6);
  return Object.entries(MAIN.clusters).flatMap(([id, label]) => {
    const onMap = label.kind === "concept" ? prefix === "R" : id[0] === prefix;
    if (!label.at || !onMap) return [];
    const [x, y] = label.at;
    return [{ id, label: titleOf(label), x, y, size: label.n_features || 20, value: (own.get(id) || 0) / most }];
  });
}

/**
 * @param {Test} test
 * @param {number} reach
 */
function testItem(test, reach) {
  const where =
    test.context === "all"
      ? null
      : h("div", { class: "where" }, "in ", h("span", { class: "id" }, test.context), cut(named(test.context), 60));
  return [
    h(
      "div",
      { class: "what" },
      h("span", { class: "id " + test.direction }, test.response),
      h("span", { class: "clip" }, named(test.response)),
      decisionBadge(test.response),
      test.found ? h("span", { class: "badge" + (test.verdict === "holds" ? "" : " warn") }, test.verdict) : null,
      test.found ? null : h("span", { class: "badge" }, "lead"),
    ),
    where,
    h(
      "div",
      { class: "numbers" },
      forest(test, reach),
      h("span", { class: "num" }, `${signed(test.effect)} ${interval(test.effect_low, test.effect_high)}`),
      h("span", { class: "note" }, `d ${signed(test.d, 2)} · q ${qValue(test.q)}`),
    ),
  ];
}

export const globalView = explorer({
  title: "What the labels reward, everywhere and in which rows",
  note:
    "Blue leans to chosen, orange to rejected; the ring is what is left beside length and authors. " +
    "Everywhere: mean over all pairs. In groups: pairs of similar content against the other " +
    "pairs.",
  choices: [
    ["global", "everywhere"],
    ["feature", "in groups of similar rows"],
  ],
  maps: [["R", "Response clusters"]],
});

export const localView = explorer({
  title: "When the prompt shows this, what shifts?",
  note:
    "Each test: the rows whose prompts express a prompt cluster (P) most, against all other " +
    "rows; by how much the difference of chosen and rejected moves along a response shift " +
    "(S).",
  choices: [["prompt", "prompt to response"]],
  maps: [
    ["P", "Prompt clusters"],
    ["S", "Response shifts"],
  ],
});
