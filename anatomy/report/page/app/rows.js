// @ts-check
// All rows: filter, search, sort, read.
import { MAIN, columns, contextRows, rowIds, rowText, signal } from "./data.js";
import { decisionBadge, decisions } from "./decision_store.js";
import { h, put, searchBox, select, visible } from "./dom.js";
import { cut, number, plural, side, signed } from "./format.js";
import { virtualList } from "./list.js";
import { hasSignal, isContext, named } from "./names.js";
import { pairReader } from "./reader.js";
import { go, state } from "./state.js";

/**
 * @import { Columns, List, NumberArray, Options, RowMessages, Signal, StateKey } from "../page_types.js"
 */

/** @type {Options} */
const ROW_ORDERS = [
  ["", "as in the file"],
  ["signal", "signal of the cluster"],
  ["longer", "chosen longer first"],
  ["shorter", "chosen shorter first"],
  ["decided", "decided first"],
];

/** @param {HTMLElement} root */
export function rowsView(root) {
  const reader = pairReader(),
    filters = h("div", { class: "filters" }),
    status = h("p", { class: "note", "aria-live": "polite" });
  /** @type {Columns | null} */
  let record = null;
  /** @type {Signal | null} */
  let current = null;
  let ids = "",
    shown = "",
    searching = 0;
  /** @type {List<number>} */
  const list = virtualList({
    label: "rows",
    height: 58,
    render: (row) => rowItem(row),
    pick: (row) => go({ row: String(row) }, true),
  });
  root.append(
    h("h1", {}, "Rows"),
    h("div", { class: "rows" }, h("div", { class: "left" }, filters, status, list.node), reader.node),
  );

  /** @param {number} row */
  function rowItem(row) {
    if (!record) return null;
    const text = h("div", { class: "excerpt", dir: "auto" }, "…");
    rowText(row)
      .then((found) => put(text, visible(cut(lastAsked(found), 110))))
      .catch((error) => put(text, error.message));
    const value = current ? current.value[row] * current.scale : null;
    return [
      h(
        "div",
        { class: "what" },
        h("span", { class: "id" }, number(record.index[row] + 1)),
        h("span", { class: "note" }, record.source.names[record.source.code[row]]),
        value === null ? null : h("span", { class: "num " + side(value) }, signed(value, 2)),
        decisionBadge(ids.slice(32 * row, 32 * row + 32)),
      ),
      text,
    ];
  }

  async function update() {
    const known = (record ??= await columns());
    ids ||= await rowIds();
    const key = [state.source, state.model, state.cluster, state.within, state.sign, state.sort, state.words].join("|");
    if (key !== shown) {
      shown = key;
      const run = ++searching;
      current = hasSignal(state.cluster) ? await signal(state.cluster) : null;
      const found = rowOrder(await filteredRows(known), known, current, ids);
      drawFilters(known);
      if (run !== searching) return;
      if (state.words) await searchRows(found, state.words, run);
      else show(found, `${plural(found.length, "row")} of ${number(MAIN.rows.n)}.`);
    }
    list.select((row) => String(row) === state.row);
    await reader.update();
  }

  /**
   * @param {number[]} found
   * @param {string} text
   */
  function show(found, text) {
    list.set(found);
    list.top();
    status.textContent = text;
    if (!state.row && found.length) go({ row: String(found[0]) }, true);
  }

  /**
   * Reads piece after piece, so that any number of rows can be searched; a newer search ends an older one.
   * @param {number[]} rows
   * @param {string} words
   * @param {number} run
   */
  async function searchRows(rows, words, run) {
    const wanted = words.toLowerCase();
    /** @type {number[]} */
    const found = [];
    let read = 0,
      told = performance.now();
    for (const row of rows) {
      const text = await rowText(row);
      if (run !== searching) return;
      if (searchText(text).includes(wanted) || ids.startsWith(wanted, 32 * row)) found.push(row);
      read++;
      if (performance.now() - told > 200) {
        status.textContent = `searched ${number(read)} of ${number(rows.length)}, found ${number(found.length)} …`;
        told = performance.now();
        await new Promise((done) => setTimeout(done));
      }
    }
    show(found, `${plural(found.length, "row")} of ${number(rows.length)} with “${cut(words, 30)}”.`);
  }

  /** @param {Columns} record */
  function drawFilters(record) {
    const words = filters.querySelector("input");
    if (words && document.activeElement === words) return;
    /** @type {(name: StateKey) => (value: string) => void} */
    const set = (name) => (value) => go({ [name]: value, row: "" }, true);
    const modelNames = [...new Set([...record.chosen_model.names, ...record.rejected_model.names])]
      .filter(Boolean)
      .sort();
    /** @type {(all: string, names: string[]) => Options} */
    const options = (all, names) => [
      ["", all],
      ...names.filter(Boolean).map(/** @returns {[string, string]} */ (name) => [name, cut(name, 30)]),
    ];
    put(
      filters,
      searchBox("texts", state.words || "", set("words")),
      record.source.names.some(Boolean)
        ? select("source", options("all", record.source.names), state.source || "", set("source"))
        : null,
      modelNames.length ? select("model", options("all", modelNames), state.model || "", set("model")) : null,
      select(
        "group of rows",
        [["", "all"], ...clusterOptions(Object.keys(MAIN.clusters).filter(isContext))],
        state.within || "",
        set("within"),
      ),
      select("signal of", [["", "none"], ...clusterOptions(MAIN.responses)], state.cluster || "", set("cluster")),
      hasSignal(state.cluster)
        ? select(
            "leaning",
            [
              ["", "both"],
              ["chosen", "to chosen"],
              ["rejected", "to rejected"],
            ],
            state.sign || "",
            set("sign"),
          )
        : null,
      select(
        "order",
        ROW_ORDERS.filter(([key]) => key !== "signal" || hasSignal(state.cluster)),
        state.sort || "",
        set("sort"),
      ),
    );
  }
  return update;
}

/** @param {RowMessages} text */
const lastAsked = (text) =>
  [...text.prompt].reverse().find((message) => message.content)?.content || text.chosen[0]?.content || "";
/** @param {RowMessages} text */
const searchText = (text) =>
  [...text.prompt, ...text.chosen, ...text.rejected]
    .map((message) => message.content + (message.tool_calls ? JSON.stringify(message.tool_calls) : ""))
    .join("\n")
    .toLowerCase();
/**
 * @param {string[]} ids
 * @returns {Options}
 */
const clusterOptions = (ids) => ids.map((id) => [id, `${id} ${cut(named(id), 34)}`]);

/** @param {Columns} record */
async function filteredRows(record) {
  const inside = state.within ? await contextRows(state.within) : null;
  const current = hasSignal(state.cluster) ? (await signal(state.cluster)).value : null;
  const source = record.source.names.indexOf(state.source ?? ""),
    wanted = state.sign === "chosen" ? 1 : state.sign === "rejected" ? -1 : 0;
  /** @type {number[]} */
  const found = [];
  const models = [record.chosen_model, record.rejected_model].map(({ names, code }) => ({
    code,
    name: names.indexOf(state.model ?? ""),
  }));
  /** @param {number} row */
  const keep = (row) =>
    (!state.source || record.source.code[row] === source) &&
    (!state.model || models.some(({ code, name }) => code[row] === name)) &&
    (!current || !wanted || Math.sign(current[row]) === wanted);
  if (inside) {
    for (const row of inside) if (keep(row)) found.push(row);
  } else for (let row = 0; row < MAIN.rows.n; row++) if (keep(row)) found.push(row);
  return found;
}

/**
 * @param {number[]} rows
 * @param {Columns} record
 * @param {Signal | null} current
 * @param {string} ids
 */
function rowOrder(rows, record, current, ids) {
  /** @typedef {(row: number) => number} RowKey */
  /** @type {RowKey} */
  const longer = (row) => record.rejected_tokens[row] - record.chosen_tokens[row];
  /** @type {(values: NumberArray) => RowKey} */
  const bySignal = (values) => (row) =>
    state.sign === "rejected" ? values[row] : state.sign === "chosen" ? -values[row] : -Math.abs(values[row]);
  /** @type {Record<string, RowKey | null>} */
  const keys = {
    signal: current && bySignal(current.value),
    longer,
    shorter: (row) => -longer(row),
    decided: (row) => (decisions[ids.slice(32 * row, 32 * row + 32)] ? 0 : 1),
  };
  const key = keys[state.sort || ""];
  return key
    ? rows
        .map((row) => ({ row, place: key(row) }))
        .sort((a, b) => a.place - b.place)
        .map(({ row }) => row)
    : rows;
}
