// @ts-check
// One pair: prompt, chosen and rejected side by side, coloured by a cluster, concept or feature, or by what differs.
import { chat } from "./chat.js";
import { MAIN, columns, features, rowId, rowText } from "./data.js";
import { decisionButtons } from "./decision_store.js";
import { differences } from "./diff.js";
import { h, link, put, select } from "./dom.js";
import { cut, messageOf, number, plural, side, signed } from "./format.js";
import { isContext, named } from "./names.js";
import { fragment, go, state } from "./state.js";
import { painted, tokenColours } from "./tokens.js";

/**
 * @import { Columns, Paint, Painters, PairColours, Peak, RowMessages, Side } from "../page_types.js"
 */

/** @type {Side[]} */
const SIDES = ["chosen", "rejected"];
const MODES = [
  ["tokens", "tokens"],
  ["diff", "differences"],
  ["plain", "plain"],
];

export function pairReader() {
  const root = h("article", { class: "reader", "aria-label": "pair", "aria-live": "polite" });
  let shown = "";
  return {
    node: root,
    async update() {
      const key = [state.row, state.color, state.mode].join("|");
      if (key === shown) return;
      shown = key;
      if (!state.row) {
        put(root, h("p", { class: "empty" }, "Choose a row (j, k or a click) to read the pair."));
        return;
      }
      const row = Number(state.row);
      try {
        const nodes = await pairNodes(row);
        if (key !== shown) return;
        put(root, ...nodes);
        const asked = root.querySelector(".prompt");
        if (asked) asked.scrollTop = asked.scrollHeight;
      } catch (error) {
        put(root, h("p", { class: "empty" }, messageOf(error)));
      }
    },
  };
}

/** @param {number} row */
async function pairNodes(row) {
  const [text, record, id] = await Promise.all([rowText(row), columns(), rowId(row)]);
  const top = topResponses(record, row);
  const colour = state.color || state.cluster || (/^P/.test(state.within || "") ? state.within : top[0]?.id) || "";
  const tokens = colour && (state.mode || "tokens") === "tokens" ? await tokenColours(row, colour) : null;
  const mode = state.mode || (tokens ? "tokens" : "diff");
  const info = h("div", { class: "peaks note" });
  const paint = painters(text, mode, tokens, info);
  return [
    header(row, id, record, text),
    controls(row, colour, mode, top, tokens, paint.note),
    differs(top),
    info,
    promptNodes(text, tokens, colour, info),
    h(
      "div",
      { class: "pair" },
      SIDES.map((name) =>
        h(
          "div",
          { class: "side " + name },
          h(
            "h3",
            {},
            name,
            h(
              "span",
              { class: "note" },
              [
                record[`${name}_model`].names[record[`${name}_model`].code[row]],
                plural(record[`${name}_tokens`][row], "token"),
              ]
                .filter(Boolean)
                .join(" · "),
            ),
          ),
          chat(text[name], paint[name]),
        ),
      ),
    ),
    details(text, row, record),
  ];
}

/**
 * @param {number} row
 * @param {string} id
 * @param {Columns} record
 * @param {RowMessages} text
 */
function header(row, id, record, text) {
  const data = record.data[row],
    source = record.source.names[record.source.code[row]];
  return h(
    "header",
    {},
    h("h2", {}, `Row ${number(record.index[row] + 1)}`),
    h(
      "p",
      { class: "note" },
      source ? `source ${source} · ` : "",
      data
        ? [
            "similar rows: ",
            link({ view: "rows", within: "D" + data, row: String(row) }, `D${data} ${cut(named("D" + data), 40)}`),
          ]
        : "silent: in no group",
      " · ",
      h("code", {}, id),
    ),
    decisionButtons(id),
    text.tools
      ? h(
          "details",
          {},
          h("summary", {}, plural(text.tools.length, "tool")),
          h("pre", {}, JSON.stringify(text.tools, null, 2)),
        )
      : null,
  );
}

/** @typedef {{ id: string, value: number }} TopResponse */

/**
 * @param {Columns} record
 * @param {number} row
 */
function topResponses({ top }, row) {
  /** @type {TopResponse[]} */
  const found = [];
  for (let place = row * top.count; place < (row + 1) * top.count; place++)
    if (top.value[place]) found.push({ id: top.ids[top.response[place]], value: top.value[place] / 10 });
  return found;
}

/** @param {TopResponse[]} top */
function differs(top) {
  return h(
    "p",
    { class: "chips" },
    h("span", { class: "note" }, "Sides differ most in"),
    top.map(({ id, value }) =>
      h(
        "a",
        {
          class: "chip " + side(value),
          href: "#" + fragment({ color: id, mode: "tokens" }),
          title: `${named(id)}: ${signed(value, 1)} SD; colours the tokens`,
        },
        `${id} ${signed(value, 1)}`,
      ),
    ),
  );
}

/**
 * @param {number} row
 * @param {string} colour
 * @param {string} mode
 * @param {TopResponse[]} top
 * @param {PairColours | null} tokens
 * @param {string} [note]
 */
function controls(row, colour, mode, top, tokens, note) {
  const ids = [
    ...new Set([colour, state.cluster, state.within, ...top.map(({ id }) => id), ...Object.keys(MAIN.rows.scales)]),
  ].flatMap((id) => (id && (!isContext(id) || id[0] === "P") ? [id] : []));
  const missing = mode === "tokens" && !tokens ? missingTokens(row) : "";
  return h(
    "div",
    { class: "controls" },
    h(
      "div",
      { class: "buttons", role: "group", "aria-label": "colouring" },
      MODES.map(([key, text]) =>
        h("button", { "aria-pressed": String(mode === key), onclick: () => go({ mode: key }, true) }, text),
      ),
    ),
    mode === "tokens" && ids.length
      ? select(
          "coloured by",
          ids.map((id) => [id, `${id} ${cut(/^f\d/.test(id) ? "one feature" : named(id), 36)}`]),
          colour,
          (id) => go({ color: id }, true),
        )
      : null,
    mode === "tokens" && colour && !/^f\d/.test(colour)
      ? link({ view: isContext(colour) || colour[0] === "S" ? "local" : "global", cluster: colour }, `about ${colour}`)
      : null,
    missing || note ? h("span", { class: "note" }, missing || note) : null,
  );
}

/** @param {number} row */
const missingTokens = (row) =>
  MAIN.rows.tokens.includes(row)
    ? "What this concept's detector says of each token is not kept for this row; the command " +
      "of the audit, run again, adds it."
    : "Tokens are kept for the rows behind the findings; this is not one of them.";

/**
 * @param {RowMessages} text
 * @param {string} mode
 * @param {PairColours | null} tokens
 * @param {HTMLElement} info
 * @returns {Painters}
 */
function painters(text, mode, tokens, info) {
  /** @param {Side} name */
  const last = (name) => text[name].at(-1)?.content || "";
  if (mode === "diff") {
    const found = differences(last("chosen"), last("rejected"));
    return found || { note: "Too long to compare word by word." };
  }
  if (!tokens) return {};
  /** @type {(name: Side) => Paint} */
  const paint = (name) => (content) => painted(tokens[name], content, (piece, peaks) => tellPeaks(info, piece, peaks));
  return { chosen: paint("chosen"), rejected: paint("rejected"), note: tokens.note };
}

/**
 * @param {HTMLElement} info
 * @param {string} piece
 * @param {Peak[]} peaks
 */
async function tellPeaks(info, piece, peaks) {
  const labels = await features();
  const strongest = [...peaks].sort((a, b) => b[1] - a[1]).slice(0, 8);
  put(
    info,
    `At «${cut(piece, 30) || "␣"}» these features reach their peak: `,
    ...strongest.flatMap(([feature, value]) => [
      link({ color: "f" + feature, mode: "tokens" }, `f${feature} ${value.toFixed(1)}`),
      labels.R[feature] ? ` (R${labels.R[feature]})  ` : "  ",
    ]),
  );
}

/**
 * @param {RowMessages} text
 * @param {PairColours | null} tokens
 * @param {string} colour
 * @param {HTMLElement} info
 */
function promptNodes(text, tokens, colour, info) {
  const asked = chat(text.prompt);
  if (!tokens?.prompt || colour[0] !== "P") return h("div", { class: "prompt" }, asked);
  const joined = tokens.prompt.tokens.join("");
  return h(
    "div",
    { class: "prompt" },
    h("div", { class: "role" }, "prompt as the model read it"),
    h(
      "div",
      { class: "text", dir: "auto" },
      painted(tokens.prompt, joined, (piece, peaks) => tellPeaks(info, piece, peaks)),
    ),
  );
}

/**
 * @param {RowMessages} text
 * @param {number} row
 * @param {Columns} record
 */
function details(text, row, record) {
  /** @type {number[]} */
  const same = [];
  for (let other = 0; other < record.prompt.length && same.length < 12; other++)
    if (other !== row && record.prompt[other] === record.prompt[row]) same.push(other);
  return h(
    "footer",
    {},
    same.length
      ? h(
          "p",
          { class: "note" },
          "Same prompt: ",
          same.map((other) => [
            link({ view: "rows", row: String(other) }, `row ${number(record.index[other] + 1)}`),
            " ",
          ]),
        )
      : null,
    Object.keys(text.metadata).length
      ? h("details", {}, h("summary", {}, "other columns"), h("pre", {}, JSON.stringify(text.metadata, null, 2)))
      : null,
  );
}
