"""Residuals of wanted tokens at several layers, one pass a batch: what detectors are fitted on and score with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int32

from anatomy.activations.batches import token_batches
from anatomy.activations.forward import residuals_at
from anatomy.activations.model import Subject


class WantedTokens(NamedTuple):
    """Token ids of one sequence, and which of its tokens are wanted."""

    ids: Int32[np.ndarray, " T"]
    wanted: Bool[np.ndarray, " T"]


def read_hidden(
    subject: Subject | None, readings: Sequence[WantedTokens], layers: Sequence[int], batch_tokens: int
) -> Iterator[tuple[int, dict[int, Float[torch.Tensor, "R D"]]]]:
    """Yield ``(position, {layer: residuals of the wanted tokens})`` for every reading, a batch at a time.

    Residuals are float32 on the CPU. The order depends on the readings and ``batch_tokens`` only. Without a subject
    every dictionary is empty.
    """
    if subject is None:
        yield from ((position, {}) for position in range(len(readings)))
        return
    for batch in token_batches([reading.ids for reading in readings], batch_tokens):
        hidden = residuals_at(subject, batch, sorted(set(layers)))
        for row, position in enumerate(batch.positions_B):
            wanted = torch.from_numpy(np.flatnonzero(readings[position].wanted))
            parts = {layer: x_BTD[row, wanted.to(x_BTD.device)].float().cpu() for layer, x_BTD in hidden.items()}
            yield int(position), parts
