// @ts-check
// Plotly is loaded only when somebody asks to zoom; without its file the static picture stays.
import { loadScript, once } from "./data.js";
import { h, put, visible } from "./dom.js";
import { cut, messageOf, side } from "./format.js";

/**
 * @import { MapPoint } from "../page_types.js"
 */

const loadPlotly = once(() => loadScript("plotly.js", ""));
/** @param {string} text */
const noMarkup = (text) => visible(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

/**
 * @param {HTMLElement} box
 * @param {MapPoint[]} points
 * @param {(point: MapPoint) => number} radius
 * @param {(id: string) => void} pick
 */
export async function zoomable(box, points, radius, pick) {
  try {
    await loadPlotly();
  } catch (error) {
    box.append(h("p", { class: "note" }, messageOf(error)));
    return;
  }
  const style = getComputedStyle(document.documentElement);
  /** @param {string} name */
  const colour = (name) => style.getPropertyValue(name).trim();
  const frame = h("div", { class: "plot" });
  put(box, frame);
  const kinds = points.map((point) => (Math.abs(point.value) < 0.02 ? "--even" : "--" + side(point.value)));
  const plot = await globalThis.Plotly.newPlot(
    frame,
    [
      {
        type: "scatter",
        mode: "markers",
        x: points.map((point) => point.x),
        y: points.map((point) => point.y),
        customdata: points.map((point) => point.id),
        hovertemplate: "%{text}<extra></extra>",
        text: points.map((point) => `${point.id} ${noMarkup(cut(point.label, 60))}`),
        marker: {
          size: points.map((point) => 2 * radius(point)),
          color: kinds.map(colour),
          opacity: 0.75,
          line: { width: 1, color: colour("--back") },
        },
      },
    ],
    {
      margin: { l: 8, r: 8, t: 8, b: 8 },
      height: 330,
      paper_bgcolor: "transparent",
      plot_bgcolor: "transparent",
      showlegend: false,
      hovermode: "closest",
      dragmode: "pan",
      xaxis: { visible: false },
      yaxis: { visible: false },
      font: { color: colour("--text") },
    },
    {
      displaylogo: false,
      responsive: true,
      scrollZoom: true,
      modeBarButtonsToRemove: ["select2d", "lasso2d", "toImage"],
    },
  );
  plot.on("plotly_click", (event) => pick(event.points[0].customdata));
}
