// @ts-check
// What the responses hold, their languages, and the groups that columns of few values divide the rows into.
import { h, section, table } from "./dom.js";
import { cut, number, percent, plural } from "./format.js";
import { bar, dotRange } from "./plots.js";

/**
 * @import { ContentHealth, GroupHealth, Health, LanguageHealth } from "../payload.js"
 */

/**
 * The sections of a set's health on what stands in its rows.
 * @param {Health} record
 */
export function contentSections(record) {
  return [
    ...(record.groups ? grouped(record.groups) : []),
    record.content?.sampled ? held(record.content, record.retained) : null,
    record.languages?.sampled ? spoken(record.languages, record.retained) : null,
  ];
}

/**
 * @param {number} sampled
 * @param {number | null} retained
 */
const sampleOf = (sampled, retained) =>
  sampled === retained ? `all ${plural(sampled, "row")}` : `a random sample of ${plural(sampled, "row")}`;

/**
 * @param {ContentHealth} found
 * @param {number | null} retained
 */
function held(found, retained) {
  const rows = Object.entries(found.checks).map(([name, check]) => [
    name,
    percent(check.chosen.value),
    percent(check.rejected.value),
    dotRange(check.wins.value, check.wins.low, check.wins.high),
    check.wins.value === null ? "" : `${percent(check.wins.low, 0)} to ${percent(check.wins.high, 0)}`,
    h(
      "ul",
      { class: "plain" },
      check.examples.map((item) =>
        h("li", { class: "excerpt" }, `row ${number(item.index + 1)}, ${item.side}: `, cut(item.excerpt, 90)),
      ),
    ),
  ]);
  return section(
    "What responses hold",
    `In ${sampleOf(found.sampled, retained)}. The dot is the share of chosen sides where only one side has it, ` +
      "with its 95 % interval; the line in the middle is a coin. An audit can test each (--concepts).",
    rows.length
      ? table(["concept", "chosen", "rejected", "chosen, of one side", "95 % interval", "examples"], rows, [1, 2])
      : null,
    found.absent.length ? h("p", { class: "note" }, `In no response: ${found.absent.join(", ")}.`) : null,
  );
}

/**
 * @param {LanguageHealth} found
 * @param {number | null} retained
 */
function spoken(found, retained) {
  const names = [...new Set([...Object.keys(found.chosen), ...Object.keys(found.rejected)])];
  return section(
    "Languages",
    `In ${sampleOf(found.sampled, retained)}; short texts and code have none. ` +
      `${plural(found.mixed.count, "pair")} of two languages.`,
    table(
      ["language", "chosen", "", "rejected", ""],
      names.map((name) =>
        [found.chosen[name] ?? 0, found.rejected[name] ?? 0].reduce(
          (/** @type {(string | Node)[]} */ row, count, place) => [
            ...row,
            percent(count / found.sampled),
            bar(count / found.sampled, place ? "rejected" : "chosen", ""),
          ],
          [name],
        ),
      ),
      [1, 3],
    ),
    found.mixed.examples.length
      ? h(
          "ul",
          { class: "plain" },
          found.mixed.examples.map((item) =>
            h("li", { class: "excerpt" }, `row ${number(item.index + 1)}: `, cut(item.excerpt, 130)),
          ),
        )
      : null,
  );
}

/** @param {GroupHealth} found */
function grouped(found) {
  const tables = Object.entries(found.columns).map(([column, { values }]) =>
    section(
      `By ${column}`,
      "The dot is how often the longer side is the chosen one, with its 95 % interval; lengths are mean characters.",
      table(
        ["", "rows", "retained", "tied", "same", "chosen", "rejected", "longer wins", "95 % interval", "models"],
        Object.entries(values).map(([value, rows]) => [
          cut(value, 40),
          number(rows.rows),
          number(rows.retained),
          number(rows.ties),
          number(rows.identical),
          rows.retained ? number(rows.mean_characters.chosen) : "",
          rows.retained ? number(rows.mean_characters.rejected) : "",
          dotRange(rows.longer_wins.value, rows.longer_wins.low, rows.longer_wins.high),
          rows.retained ? `${percent(rows.longer_wins.low, 0)} to ${percent(rows.longer_wins.high, 0)}` : "",
          Object.keys(rows.models)
            .map((name) => cut(name, 24))
            .join(", "),
        ]),
        [1, 2, 3, 4, 5, 6],
      ),
    ),
  );
  const refused = Object.entries(found.refused);
  return refused.length
    ? [...tables, h("p", { class: "note" }, refused.map(([name, why]) => `Not grouped by ${name}: ${why}.`).join(" "))]
    : tables;
}
