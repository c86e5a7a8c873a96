"""Response clusters of a corpus: those that lie with the SAE, or that the settings name, come into the run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from anatomy import artifacts
from anatomy.clusters.stored_clusters import read_stored
from anatomy.errors import SettingsError
from anatomy.runs.stage_facts import CorpusFacts
from anatomy.settings import expanded
from anatomy.stages.stage import Audit, FingerprintPart, Stage
from anatomy.types import file_hash


def _place(audit: Audit) -> Path | None:
    """The file that this audit takes its response clusters from; None: from its rows."""
    from anatomy.sae.load_sae import sae_folder

    settings = audit.settings
    if settings.cluster_on_rows and settings.response_clusters is not None:
        raise SettingsError("--response-clusters names clusters, --cluster-on-rows makes new ones: give one of them")
    if settings.cluster_on_rows:
        return None
    if settings.response_clusters is not None:
        return expanded(settings.response_clusters)
    beside = sae_folder(settings) / artifacts.RESPONSE_CLUSTERS
    return beside if beside.is_file() else None


def _work(audit: Audit) -> CorpusFacts:
    place = _place(audit)
    if place is not None:
        read_stored(place, audit.run.sae.fingerprint).write(audit.run.file(artifacts.RESPONSE_CLUSTERS))
    return CorpusFacts(used=place is not None)


def _written(audit: Audit) -> Sequence[str]:
    return [] if _place(audit) is None else [artifacts.RESPONSE_CLUSTERS]


def _computed(audit: Audit) -> FingerprintPart:
    place = _place(audit)
    return {"file": file_hash(place) if place is not None and place.is_file() else None}


CORPUS_STAGE = Stage(
    name="corpus_clusters",
    work=_work,
    outputs=(artifacts.RESPONSE_CLUSTERS,),
    inputs=(artifacts.FEATURES,),
    computed=_computed,
    written=_written,
)
