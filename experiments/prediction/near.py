"""What parts two trainings that differ in a few rows: their completions, weighted by how likely either makes each.

The completions of two nearly equal models scatter as much as those of any two. But how much likelier one makes a
completion than the other is known, not sampled. With ℓ = log π_A(y) − log π_B(y), and y drawn from both alike, that is
from q = (π_A + π_B) / 2,

    E_A φ − E_B φ = E_q [2 tanh(ℓ/2) (φ(y) − b)]    since (π_A − π_B) / q = 2 tanh(ℓ/2), whose mean is 0.

A completion that both make equally likely has no weight; where the models are far apart, this is the plain difference
of the means (multiple importance sampling by the balance heuristic). Empty completions, which nothing is read of, are
left out as they are of plain means.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float

from anatomy import artifacts
from anatomy.errors import RunError
from anatomy.features.feature_store import FeatureStore
from anatomy.prediction.response_pool import Pool, cluster_readout
from anatomy.rollouts.rollout_set import Rollouts, read_rollouts, rollout_pair
from anatomy.runs.run import Run
from anatomy.settings import AuditSettings
from anatomy.stages import read_clusters

LIKELY = {"before": "likely-before.parquet", "after": "likely-after.parquet"}
"""In a validation of two arms: how likely the model of either makes the completions of both."""


class Difference(NamedTuple):
    """Two arms, after minus before: response clusters' means on every prompt, and what tells whether to trust them.

    ``nats``: Jeffreys' divergence per completion, KL(A, B) + KL(B, A). ``balance``: the mean weight, which is 0 but for
    chance, over its standard error (over prompts); far from 0, log-probabilities are not of the models that sampled.
    """

    by_prompt: pd.DataFrame
    nats: float
    balance: float


def weights(log_ratio_J: Float[np.ndarray, " J"]) -> Float[np.ndarray, " J"]:
    """2 tanh(ℓ/2) of log-probabilities under A minus those under B (nats), in [−2, 2]."""
    return np.asarray(2 * np.tanh(log_ratio_J / 2))


def weighted(
    value_JM: Float[np.ndarray, "J M"],
    log_ratio_J: Float[np.ndarray, " J"],
    baseline_NM: Float[np.ndarray, "N M"],
    prompts: Sequence[str],
) -> pd.DataFrame:
    """Difference of two models' means on every prompt, A minus B.

    Args:
        value_JM: a completion of A for each of N (prompt, sample), then one of B for each.
        log_ratio_J: log-probability of each under A minus that under B, nats.
        baseline_NM: what was to be expected of a completion: anything that does not depend on it.
    """
    term_JM = weights(log_ratio_J)[:, None] * (value_JM - np.concatenate([baseline_NM, baseline_NM]))
    n = len(prompts)
    return pd.DataFrame((term_JM[:n] + term_JM[n:]) / 2, prompts).groupby(level=0).mean()


def difference(run: Run, validated: Path, rollouts: tuple[Path, Path], untrained: pd.DataFrame) -> Difference:
    """Response clusters' means after minus before in a validation of two arms.

    Args:
        rollouts: the completions before and after.
        untrained: means of yet other completions by prompt (rows) and cluster (columns), the baseline; prompts and
            clusters that it lacks are left out.

    Raises:
        RunError: the log-probabilities are of other completions.
    """
    before, after = map(read_rollouts, rollouts)
    store = FeatureStore(validated / "rollout-features")
    keys = samples(store.row_ids, before, after)
    settings = AuditSettings.model_validate(run.manifest["settings"])
    labels_F = read_clusters(run, FeatureStore(run.file(artifacts.FEATURES))).response_F
    readout = cluster_readout(Pool.read(store, ["freq"], settings.tau), labels_F, "freq", settings.min_features)
    values = pd.DataFrame(np.asarray(readout.values_JM, np.float64), columns=list(readout.ids))[untrained.columns]
    made_of = f"{before.fingerprint} {after.fingerprint}"
    by_model = {side: log_probs(validated / name, keys, made_of) for side, name in LIKELY.items()}
    log_ratio_J, prompts = by_model["after"] - by_model["before"], [prompt for prompt, _ in keys]
    found = weighted(values.to_numpy(), log_ratio_J, untrained.reindex(prompts).to_numpy(), prompts)
    found.columns = untrained.columns
    n, weight_J = len(keys), weights(log_ratio_J)
    balance = pd.Series(weight_J[:n] + weight_J[n:], prompts).groupby(level=0).mean()
    nats = float(log_ratio_J[:n].mean() - log_ratio_J[n:].mean())
    return Difference(found.dropna(), nats, float(balance.mean() / balance.sem()) if balance.any() else 0.0)


def samples(row_ids: Sequence[str], before: Rollouts, after: Rollouts) -> list[tuple[str, int]]:
    """Prompt and sample of every row of a validation's store."""
    shared = before.texts.keys() & after.texts.keys()
    known = {rollout_pair(before, after, key).row_id: key for key in shared}
    return [known[row] for row in row_ids]


def log_probs(path: Path, keys: Sequence[tuple[str, int]], made_of: str) -> Float[np.ndarray, " J"]:
    """Of the completions after (the second folder that was read), then of those before.

    Raises:
        RunError: of other completions than ``made_of`` says.
    """
    table = artifacts.read_table(path)
    if (table.schema.metadata or {}).get(b"rollouts", b"").decode() != made_of:
        raise RunError(f"{path}: of other completions; delete it and run experiments.prediction.run again")
    found = table.to_pandas().set_index(["side", "prompt_id", "sample"])["log_prob"]
    return np.concatenate([found.loc[[(side, *key) for key in keys]].to_numpy() for side in (1, 0)])
