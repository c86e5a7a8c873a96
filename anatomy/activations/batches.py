"""Token-budget batches over length-sorted sequences, so that little of a batch is padding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int32, Int64

MAX_PADDING = 0.1


class Batch(NamedTuple):
    """Right-padded token ids, each row's length, and each row's position in the window it came from."""

    ids_BT: Int32[np.ndarray, "B T"]
    lengths_B: Int64[np.ndarray, " B"]
    positions_B: Int64[np.ndarray, " B"]


def token_batches(sequences: Sequence[Int32[np.ndarray, " T"]], budget: int) -> Iterator[Batch]:
    """Cut ``sequences``, longest first, into batches of at most ``budget`` padded tokens (one sequence at least).

    A batch also ends where more than a tenth of it would be padding. The result depends on the sequences and the
    budget only.
    """
    lengths = np.array([len(sequence) for sequence in sequences], dtype=np.int64)
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        longest = max(1, int(lengths[order[start]]))
        candidates = lengths[order[start : start + max(1, budget // longest)]]
        filled = candidates.cumsum() >= (1 - MAX_PADDING) * longest * np.arange(1, len(candidates) + 1)
        stop = start + max(1, int(filled.sum()))  # sorted lengths: once too much is padding, it stays so
        yield _padded(sequences, order[start:stop], lengths)
        start = stop


def _padded(sequences: Sequence[np.ndarray], positions_B: np.ndarray, lengths: np.ndarray) -> Batch:
    lengths_B = lengths[positions_B]
    ids_BT = np.zeros((len(positions_B), int(lengths_B.max(initial=1))), dtype=np.int32)
    for row, position in enumerate(positions_B):
        ids_BT[row, : lengths_B[row]] = sequences[position]
    return Batch(ids_BT, lengths_B, positions_B)
