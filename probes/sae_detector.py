"""SAE detector: how strongly a feature, or a cluster of features, fires on each token; nothing is fitted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from anatomy.errors import ProbeError
from anatomy.features.pooling import DENSE_CELLS, Encoder


class SAEDetector:
    """Score: mean activation ``a[t, f]`` over ``features``, at least 0 (method.md §8)."""

    kind: ClassVar[str] = "sae"

    def __init__(self, encoder: Encoder, features: Sequence[int]) -> None:
        """
        Raises:
            ProbeError: no feature, or one that the SAE does not have.
        """
        outside = [feature for feature in features if not 0 <= feature < encoder.n_features]
        if outside or not features:
            raise ProbeError(
                f"features {outside or 'none'}: give at least one of 0 to {encoder.n_features - 1}, which the SAE has"
            )
        self.encoder, self.features = encoder, [int(feature) for feature in features]

    @torch.inference_mode()
    def decision(self, x_TD: Float[Tensor, "T D"]) -> Float[Tensor, " T"]:
        """Score of each token."""
        chunk = max(1, DENSE_CELLS // self.encoder.n_features)
        parts = [self.encoder.encode(x_BD.float())[:, self.features].mean(1) for x_BD in x_TD.split(chunk)]
        return torch.cat(parts)

    def direction(self) -> Float[Tensor, " D"]:
        """Mean of the features' decoder rows: what the residual stream gains when they fire."""
        decoder_FD: Tensor = self.encoder.decoder_FD  # type: ignore[attr-defined]
        return decoder_FD[self.features].mean(0)
