"""Linear probe: logistic regression on residuals by gradient descent (method.md §8)."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Self

from jaxtyping import Float, Int
from torch import Tensor, nn

from anatomy.concepts.scorer import Pooling
from probes.examples import Examples
from probes.probe_training import Loss, Objective, Recipe, Standardiser, Supervision, tokens_as_sequences, train


class LinearProbe:
    """Score ``W h + b``; ``w_`` is ``[D]``, ``b_`` a scalar, both for raw residuals.

    Trained on residuals standardised over the training tokens; mean and deviation are folded into the weights, so that
    nothing but ``w_`` and ``b_`` is kept. Hard negatives are simply further negatives in the examples.

    Args:
        loss: ``bce`` with positives weighted by ``n₋/n₊``, or ``pairwise`` over contrastive pairs of sequences (its
            bias is arbitrary: only differences are learned).
        supervision: ``token`` labels, a batch being of tokens, or ``sequence`` labels on pooled scores.
        pooling: how token scores become a sequence's during training; should be the detector's.
    """

    kind: ClassVar[str] = "linear"
    w_: Float[Tensor, " D"]
    b_: Float[Tensor, ""]

    def __init__(
        self,
        loss: Loss = "bce",
        supervision: Supervision = "sequence",
        pooling: Pooling = "max",
        learning_rate: float = 5e-3,
        weight_decay: float = 1e-3,
        epochs: int = 12,
        batch: int = 64,
        seed: int = 0,
    ) -> None:
        self.loss, self.supervision, self.pooling = loss, supervision, pooling
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.epochs, self.batch, self.seed = epochs, batch, seed

    def fit(self, examples: Examples) -> Self:
        """Train from weights of 0.

        Raises:
            ProbeError: one class only, no token labels or pairs where they are needed, residuals that are not finite.
        """
        objective = Objective(self.loss, self.supervision, self.pooling)
        objective.units(examples)
        if self.supervision == "token":
            examples, objective = tokens_as_sequences(examples), Objective("bce", "sequence", "last")
        moments = Standardiser.of(examples.x_ND)
        examples = replace(examples, x_ND=moments.standardise(examples.x_ND))
        layer = nn.Linear(examples.x_ND.shape[1], 1).to(examples.x_ND.device)
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)

        def scores(x_ND: Tensor, lengths_S: Int[Tensor, " S"]) -> Tensor:
            found: Tensor = layer(x_ND)[:, 0]
            return found

        recipe = Recipe(self.learning_rate, self.weight_decay, self.epochs, self.batch, self.seed)
        train(layer, scores, examples, objective, recipe)
        w_D, offset = moments.fold(layer.weight[0])
        self.w_, self.b_ = w_D.float().cpu(), (layer.bias[0].detach() + offset).float().cpu()
        return self

    def decision(self, x_TD: Float[Tensor, "T D"]) -> Float[Tensor, " T"]:
        """Score of each token: the log odds of the concept, up to the weighting of the classes."""
        return x_TD.float() @ self.w_.to(x_TD.device) + self.b_.to(x_TD.device)  # method.md §8, W h + b

    def direction(self) -> Float[Tensor, " D"]:
        """The direction in which the score grows fastest, and the concept with it if nothing else changes."""
        return self.w_
