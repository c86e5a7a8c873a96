// @ts-check
// Numbers and names as they are read.
export const number = (value, digits = 0) =>
  value === null || value === undefined || Number.isNaN(value)
    ? "?"
    : value
        .toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits, signDisplay: "negative" })
        .replace("-", "−");
export const signed = (value, digits = 3) =>
  value === null || value === undefined || Number.isNaN(value)
    ? "?"
    : (value < 0 ? "−" : "+") + Math.abs(value).toFixed(digits);
export const percent = (value, digits = 1) =>
  value === null || value === undefined || Number.isNaN(value) ? "?" : number(100 * value, digits) + " %";
export const interval = (low, high, digits = 3) => `[${signed(low, digits)}, ${signed(high, digits)}]`;
export const plural = (count, word) => `${number(count)} ${word}${count === 1 ? "" : "s"}`;

export function qValue(q) {
  if (q === null || q === undefined || Number.isNaN(q)) return "?";
  if (q === 0) return "< 1e−38";
  return q >= 0.001 ? q.toFixed(3) : q.toExponential(0).replace("-", "−");
}

export function cut(text, length) {
  const line = text.replace(/\s+/g, " ").trim();
  return line.length <= length ? line : line.slice(0, length - 1) + "…";
}

export const side = (value) => (value > 0 ? "chosen" : "rejected");
