// @ts-check
// What a cluster, a concept or a group of rows is called.
import { MAIN } from "./data.js";

const tested = new Set(MAIN.responses);
export const clusterOf = (id) =>
  MAIN.clusters[id] || { kind: "", label: "", exemplars: [], top_tokens: [], ngrams: [], correlates: [] };
export const titleOf = (label) => (label.name?.verified ? label.name.title : label.label);
export const named = (id) => (id === "all" ? "all rows" : titleOf(clusterOf(id)) || id);
export const isConcept = (id) => clusterOf(id).kind === "concept";
export const isContext = (id) => /^[DP]\d+$/.test(id) && !isConcept(id);
export const unit = (test) => (test.view === "prompt" || isConcept(test.response) ? "SD" : "of its features");
export const hasSignal = (id) => Boolean(id) && !isContext(id) && tested.has(id);
