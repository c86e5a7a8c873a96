// @ts-check
// How strongly the target shows at each token; null where that is not kept for this row.
import { MAIN, features, rowTokens, typed } from "./data.js";
import { h } from "./dom.js";
import { clusterOf, isConcept } from "./names.js";

export async function tokenColours(row, target) {
  const record = await rowTokens(row);
  if (!record) return null;
  return isConcept(target) ? conceptColours(record, target) : peakColours(record, await memberTest(target));
}

// A cluster or feature: the sum of its features' peaks there, beside the largest of the pair (or of the prompt).
function peakColours(record, member) {
  const found = Object.fromEntries(
    ["prompt", "chosen", "rejected"].map((span) => [
      span,
      {
        tokens: record[span].tokens,
        ...spanValues(record[span], member),
        most: 0,
        join: (a, b) => a + b,
        tell: (value) => value.toFixed(2),
      },
    ]),
  );
  const most = (...spans) => Math.max(...spans.flatMap((span) => [...found[span].sum]), 1e-6);
  found.chosen.most = found.rejected.most = most("chosen", "rejected");
  found.prompt.most = most("prompt");
  return { ...found, note: found.chosen.most <= 1e-6 ? "It is nowhere in this pair." : "" };
}

// A concept: its detector's score, 1 where colour starts to 255 where it is full (see colour_codes); only of responses.
function conceptColours(record, target) {
  const sides = ["chosen", "rejected"],
    scale = MAIN.rows.scales[target];
  if (!scale || sides.some((name) => record[name].concepts[target] === undefined)) return null;
  const { tell, legend } = conceptScale(clusterOf(target), scale);
  const found = Object.fromEntries(
    sides.map((name) => {
      const { tokens, concepts } = record[name],
        { sum, here } = spanValues(record[name], () => false);
      return [
        name,
        { tokens, here, sum: concepts[target] ? typed(concepts[target]) : sum, most: 255, join: Math.max, tell },
      ];
    }),
  );
  return {
    ...found,
    note: legend + (sides.some((name) => record[name].concepts[target]) ? "" : " Nothing in this pair is."),
  };
}

// What the colour of a concept means, in words: for a token, and for the whole.
function conceptScale({ detector, threshold }, scale) {
  const [from, to] = [scale.from, scale.to].map((value) => value.toPrecision(3));
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

async function memberTest(target) {
  if (/^f\d+$/.test(target)) return (feature) => feature === Number(target.slice(1));
  const labels = (await features())[target[0]],
    wanted = Number(target.slice(1));
  return labels && /^[RSP]\d+$/.test(target) ? (feature) => labels[feature] === wanted : () => false;
}

function spanValues(span, member) {
  const feature = typed(span.peaks.feature),
    at = typed(span.peaks.at),
    value = typed(span.peaks.value);
  const sum = new Float32Array(span.tokens.length),
    here = span.tokens.map(() => []);
  for (let place = 0; place < feature.length; place++) {
    const strength = (value[place] * span.peaks.largest) / 255;
    here[at[place]]?.push([feature[place], strength]);
    if (member(feature[place])) sum[at[place]] += strength;
  }
  return { sum, here };
}

// Pieces of `text` with the tokens they hold, in order; a character that several tokens share goes to all of them.
function align(tokens, text) {
  const pieces = [];
  let place = 0,
    held = [];
  for (let token = 0; token < tokens.length; token++) {
    const found = tokens[token].includes("\ufffd") ? -1 : text.indexOf(tokens[token], place);
    if (found < 0 || found > place + 40) {
      held.push(token);
      continue;
    }
    if (found > place) {
      pieces.push([text.slice(place, found), held]);
      held = [];
    }
    if (tokens[token]) pieces.push([tokens[token], [...held, token]]);
    held = [];
    place = found + tokens[token].length;
  }
  if (held.length === tokens.length && held.length) return null;
  return { pieces, rest: text.slice(place) };
}

export function painted(colours, text, onpick) {
  const found = align(colours.tokens, text);
  const { pieces, rest } = found || { pieces: colours.tokens.map((token, place) => [token, [place]]), rest: "" };
  const nodes = pieces.map(([piece, held]) => {
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
