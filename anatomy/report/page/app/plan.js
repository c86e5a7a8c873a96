// @ts-check
// Decisions as the plan that `anatomy train --plan` and `anatomy filter` read, as a list of rows, and back again.
import { MAIN } from "./data.js";
import { DECISION_KINDS, decidedTargets, decisions, isRow } from "./decision_store.js";
import { h } from "./dom.js";
import { isConcept } from "./names.js";

// Version of a plan's schema, the same as in `interventions/plan/plan.py`.
const PLAN_VERSION = 1;

function intervention(target, decision) {
  const kind = isConcept(target) ? "concept" : "cluster";
  return {
    [kind]: target,
    direction: decision === "remove" ? "suppress" : decision,
    strength: 1,
    backend: decision === "remove" ? "filtering" : "reward_shaping",
  };
}

export function planYaml() {
  const decided = decidedTargets()
    .map((target) => [target, decisions[target]])
    .filter(([, { decision }]) => decision);
  const rows = decided
    .filter(([target, { decision }]) => isRow(target) && decision === "remove")
    .map(([target]) => target);
  const actions = decided
    .filter(([target, { decision }]) => !isRow(target) && decision !== "keep")
    .flatMap(([target, { decision, given }]) => given ?? [intervention(target, decision)]);
  if (rows.length) actions.push({ rows, direction: "suppress", strength: 1, backend: "filtering" });
  const block = (item) =>
    "  - " +
    Object.entries(item)
      .map(([key, value]) => `${key}: ${JSON.stringify(value)}`)
      .join("\n    ");
  const lines = decided.map(
    ([target, { decision, comment }]) => "  - " + JSON.stringify({ target, decision, comment }),
  );
  const list = (name, items) => (items.length ? `${name}:\n${items.join("\n")}` : `${name}: []`);
  return (
    [
      `schema_version: ${PLAN_VERSION}`,
      `run: ${JSON.stringify(MAIN.run.path)}`,
      list("interventions", actions.map(block)),
      list("decisions", lines),
    ].join("\n") + "\n"
  );
}

export function rowList() {
  return Object.entries(decisions)
    .filter(([target, { decision }]) => isRow(target) && decision)
    .map(([target, { decision, comment }]) => JSON.stringify({ row_id: target, decision, comment }) + "\n")
    .join("");
}

/**
 * Decisions that a plan (YAML) or a list of rows (JSONL) holds, by target, and how many entries this run does not know.
 * Throws an Error that says why the text is neither.
 * @param {string} text
 * @returns {{ found: Record<string, { decision: string, comment: string, given?: object[] }>, unknown: number }}
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
  if ("schema_version" in plan && plan.schema_version !== PLAN_VERSION)
    throw new Error(`it is of schema version ${JSON.stringify(plan.schema_version)}, and ${PLAN_VERSION} is read here`);
  const done = known((plan.interventions || []).flatMap(decisionsOf));
  const kept = known(plan.decisions || []);
  for (const [target, { decision, comment }] of Object.entries(kept.found))
    done.found[target] = {
      ...(done.found[target]?.decision === decision ? done.found[target] : {}),
      decision,
      comment,
    };
  return { found: done.found, unknown: done.unknown + kept.unknown };
}

// The decision that an intervention means for its targets, kept with it: strength, backend and options are not lost.
function decisionsOf(given) {
  const decision = given.backend === "filtering" && given.direction === "suppress" ? "remove" : given.direction;
  if (given.rows) return given.rows.map((target) => ({ target, decision }));
  return [{ target: given.concept ?? given.cluster, decision, given }];
}

function known(items) {
  /** @type {Record<string, { decision: string, comment: string, given?: object[] }>} */
  const found = {};
  let unknown = 0;
  for (const { target, decision, comment, given } of items) {
    if (typeof target !== "string" || !(isRow(target) || MAIN.clusters[target]) || !DECISION_KINDS.includes(decision)) {
      unknown += 1;
      continue;
    }
    const before = found[target]?.decision === decision ? found[target].given : undefined;
    found[target] = { decision, comment: String(comment ?? "") };
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
