"""Hypotheses → ``summary.json``: which of them are findings, in which order, and what was not assessed.

Findings are ranked by the key in the settings (``delta_min``: the smaller of the two halves' effects, method.md §5),
chosen-leaning and rejected-leaning apart.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from anatomy.data.health import Health
from anatomy.hypotheses.contexts import GROUP
from anatomy.hypotheses.same_findings import NOTHING_KNOWN, Likeness, Test
from anatomy.hypotheses.views import EVERYWHERE, Direction, Hypotheses, findings, rank
from anatomy.report.leads import label_of, leads, members, ranked_groups, records
from anatomy.report.summary_record import (
    DIRECTIONS,
    VIEWS,
    ContextPower,
    Finding,
    FindingRow,
    Labels,
    NotAssessed,
    RuleAccuracy,
    Summary,
    ViewFindings,
)
from anatomy.settings import HypothesisSettings
from anatomy.statistics.power import context_size, detectable_points

if TYPE_CHECKING:
    import pyarrow as pa

    from anatomy.prediction.expected_shift import Expected, ExpectedShift

STORED = 25
"""Findings kept per view and direction; all of them are in the table of hypotheses."""
MOSTLY_EXPLAINED = 0.5
"""A difference of runs is mostly length or authors when less than this share of it is left beside them."""
EXCERPTS = 3


class RowsBehind(NamedTuple):
    """Rows of the context whose signal has the finding's sign: how many, and the positions of the strongest."""

    n_rows: int
    strongest: Sequence[int]


FindRows = Callable[[str, str, str, str], RowsBehind]
"""(view, context, response, direction) → the rows behind a finding."""
ReadRows = Callable[[set[int]], Mapping[int, FindingRow]]
"""Positions of rows → their excerpts."""


def strongest_rows(
    signal_N: Float[np.ndarray, " N"], inside_N: Bool[np.ndarray, " N"], direction: str, top: int = EXCERPTS
) -> tuple[int, Int[np.ndarray, " R"]]:
    """Number of rows inside whose signal has the direction's sign, and the ``top`` strongest, strongest first."""
    leaning_N = np.where(inside_N, signal_N if direction == "chosen" else -signal_N, 0.0)
    order = np.argsort(-leaning_N, kind="stable")[:top]
    return int((leaning_N > 0).sum()), order[leaning_N[order] > 0]


def summarise(
    hypotheses: pa.Table,
    labels: Labels,
    health: Health,
    settings: HypothesisSettings,
    find_rows: FindRows,
    read_rows: ReadRows,
    expected: Expected | None = None,
    likeness: Likeness = NOTHING_KNOWN,
    concepts: Mapping[str, str] | None = None,
) -> Summary:
    """The summary of an audit.

    Args:
        hypotheses: one row per tested pair, as in ``hypotheses.parquet``; a NaN ``p`` means that no test was possible.
        labels: as in ``labels.json``.
        health: as in ``health.json``; its baselines, canned texts and counts are repeated here.
        find_rows: called once for each finding kept.
        read_rows: called once, with the strongest rows of all findings.
        expected: what shift to expect after training; findings over the whole set repeat it.
        likeness: which responses and contexts go together.
        concepts: names of concepts by their id, for sentences.
    """
    table = Hypotheses.of_table(hypotheses)
    n_prompts = int(table.prompts[table.view == "global"].max(initial=0))
    kept = {view: _Kept.of(table.take(table.view == view), n_prompts, settings, find_rows, likeness) for view in VIEWS}
    rows = read_rows({row for view in kept.values() for row in view.rows()})
    shifts = {} if expected is None else expected.shifts
    not_assessed = _not_assessed(labels, health, settings)
    if expected is not None:
        not_assessed.append(NotAssessed(what="expected shifts", count=None, why=expected.condition))
    return Summary(
        rows=health.rows,
        retained=health.retained,
        q_threshold=settings.q_threshold,
        rank_by=settings.rank_by,
        leads=leads(table, settings.q_threshold, labels, likeness, concepts or {}),
        views={name: view.findings(labels, rows, shifts if name == "global" else {}) for name, view in kept.items()},
        expected_shifts=shifts,
        baselines={name: RuleAccuracy.model_validate(rule.model_dump()) for name, rule in health.baselines.items()},
        explained=health.explained,
        canned=tuple(text for text in health.canned.texts if text.alarm) if health.canned is not None else (),
        not_assessed=tuple(not_assessed),
    )


class _Shown(NamedTuple):
    """A finding that is shown, the rows behind it, and the findings that say the same."""

    test: Test
    behind: RowsBehind
    members: Sequence[Test]


class _Kept(NamedTuple):
    """The tests of one view that are shown, by direction, each with the rows behind it."""

    tested: int
    untestable: int
    power: ContextPower | None
    repeated: int
    members: int
    found: dict[Direction, int]
    shown: dict[Direction, list[_Shown]]

    @classmethod
    def of(
        cls,
        table: Hypotheses,
        n_prompts: int,
        settings: HypothesisSettings,
        find_rows: FindRows,
        likeness: Likeness,
    ) -> _Kept:
        tested = int(np.isfinite(table.p).sum())
        passed = table.take(findings(table, settings.q_threshold, repeats=True))
        found = passed.take(passed.repeats == "")
        ranked = np.concatenate([rank(found, settings.rank_by, direction) for direction in DIRECTIONS])
        strength = np.nan_to_num(np.abs(getattr(found, settings.rank_by)[ranked]), nan=-1.0)
        groups = ranked_groups(records(found.take(ranked[np.argsort(-strength, kind="stable")])), likeness)
        counted, shown = dict[Direction, int](), dict[Direction, list[_Shown]]()
        for direction in DIRECTIONS:
            leaning = [group for group in groups if group[0]["direction"] == direction]
            counted[direction] = len(leaning)
            shown[direction] = [
                _Shown(group[0], find_rows(*(group[0][key] for key in _PLACE)), group[1:]) for group in leaning[:STORED]
            ]
        members = len(found.p) - sum(counted.values())
        power = context_power(table, n_prompts, settings.q_threshold)
        return cls(tested, len(table.p) - tested, power, len(passed.p) - len(found.p), members, counted, shown)

    def rows(self) -> set[int]:
        """Positions of the rows behind the tests."""
        return {row for tests in self.shown.values() for one in tests for row in one.behind.strongest}

    def findings(
        self, labels: Labels, rows: Mapping[int, FindingRow], expected: Mapping[str, ExpectedShift]
    ) -> ViewFindings:
        """The tests as findings; those of which a shift is expected say so."""
        leaning = {
            direction: tuple(_finding(one, labels, rows, expected) for one in tests)
            for direction, tests in self.shown.items()
        }
        return ViewFindings.model_validate(
            {
                "tested": self.tested,
                "untestable": self.untestable,
                "power": self.power,
                "repeated": self.repeated,
                "members": self.members,
                "found": self.found,
                **leaning,
            }
        )


def context_power(tests: Hypotheses, n_prompts: int, level: float) -> ContextPower | None:
    """What the contexts of a view can show in a set of so many prompts; None where there is none but the whole set."""
    names, first = np.unique(tests.context, return_index=True)
    if not names.size or names[0] == EVERYWHERE:
        return None
    size = context_size(n_prompts, len(np.unique(tests.response)), len(names))
    return ContextPower(
        contexts=len(names),
        smaller=int((tests.prompts[first] < size).sum()),
        prompts=size,
        points=detectable_points(size, n_prompts, len(tests.p), level),
    )


_PLACE = ("view", "context", "response", "direction")


def _finding(
    shown: _Shown,
    labels: Labels,
    rows: Mapping[int, FindingRow],
    expected: Mapping[str, ExpectedShift],
) -> Finding:
    test, names = shown.test, label_of(shown.test, labels)
    shift = expected.get(test["response"])
    return Finding(
        sentence=sentence({**test, **names}) + ("" if shift is None else f"; expected shift {shift.text}"),
        **names,
        **{name: value for name, value in test.items() if name in Finding.model_fields},
        stability=labels.get("response", {}).get(test["response"], {}).get("stability"),
        n_members=len(shown.members),
        members=members(shown.members, labels),
        rows_affected=shown.behind.n_rows,
        rows=tuple(rows[row] for row in shown.behind.strongest),
        expected_shift=shift,
    )


def sentence(test: Mapping[str, Any]) -> str:
    """A finding in plain words, with effects, win rate, q and d; labels are quoted as they are (escape on display)."""
    response = _named(test["response"], test["response_label"])
    context = _named(test["context"], test["context_label"])
    direction = test["direction"]
    other = "rejected" if direction == "chosen" else "chosen"
    claim = {
        "global": f"{direction.capitalize()} responses show {response} more than {other} ones",
        "feature": f"In {context}, {response} leans more to the {direction} side than elsewhere",
        "prompt": f"When the prompt shows {context}, {response} leans more to the {direction} side than elsewhere",
    }[test["view"]]
    interval = f"[{test['effect_low']:+.3f}, {test['effect_high']:+.3f}]"
    text = f"{claim}: {test['effect']:+.3f} {interval}, d {test['d']:+.2f}, q {test['q']:.2g}, {test['n']:,} rows"
    return f"{text}{_wins(test)}; {what_is_left(test)}"


def _wins(test: Mapping[str, Any]) -> str:
    if not math.isfinite(test["win_rate"]):
        return ""
    interval = f"[{test['win_rate_low']:.0%}, {test['win_rate_high']:.0%}]"
    return f"; {test['differ']:.0%} of its pairs differ in it, and chosen has more in {test['win_rate']:.0%} {interval}"


def what_is_left(test: Mapping[str, Any]) -> str:
    """What length and authorship leave of a finding, with the adjustment that decides its verdict, and the verdict."""
    known = math.isfinite(test["effect_author_adjusted"])
    name, beside = {
        "mostly length": ("effect_length_adjusted", "length"),
        "mostly author": ("effect_author_adjusted", "authors"),
    }.get(test["verdict"], ("effect_adjusted", "length and authors" if known else "length"))
    value, low, high = (test[name + end] for end in ("", "_low", "_high"))
    if not math.isfinite(low):
        return f"undecided: {beside} alone may decide these labels"
    return f"beside {beside} {value:+.3f} [{low:+.3f}, {high:+.3f}] is left: {test['verdict']}"


def _named(cluster: str, label: str) -> str:
    return f"{cluster} ({label})" if label else cluster


def mostly_explained(effect: float, adjusted: float) -> bool:
    """Less than half of the difference is left when length and authors take what they can explain."""
    return bool(effect and math.isfinite(adjusted) and adjusted / effect < MOSTLY_EXPLAINED)


def _not_assessed(labels: Labels, health: Health, settings: HypothesisSettings) -> list[NotAssessed]:
    """What the audit does not speak about; only what occurs."""
    data = {name: label for name, label in labels.get("data", {}).items() if name != "D0"}
    few = [name for name, label in data.items() if label["n_rows"] < settings.min_rows]
    small, groups = ([name for name in few if name.startswith(GROUP) == is_group] for is_group in (False, True))
    thin = [name for name, label in labels.get("response", {}).items()
            if name[0] == "R" and label.get("n_features", settings.min_features) < settings.min_features]  # fmt: skip
    silent = labels.get("data", {}).get("D0", {}).get("n_rows", 0)
    entries = [("rows", reason.count, f"not retained: {name}") for name, reason in health.reasons.items()]
    entries += [("rows", silent, "silent: too little activity to belong to a context (feature view only)")]
    entries += [("rows", cut, f"{span} longer than the window: only the part that the model saw was read")
                for span, cut in health.truncated.items()]  # fmt: skip
    entries += [
        ("data clusters", len(small), f"fewer than {settings.min_rows} rows: {_some(small)}"),
        ("groups", len(groups), f"fewer than {settings.min_rows} rows: {_some(groups)}"),
        ("response clusters", len(thin), f"fewer than {settings.min_features} features: {_some(thin)}"),
    ]
    return [NotAssessed(what=what, count=count, why=why) for what, count, why in entries if count]


def _some(names: list[str]) -> str:
    return ", ".join(names[:8]) + (" …" if len(names) > 8 else "")
