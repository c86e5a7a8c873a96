// @ts-check
// The verdict in words, with effect, interval, rows affected and what to do.
import { rowsOf } from "./cluster.js";
import { MAIN } from "./data.js";
import { decisionButtons } from "./decision_store.js";
import { h, link, section, table } from "./dom.js";
import { cut, interval, number, percent, plural, qValue, side, signed } from "./format.js";
import { named, unit } from "./names.js";
import { dotRange, forest, reachOf, wins } from "./plots.js";

/**
 * @import { AuditVerdict, CannedRisk, JudgedFinding, RuleRisk } from "../payload.js"
 */

/** @param {HTMLElement} root */
export function verdictView(root) {
  const record = MAIN.verdict,
    { rows, retained } = MAIN.summary;
  root.append(
    h("h1", {}, record.headline),
    h(
      "p",
      { class: "note" },
      `${number(retained)} of ${plural(rows, "pair")} read through ` +
        `${MAIN.manifest.inputs?.model?.name ?? "the model"}. `,
      "Effects say what goes with the labels, not yet what training will do.",
    ),
    ...(record.leads.length ? [leadsPart(record.leads)] : []),
    verdictPart(
      "Likely shortcuts",
      record.risks,
      record.n_risks,
      "Length, formatting, canned texts and concepts that most people suppress: what a model learns from " +
        "these labels without getting better. In the pictures the dot is the effect with its 95 " +
        "% interval: what training pushes. The ring is what the labels prefer: what is left beside length and authors.",
      "No shortcut stood out.",
    ),
    verdictPart(
      "Signals to judge",
      record.signals,
      record.n_signals,
      "They hold beside length and authorship and follow no formatting rule; reading tells if they are wanted.",
      "No other signal stood out.",
    ),
    predicted(),
    section(
      "Not assessed",
      "Silence here is not a clean bill.",
      table(
        ["", "what", "why"],
        record.open.map((item) => [item.count === null ? "" : number(item.count), item.what, item.why]),
        [0],
      ),
    ),
  );
}

/** @param {AuditVerdict["leads"]} leads */
function leadsPart(leads) {
  return section(
    "What these labels teach",
    "One line for all findings that say the same, the strongest first.",
    h("ol", { class: "leads" }, leads.map(leadItem)),
  );
}

/** @param {AuditVerdict["leads"][number]} lead */
function leadItem(lead) {
  const hidden = lead.n_members - lead.members.length;
  return h(
    "li",
    { class: "lead " + lead.direction },
    h("p", {}, lead.sentence, ". ", clusterLink(lead), " ", rowsLink(lead)),
    lead.n_members
      ? h(
          "details",
          {},
          h("summary", {}, `${plural(lead.n_members, "more finding")} of the same`),
          h("ul", {}, lead.members.map(memberItem)),
          hidden > 0 ? h("p", { class: "note" }, `${number(hidden)} more in hypotheses.parquet`) : null,
        )
      : null,
  );
}

/** @param {AuditVerdict["leads"][number]["members"][number]} member */
function memberItem(member) {
  const where = member.context === "all" ? "everywhere" : `in ${member.context} ${cut(named(member.context), 40)}`;
  const won = member.win_rate === null ? "" : `, chosen has more in ${percent(member.win_rate, 0)}`;
  return h(
    "li",
    {},
    clusterLink(member),
    ` ${cut(named(member.response), 60)}, ${where}: ${signed(member.effect)}, q ${qValue(member.q)}${won} `,
    rowsLink(member),
  );
}

/** @param {AuditVerdict["leads"][number]["members"][number]} test */
function clusterLink(test) {
  return link(
    { view: test.view === "prompt" ? "local" : "global", cluster: test.response },
    h("span", { class: "id" }, test.response),
  );
}

/** @param {AuditVerdict["leads"][number]["members"][number]} test */
function rowsLink(test) {
  const within = test.context === "all" ? "" : test.context;
  return link({ ...rowsOf(test.response), within, sign: test.direction }, "rows →");
}

/**
 * @param {string} title
 * @param {AuditVerdict["risks"]} items
 * @param {number} total
 * @param {string} note
 * @param {string} none what stands there for no item
 */
function verdictPart(title, items, total, note, none) {
  const hidden = total - items.length;
  return section(
    title,
    note,
    items.length ? h("ol", { class: "cards" }, items.map(verdictItem)) : h("p", { class: "empty" }, none),
    hidden > 0 ? h("p", {}, link({ view: "global" }, `${number(hidden)} more of this kind in the ranking →`)) : null,
  );
}

/** @param {RuleRisk | CannedRisk | JudgedFinding} item */
function verdictItem(item) {
  if (item.view === "baseline") {
    return h(
      "li",
      { class: "verdict " + side(item.effect) },
      h(
        "div",
        { class: "head" },
        h("strong", {}, `${item.title} is right for ${percent(item.accuracy)} of pairs`),
        dotRange(item.accuracy, item.effect_low + 0.5, item.effect_high + 0.5),
      ),
      h(
        "p",
        {},
        `95 % interval ${percent(item.effect_low + 0.5)} to ${percent(item.effect_high + 0.5)}; ` +
          `it decides ${percent(item.decided, 0)} of pairs. ${capital(item.why)}.`,
      ),
      h("p", { class: "action" }, item.action, " ", link({ view: "data" }, "Length control →")),
    );
  }
  if (item.view === "canned") return cannedItem(item);
  const where =
    item.context === "all"
      ? "everywhere"
      : [
          "in ",
          link(
            { view: item.view === "prompt" ? "local" : "global", cluster: item.context },
            h("span", { class: "id" }, item.context),
            cut(named(item.context), 50),
          ),
        ];
  return h(
    "li",
    { class: "verdict " + item.direction },
    h(
      "div",
      { class: "head" },
      h(
        "strong",
        {},
        item.direction === "chosen" ? "Rewarded: " : "Punished: ",
        link(
          { view: item.view === "prompt" ? "local" : "global", cluster: item.response },
          h("span", { class: "id" }, item.response),
          named(item.response),
        ),
      ),
      forest(item, 1.15 * reachOf([item])),
    ),
    h(
      "p",
      {},
      where,
      ": ",
      `${signed(item.effect)} ${interval(item.effect_low, item.effect_high)} ${unit(item)}, d ` +
        `${signed(item.d, 2)}, q ${qValue(item.q)}; it leans so in `,
      link(
        { ...rowsOf(item.response), within: item.context === "all" ? "" : item.context, sign: item.direction },
        `${number(item.rows_affected)} of ${plural(item.n, "row")}`,
      ),
      ". ",
      `${wins(item)}${item.left ? capital(item.left) + ". " : ""}`,
      item.why ? capital(item.why) + "." : "",
    ),
    h("p", { class: "action" }, item.action),
    decisionButtons(item.response),
  );
}

/** @param {CannedRisk} item */
function cannedItem(item) {
  return h(
    "li",
    { class: "verdict " + item.direction },
    h(
      "div",
      { class: "head" },
      h(
        "strong",
        {},
        `${item.title} ${item.direction === "chosen" ? "wins" : "loses"} under ${number(item.rows)} of ` +
          plural(item.n, "prompt"),
      ),
      dotRange(item.effect + 0.5, item.effect_low + 0.5, item.effect_high + 0.5),
    ),
    h(
      "p",
      {},
      `It wins ${percent(item.effect + 0.5)}, 95 % interval ${percent(item.effect_low + 0.5)} to ` +
        `${percent(item.effect_high + 0.5)}. ${capital(item.why)}.`,
    ),
    h("p", { class: "action" }, item.action, " ", link({ view: "data" }, "Canned responses →")),
  );
}

/** @param {string} text */
export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

function predicted() {
  const done = MAIN.validation.length;
  return section(
    "Predicted shift",
    null,
    h(
      "p",
      {},
      done
        ? [
            "A trained model was compared with the one before: ",
            link({ view: "shift" }, "predicted against observed →"),
          ]
        : "Not calibrated: no model trained on this set was compared with the one before it, so no " +
            "shift is predicted in numbers. Signs and ranks above are what DPO is pushed towards.",
    ),
  );
}
