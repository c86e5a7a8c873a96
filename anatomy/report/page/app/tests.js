// @ts-check
// Filters and orders of tests, as the state says.
import { clusterOf } from "./names.js";
import { state } from "./state.js";

export const ORDERS = [
  ["delta_min", "smaller half's effect"],
  ["d", "|d|"],
  ["effect", "|effect|"],
  ["adjusted", "|effect| at equal length"],
  ["p", "p and q"],
  ["n", "rows"],
];
export const LEVELS = [
  ["", "findings only"],
  ["0.05", "q ≤ 0.05"],
  ["0.2", "q ≤ 0.2"],
  ["1", "every test"],
];

function searchable(id) {
  const label = clusterOf(id);
  return (label.searched ??= [
    id,
    label.label,
    label.name?.title ?? "",
    ...label.top_tokens.map((item) => item.token),
    ...label.ngrams.map((item) => item.ngram),
  ]
    .join("\n")
    .toLowerCase());
}

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

export function inOrder(found, order) {
  const key = {
    delta_min: (test) => -test.delta_min,
    d: (test) => -Math.abs(test.d),
    effect: (test) => -Math.abs(test.effect),
    adjusted: (test) => -Math.abs(test.effect_length_adjusted || 0),
    p: (test) => test.p,
    n: (test) => -test.n,
  }[order];
  return found
    .map((test) => [key(test), test])
    .sort((a, b) => a[0] - b[0])
    .map(([, test]) => test);
}
