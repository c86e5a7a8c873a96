// @ts-check
// How strongly the target shows at each token; null where that is not kept for this row.
import { MAIN, features, rowTokens, typed } from "./data.js";
import { h } from "./dom.js";
import { clusterOf, isConcept } from "./names.js";

/**
 * @import { Label, NumberArray, OnPick, PairColours, Peak, SpanColours } from "../page_types.js"
 * @import { ColourScale, RowTokens, SpanTokens } from "../payload.js"
 */

/**
 * @param {number} row
 * @param {string} target
 * @returns {Promise<PairColours | null>}
 */
export async function tokenColours(row, target) {
  const record = await rowTokens(row);
  if (!record) return null;
  return isConcept(target) ? conceptColours(record, target) : peakColours(record, await memberTest(target));
}

/**
 * A cluster or feature: the sum of its features' peaks there, beside the largest of the pair (or of the prompt).
 * @param {RowTokens} record
 * @param {Member} member
 * @returns {PairColours}
 */
function peakColours(record, member) {
  const [prompt, chosen, rejected] = [record.prompt, record.chosen, record.rejected].map((span) =>
    spanValues(span, member),
  );
  const inPrompt = Math.max(...prompt.sum, 1e-6),
    inPair = Math.max(...chosen.sum, ...rejected.sum, 1e-6);
  /** @type {(span: SpanTokens, values: SpanValues, most: number) => SpanColours} */
  const colours = ({ tokens }, values, most) => ({
    tokens,
    ...values,
    most,
    join: (a, b) => a + b,
    tell: (value) => value.toFixed(2),
  });
  return {
    prompt: colours(record.prompt, prompt, inPrompt),
    chosen: colours(record.chosen, chosen, inPair),
    rejected: colours(record.rejected, rejected, inPair),
    note: inPair <= 1e-6 ? "It is nowhere in this pair." : "",
  };
}

/**
 * A concept: its detector's score, 1 where colour starts to 255 where it is full (see colour_codes); only of responses.
 * @param {RowTokens} record
 * @param {string} target
 * @returns {PairColours | null}
 */
function conceptColours({ chosen, rejected }, target) {
  const scale = MAIN.rows.scales[target];
  if (!scale || [chosen, rejected].some((span) => span.concepts[target] === undefined)) return null;
  const { tell, legend } = conceptScale(clusterOf(target), scale);
  /** @type {(span: SpanTokens) => SpanColours} */
  const colours = (span) => {
    const { sum, here } = spanValues(span, () => false),
      codes = span.concepts[target];
    return { tokens: span.tokens, here, sum: codes ? typed(codes) : sum, most: 255, join: Math.max, tell };
  };
  return {
    chosen: colours(chosen),
    rejected: colours(rejected),
    note: legend + (chosen.concepts[target] || rejected.concepts[target] ? "" : " Nothing in this pair is."),
  };
}

/**
 * What the colour of a concept means, in words: for a token, and for the whole.
 * @param {Label} label
 * @param {ColourScale} scale
 * @returns {{ tell: (code: number) => string, legend: string }}
 */
function conceptScale({ detector, threshold }, scale) {
  const [from, to] = [scale.from, scale.to].map((value) => value.toPrecision(3));
  /** @param {number} code */
  const score = (code) => (scale.from + ((code - 1) / 254) * (scale.to - scale.from)).toPrecision(3);
  if (threshold === null)
    return {
      tell: (code) => `score ${score(code)}; from ${from} to ${to} in the kept rows`,
      legend: `Coloured: its score, none at ${from} and full at ${to}, the range of the kept rows.`,
    };
  if (detector === "text")
    return { tell: () => "its text rule matches here", legend: "Coloured: what its text rule matches." };
  return {
    tell: (code) => `score ${score(code)}; its threshold is ${from}`,
    legend:
      `Coloured: tokens that reach its threshold ${from}; full at ${to}, the highest score of ` + "the kept rows.",
  };
}

/**
 * @param {string} target
 * @returns {Promise<Member>}
 */
async function memberTest(target) {
  if (/^f\d+$/.test(target)) return (feature) => feature === Number(target.slice(1));
  /** @type {Record<string, NumberArray>} */
  const clusters = await features();
  const labels = clusters[target[0]],
    wanted = Number(target.slice(1));
  return labels && /^[RSP]\d+$/.test(target) ? (feature) => labels[feature] === wanted : () => false;
}

/** @typedef {(feature: number) => boolean} Member */
/** @typedef {{ sum: Float32Array, here: Peak[][] }} SpanValues */

/**
 * @param {SpanTokens} span
 * @param {Member} member
 * @returns {SpanValues}
 */
function spanValues(span, member) {
  const feature = typed(span.peaks.feature),
    at = typed(span.peaks.at),
    value = typed(span.peaks.value);
  const sum = new Float32Array(span.tokens.length);
  /** @type {Peak[][]} */
  const here = span.tokens.map(() => []);
  for (let place = 0; place < feature.length; place++) {
    const strength = (value[place] * span.peaks.largest) / 255;
    here[at[place]]?.push([feature[place], strength]);
    if (member(feature[place])) sum[at[place]] += strength;
  }
  return { sum, here };
}

/**
 * Pieces of `text` with the tokens they hold, in order; a character that several tokens share goes to all of them.
 * @param {string[]} tokens
 * @param {string} text
 */
function align(tokens, text) {
  /** @type {{ piece: string, held: number[] }[]} */
  const pieces = [];
  /** @type {number[]} */
  let held = [];
  let place = 0;
  for (let token = 0; token < tokens.length; token++) {
    const found = tokens[token].includes("\ufffd") ? -1 : text.indexOf(tokens[token], place);
    if (found < 0 || found > place + 40) {
      held.push(token);
      continue;
    }
    if (found > place) {
      pieces.push({ piece: text.slice(place, found), held });
      held = [];
    }
    if (tokens[token]) pieces.push({ piece: tokens[token], held: [...held, token] });
    held = [];
    place = found + tokens[token].length;
  }
  if (held.length === tokens.length && held.length) return null;
  return { pieces, rest: text.slice(place) };
}

/**
 * @param {SpanColours} colours
 * @param {string} text
 * @param {OnPick} onpick
 */
export function painted(colours, text, onpick) {
  const found = align(colours.tokens, text);
  const { pieces, rest } = found || {
    pieces: colours.tokens.map((piece, place) => ({ piece, held: [place] })),
    rest: "",
  };
  const nodes = pieces.map(({ piece, held }) => {
    const value = held.reduce((sum, token) => colours.join(sum, colours.sum[token]), 0);
    const peaks = held.flatMap((token) => colours.here[token]);
    if (!value && !peaks.length) return piece;
    return h(
      "span",
      {
        class: value ? "hot" : "tok",
        css: value ? { "--heat": (0.15 + (0.85 * value) / colours.most).toFixed(2) } : {},
        title: value ? colours.tell(value) : null,
        onclick: () => onpick(piece, peaks),
      },
      piece,
    );
  });
  return rest.trim()
    ? [...nodes, h("span", { class: "unread", title: "beyond the window: the model did not read this" }, rest)]
    : nodes;
}
