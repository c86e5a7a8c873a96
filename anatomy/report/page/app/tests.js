// @ts-check
// Filters and orders of tests, as the state says.
import { clusterOf } from "./names.js";
import { state } from "./state.js";

/**
 * @import { Options, Test, View } from "../page_types.js"
 */

/** @type {Record<string, (test: Test) => number>} */
const TEST_KEYS = {
  delta_min: (test) => -test.delta_min,
  d: (test) => -Math.abs(test.d),
  effect: (test) => -Math.abs(test.effect),
  adjusted: (test) => -Math.abs(test.effect_adjusted || 0),
  p: (test) => test.p,
  n: (test) => -test.n,
};
/** @type {Options} */
export const ORDERS = [
  ["delta_min", "smaller half's effect"],
  ["d", "|d|"],
  ["effect", "|effect|"],
  ["adjusted", "|effect| that is left"],
  ["p", "p and q"],
  ["n", "rows"],
];
/** @type {Options} */
export const LEVELS = [
  ["", "findings only"],
  ["0.05", "q ≤ 0.05"],
  ["0.2", "q ≤ 0.2"],
  ["1", "every test"],
];

/** @type {Map<string, string>} */
const searched = new Map();

/** @param {string} id */
function searchable(id) {
  const known = searched.get(id);
  if (known !== undefined) return known;
  const label = clusterOf(id);
  const text = [
    id,
    label.label,
    label.name?.title ?? "",
    ...label.top_tokens.map((item) => item.token),
    ...label.ngrams.map((item) => item.ngram),
  ]
    .join("\n")
    .toLowerCase();
  searched.set(id, text);
  return text;
}

/**
 * @param {Test[]} all
 * @param {View} view
 * @param {{ level: string, words?: string }} wanted
 */
export function chosenTests(all, view, { level, words }) {
  const most = level === "" ? null : Number(level);
  const wanted = (words || "").toLowerCase();
  return all.filter(
    (test) =>
      test.view === view &&
      (most === null ? test.found : test.q <= most) &&
      (!state.direction || test.direction === state.direction) &&
      (!state.about || test.context === state.about || test.response === state.about) &&
      (!wanted ||
        searchable(test.response).includes(wanted) ||
        (test.context !== "all" && searchable(test.context).includes(wanted))),
  );
}

/**
 * @param {Test[]} found
 * @param {string} order
 */
export function inOrder(found, order) {
  const key = TEST_KEYS[order];
  return found
    .map((test) => ({ test, place: key(test) }))
    .sort((a, b) => a.place - b.place)
    .map(({ test }) => test);
}
