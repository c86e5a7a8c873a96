"""``anatomy sae cluster``: response clusters from a corpus, kept with the SAE."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from anatomy import artifacts
from anatomy.clusters.clusterings import ResponseShard, cluster_responses
from anatomy.clusters.feature_clusters import default_min_fires
from anatomy.clusters.stored_clusters import StoredClusters
from anatomy.errors import RunError, SettingsError
from anatomy.runs.run import Run
from anatomy.settings import ResponseClusterSettings, load_settings
from anatomy.stages.cluster_stage import nothing_together
from anatomy.workflows.outcome import Outcome, Where


def sae_cluster(folder: Where, *runs: Where, seed: int = 0, settings: Where | None = None, **flags: Any) -> Outcome:
    """Write ``response_clusters.json`` into the folder of an SAE; audits with the SAE use it from then on.

    Args:
        folder: of the SAE; for an SAE from the Hub another one, whose file audits name with ``--response-clusters``.
        *runs: harvested runs; together they are the corpus.
        seed: of the halves of the prompts.
        settings: YAML file with settings; ``flags`` win over it.
        **flags: settings of :class:`anatomy.settings.ResponseClusterSettings`.

    Raises:
        SettingsError: a setting is wrong, no run is given, or the runs were harvested with different SAEs.
        RunError: a run is not harvested, the folder is missing, or no features fire together.
    """
    asked = load_settings(ResponseClusterSettings, flags, settings)
    place = Path(folder)
    if not place.is_dir():
        raise RunError(f"{place}: no such folder; name the folder of the SAE")
    if not runs:
        raise SettingsError("name at least one run directory of `anatomy harvest`")
    with ExitStack() as stack:
        found = _clusters([stack.enter_context(Run.read(Path(run))) for run in runs], asked, seed)
    if not found.clusters:
        raise RunError(nothing_together(str(place), found))
    found.write(place / artifacts.RESPONSE_CLUSTERS)
    origin = found.origin
    return Outcome(
        place / artifacts.RESPONSE_CLUSTERS,
        f"{len(found.clusters):,} response clusters of {origin.clustered:,} features (of {found.n_features:,}; "
        f"{origin.features:,} fire under {origin.min_prompts} prompts or more), from {origin.prompts:,} prompts; "
        f"stability {min(found.stability_M):.2f} to {max(found.stability_M):.2f}, "
        f"{origin.unstable} unstable left out",
    )


def _clusters(runs: list[Run], settings: ResponseClusterSettings, seed: int) -> StoredClusters:
    for run in runs:
        run.require("harvest")
        if run.sae.fingerprint != runs[0].sae.fingerprint:
            raise SettingsError(f"{run.path}: harvested with another SAE than {runs[0].path}; harvest with one")

    def shards() -> Iterator[ResponseShard]:
        return (shard for run in runs for shard in run.features.shards())

    min_prompts = default_min_fires(sum(run.features.n_rows for run in runs))
    sources = [Path(run.recorded_settings.rows).name for run in runs]
    groups, origin = cluster_responses(shards, settings, min_prompts, seed, sources)
    return StoredClusters.of(groups, runs[0].sae.fingerprint, origin)
