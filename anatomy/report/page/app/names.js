// @ts-check
// What a cluster, a concept or a group of rows is called.
import { MAIN } from "./data.js";

/**
 * @import { Label, Test } from "../page_types.js"
 */

const tested = new Set(MAIN.responses);
/**
 * @param {string} id
 * @returns {Label}
 */
export const clusterOf = (id) =>
  MAIN.clusters[id] || { kind: "", label: "", exemplars: [], top_tokens: [], ngrams: [], correlates: [] };
/** @param {Label} label */
export const titleOf = (label) => (label.name?.verified ? label.name.title : label.label);
/** @param {string} id */
export const named = (id) => (id === "all" ? "all rows" : titleOf(clusterOf(id)) || id);
/** @param {string} id */
export const isConcept = (id) => clusterOf(id).kind === "concept";
/** @param {string} id */
export const isContext = (id) => isGroup(id) || (/^[DP]\d+$/.test(id) && !isConcept(id));
/**
 * A group of the user's: `G:column=value`.
 * @param {string} id
 */
export const isGroup = (id) => id.startsWith("G:");
/** @param {Pick<Test, "response"> & { view: string }} test */
export const unit = (test) => (test.view === "prompt" || isConcept(test.response) ? "SD" : "of its features");
/**
 * @param {string | undefined} id
 * @returns {id is string}
 */
export const hasSignal = (id) => id !== undefined && id !== "" && !isContext(id) && tested.has(id);
