"""What the fitted probes share: checks of examples, losses over tokens, sequences and pairs, one training loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid

from anatomy.concepts.scorer import Pooling
from anatomy.errors import ProbeError
from probes.examples import Examples

Loss = Literal["bce", "pairwise"]
Supervision = Literal["token", "sequence"]
CHUNK_TOKENS = 8192

TokenScores = Callable[[Float[Tensor, "N D"], Int[Tensor, " S"]], Float[Tensor, " N"]]
"""Scores of the tokens of sequences that stand one after the other, from residuals and lengths."""


class Recipe(NamedTuple):
    """AdamW over shuffled batches; all that is random follows from ``seed``."""

    learning_rate: float
    weight_decay: float
    epochs: int
    batch: int
    seed: int


@dataclass(frozen=True)
class Objective:
    """What a probe is asked to get right (method.md §8).

    ``bce`` is weighted by ``n₋/n₊``, over tokens or over pooled scores of sequences; ``pairwise`` compares the pooled
    scores of contrastive pairs.
    """

    loss: Loss
    supervision: Supervision
    pooling: Pooling

    def units(self, examples: Examples) -> Int[np.ndarray, "U K"]:
        """The sequences of each unit that batches are made of: one, or the positive and the negative of a pair.

        Raises:
            ProbeError: the examples lack the labels or the pairs that this objective needs.
        """
        if self.loss == "pairwise" and self.supervision == "token":
            raise ProbeError("pairwise loss compares whole sequences; use supervision 'sequence', or loss 'bce'")
        check_examples(examples, self.supervision)
        return pairs_of(examples) if self.loss == "pairwise" else np.arange(len(examples))[:, None]

    def value(self, z_N: Float[Tensor, " N"], batch: Examples, pos_weight: float) -> Float[Tensor, ""]:
        """The mean loss of a batch of units, given in the order of :meth:`units`."""
        if self.supervision == "token":
            return _bce(z_N, labels_of(batch, "token"), pos_weight)
        z_S = pool_tokens(z_N, torch.from_numpy(batch.lengths_S), self.pooling)
        if self.loss == "pairwise":
            return -logsigmoid(z_S[0::2] - z_S[1::2]).mean()  # method.md §8, −log σ(z_p − z_n)
        return _bce(z_S, batch.y_S, pos_weight)


def _bce(z: Tensor, y: np.ndarray, pos_weight: float) -> Tensor:
    target = torch.as_tensor(y, dtype=z.dtype, device=z.device)
    return binary_cross_entropy_with_logits(z, target, pos_weight=z.new_tensor(pos_weight))


def check_examples(examples: Examples, supervision: Supervision) -> None:
    """Refuse examples from which token or sequence labels can teach nothing.

    Raises:
        ProbeError: no sequence, an empty one, labels of one class only, or residuals that are not finite.
    """
    empty = int((examples.lengths_S == 0).sum())
    if empty or not len(examples):
        raise ProbeError(f"{empty} of {len(examples)} sequences have no token; leave them out, and keep some")
    y = labels_of(examples, supervision)
    positives = int((y == 1).sum())
    if positives + int((y == 0).sum()) != len(y):
        raise ProbeError(f"{supervision} labels must be 0 or 1, found {sorted(set(y.tolist()) - {0, 1})[:3]}")
    if positives in (0, len(y)):
        raise ProbeError(f"{positives} of {len(y)} {supervision} labels are positive; a detector needs both classes")
    broken = sum(int((~part.isfinite().all(dim=1)).sum()) for part in examples.x_ND.split(CHUNK_TOKENS))
    if broken:
        raise ProbeError(f"{broken} of {len(examples.x_ND)} residuals hold NaN or infinity; run the model in float32")


def labels_of(examples: Examples, supervision: Supervision) -> Int[np.ndarray, " I"]:
    """Labels of tokens or of sequences.

    Raises:
        ProbeError: there are no token labels.
    """
    if supervision == "sequence":
        return examples.y_S
    if examples.y_N is None:
        raise ProbeError("token supervision: the examples have no token labels; use supervision 'sequence'")
    return examples.y_N


def pairs_of(examples: Examples) -> Int[np.ndarray, "P 2"]:
    """Positive and negative sequence of each complete pair; sequences without a partner are left out.

    Raises:
        ProbeError: a pair has several positives or negatives, or there is no complete pair.
    """
    sides = []
    for label in (1, 0):
        rows = np.flatnonzero((examples.y_S == label) & (examples.pair_S >= 0))
        numbers, first, count = np.unique(examples.pair_S[rows], return_index=True, return_counts=True)
        if (count > 1).any():
            pair = numbers[count > 1][0]
            raise ProbeError(f"pair {pair}: {count.max()} sequences with label {label}; a pair is one of each label")
        sides.append((numbers, rows[first]))
    (pairs_p, rows_p), (pairs_n, rows_n) = sides
    _, at_p, at_n = np.intersect1d(pairs_p, pairs_n, assume_unique=True, return_indices=True)
    if not len(at_p):
        raise ProbeError("pairwise loss: no positive shares its pair number with a negative; use loss 'bce'")
    return np.stack([rows_p[at_p], rows_n[at_n]], axis=1)


def tokens_as_sequences(examples: Examples) -> Examples:
    """Every token as a sequence of its own, with its own label: what a probe without context is supervised on."""
    return replace(
        examples,
        starts_S1=np.arange(len(examples.x_ND) + 1),
        y_S=labels_of(examples, "token"),
        group_S=examples.group_S[examples.sequence_N],
        pair_S=np.full(len(examples.x_ND), -1),
    )


def pool_tokens(z_N: Float[Tensor, " N"], lengths_S: Int[Tensor, " S"], pooling: Pooling) -> Float[Tensor, " S"]:
    """One score a sequence, differentiable: :func:`anatomy.concepts.scorer.pooled` for many sequences at once."""
    lengths_S = lengths_S.to(z_N.device)
    if pooling == "last":
        return z_N[lengths_S.cumsum(0) - 1]
    return torch.segment_reduce(z_N, pooling, lengths=lengths_S)


def weighted_mean(x_ND: Float[Tensor, "N D"], weight_N: Float[Tensor, " N"]) -> Float[Tensor, " D"]:
    """Mean with non-negative weights, summed in float64, some thousand tokens at a time."""
    total_D = x_ND.new_zeros(x_ND.shape[1], dtype=torch.float64)
    weight_N = weight_N.to(x_ND.device, torch.float64)
    for x_BD, weight_B in zip(x_ND.split(CHUNK_TOKENS), weight_N.split(CHUNK_TOKENS), strict=True):
        total_D += weight_B @ x_BD.double()
    return total_D / weight_N.sum()


class Standardiser(NamedTuple):
    """Mean and standard deviation of each residual dimension over the training tokens, float64."""

    mean_D: Float[Tensor, " D"]
    std_D: Float[Tensor, " D"]

    @classmethod
    def of(cls, x_ND: Float[Tensor, "N D"]) -> Standardiser:
        """Standardiser over tokens; a constant dimension has deviation 1."""
        mean_D = weighted_mean(x_ND, torch.ones(len(x_ND)))
        parts = [(x_BD.double() - mean_D).square().sum(0) for x_BD in x_ND.split(CHUNK_TOKENS)]
        std_D = (torch.stack(parts).sum(0) / len(x_ND)).sqrt()
        constant_D: Bool[Tensor, " D"] = std_D <= 1e-9 * mean_D.abs().clamp_min(1.0)
        return cls(mean_D, torch.where(constant_D, 1.0, std_D))

    def standardise(self, x_ND: Float[Tensor, "N D"]) -> Float[Tensor, "N D"]:
        """Residuals at mean 0 and deviation 1, float32."""
        parts = [((x_BD.double() - self.mean_D) / self.std_D).float() for x_BD in x_ND.split(CHUNK_TOKENS)]
        return torch.cat(parts)

    def fold(self, w_HD: Float[Tensor, "*H D"]) -> tuple[Float[Tensor, "*H D"], Float[Tensor, "*H"]]:
        """Weights and offset on raw residuals that give what ``w_HD`` gives on standardised ones, float64."""
        folded_HD = w_HD.detach().double() / self.std_D
        return folded_HD, -(folded_HD @ self.mean_D)


def train(module: nn.Module, scores: TokenScores, examples: Examples, objective: Objective, recipe: Recipe) -> None:
    """Fit the parameters of ``module``, whose token scores ``scores`` gives, on the units of the objective.

    Raises:
        ProbeError: the examples cannot be learned from, or the loss is not finite.
    """
    units_UK = objective.units(examples)
    y = labels_of(examples, objective.supervision)
    pos_weight = float((y == 0).sum() / (y == 1).sum())  # method.md §8, n₋/n₊
    optimiser = torch.optim.AdamW(module.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    generator = torch.Generator().manual_seed(recipe.seed)
    for _ in range(recipe.epochs):
        for rows in torch.randperm(len(units_UK), generator=generator).split(recipe.batch):
            batch = examples.take(units_UK[rows.numpy()].ravel())
            z_N = scores(batch.x_ND, torch.from_numpy(batch.lengths_S))
            loss = objective.value(z_N, batch, pos_weight)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    if not all(bool(parameter.isfinite().all()) for parameter in module.parameters()):
        raise ProbeError(f"training diverged at learning rate {recipe.learning_rate:g}; lower it")
