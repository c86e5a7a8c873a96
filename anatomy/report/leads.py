"""Findings that say the same as one line: within a view, and over all views as a sentence to repeat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from anatomy.hypotheses.same_findings import Likeness, Test, grouped, leading
from anatomy.hypotheses.views import EVERYWHERE, Hypotheses, findings
from anatomy.hypotheses.what_is_left import UNDECIDED
from anatomy.report.lead_sentence import lead_sentence
from anatomy.report.summary_record import Labels, Lead, Member, Summary

GROUPED = 1_000
"""Findings that are compared with each other, the strongest; the rest stand alone."""
STORED = 25
"""Leads kept, and members kept with one finding."""
SAID = 7
"""Leads that are read first."""
CONTEXT_KIND = {"feature": "data", "prompt": "prompt"}


def records(table: Hypotheses) -> list[Test]:
    """The entries as plain values."""
    columns = {name: column.tolist() for name, column in table.columns().items()}
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def ranked_groups(tests: Sequence[Test], likeness: Likeness) -> list[list[Test]]:
    """Tests of one view, given strongest first, in groups: its seed leads each.

    A group stands where the strongest of its members does.
    """
    groups = sorted(grouped(tests[:GROUPED], likeness), key=min)
    return [[tests[place] for place in group] for group in groups] + [[test] for test in tests[GROUPED:]]


def leads(
    table: Hypotheses, q_threshold: float, labels: Labels, likeness: Likeness, concepts: Mapping[str, str]
) -> tuple[Lead, ...]:
    """One lead for all findings that say the same, whatever their view.

    Undecided ones come last; of the others those of named concepts come first, and then each by falling |d|.
    """
    found = table.take(findings(table, q_threshold))
    tests = records(found.take(np.argsort(-np.abs(found.d), kind="stable")[:GROUPED]))
    everywhere = table.take(table.context == EVERYWHERE)
    whole = {test["response"]: test for test in records(everywhere)}
    rows = int(everywhere.n.max(initial=0))
    made = []
    for places in grouped(tests, likeness):
        group = [tests[place] for place in places]
        made.append(_lead(group, leading(group, whole, rows), labels, concepts))
    return tuple(sorted(made, key=_order)[:STORED])


def _order(lead: Lead) -> tuple[bool, bool, float]:
    return (lead.verdict == UNDECIDED, lead.concept is None, -abs(lead.d))


def _lead(group: Sequence[Test], lead: Test, labels: Labels, concepts: Mapping[str, str]) -> Lead:
    others = [test for test in group if test is not lead]
    names = label_of(lead, labels)
    context = _called(lead["context"], names["context_label"])
    return Lead(
        sentence=lead_sentence(lead, _response_name(lead, names["response_label"], concepts), context),
        **names,
        **{name: value for name, value in lead.items() if name in Lead.model_fields},
        n_members=len(others),
        members=members(others, labels),
    )


def _response_name(test: Test, label: str, concepts: Mapping[str, str]) -> str:
    """What a sentence calls the response: its concept, with the cluster that follows it, or the cluster."""
    concept = test["concept"]
    if concept is None:
        return _called(test["response"], label)
    name = concepts.get(concept, concept)
    return name if concept == test["response"] else f"{name} ({test['response']} follows it)"


def _called(cluster: str, label: str) -> str:
    if cluster.startswith("G:"):
        return label or cluster
    return f"{cluster} ({label})" if label else cluster


def said(summary: Summary) -> tuple[Lead, ...]:
    """The leads that are read first: those that are decided, or the others if none is."""
    decided = tuple(lead for lead in summary.leads if lead.verdict != UNDECIDED)
    return (decided or summary.leads)[:SAID]


def with_members(number: int) -> str:
    """How many findings say the same, in words; empty for none."""
    return f"{number:,} more {'says' if number == 1 else 'say'} the same" if number else ""


def members(tests: Sequence[Test], labels: Labels) -> tuple[Member, ...]:
    """The first ``STORED`` of the tests, as members of a finding."""
    return tuple(
        Member(**label_of(test, labels), **{name: test[name] for name in test if name in Member.model_fields})
        for test in tests[:STORED]
    )


def label_of(test: Test, labels: Labels) -> dict[str, str]:
    """Labels of the context and the response of a test, empty where there are none."""

    def label(kind: str, cluster: str) -> str:
        return str(labels.get(kind, {}).get(cluster, {}).get("label", ""))

    return {
        "context_label": label(CONTEXT_KIND.get(test["view"], ""), test["context"]),
        "response_label": label("response", test["response"]),
    }
