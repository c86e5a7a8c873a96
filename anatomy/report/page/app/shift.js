// @ts-check
// What was predicted, and what training then did; nothing where nobody has looked yet.
import { armsNodes } from "./ablations.js";
import { MAIN } from "./data.js";
import { fill, h, section, svg, table } from "./dom.js";
import { interval, isNumber, number, percent, signed } from "./format.js";
import { named } from "./names.js";

/**
 * @import { Child } from "../page_types.js"
 * @import { ControlSpread, NoAgreement, OtherDocument } from "../payload.js"
 * @import { ShownShift, ShownValidation, ViewAgreement } from "../payload.js"
 */

const OPEN_VALIDATIONS = 2;
/** @type {Record<string, string>} */
const VIEW_NAMES = {
  global: "response clusters",
  features: "SAE features",
  concept: "concepts",
  feature: "response clusters in groups of rows",
  "feature-contrast": "the same, against other rows",
  prompt: "response shifts by kind of prompt",
  "prompt-contrast": "the same, against other prompts",
};

/** @param {HTMLElement} root */
export function shiftView(root) {
  root.append(h("h1", {}, MAIN.arms.comparisons.length ? "What training did" : "Predicted against observed"));
  if (!MAIN.validation.length) {
    root.append(
      h(
        "p",
        { class: "empty" },
        "No validation is stored with this run. It needs a model trained on this set: ",
        h("code", {}, `anatomy validate ${MAIN.run.path} --before … --after …`),
        " compares rollouts of both; write this page again and it shows predicted against " +
          "observed shift per cluster, with signed r, what noise allows, and slope. Validate plain " +
          "DPO and each plan in a folder of its own, with the same rollouts before, and it shows " +
          "what each intervention took back, on and off target.",
      ),
    );
    return;
  }
  fill(root, {}, [armsNodes(MAIN.arms), MAIN.validation.map(validationSection)]);
}

/**
 * @param {ShownValidation | OtherDocument} shown
 * @returns {shown is ShownValidation}
 */
const isValidation = (shown) => "predictor" in shown;

/** @param {ShownValidation | OtherDocument} shown */
function validationSection(shown) {
  const { name } = shown,
    nodes = isValidation(shown) ? validationNodes(shown) : [tree(shown.document)];
  return MAIN.validation.length > OPEN_VALIDATIONS
    ? h("details", { class: "validation" }, h("summary", {}, name), nodes)
    : section(name, null, ...nodes);
}

/**
 * @param {ShownValidation} shown
 * @returns {Child[]}
 */
function validationNodes({ document, shifts, predictor }) {
  const best = predictor === null ? {} : (document.agreements[predictor] ?? {}),
    line = document.calibration,
    drift = document.training?.reward_drift,
    draws = Object.values(document.controls)[0]?.["labels flipped"]?.repetitions,
    views = Object.keys(VIEW_NAMES).filter((view) => Object.values(document.agreements).some((found) => found[view]));
  const plotted = views.filter((view) => view !== "concept");
  /** @param {string} view */
  const of = (view) => shifts.filter((shift) => shift.view === view);
  return [
    h(
      "p",
      { class: "note" },
      `${number(document.prompts)} held-out prompts, ${number(document.pairs)} pairs of ` +
        `rollouts. Predictor: ${predictor ?? "none"}.` +
        (drift
          ? ` Trained for ${number(drift.steps)} steps at learning rate ` +
            `${drift.learning_rate}; in the last of them the reward of chosen over rejected is ` +
            `${signed(drift.margin, 2)}, of both ${signed(drift.common, 2)}.`
          : ""),
    ),
    document.warning ? h("p", { class: "warning" }, `Read with care: ${document.warning}.`) : null,
    line
      ? h(
          "p",
          {},
          `Calibrated: observed = ${number(line.slope, 3)} × predicted ± ` +
            `${number(line.residual_sd, 3)} (both in standard deviations of a readout), on ` +
            `${number(line.n)} readouts.`,
        )
      : h("p", { class: "warning" }, "Not calibrated: too few response clusters, or nothing changed."),
    h(
      "div",
      { class: "two" },
      plotted.map((view) => shiftPlot(view, of(view), best[view]?.n)),
    ),
    h("h3", {}, "Agreement"),
    h(
      "p",
      { class: "note" },
      "Signed r over the shifts of a view, 95 % over held-out prompts; attainable: the r that a perfect predictor " +
        "would have next to observed shifts this noisy. Random labels: 95 % of r when the same predictor is " +
        `fitted to labels flipped at random${draws ? `, ${number(draws)} times` : ""}. A wide range there means ` +
        "that shifts move together, and that a large r of one training proves little.",
    ),
    table(
      [
        "shifts of",
        "n",
        "r",
        "95 %",
        "attainable r",
        "slope",
        "R² out of sample",
        "same sign, top 10",
        "random labels",
      ],
      plotted.map((view) => agreement(view, best[view], document.controls[view]?.["labels flipped"])),
      [1, 2, 4, 5, 6, 7],
    ),
    conceptShifts(of("concept")),
    h(
      "details",
      {},
      h("summary", {}, "all predictors: r, R² out of sample"),
      table(
        ["predictor", ...plotted.map((view) => VIEW_NAMES[view])],
        Object.entries(document.agreements).map(([name, found]) => [
          name,
          ...plotted.map((view) => {
            const one = found[view];
            return isMeasured(one) ? `${signed(one.r, 2)}, ${number(one.r2_out, 2)}` : "–";
          }),
        ]),
      ),
    ),
    h(
      "details",
      {},
      h("summary", {}, "everything that was stored"),
      tree({ agreements: document.agreements, controls: document.controls, left_out: document.left_out }),
    ),
  ];
}

/**
 * @param {ViewAgreement | NoAgreement | undefined} found
 * @returns {found is ViewAgreement}
 */
const isMeasured = (found) => isNumber(found?.r);

/**
 * @param {string} view
 * @param {ViewAgreement | NoAgreement | undefined} found
 * @param {ControlSpread | undefined} control
 */
function agreement(view, found, control) {
  if (!isMeasured(found)) return [VIEW_NAMES[view], number(found?.n), found && "why" in found ? found.why : "–"];
  return [
    VIEW_NAMES[view],
    number(found.n),
    signed(found.r, 2),
    interval(found.r_low, found.r_high, 2),
    number(found.ceiling.attainable_r, 2),
    number(found.slope, 3),
    number(found.r2_out, 2),
    percent(found.top[0]?.same_sign, 0),
    isNumber(control?.r) ? interval(control.low, control.high, 2) : "",
  ];
}

/**
 * Concepts one by one: each has a unit of its own, so that an r over them says nothing.
 * @param {ShownShift[]} lines
 */
function conceptShifts(lines) {
  if (!lines.length) return null;
  return [
    h("h3", {}, "Concepts"),
    table(
      ["concept", "predicted", "observed", "95 %"],
      lines.map((line) => [
        line.response,
        signed(line.predicted),
        signed(line.observed),
        interval(line.observed_low, line.observed_high),
      ]),
      [1, 2],
    ),
  ];
}

/**
 * @param {string} view
 * @param {ShownShift[]} points
 * @param {number | undefined} of how many there are with those that are not drawn
 */
function shiftPlot(view, points, of) {
  if (!points.length) return null;
  const size = 300,
    edge = 30,
    mostX = Math.max(...points.map((point) => Math.abs(point.predicted)), 1e-9),
    mostY = Math.max(...points.map((point) => Math.abs(point.observed)), 1e-9);
  /** @param {number} value */
  const X = (value) => edge + ((value / mostX + 1) / 2) * (size - 2 * edge);
  /** @param {number} value */
  const Y = (value) => size - edge - ((Math.max(-1, Math.min(1, value / mostY)) + 1) / 2) * (size - 2 * edge);
  /** @type {(point: ShownShift) => Child[]} */
  const mark = (point) => [
    isNumber(point.observed_low) &&
      isNumber(point.observed_high) &&
      svg("line", {
        class: "range",
        x1: X(point.predicted),
        x2: X(point.predicted),
        y1: Y(point.observed_low),
        y2: Y(point.observed_high),
      }),
    svg(
      "circle",
      { class: "point", cx: X(point.predicted), cy: Y(point.observed), r: 3.5 },
      svg(
        "title",
        {},
        `${point.response} ${named(point.response)}, ${point.context}: predicted ` +
          `${signed(point.predicted)}, observed ${signed(point.observed)}`,
      ),
    ),
  ];
  return h(
    "figure",
    {},
    h("h3", {}, VIEW_NAMES[view]),
    svg(
      "svg",
      {
        class: "shifts",
        viewBox: `0 0 ${size} ${size}`,
        role: "img",
        "aria-label": `predicted against observed, ${VIEW_NAMES[view]}`,
      },
      svg("line", { class: "zero", x1: X(0), x2: X(0), y1: edge, y2: size - edge }),
      svg("line", { class: "zero", x1: edge, x2: size - edge, y1: Y(0), y2: Y(0) }),
      points.map((point) =>
        svg("g", { class: "forest " + (point.predicted * point.observed > 0 ? "chosen" : "rejected") }, mark(point)),
      ),
      svg(
        "text",
        { class: "name", x: size / 2, y: size - 6, "text-anchor": "middle" },
        `predicted, ±${mostX.toPrecision(2)}`,
      ),
      svg("text", { class: "name", x: 4, y: 16 }, `observed, ±${mostY.toPrecision(2)}`),
    ),
    h(
      "figcaption",
      {},
      h("span", { class: "key chosen" }, "sign as predicted"),
      h("span", { class: "key rejected" }, "sign wrong"),
      of !== undefined && of > points.length ? h("span", {}, `${number(points.length)} of ${number(of)}`) : null,
    ),
  );
}

/**
 * Any JSON document as nested tables: numbers side by side where entries are alike.
 * @param {unknown} value
 * @returns {Child}
 */
export function tree(value) {
  if (Array.isArray(value) && value.length && typeof value[0] === "object" && value[0]) {
    const names = Object.keys(value[0]);
    return table(
      names,
      value.map((item) => names.map((name) => leaf(item[name]))),
    );
  }
  if (value && typeof value === "object")
    return table(
      [],
      Object.entries(value).map(([name, item]) => [
        h("span", { class: "nowrap" }, name),
        item && typeof item === "object" ? tree(item) : leaf(item),
      ]),
    );
  return leaf(value);
}

/** @param {unknown} value */
const leaf = (value) =>
  typeof value === "number"
    ? Number.isInteger(value)
      ? String(value)
      : Number(value.toPrecision(4)).toString()
    : value && typeof value === "object"
      ? JSON.stringify(value)
      : String(value ?? "");
