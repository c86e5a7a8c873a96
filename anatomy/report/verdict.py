"""What an audit comes to, in words: what the labels reward, what of it looks like a shortcut, what to do, what is open.

A shortcut is what a person would rarely want taught for itself: length, formatting, or a concept of which the library
says that most people suppress it. Everything else that holds at equal length is listed as a signal, to be judged by
reading its rows: no statistic knows what is wanted.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.stats import norm

from anatomy.concepts.concept import Concept, load_library
from anatomy.report.summary import DIRECTIONS, VIEWS

FOLLOWS = 0.3
"""A cluster follows the text rule that it correlates with most, from this correlation on."""
BASELINE = 0.55
"""A trivial rule is a risk when its interval lies beyond this accuracy, or below one minus it."""
SHOWN = 6
STYLES = {"bold", "list", "heading", "table", "code", "horizontal rule", "emoji", "em dash", "exclamation",
          "praise", "agreement opener"}  # fmt: skip
"""Text rules for formatting and flattery. Length is judged by the effect at equal length, not by a correlation."""

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


def verdict(
    summary: Mapping[str, Any],
    labels: Mapping[str, Mapping[str, Any]],
    health: Mapping[str, Any],
    hypotheses: pa.Table,
    null: Mapping[str, Any] | None,
    validated: bool,
    names: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """``headline``, ``risks``, ``signals`` and ``open`` (what could not be assessed), as plain values."""
    risks = list(_baseline_risks(summary.get("baselines") or {}))
    signals: list[dict[str, Any]] = []
    library = load_library()
    for view in VIEWS:
        for direction in DIRECTIONS:
            for finding in summary["views"][view][direction]:
                why = shortcut(finding, labels["response"].get(finding["response"], {}), library)
                (risks if why else signals).append(_item(finding, why))
    return {
        "headline": _headline(summary, risks, signals),
        "risks": _strongest(risks),
        "signals": _strongest(signals),
        "n_risks": len(risks),
        "n_signals": len(signals),
        "open": [
            *_unfound(summary, hypotheses),
            *_unchecked(null, validated, names or {}),
            *(summary.get("not_assessed") or []),
        ],
    }


def shortcut(finding: Mapping[str, Any], label: Mapping[str, Any], library: Mapping[str, Concept]) -> str:
    """Why a finding looks like a shortcut, in words; empty where nothing says so."""
    concept = library.get(finding["response"])
    unwanted = {"suppress": "chosen", "amplify": "rejected"}
    if concept is not None and unwanted.get(concept.direction) == finding["direction"]:
        side = "rewarded" if finding["direction"] == "chosen" else "punished"
        return f"most people want to {concept.direction} {concept.name}, and it is {side} here"
    if finding.get("mostly_length"):
        return "mostly length: less than half of it is left when both sides are equally long"
    if concept is not None and concept.kind == "style":
        return "it is a named style"
    correlates = [(float(item["r"]), str(item["concept"])) for item in label.get("correlates", [])]
    r, rule = max(correlates, default=(0.0, ""))
    if rule in STYLES and r >= FOLLOWS:
        return f"follows {rule} (r {r:+.2f} over responses)"
    return ""


def _item(finding: Mapping[str, Any], why: str) -> dict[str, Any]:
    kept = ("view", "context", "response", "direction", "effect", "effect_low", "effect_high", "effect_length_adjusted",
            "d", "q", "n", "prompts", "rows_affected")  # fmt: skip
    return {**{name: finding.get(name) for name in kept}, "why": why, "action": _action(finding, why)}


def _action(finding: Mapping[str, Any], why: str) -> str:
    if finding.get("mostly_length"):
        return "Decide about length first: compare at equal length, or use a length-normalised loss."
    if why and finding["direction"] == "chosen":
        return "Suppress it if the style is not what you want to teach; keep it if it is."
    if why:
        return "Check that the rejected rows are worse for another reason than style."
    if finding["direction"] == "chosen":
        return "Read five of its rows. Wanted: keep or amplify. Unwanted: suppress, or remove the strongest rows."
    return "Read five of its rows. Rightly punished: keep. Wrongly: amplify, or remove the strongest rows."


def _baseline_risks(baselines: Mapping[str, Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for name, rule in baselines.items():
        if rule["low"] > BASELINE or rule["high"] < 1 - BASELINE:
            yield {
                "view": "baseline", "rule": name, "title": RULES.get(name, f"The rule “{name}”"),
                "accuracy": rule["accuracy"], "effect": rule["accuracy"] - 0.5, "effect_low": rule["low"] - 0.5,
                "effect_high": rule["high"] - 0.5, "decided": rule.get("decided"),
                "why": "a rule that reads nothing picks the chosen side this often",
                "action": "Whatever goes with this rule will look rewarded: read effects at equal length.",
            }  # fmt: skip


def _strongest(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rules first, then by |d|: the statistic that is comparable over views."""
    order = sorted(items, key=lambda item: (item["view"] != "baseline", -abs(item.get("d") or 0)))
    rules = sum(item["view"] == "baseline" for item in items)
    return order[: SHOWN + rules]


def _headline(summary: Mapping[str, Any], risks: list[dict[str, Any]], signals: list[dict[str, Any]]) -> str:
    rules = [item for item in risks if item["view"] == "baseline"]
    n_findings = len(risks) - len(rules) + len(signals)
    if not n_findings and not rules:
        return (
            f"Nothing stood out: no concept separates chosen from rejected at q ≤ {summary['q_threshold']:g}, and no "
            "trivial rule does."
        )
    found = f"{len(signals)} of the {n_findings} strongest findings hold at equal length and follow no formatting rule"
    if not rules:
        return f"No trivial rule explains these labels; {found}."
    best = max(rules, key=lambda item: abs(item["effect"]))
    return f"{best['title']} agrees with {best['accuracy']:.0%} of these labels; {found}."


def _unfound(summary: Mapping[str, Any], hypotheses: pa.Table) -> Iterator[dict[str, Any]]:
    for view in VIEWS:
        told = summary["views"][view]
        if sum(told["found"].values()):
            continue
        if not told["tested"]:
            yield {"what": "tests", "count": told["untestable"], "why": f"{TITLES[view]}: none could be made"}
            continue
        needed = smallest_detectable(hypotheses.filter(pc.equal(hypotheses["view"], view)), summary["q_threshold"])
        yield {
            "what": "tests",
            "count": told["tested"],
            "why": f"{TITLES[view]}: no finding. A single effect had to reach |d| of about {needed:.2f} in a typical "
            "test to stand out among so many; smaller ones would be missed, so this is no proof of absence",
        }


def smallest_detectable(tests: pa.Table, q_threshold: float) -> float:
    """|d| at which one true effect in a test of median precision passes Benjamini–Hochberg alone among all tests.

    That is ``z = Φ⁻¹(1 − q/(2m))`` for m tests, times the median of ``|d / z|``.
    """
    d_H, z_H = (np.abs(tests[name].to_numpy()) for name in ("d", "z"))
    usable_H = np.isfinite(d_H) & np.isfinite(z_H) & (z_H > 0)
    if not usable_H.any():
        return math.nan
    return float(norm.isf(q_threshold / (2 * usable_H.sum())) * np.median(d_H[usable_H] / z_H[usable_H]))


def _unchecked(
    null: Mapping[str, Any] | None, validated: bool, names: Mapping[str, Mapping[str, Any]]
) -> Iterator[dict[str, Any]]:
    if null is None:
        yield {"what": "null check", "count": None, "why": "not run; `anatomy null RUN` flips labels at random"}
    if not validated:
        yield {
            "what": "predicted shift",
            "count": None,
            "why": "not calibrated: no model trained on this set was compared with the one before; these are "
            "correlations of the labels, not outcomes of training",
        }
    verified = sum(told["verified"] for told in names.values())
    drawn = "names of clusters are drawn from tokens and phrases; nobody has verified them. Read the exemplars"
    tested = (
        f"{verified} of {len(names)} clusters have a name that passed a blind test on texts of other prompts; the "
        "others show what their tokens and phrases say. Read the exemplars"
    )
    yield {"what": "names", "count": None, "why": tested if names else drawn}
