// @ts-check
// Marks as the plan that `anatomy train --plan` and `anatomy filter` read, as a list of rows, and back again.
import { MAIN } from "./data.js";
import { h } from "./dom.js";
import { MARKS, isRow, markedTargets, marks } from "./marks.js";
import { isConcept } from "./names.js";

function intervention(target, mark) {
  const kind = isConcept(target) ? "concept" : "cluster";
  return {
    [kind]: target,
    direction: mark === "remove" ? "suppress" : mark,
    strength: 1,
    backend: mark === "remove" ? "filtering" : "reward_shaping",
  };
}

export function planYaml() {
  const marked = markedTargets()
    .map((target) => [target, marks[target]])
    .filter(([, { mark }]) => mark);
  const rows = marked.filter(([target, { mark }]) => isRow(target) && mark === "remove").map(([target]) => target);
  const actions = marked
    .filter(([target, { mark }]) => !isRow(target) && mark !== "keep")
    .flatMap(([target, { mark, given }]) => given ?? [intervention(target, mark)]);
  if (rows.length) actions.push({ rows, direction: "suppress", strength: 1, backend: "filtering" });
  const block = (item) =>
    "  - " +
    Object.entries(item)
      .map(([key, value]) => `${key}: ${JSON.stringify(value)}`)
      .join("\n    ");
  const decisions = marked.map(([target, { mark, comment }]) => "  - " + JSON.stringify({ target, mark, comment }));
  const list = (name, items) => (items.length ? `${name}:\n${items.join("\n")}` : `${name}: []`);
  return (
    [
      `run: ${JSON.stringify(MAIN.run.path)}`,
      list("interventions", actions.map(block)),
      list("decisions", decisions),
    ].join("\n") + "\n"
  );
}

export function rowList() {
  return Object.entries(marks)
    .filter(([target, { mark }]) => isRow(target) && mark)
    .map(([target, { mark, comment }]) => JSON.stringify({ row_id: target, mark, comment }) + "\n")
    .join("");
}

/**
 * Marks that a plan (YAML) or a list of rows (JSONL) holds, by target, and how many entries this run does not know.
 * Throws an Error that says why the text is neither.
 * @param {string} text
 * @returns {{ found: Record<string, { mark: string, comment: string, given?: object[] }>, unknown: number }}
 */
export function readDecisions(text) {
  const lines = text.split("\n").filter((line) => line.trim());
  if (lines.length && lines.every((line) => line.startsWith("{")))
    return known(
      lines.map((line) => JSON.parse(line)).map((item) => ({ ...item, target: item.target ?? item.row_id })),
    );
  const plan = /** @type {any} */ (globalThis).jsyaml.safeLoad(text);
  if (!plan || typeof plan !== "object" || !["decisions", "interventions"].some((key) => Array.isArray(plan[key])))
    throw new Error("it has no `decisions` or `interventions`");
  const done = known((plan.interventions || []).flatMap(marksOf));
  const kept = known(plan.decisions || []);
  for (const [target, { mark, comment }] of Object.entries(kept.found))
    done.found[target] = { ...(done.found[target]?.mark === mark ? done.found[target] : {}), mark, comment };
  return { found: done.found, unknown: done.unknown + kept.unknown };
}

// The mark that an intervention means for its targets, kept with it: its strength, backend and options are not lost.
function marksOf(given) {
  const mark = given.backend === "filtering" && given.direction === "suppress" ? "remove" : given.direction;
  if (given.rows) return given.rows.map((target) => ({ target, mark }));
  return [{ target: given.concept ?? given.cluster, mark, given }];
}

function known(items) {
  /** @type {Record<string, { mark: string, comment: string, given?: object[] }>} */
  const found = {};
  let unknown = 0;
  for (const { target, mark, comment, given } of items) {
    if (typeof target !== "string" || !(isRow(target) || MAIN.clusters[target]) || !MARKS.includes(mark)) {
      unknown += 1;
      continue;
    }
    const before = found[target]?.mark === mark ? found[target].given : undefined;
    found[target] = { mark, comment: String(comment ?? "") };
    if (given) found[target].given = [...(before ?? []), given];
  }
  return { found, unknown };
}

export function download(name, text) {
  const address = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
  const anchor = h("a", { href: address, download: name });
  document.body.append(anchor);
  anchor.click();
  anchor.remove();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}
