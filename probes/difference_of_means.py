"""Difference of means: the direction from the mean residual without the concept to the mean with it (method.md §8)."""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from anatomy.errors import ProbeError
from probes.examples import Examples
from probes.probe_training import check_examples, weighted_mean


class DifferenceOfMeans:
    """Score ``h·w`` with ``w = unit(mean h⁺ − mean h⁻)``, in units of the residual stream; ``w_`` is ``[D]``.

    Without token labels every sequence counts once, however long: the means are means of sequence means. With token
    labels they are means over positive and over negative tokens.
    """

    kind: ClassVar[str] = "difference-of-means"
    w_: Float[Tensor, " D"]

    def fit(self, examples: Examples) -> Self:
        """Compute the direction.

        Raises:
            ProbeError: one class only, residuals that are not finite, or equal means.
        """
        check_examples(examples, "sequence" if examples.y_N is None else "token")
        if examples.y_N is None:
            y_N, weight_N = examples.y_S[examples.sequence_N], (1 / examples.lengths_S)[examples.sequence_N]
        else:
            y_N, weight_N = examples.y_N, np.ones(len(examples.y_N))
        positive_D, negative_D = (
            weighted_mean(examples.x_ND, torch.from_numpy(weight_N * (y_N == label))) for label in (1, 0)
        )
        difference_D = positive_D - negative_D
        norm = difference_D.norm()
        if norm <= 1e-12 * positive_D.norm():
            raise ProbeError("positives and negatives have the same mean residual; there is no direction between them")
        self.w_ = (difference_D / norm).float().cpu()  # method.md §8, w
        return self

    def decision(self, x_TD: Float[Tensor, "T D"]) -> Float[Tensor, " T"]:
        """Score of each token."""
        return x_TD.float() @ self.w_.to(x_TD.device)  # method.md §8, h·w

    def direction(self) -> Float[Tensor, " D"]:
        """The direction in which the concept grows."""
        return self.w_
