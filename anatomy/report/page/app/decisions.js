// @ts-check
// All decisions in one place; as a plan, as a list of rows, and back from a file.
import { rowNumbers } from "./data.js";
import {
  decidedTargets,
  decisionButtons,
  decisionWatchers,
  forgetDecisions,
  isRow,
  takeDecisions,
} from "./decision_store.js";
import { h, link, put, section, table } from "./dom.js";
import { messageOf, plural } from "./format.js";
import { isConcept, named } from "./names.js";
import { download, planYaml, readDecisions, rowList } from "./plan.js";
import { fragment } from "./state.js";

/**
 * @import { Child } from "../page_types.js"
 */

/** @param {HTMLElement} root */
export function decisionsView(root) {
  const box = h("div", {}),
    message = h("p", { class: "note", role: "status" });
  /** @type {HTMLInputElement} */
  const file = h("input", {
    type: "file",
    accept: ".yaml,.yml,.jsonl,.json",
    "aria-label": "import decisions",
    onchange: async () => {
      const chosen = file.files?.[0];
      if (!chosen) return;
      message.textContent = await imported(chosen);
      file.value = "";
    },
  });
  const draw = () => put(box, ...decisionNodes());
  root.append(
    h("h1", {}, "Decisions"),
    h(
      "p",
      { class: "note" },
      "Kept in this browser for this run. Keep: as it is. Remove: its rows are filtered out of " +
        "training. Suppress and amplify: training is shaped so that it is learned less or more. " +
        "Rows and groups of rows have no score: they can be kept or removed.",
    ),
    h(
      "p",
      { class: "buttons" },
      h("button", { onclick: () => download("plan.yaml", planYaml()) }, "Export plan (YAML)"),
      h("button", { onclick: () => download("rows.jsonl", rowList()) }, "Export rows (JSONL)"),
      h("label", { class: "button" }, "Import …", file),
      h(
        "button",
        {
          onclick: () => {
            if (confirm("Forget every decision on this run?")) forgetDecisions();
          },
        },
        "Clear",
      ),
    ),
    message,
    box,
  );
  const watcher = () => (root.isConnected && box.isConnected ? draw() : decisionWatchers.delete(watcher));
  decisionWatchers.add(watcher);
  draw();
}

/**
 * Takes the decisions of a file over; returns what came of it, in one line.
 * @param {File} file
 */
async function imported(file) {
  try {
    const { found, unknown } = readDecisions(await file.text());
    const count = Object.keys(found).length;
    takeDecisions(found);
    const rest = unknown ? ` ${plural(unknown, "line")} of it name what this run does not have.` : "";
    return count
      ? `${plural(count, "decision")} taken from ${file.name}.${rest}`
      : `${file.name} has no decision on this run's clusters or rows.`;
  } catch (error) {
    const why = messageOf(error).split("\n")[0];
    return `${file.name} cannot be read as a plan: ${why}. Export one here, or make it with anatomy plan.`;
  }
}

/** @returns {Child[]} */
function decisionNodes() {
  const found = decidedTargets();
  if (!found.length)
    return [h("p", { class: "empty" }, "No decision yet: use the buttons beside any cluster, concept or row.")];
  return [
    table(
      ["target", "what", "decision"],
      found.map((target) => [targetLink(target), isRow(target) ? "row" : named(target), decisionButtons(target)]),
    ),
    section(
      "The plan",
      [
        "Save as plan.yaml, then ",
        h("code", {}, "anatomy filter"),
        " or ",
        h("code", {}, "anatomy train --plan plan.yaml"),
        ".",
      ],
      h("pre", { class: "plan" }, planYaml()),
    ),
  ];
}

/** @param {string} target */
function targetLink(target) {
  if (!isRow(target))
    return link({ view: /^[SP]/.test(target) && !isConcept(target) ? "local" : "global", cluster: target }, target);
  const anchor = h("a", { href: "#" }, target.slice(0, 8));
  rowNumbers().then((numbers) =>
    anchor.setAttribute("href", "#" + fragment({ view: "rows", row: String(numbers.get(target)) })),
  );
  return anchor;
}
