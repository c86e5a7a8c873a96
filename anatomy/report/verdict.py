"""The verdict of an audit, in words: what the labels reward, what looks like a shortcut, what to do, what is open.

A shortcut is something that people rarely want to teach for itself: length, formatting, or a concept that most people
suppress according to the library. Everything else that holds beside length and authorship is a signal, to be judged by
reading its rows, because no statistic knows what is wanted. What is undecided is counted, and called neither.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.stats import norm

from anatomy.artifacts import OrNaN
from anatomy.concepts.concept import Concept, load_library
from anatomy.data.health_parts import CannedText
from anatomy.hypotheses.views import Direction
from anatomy.hypotheses.what_is_left import AUTHOR, LENGTH, SUPPORT, UNDECIDED, Survival
from anatomy.report.leads import said
from anatomy.report.pair_health_text import quoted
from anatomy.report.summary import what_is_left
from anatomy.report.summary_record import VIEWS, Finding, Lead, NotAssessed, ReportRecord, RuleAccuracy, Summary, View
from anatomy.runs.saved_names import ClusterName

FOLLOWS = 0.3
"""A cluster follows the text rule that it correlates with most, from this correlation on."""
BASELINE = 0.55
"""A trivial rule is a risk when its interval lies beyond this accuracy, or below one minus it."""
SHOWN = 6
STYLES = {"bold", "list", "heading", "table", "code", "horizontal rule", "emoji", "em dash", "exclamation",
          "praise", "agreement opener"}  # fmt: skip
"""Text rules for formatting and flattery. Length is judged by the adjusted effect, not by a correlation."""

BESIDE = {LENGTH: "length", AUTHOR: "authorship"}
TITLES = {
    "global": "everywhere in the set",
    "feature": "in groups of similar rows",
    "prompt": "where the prompt shows a concept",
}
RULES = {
    "longer": "Picking the longer response",
    "more_markdown": "Picking the response with more markdown",
    "refusal_words": "Picking the response with more words of refusal",
}


class RuleRisk(ReportRecord):
    """A trivial rule that agrees or disagrees with the labels too often; effects are accuracies minus one half."""

    view: Literal["baseline"] = "baseline"
    rule: str
    title: str
    accuracy: float
    effect: float
    effect_low: float
    effect_high: float
    decided: float | None
    why: str
    action: str


class CannedRisk(ReportRecord):
    """A text that wins or loses under many different prompts, more often than chance allows.

    Effects are win rates minus one half; ``rows`` and ``n`` count prompts: those on the winning side, and all.
    """

    view: Literal["canned"] = "canned"
    title: str
    direction: Direction
    effect: float
    effect_low: float
    effect_high: float
    rows: int
    n: int
    why: str
    action: str

    @classmethod
    def of(cls, text: CannedText) -> CannedRisk:
        """The risk that a canned text is."""
        wins = text.win_rate > 0.5
        return cls(
            title=quoted(text),
            direction="chosen" if wins else "rejected",
            effect=text.win_rate - 0.5,
            effect_low=text.low - 0.5,
            effect_high=text.high - 0.5,
            rows=text.chosen if wins else text.rejected,
            n=text.prompts,
            why="the same text wins whatever the prompt is: a model that says it always looks good to this judge"
            if wins
            else "the same text loses whatever the prompt is: a model learns to avoid it everywhere",
            action="Read its rows. Leave them out, or have them judged again."
            if wins
            else "Read its rows. Check that it deserves to lose under each of these prompts.",
        )

    def __str__(self) -> str:
        """The risk as a sentence."""
        return f"{self.title} {'wins' if self.direction == 'chosen' else 'loses'} under {self.rows} of {self.n} prompts"


class JudgedFinding(ReportRecord):
    """A finding, why it looks like a shortcut (empty if nothing says so), and the usual action."""

    view: View
    context: str
    response: str
    direction: Direction
    effect: float
    effect_low: float
    effect_high: float
    effect_adjusted: OrNaN
    effect_adjusted_low: OrNaN
    effect_adjusted_high: OrNaN
    differ: OrNaN
    win_rate: OrNaN
    win_rate_low: OrNaN
    win_rate_high: OrNaN
    verdict: Survival
    left: str
    d: float
    q: float
    n: int
    prompts: int
    rows_affected: int
    why: str
    action: str

    @classmethod
    def of(cls, finding: Finding, why: str) -> JudgedFinding:
        """The finding, judged."""
        kept = set(cls.model_fields) - {"why", "action", "left"}
        left = what_is_left(finding.model_dump())
        return cls(**finding.model_dump(include=kept), left=left, why=why, action=_action(finding, why))


class AuditVerdict(ReportRecord):
    """The verdict: what a person can repeat (``leads``), the strongest risks and signals, how many there are, and what
    could not be assessed (``open``).

    ``n_undecided`` counts the findings that are neither, because length or authorship may be all there is to them.
    """

    headline: str
    leads: tuple[Lead, ...]
    risks: tuple[RuleRisk | CannedRisk | JudgedFinding, ...]
    signals: tuple[JudgedFinding, ...]
    n_risks: int
    n_signals: int
    n_undecided: int
    open: tuple[NotAssessed, ...]


def verdict(
    summary: Summary,
    labels: Mapping[str, Mapping[str, Any]],
    hypotheses: pa.Table,
    null_checked: bool,
    validated: bool,
    names: Mapping[str, ClusterName] | None = None,
) -> AuditVerdict:
    """The verdict of an audit, from its summary, labels, tests and verified names, and which checks were made."""
    rules, canned = list(_rule_risks(summary.baselines)), [CannedRisk.of(text) for text in summary.canned]
    library = load_library()
    judged = [JudgedFinding.of(one, shortcut(one, labels["response"].get(one.response, {}), library))
              for one in summary.findings()]  # fmt: skip
    undecided = [one for one in judged if one.verdict == UNDECIDED]
    shortcuts = [one for one in judged if one.why and one.verdict != UNDECIDED]
    signals = [one for one in judged if not one.why and one.verdict != UNDECIDED]
    return AuditVerdict(
        leads=said(summary),
        headline=_headline(summary, rules, canned, len(judged), len(signals)),
        risks=(*rules, *canned[:SHOWN], *_strongest(shortcuts)),
        signals=tuple(_strongest(signals)),
        n_risks=len(rules) + len(canned) + len(shortcuts),
        n_signals=len(signals),
        n_undecided=len(undecided),
        open=(
            *_undecided(summary),
            *_unfound(summary, hypotheses),
            *_unchecked(null_checked, validated, names or {}),
            *summary.not_assessed,
        ),
    )


def shortcut(finding: Finding, label: Mapping[str, Any], library: Mapping[str, Concept]) -> str:
    """Why a finding looks like a shortcut, in words; empty if nothing says so."""
    concept = library.get(finding.concept or finding.response)
    unwanted = {"suppress": "chosen", "amplify": "rejected"}
    if concept is not None and unwanted.get(concept.direction) == finding.direction:
        side = "rewarded" if finding.direction == "chosen" else "punished"
        return f"most people want to {concept.direction} {concept.name}, and it is {side} here"
    if finding.verdict in (LENGTH, AUTHOR):
        return f"{finding.verdict}: less than half of it is left beside {BESIDE[finding.verdict]}"
    if finding.verdict == UNDECIDED and not finding.support >= SUPPORT:
        return "nothing is known of it beside length and authors, because they decide these labels"
    if concept is not None and concept.kind == "style":
        return "it is a named style" if concept.id == finding.response else f"follows {concept.name}, a named style"
    correlates = [(float(item["r"]), str(item["concept"])) for item in label.get("correlates", [])]
    r, rule = max(correlates, default=(0.0, ""))
    if rule in STYLES and not r < FOLLOWS:  # limits ask "is it healthy", which NaN is not
        return f"follows {rule} (r {r:+.2f} over responses)"
    return ""


def _action(finding: Finding, why: str) -> str:
    if finding.verdict == LENGTH:
        return "Decide about length first: compare at equal length, or use a length-normalised loss."
    if finding.verdict == AUTHOR:
        return "Decide about authors first: which model wrote the chosen side may be all that is taught."
    if why and finding.direction == "chosen":
        return "Suppress it if the style is not what you want to teach; keep it if it is."
    if why:
        return "Check that the rejected rows are worse for another reason than style."
    if finding.direction == "chosen":
        return "Read five of its rows. Wanted: keep or amplify. Unwanted: suppress, or remove the strongest rows."
    return "Read five of its rows. Rightly punished: keep. Wrongly: amplify, or remove the strongest rows."


def _rule_risks(baselines: Mapping[str, RuleAccuracy]) -> Iterator[RuleRisk]:
    for name, rule in baselines.items():
        if not (rule.low <= BASELINE and rule.high >= 1 - BASELINE):
            yield RuleRisk(
                rule=name,
                title=RULES.get(name, f"The rule “{name}”"),
                accuracy=rule.accuracy,
                effect=rule.accuracy - 0.5,
                effect_low=rule.low - 0.5,
                effect_high=rule.high - 0.5,
                decided=rule.decided,
                why="a rule that reads nothing picks the chosen side this often",
                action="Whatever goes with this rule will look rewarded: read adjusted effects.",
            )


def _strongest(items: list[JudgedFinding]) -> list[JudgedFinding]:
    """The findings of largest |d|, the statistic that is comparable over views."""
    return sorted(items, key=lambda item: -abs(item.d))[:SHOWN]


def _headline(
    summary: Summary, rules: list[RuleRisk], canned: list[CannedRisk], n_findings: int, n_signals: int
) -> str:
    if canned:
        others = f", and {len(canned) - 1} more such texts" if len(canned) > 1 else ""
        return f"{_headline(summary, rules, [], n_findings, n_signals)} But {canned[0]}{others}."
    if not n_findings and not rules:
        return (
            f"Nothing stood out: no concept separates chosen from rejected at q ≤ {summary.q_threshold:g}, and no "
            "trivial rule does."
        )
    found = f"{n_signals} of the {n_findings} strongest findings hold beside length and follow no formatting rule"
    if any(math.isfinite(one.effect_author_adjusted) for one in summary.findings()):
        found = found.replace("beside length", "beside length and authors")
    if not rules:
        return f"No trivial rule explains these labels; {found}."
    best = max(rules, key=lambda rule: abs(rule.effect))
    return f"{best.title} agrees with {best.accuracy:.0%} of these labels; {found}."


def _undecided(summary: Summary) -> Iterator[NotAssessed]:
    undecided = [one for one in summary.findings() if one.verdict == UNDECIDED]
    bare = sum(one.support < SUPPORT for one in undecided)
    if bare:
        why = (
            "length and authors determine the labels (which side is longer, or whose it is, always wins): no other "
            "preference can be seen. Training pushes these all the same"
        )
        yield NotAssessed(what="findings", count=bare, why=why)
    if len(undecided) > bare:
        why = (
            "undecided: their adjusted interval allows both that the labels prefer them and that length or authorship "
            "is all there is to them. Training pushes these all the same"
        )
        yield NotAssessed(what="findings", count=len(undecided) - bare, why=why)


def _unfound(summary: Summary, hypotheses: pa.Table) -> Iterator[NotAssessed]:
    for view in VIEWS:
        tests = summary.views[view]
        if sum(tests.found.values()):
            continue
        if not tests.tested:
            yield NotAssessed(what="tests", count=tests.untestable, why=f"{TITLES[view]}: none could be made")
            continue
        needed = smallest_detectable(hypotheses.filter(pc.equal(hypotheses["view"], view)), summary.q_threshold)
        yield NotAssessed(
            what="tests",
            count=tests.tested,
            why=f"{TITLES[view]}: no finding. A single effect had to reach |d| of about {needed:.2f} in a typical "
            "test to stand out among so many; smaller ones would be missed, so this is no proof of absence",
        )


def smallest_detectable(tests: pa.Table, q_threshold: float) -> float:
    """|d| at which one true effect in a test of median precision passes Benjamini–Hochberg alone among all tests.

    That is ``z = Φ⁻¹(1 − q/(2m))`` for m tests, times the median of ``|d / z|``.
    """
    d_H, z_H = (np.abs(tests[name].to_numpy()) for name in ("d", "z"))
    usable_H = np.isfinite(d_H) & np.isfinite(z_H) & (z_H > 0)
    if not usable_H.any():
        return math.nan
    return float(norm.isf(q_threshold / (2 * usable_H.sum())) * np.median(d_H[usable_H] / z_H[usable_H]))


def _unchecked(null_checked: bool, validated: bool, names: Mapping[str, ClusterName]) -> Iterator[NotAssessed]:
    if not null_checked:
        why = "not run; `anatomy null RUN` flips labels at random"
        yield NotAssessed(what="null check", count=None, why=why)
    if not validated:
        why = (
            "not calibrated: no model trained on this set was compared with the one before; these are correlations of "
            "the labels, not outcomes of training"
        )
        yield NotAssessed(what="predicted shift", count=None, why=why)
    verified = sum(name.verified for name in names.values())
    drawn = (
        "names of clusters are concepts that they follow, and phrases that find them on other prompts; nobody has read "
        "them. Read the exemplars"
    )
    tested = (
        f"{verified} of {len(names)} clusters have a name that passed a blind test on texts of other prompts; the "
        "others show what their tokens and phrases say. Read the exemplars"
    )
    yield NotAssessed(what="names", count=None, why=tested if names else drawn)
