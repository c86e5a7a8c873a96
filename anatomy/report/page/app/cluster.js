// @ts-check
// One cluster: its name, what it fires on, where it is rewarded or punished, its exemplars.
import { MAIN, rowNumbers, tests } from "./data.js";
import { decisionButtons } from "./decision_store.js";
import { h, link, put } from "./dom.js";
import { cut, interval, number, percent, plural, qValue, signed } from "./format.js";
import { clusterOf, hasSignal, isContext, named, titleOf, unit } from "./names.js";
import { forest, reachOf, wins } from "./plots.js";
import { fragment } from "./state.js";

/**
 * @import { Changes, Child, Label, Test } from "../page_types.js"
 * @import { ShownExemplar } from "../payload.js"
 */

export function clusterCard() {
  const root = h("article", { class: "card", "aria-label": "cluster" });
  let shown = "";
  return {
    node: root,
    /** @param {string} id */
    async update(id) {
      if (id === shown) return;
      shown = id;
      if (!id || !MAIN.clusters[id]) {
        put(root, h("p", { class: "empty" }, "Choose a cluster in the list or on the map."));
        return;
      }
      const [all, numbers] = await Promise.all([tests(), rowNumbers()]);
      if (id === shown) put(root, ...cardNodes(id, all, numbers));
    },
  };
}

/**
 * @param {string} id
 * @param {Test[]} all
 * @param {Map<string, number>} numbers
 */
function cardNodes(id, all, numbers) {
  const label = clusterOf(id);
  const own = all.find((test) => test.view === "global" && test.response === id);
  return [
    h(
      "header",
      {},
      h("h2", {}, h("span", { class: "id" }, id), titleOf(label)),
      ...givenName(label),
      h("p", { class: "note" }, sizes(label)),
      decisionButtons(id),
    ),
    own ? ownTest(own) : null,
    h(
      "dl",
      {},
      h("dt", {}, "Fires on"),
      h(
        "dd",
        { class: "chips" },
        chips(label.top_tokens, (item) => [item.token, percent(item.weight)]),
      ),
      h("dt", {}, "Texts say"),
      h(
        "dd",
        { class: "chips" },
        chips(label.ngrams, (item) => [item.ngram, `z ${number(item.z, 1)}, ${plural(item.n_texts, "text")}`]),
      ),
      h("dt", {}, "Follows"),
      h(
        "dd",
        { class: "chips" },
        chips(label.correlates, (item) => [`${item.concept} ${signed(item.r, 2)}`, "correlation over responses"]),
      ),
    ),
    ...elsewhere(id, all),
    exemplars(id, label, numbers),
    hasSignal(id) || isContext(id)
      ? h(
          "p",
          {},
          link(rowsOf(id), isContext(id) ? "Read all rows of this group →" : "Read its rows, strongest first →"),
        )
      : null,
  ].filter(Boolean);
}

/** Clusters below it seldom come back on other prompts. */
const STABLE = 0.5;

/** @param {Label} label */
function sizes(label) {
  const record = [label.kind];
  if (label.n_features) record.push(plural(label.n_features, "feature"));
  if (label.stability !== undefined)
    record.push(`stability ${number(label.stability, 2)}` + (label.stability < STABLE ? " (unstable)" : ""));
  if (label.n_rows) record.push(plural(label.n_rows, "row"));
  if (label.n_spans !== undefined)
    record.push(`fires on ${number(label.n_spans)} of ${number(label.n_spans_sampled)} sampled texts`);
  return (
    record.join(" · ") + (["concept", "group of rows"].includes(label.kind) || label.name ? "" : " · name not verified")
  );
}

/**
 * What a language model called it, how that did in a blind test, and the label that needs no model.
 * @param {Label} label
 * @returns {Child[]}
 */
function givenName(label) {
  const record = label.name;
  if (!record) return [];
  if (!record.title) return [h("p", { class: "note" }, `No name by a language model: ${record.reason}.`)];
  const score =
    record.score === null
      ? record.reason || "no held-out text got an answer"
      : `${number(record.score, 2)} [${number(record.low, 2)}, ${number(record.high, 2)}]`;
  const how = "Balanced accuracy of a blind test on texts of other prompts; 0.5 is chance.";
  return [
    h(
      "p",
      { class: "given" },
      record.verified ? "" : h("strong", {}, record.title, ". "),
      record.description,
      h(
        "span",
        { class: "badge " + (record.verified ? "ok" : "warn"), title: how },
        `${record.verified ? "name verified" : "name not verified"}: ${score}`,
      ),
      record.abstained
        ? h("span", { class: "badge" }, `${record.abstained} of ${plural(record.texts, "text")} without an answer`)
        : null,
    ),
    h("p", { class: "note" }, `Label without a language model: ${label.label}`),
  ];
}

/** @param {Test} test */
function ownTest(test) {
  return h(
    "p",
    { class: "own" },
    forest(test, reachOf([test]) * 1.1),
    ` ${signed(test.effect)} ${interval(test.effect_low, test.effect_high)} ${unit(test)}, ` +
      `more on the ${test.direction} side; d ${signed(test.d, 2)}, q ${qValue(test.q)}; `,
    `beside length and authors ${signed(test.effect_adjusted)} ` +
      `${interval(test.effect_adjusted_low, test.effect_adjusted_high)} is left: ${test.verdict}. ${wins(test)}`,
  );
}

/**
 * @param {string} id
 * @returns {Changes}
 */
export const rowsOf = (id) =>
  isContext(id) ? { view: "rows", within: id } : { view: "rows", cluster: id, sort: "signal" };

/**
 * @template T
 * @param {T[]} items
 * @param {(item: T) => [text: string, more: string]} tell
 */
const chips = (items, tell) =>
  items.length
    ? items.slice(0, 12).map((item) => {
        const [text, more] = tell(item);
        return h("span", { class: "chip", title: more }, text);
      })
    : "nothing that stands out";

/**
 * Contexts of a response, or responses of a context: the strongest of each sign, findings or not.
 * @param {string} id
 * @param {Test[]} all
 * @returns {Child[]}
 */
function elsewhere(id, all) {
  const context = isContext(id);
  const mine = all
    .filter((test) => test.view !== "global" && (context ? test.context : test.response) === id)
    .sort((a, b) => b.d - a.d);
  if (!mine.length) return [];
  const titles = context
    ? ["Responses that lean to chosen here", "Responses that lean to rejected here"]
    : ["Where it is rewarded most", "Where it is punished most"];
  const lists = [
    mine.filter((test) => test.d > 0).slice(0, 5),
    mine
      .filter((test) => test.d < 0)
      .slice(-5)
      .reverse(),
  ];
  const none = mine.some((test) => test.found)
    ? ""
    : "None of these passes the q-value: leads to look at, not findings.";
  return [
    h(
      "div",
      { class: "two" },
      lists.map((found, place) =>
        h(
          "div",
          {},
          h("h3", {}, titles[place]),
          found.length
            ? h(
                "ol",
                { class: "plain" },
                found.map((test) => elsewhereItem(test, context ? test.response : test.context)),
              )
            : h("p", { class: "note" }, "nowhere"),
        ),
      ),
    ),
    none ? h("p", { class: "note" }, none) : null,
  ];
}

/**
 * @param {Test} test
 * @param {string} other
 */
function elsewhereItem(test, other) {
  return h(
    "li",
    {},
    link(
      { view: test.view === "prompt" ? "local" : "global", cluster: other },
      h("span", { class: "id" }, other),
      cut(named(other), 34),
    ),
    h(
      "span",
      { class: "note num" },
      ` d ${signed(test.d, 2)} · q ${qValue(test.q)}`,
      test.found ? "" : " · not a finding",
    ),
  );
}

/**
 * @param {string} id
 * @param {Label} label
 * @param {Map<string, number>} numbers
 */
function exemplars(id, label, numbers) {
  if (!label.exemplars.length) return null;
  /** @param {ShownExemplar} exemplar */
  const item = (exemplar) => {
    const row = numbers.get(exemplar.row_id);
    const changes = { ...rowsOf(id), row: String(row), color: id[0] === "D" ? "" : id, sort: "" };
    return h(
      "li",
      {},
      h("a", { href: "#" + fragment(changes) }, `row ${number(exemplar.index + 1)}, ${exemplar.side}`),
      exemplar.kind === "random" ? h("span", { class: "badge" }, "random") : null,
      exemplar.tokens.length
        ? h("span", { class: "note" }, " at ", exemplar.tokens.map((token) => `«${token}»`).join(" "))
        : null,
      h("div", { class: "excerpt", dir: "auto" }, cut(exemplar.text, 200)),
    );
  };
  return h("section", {}, h("h3", {}, "Exemplars"), h("ol", { class: "plain exemplars" }, label.exemplars.map(item)));
}
