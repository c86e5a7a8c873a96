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

const ROW_ORDERS = [
  ["", "as in the file"],
  ["signal", "signal of the cluster"],
  ["longer", "chosen longer first"],
  ["shorter", "chosen shorter first"],
  ["decided", "decided first"],
];

export function rowsView(root) {
  const reader = pairReader(),
    filters = h("div", { class: "filters" }),
    status = h("p", { class: "note", "aria-live": "polite" });
  let record = null,
    ids = "",
    current = null,
    shown = "",
    searching = 0;
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

  function rowItem(row) {
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
    if (!record) [record, ids] = [await columns(), await rowIds()];
    const key = [state.source, state.model, state.cluster, state.within, state.sign, state.sort, state.words].join("|");
    if (key !== shown) {
      shown = key;
      const run = ++searching;
      current = hasSignal(state.cluster) ? await signal(state.cluster) : null;
      const found = rowOrder(await filteredRows(record), record, current, ids);
      drawFilters();
      if (run !== searching) return;
      if (state.words) await searchRows(found, run);
      else show(found, `${plural(found.length, "row")} of ${number(MAIN.rows.n)}.`);
    }
    list.select((row) => String(row) === state.row);
    await reader.update();
  }

  function show(found, text) {
    list.set(found);
    list.top();
    status.textContent = text;
    if (!state.row && found.length) go({ row: String(found[0]) }, true);
  }

  // Reads piece after piece, so that any number of rows can be searched; a newer search ends an older one.
  async function searchRows(rows, run) {
    const wanted = state.words.toLowerCase(),
      found = [];
    let read = 0,
      record = performance.now();
    for (const row of rows) {
      const text = await rowText(row);
      if (run !== searching) return;
      if (searchText(text).includes(wanted) || ids.startsWith(wanted, 32 * row)) found.push(row);
      read++;
      if (performance.now() - record > 200) {
        status.textContent = `searched ${number(read)} of ${number(rows.length)}, found ${number(found.length)} …`;
        record = performance.now();
        await new Promise((done) => setTimeout(done));
      }
    }
    show(found, `${plural(found.length, "row")} of ${number(rows.length)} with “${cut(state.words, 30)}”.`);
  }

  function drawFilters() {
    const words = filters.querySelector("input");
    if (words && document.activeElement === words) return;
    const set = (name) => (value) => go({ [name]: value, row: "" }, true);
    const modelNames = [...new Set([...record.chosen_model.names, ...record.rejected_model.names])]
      .filter(Boolean)
      .sort();
    const options = (all, names) => [["", all], ...names.filter(Boolean).map((name) => [name, cut(name, 30)])];
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

const lastAsked = (text) =>
  [...text.prompt].reverse().find((message) => message.content)?.content || text.chosen[0]?.content || "";
const searchText = (text) =>
  [...text.prompt, ...text.chosen, ...text.rejected]
    .map((message) => message.content + (message.tool_calls ? JSON.stringify(message.tool_calls) : ""))
    .join("\n")
    .toLowerCase();
const clusterOptions = (ids) => ids.map((id) => [id, `${id} ${cut(named(id), 34)}`]);

async function filteredRows(record) {
  const inside = state.within ? await contextRows(state.within) : null;
  const current = hasSignal(state.cluster) ? (await signal(state.cluster)).value : null;
  const source = record.source.names.indexOf(state.source),
    found = [];
  const models = ["chosen_model", "rejected_model"].map((name) => [
    record[name].code,
    record[name].names.indexOf(state.model),
  ]);
  const wanted = { chosen: 1, rejected: -1 }[state.sign];
  const keep = (row) =>
    (!state.source || record.source.code[row] === source) &&
    (!state.model || models.some(([code, name]) => code[row] === name)) &&
    (!current || !wanted || Math.sign(current[row]) === wanted);
  if (inside) {
    for (const row of inside) if (keep(row)) found.push(row);
  } else for (let row = 0; row < MAIN.rows.n; row++) if (keep(row)) found.push(row);
  return found;
}

function rowOrder(rows, record, current, ids) {
  const longer = (row) => record.rejected_tokens[row] - record.chosen_tokens[row];
  const keys = {
    signal:
      current &&
      ((row) =>
        state.sign === "rejected"
          ? current.value[row]
          : state.sign === "chosen"
            ? -current.value[row]
            : -Math.abs(current.value[row])),
    longer,
    shorter: (row) => -longer(row),
    decided: (row) => (decisions[ids.slice(32 * row, 32 * row + 32)] ? 0 : 1),
  };
  const key = keys[state.sort || ""];
  return key
    ? rows
        .map((row) => [key(row), row])
        .sort((a, b) => a[0] - b[0])
        .map(([, row]) => row)
    : rows;
}
