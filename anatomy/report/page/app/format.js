// Numbers and names as they are read.
const number = (value, digits = 0) => (value === null || value === undefined || Number.isNaN(value) ? "?"
  : value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits, signDisplay: "negative" }).replace("-", "−"));
const signed = (value, digits = 3) => (value === null || value === undefined || Number.isNaN(value) ? "?"
  : (value < 0 ? "−" : "+") + Math.abs(value).toFixed(digits));
const percent = (value, digits = 1) => (value === null || value === undefined || Number.isNaN(value) ? "?" : number(100 * value, digits) + " %");
const interval = (low, high, digits = 3) => `[${signed(low, digits)}, ${signed(high, digits)}]`;
const plural = (count, word) => `${number(count)} ${word}${count === 1 ? "" : "s"}`;

function qValue(q) {
  if (q === null || q === undefined || Number.isNaN(q)) return "?";
  if (q === 0) return "< 1e−38";
  return q >= 0.001 ? q.toFixed(3) : q.toExponential(0).replace("-", "−");
}

function cut(text, length) {
  const line = text.replace(/\s+/g, " ").trim();
  return line.length <= length ? line : line.slice(0, length - 1) + "…";
}

const clusterOf = (id) => MAIN.clusters[id] || { kind: "", label: "", exemplars: [], top_tokens: [], ngrams: [], correlates: [] };
const titleOf = (label) => (label.name?.verified ? label.name.title : label.label);
const named = (id) => (id === "all" ? "all rows" : titleOf(clusterOf(id)) || id);
const isConcept = (id) => clusterOf(id).kind === "concept";
const isContext = (id) => /^[DP]\d+$/.test(id) && !isConcept(id);
const unit = (test) => (test.view === "prompt" || isConcept(test.response) ? "SD" : "of its features");
