"""What detectors are fitted and tested on: residuals of labelled sequences at one layer, ragged."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Examples:
    """S sequences of N tokens in all: ``x_ND[starts_S1[s]:starts_S1[s + 1]]`` are the residuals of sequence ``s``.

    ``y_S`` and ``y_N`` are labels in {0, 1}; ``y_N`` is None where only sequences are labelled. ``group_S`` numbers the
    prompts: sequences of one prompt are not independent and are never split. ``pair_S`` numbers contrastive pairs
    (one positive and one negative share a number); -1 for a sequence without a partner.
    """

    x_ND: Float[Tensor, "N D"]
    starts_S1: Int[np.ndarray, " S1"]
    y_S: Int[np.ndarray, " S"]
    group_S: Int[np.ndarray, " S"]
    pair_S: Int[np.ndarray, " S"]
    y_N: Int[np.ndarray, " N"] | None = None

    def __post_init__(self) -> None:
        sequences = {len(self.y_S), len(self.group_S), len(self.pair_S), len(self.starts_S1) - 1}
        tokens = {len(self.x_ND), int(self.starts_S1[-1])} | ({len(self.y_N)} if self.y_N is not None else set())
        if len(sequences) != 1 or len(tokens) != 1:
            raise ValueError(f"examples do not fit together: {sequences} sequences, {tokens} tokens")

    def __len__(self) -> int:
        return len(self.y_S)

    @property
    def lengths_S(self) -> Int[np.ndarray, " S"]:
        """Tokens of each sequence."""
        return np.diff(self.starts_S1)

    @property
    def sequence_N(self) -> Int[np.ndarray, " N"]:
        """The sequence that each token belongs to."""
        return np.repeat(np.arange(len(self)), self.lengths_S)

    def take(self, kept: Bool[np.ndarray, " S"] | Int[np.ndarray, " n"]) -> Examples:
        """Some of the sequences, in the given order."""
        rows = np.flatnonzero(kept) if kept.dtype == bool else kept
        parts = [np.arange(self.starts_S1[row], self.starts_S1[row + 1]) for row in rows]
        tokens = np.concatenate(parts) if parts else np.zeros(0, np.int64)
        return replace(
            self,
            x_ND=self.x_ND[tokens],
            starts_S1=np.concatenate([[0], np.cumsum([len(part) for part in parts])]).astype(np.int64),
            y_S=self.y_S[rows],
            group_S=self.group_S[rows],
            pair_S=self.pair_S[rows],
            y_N=None if self.y_N is None else self.y_N[tokens],
        )
