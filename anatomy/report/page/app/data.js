// @ts-check
// The run: one document that is read at once, and parts that are read when needed, from the page or a file beside it.
import { byId, h } from "./dom.js";
import { side } from "./format.js";

/**
 * @import { Columns, NumberArray, PartValue, RowMessages, Signal, Test } from "../page_types.js"
 * @import { MainPart, Packed, RowTokens } from "../payload.js"
 */

/** @type {MainPart} */
export const MAIN = JSON.parse(byId("part-main").textContent ?? "");
const KEPT_PIECES = 40;
const ARRAYS = {
  i8: Int8Array,
  u8: Uint8Array,
  u16: Uint16Array,
  i32: Int32Array,
  u32: Uint32Array,
  f32: Float32Array,
};
/** @type {Map<string, Promise<unknown>>} */
const parts = new Map();
/** @type {Map<string, (value: unknown) => void>} */
const waiting = new Map();

/** @type {(name: string, value: unknown) => void} */
globalThis.anatomyPart = (name, value) => waiting.get(name)?.(value);

/**
 * @param {Packed} packed
 * @returns {NumberArray}
 */
export function typed({ t, b }) {
  const text = atob(b),
    bytes = new Uint8Array(text.length);
  for (let place = 0; place < text.length; place++) bytes[place] = text.charCodeAt(place);
  return new ARRAYS[t](bytes.buffer);
}

const parsed =
  document.readyState === "loading" ? new Promise((done) => document.addEventListener("DOMContentLoaded", done)) : null;

/** @param {string} name */
async function readPart(name) {
  let element = document.getElementById("part-" + name);
  if (!element && document.readyState === "loading") {
    await parsed;
    element = document.getElementById("part-" + name);
  }
  return element ? JSON.parse(element.textContent ?? "") : loadScript(name + ".js", name);
}

/**
 * @param {string} file
 * @param {string} name the part that the script hands over; empty for none
 * @returns {Promise<unknown>}
 */
export function loadScript(file, name) {
  return new Promise((done, fail) => {
    const script = h("script", { src: file });
    /** @type {(finish: (value: unknown) => void) => (value?: unknown) => void} */
    const end = (finish) => (value) => {
      waiting.delete(name);
      script.remove();
      finish(value);
    };
    waiting.set(name, end(done));
    script.onerror = () =>
      end(fail)(
        new Error(`${file} is not beside this page: keep the report's folder together, or run anatomy report again.`),
      );
    if (!name) script.onload = () => end(done)();
    document.head.append(script);
  });
}

/**
 * Pieces of rows and tokens are forgotten, least recently used first; everything else is kept.
 * @template {string} N
 * @param {N} name
 * @returns {Promise<PartValue<N>>}
 */
function part(name) {
  let found = parts.get(name);
  parts.delete(name);
  if (!found) {
    found = readPart(name);
    found.catch(() => parts.delete(name));
  }
  parts.set(name, found);
  const pieces = [...parts.keys()].filter((key) => /^(rows|tokens)-/.test(key));
  pieces.slice(0, -KEPT_PIECES).forEach((key) => parts.delete(key));
  return /** @type {Promise<PartValue<N>>} */ (found);
}

/**
 * @template T
 * @param {() => T} make
 * @returns {() => T}
 */
export const once = (make) => {
  /** @type {T | undefined} */
  let made;
  return () => (made ??= make());
};
/** @param {number} value */
const pad = (value) => String(value).padStart(4, "0");
/** @param {number} row */
const pieceOf = (row) => Math.floor(row / MAIN.rows.piece);

/**
 * @param {number} row
 * @returns {Promise<RowMessages>}
 */
export async function rowText(row) {
  if (MAIN.rows.evidence) {
    const found = (await part("evidence"))[row];
    if (found) return found;
  }
  return (await part(`rows-${pad(pieceOf(row))}`))[row % MAIN.rows.piece];
}

/**
 * @param {number} row
 * @returns {Promise<RowTokens | null>}
 */
export async function rowTokens(row) {
  const place = MAIN.rows.tokens.indexOf(row);
  if (place < 0) return null;
  const size = MAIN.rows.token_piece;
  return (await part(`tokens-${pad(Math.floor(place / size))}`))[place % size];
}

/** @param {{ names: string[], code: Packed }} column */
const codedNames = ({ names, code }) => ({ names, code: typed(code) });

/** @type {() => Promise<Columns>} */
export const columns = once(async () => {
  const { top, ...record } = await part("columns");
  return {
    index: typed(record.index),
    prompt: typed(record.prompt),
    data: typed(record.data),
    prompt_tokens: typed(record.prompt_tokens),
    chosen_tokens: typed(record.chosen_tokens),
    rejected_tokens: typed(record.rejected_tokens),
    source: codedNames(record.source),
    chosen_model: codedNames(record.chosen_model),
    rejected_model: codedNames(record.rejected_model),
    top: { ids: top.ids, count: top.top, response: typed(top.response), value: typed(top.value) },
  };
});

export const rowIds = once(() => part("ids"));
/** @param {number} row */
export const rowId = async (row) => (await rowIds()).slice(32 * row, 32 * row + 32);
export const rowNumbers = once(async () => {
  const ids = await rowIds();
  /** @type {Map<string, number>} */
  const found = new Map();
  for (let row = 0; row < MAIN.rows.n; row++) found.set(ids.slice(32 * row, 32 * row + 32), row);
  return found;
});

/**
 * @param {string} id
 * @returns {Promise<Signal>}
 */
export async function signal(id) {
  const { scale, v } = await part(`signal-${id}`);
  return { scale, value: typed(v) };
}

/**
 * @param {string} id
 * @returns {Promise<Iterable<number>>}
 */
export async function contextRows(id) {
  const listed = (await part("contexts"))[id];
  if (listed) return typed(listed);
  const { data } = await columns();
  const wanted = Number(id.slice(1)),
    rows = [];
  for (let row = 0; row < data.length; row++) if (data[row] === wanted) rows.push(row);
  return rows;
}

export const features = once(async () => {
  const record = await part("features");
  return { R: typed(record.R), S: typed(record.S), P: typed(record.P) };
});

const TEST_COLUMNS = /** @type {const} */ ([
  "view",
  "context",
  "response",
  "n",
  "prompts",
  "verdict",
  "repeats",
  "stable",
  "effect",
  "effect_low",
  "effect_high",
  "effect_length_adjusted",
  "effect_adjusted",
  "effect_adjusted_low",
  "effect_adjusted_high",
  "support",
  "differ",
  "win_rate",
  "win_rate_low",
  "win_rate_high",
  "d",
  "z",
  "p",
  "q",
  "delta_min",
]);

/** @type {() => Promise<Test[]>} */
export const tests = once(async () => {
  const { names, views, verdicts, ...packed } = await part("tests");
  const number = /** @type {Record<(typeof TEST_COLUMNS)[number], NumberArray>} */ (
    Object.fromEntries(TEST_COLUMNS.map((name) => [name, typed(packed[name])]))
  );
  return Array.from(number.view, (view, place) => {
    const effect = number.effect[place],
      q = number.q[place],
      stable = number.stable[place];
    return {
      view: views[view],
      context: names[number.context[place]],
      response: names[number.response[place]],
      verdict: verdicts[number.verdict[place]],
      repeats: names[number.repeats[place]],
      n: number.n[place],
      prompts: number.prompts[place],
      stable,
      effect,
      effect_low: number.effect_low[place],
      effect_high: number.effect_high[place],
      effect_length_adjusted: number.effect_length_adjusted[place],
      effect_adjusted: number.effect_adjusted[place],
      effect_adjusted_low: number.effect_adjusted_low[place],
      effect_adjusted_high: number.effect_adjusted_high[place],
      support: number.support[place],
      differ: number.differ[place],
      win_rate: number.win_rate[place],
      win_rate_low: number.win_rate_low[place],
      win_rate_high: number.win_rate_high[place],
      d: number.d[place],
      z: number.z[place],
      p: number.p[place],
      q,
      delta_min: number.delta_min[place],
      direction: side(effect),
      found: q <= MAIN.summary.q_threshold && stable === 1 && !names[number.repeats[place]],
    };
  });
});
