// @ts-check
// What was read, what was left out and why, and what trivial rules already explain.
import { contentSections } from "./content.js";
import { MAIN, tests } from "./data.js";
import { h, link, put, section, table } from "./dom.js";
import { cut, number, percent, plural, signed } from "./format.js";
import { named } from "./names.js";
import { pairHealth } from "./pair_health.js";
import { bar, dotRange, forest, reachOf } from "./plots.js";
import { inOrder } from "./tests.js";

/**
 * @import { Health, NotedRows } from "../payload.js"
 */

/** @param {HTMLElement} root */
export function dataView(root) {
  const record = MAIN.health;
  put(
    root,
    h("h1", {}, `${number(record.retained)} of ${plural(record.rows, "row")} can be used`),
    h("p", { class: "note" }, `format: ${record.format ?? "?"}`),
    section(
      "Trivial rules",
      "How often a rule that reads nothing picks the chosen side. The line in the middle is a coin.",
      table(
        ["rule", "picks chosen", "", "95 % interval", "decides"],
        Object.entries(record.baselines).map(([name, rule]) => [
          name.replace(/_/g, " "),
          percent(rule.accuracy),
          dotRange(rule.accuracy, rule.low, rule.high),
          `${percent(rule.low)} to ${percent(rule.high)}`,
          percent(rule.decided, 0),
        ]),
        [1, 4],
      ),
    ),
    explainedLabels(record),
    lengthControl(),
    noted("Not retained", record.reasons, "Every row of the source was used."),
    noted("Retained, but odd", record.flags, ""),
    ...pairHealth(record),
    lengths(record),
    texts(),
    repeats(record),
    names("Sources", record.sources),
    models(record.models),
    ...contentSections(record),
  );
}

function lengthControl() {
  const box = h("div", {}, h("p", { class: "note" }, "…"));
  tests().then((all) => {
    const found = inOrder(
        all.filter((test) => test.view === "global" && test.found),
        "d",
      ).slice(0, 12),
      reach = reachOf(found);
    put(
      box,
      found.length
        ? table(
            ["response", "", "effect", "beside length", "left"],
            found.map((test) => [
              link(
                { view: "global", cluster: test.response },
                h("span", { class: "id" }, test.response),
                cut(named(test.response), 44),
              ),
              forest(test, reach),
              signed(test.effect),
              signed(test.effect_length_adjusted),
              percent(test.effect_length_adjusted / test.effect, 0),
            ]),
            [2, 3, 4],
          )
        : h("p", { class: "empty" }, "No finding over all rows."),
    );
  });
  return section(
    "Length control",
    "Strongest findings over all rows, and what is left of them beside length (ring: length and authors).",
    box,
  );
}

/**
 * @param {string} title
 * @param {Record<string, NotedRows>} entries
 * @param {string} none what stands there for no row
 */
function noted(title, entries, none) {
  const rows = Object.entries(entries).map(([name, entry]) => [
    number(entry.count),
    name,
    h(
      "ul",
      { class: "plain" },
      entry.examples.map((item) =>
        h("li", { class: "excerpt" }, `row ${number(item.index + 1)}: `, cut(item.excerpt, 110)),
      ),
    ),
  ]);
  if (!rows.length && !none) return null;
  return section(
    title,
    null,
    rows.length ? table(["rows", "reason", "examples"], rows, [0]) : h("p", { class: "empty" }, none),
  );
}

/** @param {Health} record */
function lengths(record) {
  const columnsShown = /** @type {const} */ (["mean", "p5", "p50", "p95", "max"]),
    rows = Object.entries(record.lengths);
  if (!rows.length) return null;
  const cutRows = Object.entries(record.truncated).filter(([, count]) => count);
  return section(
    `Lengths in ${rows[0][1].unit}`,
    cutRows.length
      ? "Cut to the window: " + cutRows.map(([span, count]) => `${span} of ${plural(count, "row")}`).join(", ") + "."
      : null,
    table(
      ["span", ...columnsShown],
      rows.map(([span, row]) => [span, ...columnsShown.map((name) => number(row[name]))]),
      [1, 2, 3, 4, 5],
    ),
  );
}

/** How rows were read, and what the texts and the chat template do to a training. */
function texts() {
  if (!MAIN.texts.length) return null;
  return section(
    "How rows were read, texts and template",
    null,
    h(
      "ul",
      {},
      MAIN.texts.map((line) => h("li", {}, line)),
    ),
  );
}

/** @param {Health} record */
function repeats(record) {
  const { prompts, responses } = record;
  if (!prompts) return null;
  return section(
    "Repeats",
    "Rows that share a prompt are not independent: every interval and q-value here counts " + "prompts, not rows.",
    table(
      [],
      [
        ["distinct prompts", number(prompts.distinct)],
        ["rows that share their prompt", number(prompts.repeated_rows)],
        ["most rows of one prompt", number(prompts.largest_group)],
        ["distinct responses", number(responses?.distinct)],
        ["responses that repeat", number(responses?.repeated)],
      ],
      [1],
    ),
  );
}

/**
 * @param {string} title
 * @param {Health["sources"]} counted
 */
function names(title, counted) {
  const entries = Object.entries(counted),
    most = Math.max(...entries.map(([, count]) => count), 1);
  if (!entries.length) return null;
  return section(
    title,
    null,
    table(
      [],
      entries.map(([name, count]) => [
        link({ view: "rows", source: name }, name),
        bar(count / most, "even", number(count)),
        number(count),
      ]),
      [2],
    ),
  );
}

/** @param {Health["models"]} counted */
function models(counted) {
  const entries = Object.entries(counted);
  if (!entries.length) return null;
  return section(
    "Models",
    "How often the responses of a model are the chosen ones.",
    table(
      ["model", "chosen", "rejected", "", "chosen share"],
      entries.map(([name, { chosen, rejected }]) => [
        link({ view: "rows", model: name }, name),
        number(chosen),
        number(rejected),
        bar(chosen / (chosen + rejected), "chosen", ""),
        percent(chosen / (chosen + rejected), 0),
      ]),
      [1, 2, 4],
    ),
  );
}

/** @param {Health} record */
function explainedLabels(record) {
  const models = Object.entries(record.explained);
  return models.length
    ? section(
        "How much of the label is explained",
        "Share of the labels of prompts left out that a fitted model predicts. The line in the middle is a coin.",
        table(
          ["reads", "predicts", "", "95 % interval"],
          models.map(([name, model]) => [
            name,
            percent(model.value),
            dotRange(model.value, model.low, model.high),
            `${percent(model.low)} to ${percent(model.high)}`,
          ]),
          [1],
        ),
      )
    : null;
}
