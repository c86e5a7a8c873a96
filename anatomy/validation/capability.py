"""Scores of tasks from a file in the format of lm-evaluation-harness, put beside a validation by its user.

``{"results": {task: {"acc,none": 0.61, "acc_stderr,none": 0.02, …}}}``. A task's score is the first of its metrics that
is a share (0 to 1) and that the file does not call better when lower. A subtask, at any depth, of a group that has
a score counts in its group only.
Capability is the unweighted mean over tasks (method.md §10).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

import numpy as np
from scipy import stats

from anatomy import artifacts
from anatomy.errors import RunError
from anatomy.statistics.resampling import LEVEL, over_seeds
from anatomy.validation.recovery import Estimate


class Score(NamedTuple):
    """One task: the metric as the file names it, its value, and its standard error or NaN."""

    metric: str
    value: float
    error: float


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
    found = {task: _score(_mapping(told), _mapping(better.get(task))) for task, told in results.items()}
    scored = {task: score for task, score in found.items() if score is not None}
    inside = _inside(scored, _mapping(document.get("group_subtasks")))
    scores = {task: score for task, score in scored.items() if task not in inside}
    if not scores:
        raise RunError(f"{path}: no task has a score between 0 and 1; name accuracies as lm-evaluation-harness does")
    return scores


def shared_tasks(scores: Sequence[Mapping[str, Score]]) -> list[str]:
    """Tasks that every training with scores has, with the same metric, in alphabetical order."""
    told = [{(task, score.metric) for task, score in one.items()} for one in scores if one]
    return sorted(task for task, _ in set.intersection(*told)) if told else []


def capability(scores: Sequence[Mapping[str, Score]], tasks: Sequence[str]) -> dict[str, Any] | None:
    """``mean``: unweighted over ``tasks``, of the seeds that have scores; ``tasks``: each; ``seeds``: how many.

    The interval comes from the tasks' own standard errors: tasks are independent, seeds answer the same questions.
    """
    known = [one for one in scores if one]
    if not known or not tasks:
        return None
    value_ST = np.array([[one[task].value for task in tasks] for one in known])
    error_ST = np.array([[one[task].error for task in tasks] for one in known])
    mean, by_seed_S = float(value_ST.mean()), value_ST.mean(axis=1)
    half = stats.norm.ppf((1 + LEVEL) / 2) * np.sqrt((error_ST.mean(axis=0) ** 2).sum()) / len(tasks)
    found = Estimate(mean, (mean - half, mean + half), tuple(by_seed_S.tolist()), over_seeds(by_seed_S))
    by_task = dict(zip(tasks, value_ST.mean(axis=0).tolist(), strict=True))
    return {"mean": found, "tasks": by_task, "seeds": len(known)}


def _inside(scored: Iterable[str], subtasks: Mapping[str, Any]) -> set[str]:
    """What lies under tasks that have a score; groups that only hold others together have none."""

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


def _score(told: Mapping[str, Any], higher_is_better: Mapping[str, Any]) -> Score | None:
    for name, value in told.items():
        metric, _, how = name.partition(",")
        if metric.endswith("_stderr") or higher_is_better.get(metric) is False or not _is_share(value):
            continue
        error = told.get(f"{metric}_stderr,{how}")
        return Score(name, float(value), float(error) if _is_share(error) else math.nan)
    return None


def _is_share(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
