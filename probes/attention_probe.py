"""Attention probe: a running mean of values, weighted by a causal softmax whose logits depend on the key only.

``z_t = Σ_h (Σ_{j≤t} e^{s_jh} v_jh) / (Σ_{j≤t} e^{s_jh}) + w·h_t + b`` with ``s_jh = q_h·h_j + m_h j`` and
``v_jh = u_h·h_j`` (method.md §8). The position bias is ALiBi's ``−m_h (t − j)``: its part in ``t`` cancels in the
softmax, so that the output stays a ratio of two cumulative sums, in memory linear in T.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Self

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from anatomy.concepts.scorer import Pooling
from probes.examples import Examples
from probes.probe_training import Objective, Recipe, Standardiser, Supervision, train


def causal_average(s_BTH: Float[Tensor, "B T H"], v_BTH: Float[Tensor, "B T H"]) -> Float[Tensor, "B T H"]:
    """Mean of the values up to each position with weights ``e^s``, float64; logits of any size stay finite.

    Signed values are the difference of two that are at least 1, whose logarithms are harmless: ``v = v⁺ − v⁻`` with
    ``v⁺ = max(v, 0) + 1`` and ``v⁻ = max(−v, 0) + 1``. Numerators and denominator are then cumulative log-sum-exps,
    and each ratio is an average. Float64, since the difference of two large logarithms keeps absolute errors only.
    """
    s_BTH, v_BTH = s_BTH.double(), v_BTH.double()
    total_BTH = s_BTH.logcumsumexp(1)
    above_BTH, below_BTH = (
        ((s_BTH + ((sign * v_BTH).relu() + 1).log()).logcumsumexp(1) - total_BTH).exp() for sign in (1, -1)
    )
    return above_BTH - below_BTH


class _Weights(nn.Module):
    """Parameters on standardised residuals: ``query`` and ``value`` are ``[H, D]``, ``w`` is ``[D]``."""

    def __init__(self, heads: int, width: int, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        query_HD, value_HD = torch.randn(2, heads, width, generator=generator) / width**0.5
        self.query, self.value = nn.Parameter(query_HD), nn.Parameter(value_HD)
        self.w, self.b = nn.Parameter(torch.zeros(width)), nn.Parameter(torch.zeros(()))


class AttentionProbe:
    """Scores that may depend on all earlier tokens of the sequence, never on later ones.

    ``query_`` and ``value_`` are ``[H, D]``, ``w_`` is ``[D]`` and ``b_`` a scalar, all for raw residuals.

    Args:
        heads: number of averages that are added up.
        position_bias: ALiBi's recency bias, slopes ``2^(−8h/H)`` per token.
        supervision: ``token`` labels, or ``sequence`` labels on pooled scores where there are no others.
        pooling: how token scores become a sequence's during training; should be the detector's.
        batch: sequences in one step.
    """

    kind: ClassVar[str] = "attention"
    query_: Float[Tensor, "H D"]
    value_: Float[Tensor, "H D"]
    w_: Float[Tensor, " D"]
    b_: Float[Tensor, ""]

    def __init__(
        self,
        heads: int = 4,
        position_bias: bool = True,
        supervision: Supervision = "token",
        pooling: Pooling = "max",
        learning_rate: float = 1e-3,
        weight_decay: float = 1e-3,
        epochs: int = 12,
        batch: int = 8,
        seed: int = 0,
    ) -> None:
        self.heads, self.position_bias = heads, position_bias
        self.supervision, self.pooling = supervision, pooling
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.epochs, self.batch, self.seed = epochs, batch, seed

    def fit(self, examples: Examples) -> Self:
        """Train from a random start that follows from the seed.

        Raises:
            ProbeError: one class only, no token labels where they are needed, or residuals that are not finite.
        """
        objective = Objective("bce", self.supervision, self.pooling)
        objective.units(examples)
        moments = Standardiser.of(examples.x_ND)
        examples = replace(examples, x_ND=moments.standardise(examples.x_ND))
        weights = _Weights(self.heads, examples.x_ND.shape[1], self.seed).to(examples.x_ND.device)

        def scores(x_ND: Tensor, lengths_S: Int[Tensor, " S"]) -> Tensor:
            return self._scores(x_ND, lengths_S, weights.query, weights.value, weights.w, weights.b)

        recipe = Recipe(self.learning_rate, self.weight_decay, self.epochs, self.batch, self.seed)
        train(weights, scores, examples, objective, recipe)
        query_HD, _ = moments.fold(weights.query)  # an offset of all logits cancels in the softmax
        value_HD, value_offset_H = moments.fold(weights.value)  # an offset of all values passes through the average
        w_D, offset = moments.fold(weights.w)
        self.query_, self.value_, self.w_ = (part.float().cpu() for part in (query_HD, value_HD, w_D))
        self.b_ = (weights.b.detach() + value_offset_H.sum() + offset).float().cpu()
        return self

    def decision(self, x_TD: Float[Tensor, "T D"]) -> Float[Tensor, " T"]:
        """Score of each token given the tokens before it: the log odds, up to the weighting of the classes."""
        learned = (part.to(x_TD.device) for part in (self.query_, self.value_, self.w_, self.b_))
        return self._scores(x_TD.float(), torch.tensor([len(x_TD)]), *learned)

    def _scores(
        self,
        x_ND: Float[Tensor, "N D"],
        lengths_S: Int[Tensor, " S"],
        query_HD: Float[Tensor, "H D"],
        value_HD: Float[Tensor, "H D"],
        w_D: Float[Tensor, " D"],
        b: Float[Tensor, ""],
    ) -> Float[Tensor, " N"]:
        """Scores of sequences that stand one after the other; padding is on the right, where no token looks."""
        lengths = lengths_S.tolist()
        s_STH = pad_sequence((x_ND @ query_HD.T).split(lengths), batch_first=True)
        v_STH = pad_sequence((x_ND @ value_HD.T).split(lengths), batch_first=True)
        position_T = torch.arange(s_STH.shape[1], device=x_ND.device)
        if self.position_bias:
            slope_H = 2.0 ** (-8 * torch.arange(1, self.heads + 1, device=x_ND.device) / self.heads)
            s_STH = s_STH + position_T[:, None] * slope_H
        average_ST = causal_average(s_STH, v_STH).sum(2)
        real_ST = position_T < lengths_S.to(x_ND.device)[:, None]
        return average_ST[real_ST].float() + x_ND @ w_D + b
