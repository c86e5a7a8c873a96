// @ts-check
// What the pairs have in common as text: constant ratings, canned responses, near-duplicate prompts.
import { h, section, table } from "./dom.js";
import { cut, number, percent, plural } from "./format.js";
import { dotRange } from "./plots.js";

/**
 * @import { CannedText, Health, NotedRow } from "../payload.js"
 */

/** @param {Health} record */
export function pairHealth(record) {
  return [ratings(record), canned(record), nearDuplicates(record)];
}

/** @param {Health} record */
function ratings({ ratings: found }) {
  if (!found?.constant) return null;
  return section(
    "Ratings",
    `They carry nothing: chosen ${found.chosen[0]} and rejected ${found.rejected[0]} in all ` +
      `${plural(found.rows, "rated row")}.`,
  );
}

/** @param {Health} record */
function canned({ canned: found }) {
  if (!found) return null;
  const read =
    found.sampled === 1
      ? `${plural(found.prompts, "prompt")} read.`
      : `${plural(found.prompts, "prompt")} read, ${percent(found.sampled)} of all, drawn at random.`;
  return section(
    "Canned responses",
    `The same response or opening under different prompts. ${read} ${number(found.alarms)} of the ` +
      `${number(found.tested)} tested win or lose more often than chance allows (marked !).`,
    table(
      ["", "prompts", "chosen", "rejected", "wins", "", "95 % interval", "text"],
      found.texts.map((text) => [
        text.alarm ? h("strong", {}, "!") : "",
        number(text.prompts),
        number(text.chosen),
        number(text.rejected),
        percent(text.win_rate),
        dotRange(text.win_rate, text.low, text.high),
        `${percent(text.low)} to ${percent(text.high)}`,
        h("span", { class: "excerpt" }, quoted(text)),
      ]),
      [1, 2, 3, 4],
    ),
  );
}

/** @param {CannedText} text */
const quoted = (text) => `“${cut(text.text, 110)}${text.kind === "opening" ? "…" : ""}”`;

/** @param {Health} record */
function nearDuplicates({ near_duplicates: found }) {
  if (!found) return null;
  const drawn =
    found.sampled < found.distinct
      ? `${number(found.sampled)} drawn at random from ${number(found.distinct)}`
      : number(found.distinct);
  return section(
    "Near-duplicate prompts",
    `${number(found.prompts)} of ${drawn} say nearly the same as another, in ${plural(found.groups, "group")}.`,
    table(
      ["prompts", "examples"],
      found.largest.map((group) => [number(group.prompts), h("ul", { class: "plain" }, group.examples.map(example))]),
      [0],
    ),
  );
}

/** @param {NotedRow} item */
const example = (item) => h("li", { class: "excerpt" }, `row ${number(item.index + 1)}: `, cut(item.excerpt, 110));
