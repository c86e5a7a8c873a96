"""Means of each held-out prompt before and after training: what several trainings are compared by, prompt by prompt.

``prompt_means.parquet`` is long: ``prompt_id``, ``view`` (``concept``, ``global``: response clusters everywhere, or
``health`` of the text), ``response``, ``before``, ``after`` (float32). A prompt of which no completion could be read
has no number in ``concept`` and ``global``, and has its health.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Int

from anatomy import artifacts
from anatomy.errors import RunError
from anatomy.rollouts.text_health import HEALTH, health
from anatomy.statistics.prompts import Prompts, prompt_totals
from anatomy.types import file_hash

if TYPE_CHECKING:
    from anatomy.rollouts.rollout_set import Rollouts
    from anatomy.validation.shift_comparison import Definition, PoolInContexts

VIEWS = ("concept", "global")
COLUMNS = {
    **dict.fromkeys(("prompt_id", "view", "response"), "string"),
    **dict.fromkeys(("before", "after"), "float"),
}


class PromptMeans(NamedTuple):
    """G prompts in ascending order of their ids, M names as (view, response), and the means; NaN: not read."""

    prompts: Sequence[str]
    names: Sequence[tuple[str, str]]
    before_GM: Float[np.ndarray, "G M"]
    after_GM: Float[np.ndarray, "G M"]

    def of(self, views: Iterable[str]) -> Int[np.ndarray, " m"]:
        """Places of the names of some views."""
        return np.array([place for place, (view, _) in enumerate(self.names) if view in views], dtype=int)


def prompt_means(
    pairs: PoolInContexts,
    run: Definition,
    statistic: str,
    prompt_ids: Sequence[str],
    rollouts: tuple[Rollouts, Rollouts],
    seen: set[str],
) -> PromptMeans:
    """Means of concepts, response clusters (``statistic`` of their features) and text health.

    Args:
        pairs: the pool of the rollouts (chosen: after, rejected: before).
        prompt_ids: prompt of each of its rows.
        rollouts: before and after; prompts that both hold and that are not ``seen`` in the data.
    """
    shared = {prompt for prompt, _ in rollouts[0].texts.keys() & rollouts[1].texts.keys()} - seen
    prompts = sorted(shared)
    read_G = np.searchsorted(prompts, np.unique(np.asarray(prompt_ids, dtype=str)))
    names: list[tuple[str, str]] = [("health", name) for name in HEALTH]
    parts = [(health(rollouts[0].texts, prompts), health(rollouts[1].texts, prompts))]
    for view in VIEWS:
        readout = pairs.readout(view, statistic, run)
        names += [(view, name) for name in readout.ids]
        n = len(readout.values_JM) // 2
        values = np.asarray(readout.values_JM[n:]), np.asarray(readout.values_JM[:n])  # rejected is before
        filled = [np.full((len(prompts), len(readout.ids)), np.nan) for _ in values]
        for mean_GM, value_NM in zip(filled, values, strict=True):
            mean_GM[read_G] = _means(value_NM, pairs.pool.prompts)
        parts.append((filled[0], filled[1]))
    before, after = (np.concatenate(part, axis=1) for part in zip(*parts, strict=True))
    return PromptMeans(prompts, names, before, after)


def _means(value_NM: np.ndarray, prompts: Prompts) -> np.ndarray:
    return np.asarray(prompt_totals(value_NM.astype(np.float64), prompts) / prompts.size_G[:, None])


def write_means(path: Path, means: PromptMeans) -> str:
    """Write the table; returns its hash, which :func:`read_means` asks for."""
    n, m = means.before_GM.shape
    table = {
        "prompt_id": np.repeat(means.prompts, m),
        "view": [view for view, _ in means.names] * n,
        "response": [name for _, name in means.names] * n,
        "before": means.before_GM.astype(np.float32).ravel(),
        "after": means.after_GM.astype(np.float32).ravel(),
    }
    artifacts.write_table(path, pa.table(table))
    return file_hash(path)


def read_means(path: Path, digest: str) -> PromptMeans:
    """The table that ``digest`` speaks of.

    Raises:
        RunError: it is missing or another one.
    """
    if not path.is_file() or file_hash(path) != digest:
        raise RunError(f"{path}: missing, or not the table that was validated; run `anatomy validate` again")
    table = artifacts.read_table(path, COLUMNS)
    prompts = table["prompt_id"].unique().to_pylist()
    m = table.num_rows // len(prompts)
    names = list(zip(table["view"][:m].to_pylist(), table["response"][:m].to_pylist(), strict=True))
    before, after = (table[name].to_numpy().astype(np.float64).reshape(-1, m) for name in ("before", "after"))
    return PromptMeans(prompts, names, before, after)
