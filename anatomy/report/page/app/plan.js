// @ts-check
// Decisions as the plan that `anatomy train --plan` and `anatomy filter` read, as a list of rows, and back again.
import { MAIN } from "./data.js";
import { DECISION_KINDS, decidedTargets, decisions, isRow } from "./decision_store.js";
import { h } from "./dom.js";
import { isConcept, isGroup } from "./names.js";

/**
 * @import { Decision } from "../page_types.js"
 */

// Version of a plan's schema, the same as in `interventions/plan/plan.py`.
const PLAN_VERSION = 1;

/**
 * A decision as an entry of a plan, or an entry of a plan that was imported.
 * @typedef {{
 *   cluster?: string,
 *   source?: string,
 *   concept?: string,
 *   rows?: string[],
 *   direction: string,
 *   strength: number,
 *   backend: string,
 * }} Intervention
 */
/**
 * @typedef {{
 *   schema_version?: unknown,
 *   run_id?: unknown,
 *   interventions?: Intervention[],
 *   decisions?: DecisionLine[],
 * }} PlanFile
 */
/**
 * @typedef {{
 *   target?: unknown,
 *   row_id?: unknown,
 *   decision?: string,
 *   comment?: string,
 *   given?: object,
 * }} DecisionLine
 */

/**
 * @param {string} target
 * @param {string} decision
 * @returns {Intervention}
 */
function intervention(target, decision) {
  const kind = isConcept(target) ? "concept" : isGroup(target) ? "source" : "cluster";
  return {
    [kind]: kind === "source" ? target.slice(2) : target,
    direction: decision === "remove" ? "suppress" : decision,
    strength: 1,
    backend: decision === "remove" ? "filtering" : "reward_shaping",
  };
}

export function planYaml() {
  const decided = decidedTargets()
    .map((target) => ({ target, ...decisions[target] }))
    .filter(({ decision }) => decision);
  const rows = decided
    .filter(({ target, decision }) => isRow(target) && decision === "remove")
    .map(({ target }) => target);
  /** @type {object[]} */
  const actions = decided
    .filter(({ target, decision }) => !isRow(target) && decision !== "keep")
    .flatMap(({ target, decision, given }) => given ?? [intervention(target, decision)]);
  if (rows.length) actions.push({ rows, direction: "suppress", strength: 1, backend: "filtering" });
  /** @param {object} item */
  const block = (item) =>
    "  - " +
    Object.entries(item)
      .map(([key, value]) => `${key}: ${JSON.stringify(value)}`)
      .join("\n    ");
  const lines = decided.map(({ target, decision, comment }) => "  - " + JSON.stringify({ target, decision, comment }));
  /** @type {(name: string, items: string[]) => string} */
  const list = (name, items) => (items.length ? `${name}:\n${items.join("\n")}` : `${name}: []`);
  return (
    [
      `schema_version: ${PLAN_VERSION}`,
      `run: ${JSON.stringify(MAIN.run.path)}`,
      `run_id: ${JSON.stringify(MAIN.run.id)}`,
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
 * @returns {{ found: Record<string, Decision>, unknown: number }}
 */
export function readDecisions(text) {
  const lines = text.split("\n").filter((line) => line.trim());
  if (lines.length && lines.every((line) => line.startsWith("{")))
    return known(
      lines.map((line) => JSON.parse(line)).map((item) => ({ ...item, target: item.target ?? item.row_id })),
    );
  const plan = /** @type {PlanFile | null} */ (globalThis.jsyaml.safeLoad(text));
  if (!plan || typeof plan !== "object" || ![plan.decisions, plan.interventions].some(Array.isArray))
    throw new Error("it has no `decisions` or `interventions`");
  if ("schema_version" in plan && plan.schema_version !== PLAN_VERSION)
    throw new Error(`it is of schema version ${JSON.stringify(plan.schema_version)}, and ${PLAN_VERSION} is read here`);
  const same = plan.run_id === undefined || plan.run_id === MAIN.run.id;
  const done = known((plan.interventions || []).flatMap(decisionsOf), same);
  const kept = known(plan.decisions || [], same);
  for (const [target, { decision, comment }] of Object.entries(kept.found))
    done.found[target] = {
      ...(done.found[target]?.decision === decision ? done.found[target] : {}),
      decision,
      comment,
    };
  return { found: done.found, unknown: done.unknown + kept.unknown };
}

/**
 * The decision that an intervention means for its targets, kept with it: strength, backend and options are not lost.
 * @param {Partial<Intervention>} given
 * @returns {DecisionLine[]}
 */
function decisionsOf(given) {
  const decision = given.backend === "filtering" && given.direction === "suppress" ? "remove" : given.direction;
  if (given.rows) return given.rows.map((target) => ({ target, decision }));
  const group = given.source === undefined ? undefined : "G:" + given.source;
  return [{ target: given.concept ?? given.cluster ?? group, decision, given }];
}

/**
 * @param {DecisionLine[]} items
 * @param {boolean} same Whether clusters mean what they mean in this run.
 */
function known(items, same = true) {
  /** @type {Record<string, Decision>} */
  const found = {};
  let unknown = 0;
  for (const { target, decision, comment, given } of items) {
    const kind = DECISION_KINDS.find((one) => one === decision);
    const here =
      typeof target === "string" && (isRow(target) || (MAIN.clusters[target] && (same || isConcept(target))));
    if (!kind || typeof target !== "string" || !here) {
      unknown += 1;
      continue;
    }
    const before = found[target]?.decision === kind ? found[target].given : undefined;
    found[target] = { decision: kind, comment: String(comment ?? "") };
    if (given) found[target].given = [...(before ?? []), given];
  }
  return { found, unknown };
}

/**
 * @param {string} name
 * @param {string} text
 */
export function download(name, text) {
  const address = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
  const anchor = h("a", { href: address, download: name });
  document.body.append(anchor);
  anchor.click();
  anchor.remove();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}
