// How strongly a cluster or feature shows at each token: the sum of its features' peaks there.
async function tokenColours(row, target) {
  const record = await rowTokens(row);
  if (!record) return null;
  const member = await memberTest(target);
  return Object.fromEntries(["prompt", "chosen", "rejected"].map((span) => [span, { tokens: record[span].tokens, ...spanValues(record[span], member) }]));
}

async function memberTest(target) {
  if (/^f\d+$/.test(target)) return (feature) => feature === Number(target.slice(1));
  const labels = (await features())[target[0]], wanted = Number(target.slice(1));
  return labels && /^[RSP]\d+$/.test(target) ? (feature) => labels[feature] === wanted : () => false;
}

function spanValues(span, member) {
  const feature = typed(span.peaks.feature), at = typed(span.peaks.at), value = typed(span.peaks.value);
  const sum = new Float32Array(span.tokens.length), here = span.tokens.map(() => []);
  for (let place = 0; place < feature.length; place++) {
    const strength = value[place] * span.peaks.largest / 255;
    here[at[place]]?.push([feature[place], strength]);
    if (member(feature[place])) sum[at[place]] += strength;
  }
  return { sum, here };
}

// Pieces of `text` with the tokens they hold, in order; a character that several tokens share goes to all of them.
function align(tokens, text) {
  const pieces = [];
  let place = 0, held = [];
  for (let token = 0; token < tokens.length; token++) {
    const found = tokens[token].includes("\ufffd") ? -1 : text.indexOf(tokens[token], place);
    if (found < 0 || found > place + 40) { held.push(token); continue; }
    if (found > place) { pieces.push([text.slice(place, found), held]); held = []; }
    if (tokens[token]) pieces.push([tokens[token], [...held, token]]);
    held = [];
    place = found + tokens[token].length;
  }
  if (held.length === tokens.length && held.length) return null;
  return { pieces, rest: text.slice(place) };
}

function painted(colours, most, text, onpick) {
  const found = align(colours.tokens, text);
  const { pieces, rest } = found || { pieces: colours.tokens.map((token, place) => [token, [place]]), rest: "" };
  const nodes = pieces.map(([piece, held]) => {
    const value = held.reduce((sum, token) => sum + colours.sum[token], 0);
    const peaks = held.flatMap((token) => colours.here[token]);
    if (!value && !peaks.length) return piece;
    return h("span", { class: value ? "hot" : "tok", css: value ? { "--heat": (0.15 + 0.85 * value / most).toFixed(2) } : {},
      title: value ? value.toFixed(2) : null, onclick: () => onpick(piece, peaks) }, piece);
  });
  return rest.trim() ? [...nodes, h("span", { class: "unread", title: "beyond the window: the model did not read this" }, rest)] : nodes;
}
