// @ts-check
// The run: one document that is read at once, and parts that are read when needed, from the page or a file beside it.
import { h } from "./dom.js";

export const MAIN = JSON.parse(document.getElementById("part-main").textContent);
const KEPT_PIECES = 40;
const ARRAYS = {
  i8: Int8Array,
  u8: Uint8Array,
  u16: Uint16Array,
  i32: Int32Array,
  u32: Uint32Array,
  f32: Float32Array,
};
const parts = new Map();
const waiting = new Map();

globalThis.anatomyPart = (name, value) => waiting.get(name)?.(value);

export function typed({ t, b }) {
  const text = atob(b),
    bytes = new Uint8Array(text.length);
  for (let place = 0; place < text.length; place++) bytes[place] = text.charCodeAt(place);
  return new ARRAYS[t](bytes.buffer);
}

const parsed =
  document.readyState === "loading" ? new Promise((done) => document.addEventListener("DOMContentLoaded", done)) : null;

async function readPart(name) {
  let element = document.getElementById("part-" + name);
  if (!element && document.readyState === "loading") {
    await parsed;
    element = document.getElementById("part-" + name);
  }
  return element ? JSON.parse(element.textContent) : loadScript(name + ".js", name);
}

export function loadScript(file, name) {
  return new Promise((done, fail) => {
    const script = h("script", { src: file });
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

// Pieces of rows and tokens are forgotten, least recently used first; everything else is kept.
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
  return found;
}

export const once = (make) => {
  let made;
  return () => (made ??= make());
};
const pad = (value) => String(value).padStart(4, "0");
const pieceOf = (row) => Math.floor(row / MAIN.rows.piece);

export async function rowText(row) {
  if (MAIN.rows.evidence) {
    const found = (await part("evidence"))[row];
    if (found) return found;
  }
  return (await part("rows-" + pad(pieceOf(row))))[row % MAIN.rows.piece];
}

export async function rowTokens(row) {
  const place = MAIN.rows.tokens.indexOf(row);
  if (place < 0) return null;
  const size = MAIN.rows.token_piece;
  return (await part("tokens-" + pad(Math.floor(place / size))))[place % size];
}

export const columns = once(async () => {
  const record = await part("columns");
  const names = ["index", "prompt", "data", "prompt_tokens", "chosen_tokens", "rejected_tokens"];
  const found = Object.fromEntries(names.map((name) => [name, typed(record[name])]));
  for (const name of ["source", "chosen_model", "rejected_model"])
    found[name] = { names: record[name].names, code: typed(record[name].code) };
  found.top = {
    ids: record.top.ids,
    count: record.top.top,
    response: typed(record.top.response),
    value: typed(record.top.value),
  };
  return found;
});

export const rowIds = once(() => part("ids"));
export const rowId = async (row) => (await rowIds()).slice(32 * row, 32 * row + 32);
export const rowNumbers = once(async () => {
  const ids = await rowIds();
  const found = new Map();
  for (let row = 0; row < MAIN.rows.n; row++) found.set(ids.slice(32 * row, 32 * row + 32), row);
  return found;
});

export async function signal(id) {
  const { scale, v } = await part("signal-" + id);
  return { scale, value: typed(v) };
}

export async function contextRows(id) {
  if (id[0] === "P") return typed((await part("contexts"))[id]);
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

export const tests = once(async () => {
  const record = await part("tests");
  const number = Object.fromEntries(
    [
      "view",
      "context",
      "response",
      "n",
      "prompts",
      "stable",
      "effect",
      "effect_low",
      "effect_high",
      "effect_length_adjusted",
      "d",
      "z",
      "p",
      "q",
      "delta_min",
    ].map((name) => [name, typed(record[name])]),
  );
  return Array.from(number.view, (view, place) => {
    const test = {};
    for (const name in number) test[name] = number[name][place];
    test.view = record.views[view];
    test.context = record.names[test.context];
    test.response = record.names[test.response];
    test.direction = test.effect > 0 ? "chosen" : "rejected";
    test.found = test.q <= MAIN.summary.q_threshold && test.stable === 1;
    return test;
  });
});
