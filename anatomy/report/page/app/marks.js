// @ts-check
// Decisions of the reader, kept in this browser under the run's id.
import { MAIN } from "./data.js";
import { h, put } from "./dom.js";

export const MARKS = ["keep", "remove", "suppress", "amplify"];
const MARK_MEANING = {
  keep: "as it is",
  remove: "filter its rows out of training",
  suppress: "train so that this is not learned",
  amplify: "train so that this is learned more",
};
const STORE = "anatomy:" + MAIN.run.id;
export let marks = {};
export const markWatchers = new Set();

try {
  marks = JSON.parse(localStorage.getItem(STORE) || "{}");
} catch {
  marks = {};
}

function setMark(target, changes) {
  const next = { mark: "", comment: "", ...marks[target], ...changes };
  if (changes.mark !== undefined) delete next.given; // an intervention that was imported for another mark
  if (next.mark || next.comment) marks[target] = next;
  else delete marks[target];
  saveMarks();
}

export function takeMarks(found) {
  Object.assign(marks, found);
  saveMarks();
}

export function forgetMarks() {
  marks = {};
  saveMarks();
}

function saveMarks() {
  try {
    localStorage.setItem(STORE, JSON.stringify(marks));
  } catch {
    /* private mode: marks last as long as the page */
  }
  markWatchers.forEach((watcher) => watcher());
}

export const isRow = (target) => /^[0-9a-f]{32}$/.test(target);
export const markedTargets = () => Object.keys(marks).sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
const markable = (target) =>
  isRow(target) || /^D\d+$/.test(target) ? ["keep", "remove"] : /^P\d+$/.test(target) ? ["keep"] : MARKS;

export function markButtons(target, withComment = true) {
  const box = h("div", {
    class: "marks",
    role: "group",
    "aria-label": `decision on ${isRow(target) ? "this row" : target}`,
  });
  const draw = () => {
    const now = marks[target] || {};
    const button = (mark) =>
      h(
        "button",
        {
          class: "mark " + mark,
          "aria-pressed": String(now.mark === mark),
          title: MARK_MEANING[mark],
          onclick: () => setMark(target, { mark: now.mark === mark ? "" : mark }),
        },
        mark,
      );
    const comment = h("input", {
      type: "text",
      class: "comment",
      placeholder: "comment",
      "aria-label": "comment",
      onchange: () => setMark(target, { comment: comment.value }),
    });
    comment.value = now.comment || "";
    put(box, ...markable(target).map(button), ...(withComment ? [comment] : []));
  };
  draw();
  const watcher = () => (box.isConnected ? draw() : markWatchers.delete(watcher));
  markWatchers.add(watcher);
  return box;
}

export const markBadge = (target) =>
  marks[target]?.mark ? h("span", { class: "badge mark " + marks[target].mark }, marks[target].mark) : null;
