"""``summary.md``: the summary for people, with everything that comes from the rows escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from anatomy.data.health_parts import CannedText, MeasuredModel
from anatomy.hypotheses.views import EVERYWHERE
from anatomy.report.layout import count, countable
from anatomy.report.leads import said, with_members
from anatomy.report.markdown_table import escape, markdown_table
from anatomy.report.pair_health_text import quoted
from anatomy.report.summary_record import DIRECTIONS, VIEWS, Finding, Member, RuleAccuracy, Summary, ViewFindings

TITLES = {
    "global": "Everywhere in the set",
    "feature": "In groups of similar rows",
    "prompt": "Where the prompt shows a concept",
}
MEMBERS = 5
"""Findings that are named beside one that says the same."""
SHOWN = 10
"""Findings per view and direction in the text; more are in ``summary.json``."""


def to_markdown(summary: Summary) -> str:
    """The summary as CommonMark with pipe tables."""
    lines = ["# What these preferences teach", ""]
    lines += [f"{count(summary.retained)} of {count(summary.rows)} rows were read. A finding has q of at most "
              f"{summary.q_threshold:g} and the same sign in both halves of the prompts; ranked by "
              f"`{summary.rank_by}`. Positive effects lean to the chosen side. The first effect of a finding is what "
              "training pushes; what is left beside length and authors is what the labels prefer.", ""]  # fmt: skip
    lines += _in_short(summary)
    lines += _baselines(summary.baselines)
    lines += _explained(summary.explained)
    lines += _canned(summary.canned)
    for view in VIEWS:
        lines += _view(view, summary.views[view])
    lines += ["## Not assessed", ""]
    table = [(entry.what, countable(entry.count), entry.why) for entry in summary.not_assessed]
    lines += [markdown_table(("what", "count", "why"), table) if table else "Nothing was left out."]
    return "\n".join(lines).rstrip() + "\n"


def _in_short(summary: Summary) -> list[str]:
    lines = []
    for number, lead in enumerate(said(summary), start=1):
        lines += [f"{number}. {escape(lead.sentence)}"]
        indent = " " * (len(str(number)) + 2)
        named = [
            f"{member.response} {member.response_label}".strip() + _place(member) for member in lead.members[:MEMBERS]
        ]
        if named:
            lines += [f"{indent}- {with_members(lead.n_members)}: {escape('; '.join(named))}"]
    return ["## In short", "", *lines, ""] if lines else []


def _place(member: Member) -> str:
    return "" if member.context == EVERYWHERE else f" in {member.context}"


def _baselines(baselines: Mapping[str, RuleAccuracy]) -> list[str]:
    if not baselines:
        return []
    rows = [(name, f"{rule.accuracy:.1%}", f"{rule.low:.1%} to {rule.high:.1%}")
            for name, rule in baselines.items()]  # fmt: skip
    header = ("rule", "pairs where it picks the chosen side", "95 % interval")
    return ["## What trivial rules get right", "", markdown_table(header, rows), ""]


def _explained(models: Mapping[str, MeasuredModel]) -> list[str]:
    if not models:
        return []
    rows = [(name, f"{one.value:.1%}", f"{one.low:.1%} to {one.high:.1%}") for name, one in models.items()]
    header = ("model of", "labels of unseen prompts predicted", "95 % interval")
    return ["## How much of the label is explained", "", markdown_table(header, rows), ""]


def _canned(texts: Sequence[CannedText]) -> list[str]:
    if not texts:
        return []
    rows = [(quoted(text), count(text.prompts), f"{text.win_rate:.1%}", f"{text.low:.1%} to {text.high:.1%}")
            for text in texts]  # fmt: skip
    header = ("text", "prompts", "wins", "95 % interval")
    intro = "The same text under different prompts, which wins or loses more often than chance allows."
    return ["## Canned texts", "", intro, "", markdown_table(header, rows), ""]


def _view(view: str, found: ViewFindings) -> list[str]:
    tests = f"Tests made: {count(found.tested)}; not possible for want of variation: {count(found.untestable)}."
    power = "" if found.power is None else f" {found.power}."
    repeated = f" {count(found.repeated)} more say the same in nearly the same rows." if found.repeated else ""
    if found.members:
        repeated += f" {count(found.members)} more follow the concept of one below, or go with it."
    lines = [f"## {TITLES[view]}", "", f"{tests}{power}{repeated}", ""]
    for direction in DIRECTIONS:
        total = found.found[direction]
        lines += [f"### Leaning to {direction}: {count(total)}", ""]
        shown = found.leaning(direction)[:SHOWN]
        for number, finding in enumerate(shown, start=1):
            lines += _finding(number, finding)
        if total > len(shown):
            lines += ["", f"{count(total - len(shown))} more in `hypotheses.parquet`."]
        lines += [] if lines[-1] == "" else [""]
    return lines


def _finding(number: int, finding: Finding) -> list[str]:
    more = with_members(finding.n_members)
    lines = [f"{number}. {escape(finding.sentence)}; {count(finding.rows_affected)} rows affected"
             + f"; {more}" * bool(more)]  # fmt: skip
    indent = " " * (len(str(number)) + 2)
    for row in finding.rows:
        lines += [f"{indent}- row {row.index + 1}: chosen «{escape(row.chosen)}», "
                  f"rejected «{escape(row.rejected)}»"]  # fmt: skip
    return lines
