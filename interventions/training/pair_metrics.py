"""What is logged beside TRL's metrics: how pairs look without the shaping, and how much each still counts.

The gradient of a pair is weighted by ``σ(−(β Δθ + o))`` (method.md §9): a half at the start, less where the pair is
already explained. Its mean over pairs with a high and with a low gap of a concept shows an intervention at work.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from interventions.training.collator import TOUCHED


class PairValues(NamedTuple):
    """Of each pair in a batch: summed log-ratios of policy to reference, and the log-sigmoid's argument with offset."""

    chosen_B: Float[Tensor, " B"]
    rejected_B: Float[Tensor, " B"]
    argument_B: Float[Tensor, " B"]


class PairMetrics:
    """Sums over the batches of a step; ``beta`` turns log-ratios into rewards."""

    def __init__(self, concepts: Sequence[str], beta: float) -> None:
        self.beta = beta
        gaps = [f"weight/{concept}/{tier}_gap" for concept in concepts for tier in ("high", "low")]
        self.means = ["raw/margins", "raw/accuracies", "weight/mean", *gaps]
        self.counts = [f"rows/{name}" for name in TOUCHED]
        self.sums: Tensor | None = None

    def add(self, values: PairValues, inputs: Mapping[str, Any]) -> None:
        """Add a batch; nothing waits for the device."""
        weight_B = torch.sigmoid(-values.argument_B)
        ones_B = torch.ones_like(weight_B)
        margin_B = self.beta * (values.chosen_B - values.rejected_B)
        parts = [(margin_B, ones_B), ((margin_B > 0).to(ones_B), ones_B), (weight_B, ones_B)]
        for tier_B in inputs["tiers"].unbind(dim=1):
            parts += [(weight_B, (tier_B == 1).to(ones_B)), (weight_B, (tier_B == -1).to(ones_B))]
        parts += [(flag_B.to(ones_B), ones_B) for flag_B in inputs["touched"].unbind(dim=1)]
        sums_K2 = torch.stack([torch.stack([(value * among).sum(), among.sum()]) for value, among in parts])
        self.sums = sums_K2 if self.sums is None else self.sums + sums_K2

    def take(self, reduce: Callable[[Tensor], Tensor]) -> dict[str, float]:
        """Means and counts since the last call, over all processes (``reduce`` sums over them), or nothing."""
        if self.sums is None:
            return {}
        pairs = reduce(self.sums).tolist()
        self.sums = None
        found = dict(zip([*self.means, *self.counts], pairs, strict=True))
        means = {name: found[name][0] / found[name][1] for name in self.means if found[name][1]}
        return means | {name: found[name][0] for name in self.counts}
