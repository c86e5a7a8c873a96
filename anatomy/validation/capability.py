"""Scores of tasks from a file in the format of lm-evaluation-harness, which a user puts next to a validation.

``{"results": {task: {"acc,none": 0.61, "acc_stderr,none": 0.02, …}}}``. A task's score is the first of its metrics that
is a share (0 to 1) and that the file does not call better when lower. A subtask, at any depth, of a group that has
a score counts in its group only. Capability is the unweighted mean over tasks (method.md §10).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

import numpy as np
from scipy import stats

from anatomy import artifacts
from anatomy.errors import RunError
from anatomy.statistics.resampling import LEVEL, over_seeds
from anatomy.validation.recovery import ArmEstimate


class Score(NamedTuple):
    """Score of one task: the metric as the file names it, its value, and its standard error or NaN."""

    metric: str
    value: float
    error: float


@dataclass(frozen=True)
class Capability:
    """Mean over tasks, mean over seeds of each task, and the number of seeds that have scores."""

    mean: ArmEstimate
    tasks: dict[str, float]
    seeds: int


def read_capability(path: Path) -> dict[str, Score]:
    """Scores by task.

    Raises:
        RunError: the file is not in that format, or holds no score.
    """
    document = artifacts.read_json(path)
    results = document.get("results") if isinstance(document, dict) else None
    if not isinstance(results, dict):
        raise RunError(f'{path}: expected {{"results": {{task: {{metric: score}}}}}} of lm-evaluation-harness')
    better = _mapping(document.get("higher_is_better"))
    found = {task: _score(_mapping(metrics), _mapping(better.get(task))) for task, metrics in results.items()}
    scored = {task: score for task, score in found.items() if score is not None}
    inside = _inside(scored, _mapping(document.get("group_subtasks")))
    scores = {task: score for task, score in scored.items() if task not in inside}
    if not scores:
        raise RunError(f"{path}: no task has a score between 0 and 1; name accuracies as lm-evaluation-harness does")
    return scores


def shared_tasks(scores: Sequence[Mapping[str, Score]]) -> list[str]:
    """Tasks that every training with scores has, with the same metric, in alphabetical order."""
    measured = [{(task, score.metric) for task, score in one.items()} for one in scores if one]
    return sorted(task for task, _ in set.intersection(*measured)) if measured else []


def capability(scores: Sequence[Mapping[str, Score]], tasks: Sequence[str]) -> Capability | None:
    """Unweighted mean over ``tasks`` of the seeds that have scores; None if no seed has, or there is no task.

    The interval comes from the tasks' own standard errors: tasks are independent, seeds answer the same questions.
    """
    known = [one for one in scores if one]
    if not known or not tasks:
        return None
    value_ST = np.array([[one[task].value for task in tasks] for one in known])
    error_ST = np.array([[one[task].error for task in tasks] for one in known])
    mean, by_seed_S = float(value_ST.mean()), value_ST.mean(axis=1)
    half = stats.norm.ppf((1 + LEVEL) / 2) * np.sqrt((error_ST.mean(axis=0) ** 2).sum()) / len(tasks)
    found = ArmEstimate(mean, mean - half, mean + half, tuple(by_seed_S.tolist()), over_seeds(by_seed_S))
    by_task = dict(zip(tasks, value_ST.mean(axis=0).tolist(), strict=True))
    return Capability(found, by_task, len(known))


def _inside(scored: Iterable[str], subtasks: Mapping[str, Any]) -> set[str]:
    """All tasks under groups that have a score."""

    def under(group: str) -> list[str]:
        tasks = subtasks.get(group)
        return [task for task in tasks if task != group and isinstance(task, str)] if isinstance(tasks, list) else []

    inside: set[str] = set()
    waiting = [task for group in scored for task in under(group)]
    while waiting:
        task = waiting.pop()
        if task not in inside:
            inside.add(task)
            waiting += under(task)
    return inside


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _score(metrics: Mapping[str, Any], higher_is_better: Mapping[str, Any]) -> Score | None:
    for name, value in metrics.items():
        metric, _, how = name.partition(",")
        if metric.endswith("_stderr") or higher_is_better.get(metric) is False or not _is_share(value):
            continue
        error = metrics.get(f"{metric}_stderr,{how}")
        return Score(name, float(value), float(error) if _is_share(error) else math.nan)
    return None


def _is_share(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
