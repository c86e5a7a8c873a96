// @ts-check
// Numbers and names as they are read.
/** @typedef {number | null | undefined} Figure */

/** @param {Figure} value */
export const number = (value, digits = 0) =>
  value === null || value === undefined || Number.isNaN(value)
    ? "?"
    : value
        .toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits, signDisplay: "negative" })
        .replace("-", "−");
/** @param {Figure} value */
export const signed = (value, digits = 3) =>
  value === null || value === undefined || Number.isNaN(value)
    ? "?"
    : (value < 0 ? "−" : "+") + Math.abs(value).toFixed(digits);
/** @param {Figure} value */
export const percent = (value, digits = 1) =>
  value === null || value === undefined || Number.isNaN(value) ? "?" : number(100 * value, digits) + " %";
/**
 * @param {Figure} low
 * @param {Figure} high
 */
export const interval = (low, high, digits = 3) => `[${signed(low, digits)}, ${signed(high, digits)}]`;
/**
 * @param {Figure} count
 * @param {string} word
 */
export const plural = (count, word) => `${number(count)} ${word}${count === 1 ? "" : "s"}`;

/** @param {Figure} q */
export function qValue(q) {
  if (q === null || q === undefined || Number.isNaN(q)) return "?";
  if (q === 0) return "< 1e−38";
  return q >= 0.001 ? q.toFixed(3) : q.toExponential(0).replace("-", "−");
}

/**
 * @param {string} text
 * @param {number} length
 */
export function cut(text, length) {
  const line = text.replace(/\s+/g, " ").trim();
  return line.length <= length ? line : line.slice(0, length - 1) + "…";
}

/**
 * @param {number} value
 * @returns {"chosen" | "rejected"}
 */
export const side = (value) => (value > 0 ? "chosen" : "rejected");

/**
 * What an error says.
 * @param {unknown} error
 */
export const messageOf = (error) => (error instanceof Error ? error.message : String(error));

/**
 * Whether a figure could be computed.
 * @param {Figure} value
 * @returns {value is number}
 */
export const isNumber = (value) => Number.isFinite(value);
