// @ts-check
// Pictures as SVG: they need nothing, print well, and carry their numbers as text beside them.
import { h, svg } from "./dom.js";
import { cut, interval, isNumber, percent, side, signed } from "./format.js";
import { zoomable } from "./plotly.js";

/**
 * @import { Effect, MapPoint } from "../page_types.js"
 */

/**
 * @param {Effect} test
 * @param {number} reach
 */
export function forest(test, reach, width = 150) {
  const middle = width / 2,
    scale = (middle - 4) / (reach || 1);
  /** @param {number} value */
  const x = (value) => middle + Math.max(-reach, Math.min(reach, value)) * scale;
  return svg(
    "svg",
    {
      class: "forest " + side(test.effect),
      width,
      height: 18,
      viewBox: `0 0 ${width} 18`,
      role: "img",
      "aria-label": `${signed(test.effect)} ${interval(test.effect_low, test.effect_high)}`,
    },
    svg("line", { class: "zero", x1: middle, x2: middle, y1: 0, y2: 18 }),
    svg("line", { class: "range", x1: x(test.effect_low), x2: x(test.effect_high), y1: 9, y2: 9 }),
    isNumber(test.effect_adjusted)
      ? svg("circle", { class: "adjusted", cx: x(test.effect_adjusted), cy: 9, r: 3.5 })
      : null,
    svg("circle", { class: "point", cx: x(test.effect), cy: 9, r: 4 }),
  );
}

/**
 * How often the chosen side has more of a response; empty where no pair differs in it.
 * @param {Record<"differ" | "win_rate" | "win_rate_low" | "win_rate_high", number | null>} test
 */
export const wins = ({ differ, win_rate, win_rate_low, win_rate_high }) =>
  isNumber(win_rate)
    ? `${percent(differ, 0)} of the pairs differ in it, and chosen has more in ${percent(win_rate, 0)} ` +
      `[${percent(win_rate_low, 0)}, ${percent(win_rate_high, 0)}]. `
    : "";

/** @param {Effect[]} found */
export const reachOf = (found) =>
  found.reduce((most, test) => Math.max(most, Math.abs(test.effect_low), Math.abs(test.effect_high)), 0.001);

/**
 * @param {number} share
 * @param {string} kind
 * @param {string} text
 */
export function bar(share, kind, text) {
  return h(
    "div",
    { class: "bar", role: "img", "aria-label": text },
    h("div", { class: kind, css: { width: 100 * Math.max(0, Math.min(1, share)) + "%" } }),
  );
}

/**
 * @param {number | null} value
 * @param {number | null} low
 * @param {number | null} high
 */
export function dotRange(value, low, high) {
  if (value === null || low === null || high === null) return null;
  /** @param {number} share */
  const x = (share) => 4 + 192 * share;
  return svg(
    "svg",
    {
      class: "forest " + (value > 0.5 ? "chosen" : "rejected"),
      width: 200,
      height: 18,
      role: "img",
      "aria-label": `${percent(value)} [${percent(low)}, ${percent(high)}]`,
    },
    svg("line", { class: "zero", x1: x(0.5), x2: x(0.5), y1: 0, y2: 18 }),
    svg("line", { class: "axis", x1: x(0), x2: x(1), y1: 9, y2: 9 }),
    svg("line", { class: "range", x1: x(low), x2: x(high), y1: 9, y2: 9 }),
    svg("circle", { class: "point", cx: x(value), cy: 9, r: 4 }),
  );
}

/**
 * Clusters as points: blue lean to chosen, orange to rejected.
 * @param {MapPoint[]} points
 * @param {(id: string) => void} pick
 * @param {string} title
 */
export function clusterMap(points, pick, title) {
  const width = 520,
    height = 330,
    edge = 26;
  /** @param {number} value */
  const X = (value) => edge + value * (width - 2 * edge);
  /** @param {number} value */
  const Y = (value) => height - edge - value * (height - 2 * edge);
  const box = h("div", { class: "map" });
  const most = Math.max(...points.map((point) => point.size), 1);
  /** @param {MapPoint} point */
  const radius = (point) => 3.5 + 9 * Math.sqrt(point.size / most);
  const dots = points.map((point) =>
    svg(
      "circle",
      {
        cx: X(point.x),
        cy: Y(point.y),
        r: radius(point),
        class: "dot " + (Math.abs(point.value) < 0.02 ? "even" : side(point.value)),
        "fill-opacity": 0.2 + 0.7 * Math.min(1, Math.abs(point.value)),
        "data-id": point.id,
        onclick: () => pick(point.id),
      },
      svg("title", {}, `${point.id} ${point.label}`),
    ),
  );
  const picture = svg(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": title },
    dots,
    mapLabels(points, X, Y, radius, width),
  );
  const zoom = h("button", { class: "small", onclick: () => zoomable(box, points, radius, pick) }, "zoom and pan");
  box.append(picture);
  return {
    node: h(
      "figure",
      {},
      box,
      h(
        "figcaption",
        {},
        h("span", { class: "key chosen" }, "leans to chosen"),
        h("span", { class: "key rejected" }, "to rejected"),
        h("span", {}, "size: features; near: signals move together (distances are not to scale)"),
        zoom,
      ),
    ),
    /** @param {string} id */
    select(id) {
      dots.forEach((dot) => dot.classList.toggle("selected", dot.dataset.id === id));
    },
  };
}

/**
 * Names of the strongest points, where they hide neither each other nor the edge.
 * @param {MapPoint[]} points
 * @param {(value: number) => number} X
 * @param {(value: number) => number} Y
 * @param {(point: MapPoint) => number} radius
 * @param {number} width
 */
function mapLabels(points, X, Y, radius, width) {
  /** @type {number[][]} */
  const taken = [];
  const strongest = [...points].sort((a, b) => Math.abs(b.value) - Math.abs(a.value)).slice(0, 30);
  return strongest.map((point) => {
    const text = `${point.id} ${cut(point.label, 18)}`,
      length = text.length * 5.6;
    const right = X(point.x) + radius(point) + 3 + length < width;
    const x = right ? X(point.x) + radius(point) + 3 : X(point.x) - radius(point) - 3 - length,
      y = Y(point.y) + 4;
    const box = [x, y - 10, x + length, y + 2];
    const dots = points.some(
      (other) =>
        other !== point && X(other.x) > box[0] && X(other.x) < box[2] && Y(other.y) > box[1] && Y(other.y) < box[3],
    );
    if (dots || x < 0 || taken.some((b) => b[0] < box[2] && box[0] < b[2] && b[1] < box[3] && box[1] < b[3]))
      return null;
    taken.push(box);
    return svg("text", { x, y, class: "name" }, text);
  });
}
