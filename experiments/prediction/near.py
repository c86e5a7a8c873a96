"""What parts two trainings that differ in a few rows: their completions, weighted by how likely either makes each.

The completions of two nearly equal models scatter as much as those of any two. But how much likelier one makes a
completion than the other is known, not sampled. With ℓ = log π_A(y) − log π_B(y) and y drawn from both alike, that is
from q = (π_A + π_B) / 2,

    E_A φ − E_B φ = E_q [2 tanh(ℓ/2) (φ(y) − b)]    since (π_A − π_B) / q = 2 tanh(ℓ/2), whose mean is 0.

A completion that both make equally likely has no weight; where the models are far apart, this is the plain difference
of the means (multiple importance sampling by the balance heuristic).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float

from anatomy import artifacts
from anatomy.features.store import FeatureStore
from anatomy.run import Run
from anatomy.settings import AuditSettings
from anatomy.stages import read_clusters
from anatomy.types import Pair
from anatomy.validation.pool import Pool, cluster_readout
from anatomy.validation.rollouts import Rollouts, read_rollouts

LIKELY = {"before": "likely-before.parquet", "after": "likely-after.parquet"}
"""In a validation of two arms: how likely the model of either makes the completions of both."""


def terms(
    value_NM: Float[np.ndarray, "N M"], log_ratio_N: Float[np.ndarray, " N"], baseline_NM: Float[np.ndarray, "N M"]
) -> Float[np.ndarray, "N M"]:
    """Unbiased terms of the difference of two models' means, A minus B, of completions half of which each sampled.

    Args:
        log_ratio_N: log-probability of a completion under A minus that under B, nats.
        baseline_NM: what was to be expected of a completion; anything that does not depend on it.
    """
    return np.asarray(2 * np.tanh(log_ratio_N / 2)[:, None] * (value_NM - baseline_NM))


def difference(
    run: Run, validated: Path, rollouts: tuple[Path, Path], untrained: pd.DataFrame
) -> tuple[pd.DataFrame, float]:
    """Response clusters' means after minus before, by prompt, in a validation of two arms; and how far these are apart.

    The latter is Jeffreys' divergence of the two models a completion, KL(A, B) + KL(B, A), nats.

    Args:
        rollouts: the completions before and after.
        untrained: means of yet other completions by prompt (rows) and cluster (columns), the baseline; prompts and
            clusters that it lacks are left out.
    """
    store = FeatureStore(validated / "rollout-features")
    keys = _samples(store.row_ids, *map(read_rollouts, rollouts))
    settings = AuditSettings.model_validate(run.manifest["settings"])
    labels_F = read_clusters(run, FeatureStore(run.file(artifacts.FEATURES))).response_F
    readout = cluster_readout(Pool.read(store, ["freq"], settings.tau), labels_F, "freq", settings.min_features)
    value_JM = pd.DataFrame(np.asarray(readout.values_JM, np.float64), columns=list(readout.ids))[untrained.columns]
    prompts = [prompt for prompt, _ in keys]
    baseline_NM = untrained.reindex(prompts).to_numpy()
    n, by_model = len(keys), {side: _log_probs(validated / name, keys) for side, name in LIKELY.items()}
    log_ratio_J = by_model["after"] - by_model["before"]  # completions after, then before
    parts = [terms(value_JM.to_numpy()[side], log_ratio_J[side], baseline_NM) for side in (slice(n), slice(n, None))]
    found = pd.DataFrame((parts[0] + parts[1]) / 2, prompts, untrained.columns)
    return found.groupby(level=0).mean().dropna(), float(log_ratio_J[:n].mean() - log_ratio_J[n:].mean())


def _samples(row_ids: Sequence[str], before: Rollouts, after: Rollouts) -> list[tuple[str, int]]:
    """Prompt and sample of every row of a validation's store."""
    known = {}
    for key in before.texts.keys() & after.texts.keys():
        sides = ([{"role": "assistant", "content": side.texts[key]}] for side in (after, before))
        known[Pair(0, before.prompts[key[0]], *sides).row_id] = key
    return [known[row] for row in row_ids]


def _log_probs(path: Path, keys: Sequence[tuple[str, int]]) -> Float[np.ndarray, " J"]:
    """Of the completions after (the second folder that was read), then of those before."""
    table = artifacts.read_table(path).to_pandas().set_index(["side", "prompt_id", "sample"])["log_prob"]
    return np.concatenate([table.loc[[(side, *key) for key in keys]].to_numpy() for side in (1, 0)])
