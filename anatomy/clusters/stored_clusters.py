"""``response_clusters.json``: response clusters of a corpus with their stability, and what they were made from.

`anatomy sae cluster` writes it beside an SAE; an audit with that SAE takes its response clusters from it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Self

import numpy as np
from jaxtyping import Float, Int
from pydantic import BaseModel, ConfigDict, Field

from anatomy.artifacts import Artifact
from anatomy.clusters.label_ids import sizes
from anatomy.clusters.response_clusters import StableClusters
from anatomy.errors import SettingsError


class FeatureGroup(BaseModel):
    """A cluster: its features, ascending, and its stability."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    features: tuple[Annotated[int, Field(ge=0)], ...]
    stability: float = Field(ge=0, le=1)


class ClusterOrigin(BaseModel):
    """What response clusters were made from, and how many features and clusters were left out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sources: tuple[str, ...] = Field(description="Names of the sets of rows.")
    responses: int
    prompts: int
    min_prompts: int = Field(description="Features that fire under fewer prompts are in no cluster.")
    resolution: float = Field(description="Least mean correlation in a cluster.")
    chance: float = Field(description="Correlation that one pair in 10,000 has by chance, on half of the prompts.")
    features: int = Field(description="Features that fire under enough prompts.")
    clustered: int = Field(description="Those of them that are in a cluster.")
    unstable: int = Field(description="Clusters that were left out.")


class StoredClusters(Artifact):
    """Response clusters R1, R2, …, by decreasing size."""

    NAME: ClassVar[str] = "file of response clusters"
    REMEDY: ClassVar[str] = "write it with `anatomy sae cluster`"

    sae_fingerprint: str = Field(description="The SAE whose features these are.")
    n_features: int = Field(ge=1)
    origin: ClusterOrigin
    clusters: tuple[FeatureGroup, ...]

    @classmethod
    def of(cls, found: StableClusters, sae_fingerprint: str, origin: ClusterOrigin) -> Self:
        """The clusters that were found, as a document."""
        groups = [np.flatnonzero(found.label_F == label + 1).tolist() for label in range(len(found.stability_M))]
        return cls(
            sae_fingerprint=sae_fingerprint,
            n_features=len(found.label_F),
            origin=origin,
            clusters=tuple(
                FeatureGroup(features=tuple(features), stability=round(float(stability), 4))
                for features, stability in zip(groups, found.stability_M, strict=True)
            ),
        )

    @property
    def label_F(self) -> Int[np.ndarray, " F"]:
        """Number of each feature's cluster, 0 for none."""
        label_F = np.zeros(self.n_features, np.int64)
        for number, group in enumerate(self.clusters, 1):
            label_F[list(group.features)] = number
        return label_F

    @property
    def stability_M(self) -> Float[np.ndarray, " M"]:
        """Stability of clusters 1..M."""
        return np.array([group.stability for group in self.clusters])


def read_stored(path: Path, sae_fingerprint: str) -> StoredClusters:
    """The clusters in a file, checked against the SAE that the rows were read with.

    Raises:
        RunError: the file is missing, damaged or of another version.
        SettingsError: they are clusters of another SAE, or no clusters of features.
    """
    found = StoredClusters.read(path)
    if found.sae_fingerprint != sae_fingerprint:
        raise SettingsError(
            f"{path}: response clusters of another SAE; {found.REMEDY} from a run of this one, or audit with "
            "--cluster-on-rows"
        )
    features = [feature for group in found.clusters for feature in group.features]
    if len(set(features)) != len(features) or any(feature >= found.n_features for feature in features):
        raise SettingsError(f"{path}: not clusters of {found.n_features} features; {found.REMEDY}")
    if len(sizes(found.label_F)) != len(found.clusters):
        raise SettingsError(f"{path}: holds an empty cluster; {found.REMEDY}")
    return found
