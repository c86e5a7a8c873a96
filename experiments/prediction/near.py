"""What parts two trainings that differ in a few rows, read from a validation of one against the other.

The difference is weighted by how likely either model makes the completions of both
(:mod:`anatomy.validation.importance_weighting`). Empty completions, which nothing is read of, are left out as they are
of plain means.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from anatomy import artifacts
from anatomy.features.feature_store import FeatureStore
from anatomy.prediction.response_pool import Pool, cluster_readout
from anatomy.rollouts.completion_log_probs import read_completion_log_probs
from anatomy.rollouts.rollout_set import Rollouts, read_rollouts, rollout_pair
from anatomy.runs.run import Run
from anatomy.settings import AuditSettings
from anatomy.stages import read_clusters
from anatomy.validation.importance_weighting import Distance, distance, weighted_difference

LIKELY = {"before": "likely-before.parquet", "after": "likely-after.parquet"}
"""In a validation of two arms: how likely the model of either makes the completions of both."""


class Difference(NamedTuple):
    """Two arms, after minus before: response clusters' means on every prompt, and how far apart the models are."""

    by_prompt: pd.DataFrame
    distance: Distance


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
    sides = (before, after)
    under = {side: read_completion_log_probs(validated / name, keys, sides) for side, name in LIKELY.items()}
    # completions after come first: the difference is after minus before
    log_ratio_J = np.concatenate([(under["after"] - under["before"])[side] for side in (1, 0)])
    prompts, code_N = np.unique([prompt for prompt, _ in keys], return_inverse=True)
    baseline_NM = untrained.reindex(prompts).to_numpy()[code_N]
    found = weighted_difference(values.to_numpy(), log_ratio_J, baseline_NM, code_N)
    return Difference(pd.DataFrame(found, prompts, untrained.columns).dropna(), distance(log_ratio_J, code_N))


def samples(row_ids: Sequence[str], before: Rollouts, after: Rollouts) -> list[tuple[str, int]]:
    """Prompt and sample of every row of a validation's store."""
    shared = before.texts.keys() & after.texts.keys()
    known = {rollout_pair(before, after, key).row_id: key for key in shared}
    return [known[row] for row in row_ids]
