// @ts-check
// Can the instrument be trusted on these rows?
import { MAIN } from "./data.js";
import { h, link, section, table } from "./dom.js";
import { number, percent, plural } from "./format.js";

/**
 * @import { Child } from "../page_types.js"
 * @import { NullRate } from "../payload.js"
 */

/** @param {HTMLElement} root */
export function saeView(root) {
  const sae = MAIN.health.sae,
    faults = sae?.faults ?? [];
  root.append(
    h(
      "h1",
      {},
      !sae
        ? "The SAE was not measured"
        : faults.length
          ? "The SAE is unhealthy on these rows"
          : "The SAE is healthy on these rows",
    ),
    section(
      "Sparse autoencoder",
      sae ? `Measured on ${plural(sae.tokens, "token")} of these rows, beside what it claims of itself.` : null,
      sae
        ? table(
            ["", "measured", "claimed"],
            [
              ["L0: features active per token", number(sae.l0, 1), number(sae.claimed_l0, 1)],
              ["variance explained", percent(sae.variance_explained), percent(sae.claimed_variance_explained)],
              ["dead features", percent(sae.dead_share, 2), ""],
              ["tokens of enormous norm, left out", number(sae.outliers), ""],
            ],
            [1, 2],
          )
        : h("p", { class: "empty" }, "not measured"),
      faults.map((fault) => h("p", { class: "warning" }, fault)),
    ),
    nullCheck(),
    detectors(),
    section(
      "Clusters",
      null,
      table(
        [],
        Object.entries(MAIN.manifest.stages.cluster?.facts || {}).map(([name, value]) => [
          name.replace(/_/g, " "),
          typeof value === "number" ? number(value, Number.isInteger(value) ? 0 : 2) : String(value),
        ]),
        [1],
      ),
    ),
  );
}

function nullCheck() {
  const note =
    "Labels flipped at random, a whole prompt at a time, and everything tested again. Of " +
    "true nulls about 5 % should have p < 0.05; fewer is cautious. q < 5 %: findings that " +
    "would be reported though nothing is there.";
  if (!MAIN.null)
    return section(
      "Null check",
      note,
      h(
        "p",
        { class: "warning" },
        "Not run: whether the audit stays silent on random labels is unknown. Run ",
        h("code", {}, `anatomy null ${MAIN.run.path}`),
        " and the report again.",
      ),
    );
  /** @param {NullRate} rate */
  const verdictOf = (rate) =>
    rate.low === null || rate.high === null
      ? h("span", { class: "badge" }, "nothing to test")
      : rate.low > 0.05
        ? h("span", { class: "badge warn" }, "too many")
        : h("span", { class: "badge ok" }, rate.high < 0.05 ? "cautious" : "as it should be");
  return section(
    "Null check",
    note,
    table(
      ["view", "tests", "p < 0.05", "95 % interval", "q < 5 %, mean per run", ""],
      Object.entries(MAIN.null).map(([view, rate]) => [
        view,
        number(rate.tested),
        percent(rate.false_positive_rate),
        `${percent(rate.low)} to ${percent(rate.high)}`,
        number(rate.discoveries, 2),
        verdictOf(rate),
      ]),
      [1, 2, 4],
    ),
  );
}

/**
 * What the stage of scores leaves of each detector in the manifest.
 * @typedef {{
 *   detector: string,
 *   layer: number | null,
 *   pooling: string,
 *   threshold: number | null,
 *   held_out: Record<string, number | null>,
 * }} ScoredConcept
 */

function detectors() {
  const found = Object.entries(
    /** @type {Record<string, ScoredConcept>} */ (MAIN.manifest.stages.scores?.facts.concepts ?? {}),
  );
  /** @type {(entry: [string, ScoredConcept]) => Child[]} */
  const shown = ([name, facts]) => [
    link({ view: "global", cluster: name }, name),
    facts.detector,
    facts.layer ?? "text",
    facts.pooling,
    facts.threshold === null ? "" : number(facts.threshold, 3),
    heldOut(facts),
  ];
  return section(
    "Detectors of named concepts",
    null,
    found.length
      ? table(["concept", "detector", "block", "pooled", "threshold", "held-out scores"], found.map(shown), [4])
      : h("p", { class: "empty" }, "No concept was asked for by name (", h("code", {}, "--concepts"), ")."),
  );
}

/** @param {ScoredConcept} facts */
function heldOut(facts) {
  const scores = Object.entries(facts.held_out).filter(([, value]) => value !== null);
  return scores.length
    ? scores.map(([name, value]) => `${name} ${number(value, 3)}`).join(", ")
    : facts.layer === null
      ? "a text rule: exact by its definition"
      : "not stored with this run";
}
