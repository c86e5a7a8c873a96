// @ts-check
// Decisions of the reader, kept in this browser under the run's id.
import { MAIN } from "./data.js";
import { h, put } from "./dom.js";

/**
 * @import { Decision } from "../page_types.js"
 */

/** @typedef {"keep" | "remove" | "suppress" | "amplify"} DecisionKind */

/** @type {DecisionKind[]} */
export const DECISION_KINDS = ["keep", "remove", "suppress", "amplify"];
const MEANING = {
  keep: "as it is",
  remove: "filter its rows out of training",
  suppress: "train so that this is not learned",
  amplify: "train so that this is learned more",
};
const STORE = "anatomy:decisions:" + MAIN.run.id;
/** @type {Record<string, Decision>} */
export let decisions = {};
/** @type {Set<() => unknown>} */
export const decisionWatchers = new Set();

try {
  decisions = JSON.parse(localStorage.getItem(STORE) || "{}");
} catch {
  decisions = {};
}

/**
 * @param {string} target
 * @param {Partial<Decision>} changes
 */
function decide(target, changes) {
  /** @type {Decision} */
  const next = { ...(decisions[target] ?? { decision: "", comment: "" }), ...changes };
  if (changes.decision !== undefined) delete next.given; // an intervention that was imported for another decision
  if (next.decision || next.comment) decisions[target] = next;
  else delete decisions[target];
  saveDecisions();
}

/** @param {Record<string, Decision>} found */
export function takeDecisions(found) {
  Object.assign(decisions, found);
  saveDecisions();
}

export function forgetDecisions() {
  decisions = {};
  saveDecisions();
}

function saveDecisions() {
  try {
    localStorage.setItem(STORE, JSON.stringify(decisions));
  } catch {
    /* private mode: decisions last as long as the page */
  }
  decisionWatchers.forEach((watcher) => watcher());
}

/** @param {string} target */
export const isRow = (target) => /^[0-9a-f]{32}$/.test(target);
export const decidedTargets = () => Object.keys(decisions).sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
/**
 * @param {string} target
 * @returns {DecisionKind[]}
 */
const kindsFor = (target) =>
  isRow(target) || /^(D\d+$|G:)/.test(target) ? ["keep", "remove"] : /^P\d+$/.test(target) ? ["keep"] : DECISION_KINDS;

/** @param {string} target */
export function decisionButtons(target, withComment = true) {
  const box = h("div", {
    class: "decisions",
    role: "group",
    "aria-label": `decision on ${isRow(target) ? "this row" : target}`,
  });
  const draw = () => {
    const now = decisions[target] || { decision: "", comment: "" };
    /** @param {DecisionKind} decision */
    const button = (decision) =>
      h(
        "button",
        {
          class: "decision " + decision,
          "aria-pressed": String(now.decision === decision),
          title: MEANING[decision],
          onclick: () => decide(target, { decision: now.decision === decision ? "" : decision }),
        },
        decision,
      );
    /** @type {HTMLInputElement} */
    const comment = h("input", {
      type: "text",
      class: "comment",
      placeholder: "comment",
      "aria-label": "comment",
      onchange: () => decide(target, { comment: comment.value }),
    });
    comment.value = now.comment || "";
    put(box, ...kindsFor(target).map(button), ...(withComment ? [comment] : []));
  };
  draw();
  const watcher = () => (box.isConnected ? draw() : decisionWatchers.delete(watcher));
  decisionWatchers.add(watcher);
  return box;
}

/** @param {string} target */
export const decisionBadge = (target) =>
  decisions[target]?.decision
    ? h("span", { class: "badge decision " + decisions[target].decision }, decisions[target].decision)
    : null;
