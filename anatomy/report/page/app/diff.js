// @ts-check
// Words of two texts that the longest common subsequence leaves out.
import { h } from "./dom.js";

/**
 * @import { Child, Painters } from "../page_types.js"
 */

const MOST_CELLS = 6e6;
/**
 * @param {string} text
 * @returns {string[]}
 */
const wordsOf = (text) => text.match(/\s+|[\p{L}\p{N}_]+|[^\s\p{L}\p{N}_]/gu) || [];

/**
 * Places of the words of either text that stand in both.
 * @param {string[]} a
 * @param {string[]} b
 * @returns {[Set<number>, Set<number>] | null}
 */
function commonWords(a, b) {
  const left = a.map((_, place) => place).filter((place) => a[place].trim()),
    right = b.map((_, place) => place).filter((place) => b[place].trim());
  const n = left.length,
    m = right.length;
  if (n * m > MOST_CELLS) return null;
  const width = m + 1,
    best = new Uint16Array((n + 1) * width);
  for (let i = n - 1; i >= 0; i--)
    for (let j = m - 1; j >= 0; j--) {
      best[i * width + j] =
        a[left[i]] === b[right[j]]
          ? best[(i + 1) * width + j + 1] + 1
          : Math.max(best[(i + 1) * width + j], best[i * width + j + 1]);
    }
  /** @type {[Set<number>, Set<number>]} */
  const shared = [new Set(), new Set()];
  for (let i = 0, j = 0; i < n && j < m;) {
    if (a[left[i]] === b[right[j]]) {
      shared[0].add(left[i++]);
      shared[1].add(right[j++]);
    } else if (best[(i + 1) * width + j] >= best[i * width + j + 1]) i++;
    else j++;
  }
  return shared;
}

/**
 * Two functions that paint a text: what only one side has is marked; null where the texts are too long.
 * @param {string} chosen
 * @param {string} rejected
 * @returns {Painters | null}
 */
export function differences(chosen, rejected) {
  const a = wordsOf(chosen),
    b = wordsOf(rejected),
    shared = commonWords(a, b);
  if (!shared) return null;
  /** @type {(words: string[], common: Set<number>, mark: string) => () => Child} */
  const paint = (words, common, mark) => () =>
    runs(words.map((text, place) => ({ text, kind: text.trim() ? common.has(place) : null }))).map(({ text, kind }) =>
      kind === false ? h("mark", { class: "only " + mark }, text) : text,
    );
  return { chosen: paint(a, shared[0], "chosen"), rejected: paint(b, shared[1], "rejected") };
}

/**
 * Neighbours of one kind together; space goes with what stands before it.
 * @param {{ text: string, kind: boolean | null }[]} pieces
 */
function runs(pieces) {
  /** @type {{ text: string, kind: boolean }[]} */
  const found = [];
  for (const { text, kind } of pieces) {
    const last = found[found.length - 1];
    if (last && (kind === null || last.kind === kind)) last.text += text;
    else found.push({ text, kind: kind ?? true });
  }
  return found;
}
