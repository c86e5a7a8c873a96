// @ts-check
// Trainings beside each other: what of plain DPO's change each plan takes back, and what else it cost.
import { MAIN } from "./data.js";
import { h, section, svg, table } from "./dom.js";
import { cut, interval, isNumber, number, percent, plural, signed } from "./format.js";
import { named } from "./names.js";
import { capital } from "./verdict.js";

/**
 * @import { Arm, Child } from "../page_types.js"
 * @import { ArmComparison, ArmComparisons, ArmEstimate, ReadoutShift } from "../payload.js"
 */

const ARM_SHAPES = ["circle", "square", "triangle", "diamond", "bar"];
const PLOTTED = 16;

// Arms of a comparison whose rows are not the same in all arms: their names say which.
/** @type {Set<Arm>} */
const otherRows = new Set();

/** @typedef {(value: number) => string} Show */

/** @param {Arm} arm */
const armName = (arm) =>
  (arm.plain ? "plain DPO" : arm.words.join("; ")) + (otherRows.has(arm) ? ` on ${arm.rows}` : "");
/** @param {number} value */
const asShare = (value) => number(100 * value, 1);
/** @type {(low: number | null, high: number | null, show: Show) => string} */
const ends = (low, high, show) => (low === null || high === null ? "" : `[${show(low)}, ${show(high)}]`);
/** @type {(figure: ArmEstimate, show: Show, unit: string) => string} */
const inWords = ({ value, low, high }, show, unit) =>
  value === null ? "–" : `${show(value)}${unit} ${ends(low, high, show)}`;

/**
 * A figure with its interval over prompts and, where it is asked for, over seeds.
 * @param {ArmEstimate | null | undefined} figure
 * @param {Show} show
 */
export function figureNodes(figure, show, unit = "", seeds = true) {
  if (!figure || figure.value === null) return "–";
  return [
    h("div", {}, show(figure.value) + unit),
    h("div", { class: "ends" }, ends(figure.low, figure.high, show)),
    seeds && figure.seeds ? h("div", { class: "note" }, `seeds ${ends(figure.seeds[0], figure.seeds[1], show)}`) : null,
  ];
}

/**
 * @param {string} id
 * @param {Arm[]} arms
 */
const readoutName = (id, arms) =>
  arms.some((arm) => arm.responses[id]?.view === "global") ? `${id} ${named(id)}` : id;

/** @param {ArmComparisons} record */
export function armsNodes({ comparisons, left_out }) {
  for (const { arms } of comparisons)
    if (new Set(arms.map(({ rows }) => rows)).size > 1) arms.forEach((arm) => otherRows.add(arm));
  return [
    comparisons.map((record) =>
      section(
        "Interventions compared",
        `${plural(
          record.arms.reduce((sum, arm) => sum + arm.seeds.length, 0),
          "training",
        )} ` +
          `from ${record.before.split("/").slice(-2).join("/")}, ${number(record.prompts)} held-out ` +
          "prompts.",
        ...comparisonNodes(record),
      ),
    ),
    left_out.length && MAIN.validation.length > 1
      ? h(
          "details",
          {},
          h("summary", {}, `${plural(left_out.length, "entry").replace("entrys", "entries")} not compared`),
          table(
            [],
            left_out.map((gap) => [gap.name, gap.why]),
          ),
        )
      : null,
  ];
}

/** @param {ArmComparison} record */
function comparisonNodes(record) {
  const plain = record.arms.filter((arm) => arm.plain),
    others = record.arms.filter((arm) => !arm.plain && arm.twins);
  return [
    h(
      "p",
      {},
      "0 % is plain DPO on the same rows, 100 % the model before training: an arm at 60 % took " +
        "back 60 % of what plain DPO changed. Below 0 it moved further than plain DPO, as " +
        "amplifying asks for; above 100, back beyond the start. ",
      "Brackets: 95 % over prompts, drawn alike for all arms; seeds: over training seeds. Off " +
        "target, readouts count by how far plain DPO moved them; the plain mean below can be " +
        "ruled by one that hardly moved. Clusters near a target may show the target itself.",
    ),
    plain.length
      ? plain.map((arm) => unmoved(record, arm))
      : h(
          "p",
          { class: "warning" },
          "No plain DPO is among them, so there is no recovery. Train the same rows with the same " +
            "settings and seed without --plan, and validate that model as well.",
        ),
    armTable(record),
    recoveryPlot(others),
    h(
      "details",
      {},
      h("summary", {}, "all numbers of this comparison"),
      shiftTable(record.arms),
      record.tasks.length ? taskTable(record) : null,
    ),
  ];
}

/**
 * @param {ArmComparison} record
 * @param {Arm} plain
 */
function unmoved(record, plain) {
  const still = Object.entries(plain.responses)
    .filter(([, line]) => line.view === "concept" && !line.moved)
    .map(([id]) => id);
  const { concept, global } = record.readouts;
  return h(
    "p",
    { class: "note" },
    `${capital(armName(plain))} moved ${number(concept - still.length)} of ` +
      `${plural(concept, "concept")} and ${number(plain.off.global.of)} of ` +
      `${plural(global, "response cluster")} distinguishably (q ≤ 0.05`,
    `, ${number(record.read)} prompts); of the others there is no recovery, it would divide by noise.`,
    still.length ? ` Concepts not moved: ${still.join(", ")}.` : "",
  );
}

/** @param {ArmComparison} record */
function armTable(record) {
  /** @param {Arm["health"]} found */
  const health = (found) => [
    figureNodes(found.words, number, "", false),
    figureNodes(found.empty, asShare, " %", false),
    figureNodes(found.repeated, asShare, " %", false),
  ];
  /** @type {(count: number, arm: Arm, what: string) => Child} */
  const some = (count, arm, what) =>
    count && count < arm.seeds.length ? h("div", { class: "note" }, `${what} ${number(count)}`) : null;
  /** @type {(arm: Arm) => Child} */
  const capable = (arm) =>
    arm.capability
      ? [figureNodes(arm.capability.mean, asShare, " %"), some(arm.capability.seeds, arm, "seeds with scores:")]
      : "–";
  /** @type {(arm: Arm) => Child[]} */
  const line = (arm) => [
    h("strong", {}, armName(arm)),
    [number(arm.seeds.length), some(arm.twins, arm, "with plain DPO:")],
    onTarget(arm),
    offTarget(arm, "concept"),
    offTarget(arm, "global"),
    ...health(arm.health),
    capable(arm),
  ];
  return h(
    "div",
    { class: "arms" },
    table(
      [
        "arm",
        "seeds",
        "on target, recovery",
        "other concepts",
        "other clusters",
        "words",
        "empty",
        "repeated 4-grams",
        record.tasks.length ? `capability, ${plural(record.tasks.length, "task")}` : "capability",
      ],
      [
        [h("strong", {}, "before training"), "", "100 %", "100 %", "100 %", ...health(record.health), ""],
        ...record.arms.map(line),
      ],
      [1],
    ),
  );
}

/** @param {Arm} arm */
function onTarget(arm) {
  if (arm.plain) return "0 %";
  return arm.on.map(({ response, direction, why }) => {
    const line = response === null ? null : arm.responses[response],
      title = response === null ? null : h("span", { class: "id" }, readoutName(response, [arm]));
    return h(
      "div",
      {},
      title,
      why ? h("span", { class: "note" }, "no recovery: " + why) : figureNodes(line?.recovery, number, " %"),
      line?.against ? h("div", { class: "note" }, asAsked(line.against, direction)) : null,
    );
  });
}

/**
 * Whether the difference from plain DPO lies on the side that the plan asked for.
 * @param {ArmEstimate} difference
 * @param {string} direction
 */
function asAsked({ value, low, high }, direction) {
  const known = low !== null && high !== null;
  const [least, most] = !known ? [0, 0] : direction === "suppress" ? [-high, -low] : [low, high];
  return (
    `${signed(value)} ${interval(low, high)} against plain DPO: ` +
    `${least > 0 ? "as asked" : most < 0 ? "the opposite of what was asked" : "not distinguishable"}`
  );
}

/**
 * @param {Arm} arm
 * @param {string} view
 */
function offTarget(arm, view) {
  const { of, mean, pooled } = arm.off[view];
  if (arm.plain) return of ? "0 %" : "–";
  return pooled
    ? [
        figureNodes(pooled, number, " %"),
        h("div", { class: "note" }, `of ${number(of)}; mean ${mean ? inWords(mean, number, " %") : "–"}`),
      ]
    : "–";
}

/** @param {Arm[]} arms */
function recoveryPlot(arms) {
  const every = withRecovery(arms),
    rows = every.slice(0, PLOTTED);
  if (!rows.length) return null;
  const left = 230,
    width = 760,
    right = 16,
    step = 11,
    head = 30;
  const values = rows.flatMap((id) => arms.map((arm) => arm.responses[id]?.recovery?.value)).filter(isNumber);
  const least = Math.max(-150, Math.min(-20, ...values) - 10),
    most = Math.min(250, Math.max(120, ...values) + 10);
  /** @param {number} value */
  const X = (value) =>
    left + ((Math.max(least, Math.min(most, value)) - least) / (most - least)) * (width - left - right);
  const tall = Math.max(20, step * arms.length + 8),
    height = head + tall * rows.length + 6;
  /** @type {(id: string, arm: Arm, place: number, top: number) => Child} */
  const mark = (id, arm, place, top) => {
    const found = arm.responses[id]?.recovery;
    if (!found || found.value === null) return null;
    const y = top + 4 + step * (place + 0.5),
      record = `${readoutName(id, arms)}, ${armName(arm)}: ${inWords(found, number, " %")}`;
    return svg(
      "g",
      { class: `arm arm${place % 5}`, role: "img", "aria-label": record },
      svg("title", {}, record),
      found.low === null || found.high === null
        ? null
        : svg("line", { class: "range", x1: X(found.low), x2: X(found.high), y1: y, y2: y }),
      armShape(place, X(found.value), y, found.value < least || found.value > most),
    );
  };
  const targets = new Set(arms.flatMap((arm) => arm.on.map((item) => item.response)));
  return h(
    "figure",
    { class: "recovery" },
    h("h3", {}, "Recovery, concept by concept"),
    svg(
      "svg",
      { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "recovery of each concept and cluster by arm" },
      [-100, -50, 50, 150, 200]
        .filter((value) => value > least && value < most)
        .map((value) => [
          svg("line", { class: "rule", x1: X(value), x2: X(value), y1: head - 8, y2: height }),
          svg("text", { class: "name", x: X(value), y: 14, "text-anchor": "middle" }, `${number(value)} %`),
        ]),
      [
        { value: 0, text: "plain DPO" },
        { value: 100, text: "before training" },
      ].map(({ value, text }) => [
        svg("line", { class: "zero", x1: X(value), x2: X(value), y1: head - 8, y2: height }),
        svg(
          "text",
          { class: "name target", x: X(value), y: 14, "text-anchor": "middle" },
          `${number(value)} %: ${text}`,
        ),
      ]),
      rows.map((id, row) => {
        const top = head + tall * row;
        return [
          svg("line", { class: "rule", x1: 0, x2: width, y1: top, y2: top }),
          svg(
            "text",
            { class: targets.has(id) ? "name target" : "name", x: 4, y: top + tall / 2 + 4 },
            cut(readoutName(id, arms), 34),
          ),
          arms.map((arm, place) => mark(id, arm, place, top)),
        ];
      }),
    ),
    h(
      "figcaption",
      {},
      arms.map((arm, place) =>
        h(
          "span",
          { class: "arm-key" },
          svg(
            "svg",
            { class: `arm arm${place % 5}`, width: 14, height: 12, "aria-hidden": "true" },
            armShape(place, 7, 6, false),
          ),
          armName(arm),
        ),
      ),
      h(
        "span",
        {},
        "bold: a target of a plan; hollow: beyond the axis" +
          (every.length > rows.length ? `; ${rows.length} of ${every.length}, all are in the numbers below` : ""),
      ),
    ),
  );
}

/**
 * Targets first, then concepts, then clusters in the order of the table.
 * @param {Arm[]} arms
 */
function withRecovery(arms) {
  const targets = arms.flatMap((arm) => arm.on.map((item) => item.response)),
    lines = arms.flatMap((arm) => Object.entries(arm.responses).filter(([, line]) => line.recovery));
  /** @type {(entry: [string, ReadoutShift]) => number} */
  const rank = ([id, line]) => (targets.includes(id) ? 0 : line.view === "concept" ? 1 : 2);
  return [...new Set(lines.sort((a, b) => rank(a) - rank(b)).map(([id]) => id))];
}

/**
 * @param {number} place
 * @param {number} x
 * @param {number} y
 * @param {boolean} beyond
 */
function armShape(place, x, y, beyond) {
  /** @param {...[number, number]} pairs */
  const points = (...pairs) =>
    svg("polygon", { class: kind, points: pairs.map(([dx, dy]) => `${x + dx},${y + dy}`).join(" ") });
  const kind = "mark" + (beyond ? " beyond" : ""),
    shape = ARM_SHAPES[(place + Math.floor(place / 5)) % 5];
  if (shape === "circle") return svg("circle", { class: kind, cx: x, cy: y, r: 4 });
  if (shape === "square") return points([-3.5, -3.5], [3.5, -3.5], [3.5, 3.5], [-3.5, 3.5]);
  if (shape === "triangle") return points([0, -4.5], [4.5, 3.5], [-4.5, 3.5]);
  return shape === "diamond"
    ? points([0, -5], [5, 0], [0, 5], [-5, 0])
    : points([-1.5, -5], [1.5, -5], [1.5, 5], [-1.5, 5]);
}

/** @param {Arm[]} arms */
function shiftTable(arms) {
  const ids = [...new Set(arms.flatMap((arm) => Object.keys(arm.responses)))];
  /** @type {(line: ReadoutShift | undefined) => Child} */
  const cell = (line) =>
    line
      ? [
          figureNodes(line.shift, signed),
          line.recovery ? h("div", { class: "ends" }, inWords(line.recovery, number, " %")) : null,
        ]
      : "–";
  return h(
    "div",
    { class: "arms" },
    h("h3", {}, "Shift, and recovery where plain DPO moved it"),
    table(
      ["readout", ...arms.map(armName)],
      ids.map((id) => [cut(readoutName(id, arms), 44), ...arms.map((arm) => cell(arm.responses[id]))]),
    ),
  );
}

/** @param {ArmComparison} record */
function taskTable({ tasks, arms }) {
  return h(
    "div",
    { class: "arms" },
    h("h3", {}, "Capability by task"),
    table(
      ["task", ...arms.map(armName)],
      tasks.map((task) => [task, ...arms.map((arm) => (arm.capability ? percent(arm.capability.tasks[task]) : "–"))]),
    ),
  );
}
