// @ts-check
// Sections, keys, themes.
import { rowsOf } from "./cluster.js";
import { MAIN } from "./data.js";
import { decisions, decisionWatchers } from "./decision_store.js";
import { decisionsView } from "./decisions.js";
import { byId, h, put, table } from "./dom.js";
import { globalView, localView } from "./explorer.js";
import { dataView } from "./health.js";
import { activeList, forgetList } from "./list.js";
import { provenanceView } from "./provenance.js";
import { rowsView } from "./rows.js";
import { saeView } from "./sae.js";
import { shiftView } from "./shift.js";
import { go, readState, state } from "./state.js";
import { verdictView } from "./verdict.js";

/**
 * @import { Mount } from "../page_types.js"
 */

/** @type {[string, string, Mount][]} */
const VIEWS = [
  ["verdict", "Verdict", verdictView],
  ["data", "Data health", dataView],
  ["sae", "SAE health", saeView],
  ["global", "Global view", globalView],
  ["local", "Local view", localView],
  ["rows", "Rows", rowsView],
  ["decisions", "Decisions", decisionsView],
  ["shift", "Prediction", shiftView],
  ["provenance", "Provenance", provenanceView],
];
const KEYS = [
  ["1 … 9", "sections"],
  ["j, k or ↓, ↑", "next and previous in the list"],
  ["Enter", "read the rows of the chosen cluster"],
  ["/", "search"],
  ["c, d, p", "colour tokens, differences, plain"],
  ["Esc", "leave the search, close this, go back to the list"],
  ["?", "these keys"],
];
const mainBox = byId("main");
/** @type {(() => Promise<void>) | null} */
let update = null;
let mounted = "";

function drawNav() {
  const count = Object.keys(decisions).length;
  put(
    byId("nav"),
    h("div", { class: "brand" }, h("strong", {}, "anatomy"), h("span", { title: MAIN.run.path }, MAIN.run.name)),
    h(
      "ol",
      {},
      VIEWS.map(([key, title], place) =>
        h(
          "li",
          {},
          h(
            "a",
            { href: "#view=" + key, "aria-current": state.view === key ? "page" : null },
            h("kbd", {}, place + 1),
            title,
            key === "decisions" && count ? h("span", { class: "badge" }, count) : null,
          ),
        ),
      ),
    ),
    h(
      "div",
      { class: "tools" },
      h("button", { class: "small", onclick: switchTheme }, "light / dark"),
      h("button", { class: "small", onclick: help }, "keys ( ? )"),
    ),
  );
}

function render() {
  readState();
  const [key, , mount] = VIEWS.find(([name]) => name === state.view) || VIEWS[0];
  if (mounted !== key) {
    mounted = key;
    forgetList();
    put(mainBox);
    mainBox.dataset.view = key;
    update = mount(mainBox) || null;
    scrollTo(0, 0);
  }
  drawNav();
  update?.().catch((error) => mainBox.append(h("p", { class: "warning" }, error.message)));
}

function help() {
  /** @type {HTMLDialogElement} */
  const box = h(
    "dialog",
    { "aria-label": "keys", onclose: () => box.remove() },
    h("h2", {}, "Keys"),
    table(
      [],
      KEYS.map(([key, text]) => [h("kbd", {}, key), text]),
    ),
    h("form", { method: "dialog" }, h("button", {}, "Close")),
  );
  document.body.append(box);
  box.showModal();
}

const THEME = "anatomy:theme";
/** @param {string | null} theme */
function setTheme(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
  try {
    if (theme) localStorage.setItem(THEME, theme);
  } catch {
    /* nothing is kept then */
  }
}
function switchTheme() {
  const dark = document.documentElement.dataset.theme
    ? document.documentElement.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  setTheme(dark ? "light" : "dark");
}

/** @type {Record<string, () => unknown>} */
const ACTIONS = {
  j: () => activeList?.move(1),
  ArrowDown: () => activeList?.move(1),
  k: () => activeList?.move(-1),
  ArrowUp: () => activeList?.move(-1),
  "/": () => /** @type {HTMLElement | null} */ (mainBox.querySelector("input[type=search]"))?.focus(),
  "?": help,
  c: () => state.view === "rows" && go({ mode: "tokens" }, true),
  d: () => state.view === "rows" && go({ mode: "diff" }, true),
  p: () => state.view === "rows" && go({ mode: "plain" }, true),
  Enter: () => {
    if (state.cluster && state.view !== "rows") go(rowsOf(state.cluster));
  },
  Escape: () => (state.row && state.view === "rows" ? history.back() : null),
};
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const target = /** @type {HTMLElement} */ (event.target);
  const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(target.tagName);
  if (typing) {
    if (event.key === "Escape") target.blur();
    return;
  }
  if (event.key === "Enter" && /^(A|BUTTON|SUMMARY)$/.test(target.tagName)) return;
  const digit = /^[1-9]$/.test(event.key) ? () => go({ view: VIEWS[Number(event.key) - 1][0] }) : null;
  const action = digit || ACTIONS[event.key];
  if (action) {
    event.preventDefault();
    action();
  }
});

addEventListener("popstate", render);
addEventListener("hashchange", render);
addEventListener("beforeprint", () =>
  document.querySelectorAll("details").forEach((item) => item.setAttribute("open", "")),
);
byId("skip").addEventListener("click", (event) => {
  event.preventDefault();
  mainBox.focus();
});
decisionWatchers.add(() => {
  drawNav();
  activeList?.redraw();
});
try {
  setTheme(localStorage.getItem(THEME));
} catch {
  /* the system's theme */
}
render();
document.documentElement.dataset.ready = "true";
