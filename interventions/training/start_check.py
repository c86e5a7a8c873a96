"""What holds before the first step of every training: the policy is the reference, so that each row starts at log 2.

Both are one model, read the same tokens and are not steered here, so that their log-probabilities differ by rounding
alone. Rounding is independent from token to token: over a completion of ``T`` tokens it grows as ``√T``. So the gap is
the root mean square, over sequences, of ``(log π − log π_ref) / √T``, in nats.

The tolerance is in roundings ``u`` of the type that is computed in. Two shapes of a batch gave gaps of 60 ``u`` in
float32, which are 3e-6 nats and mostly the rounding of the sums themselves, and of 1.1 ``u`` in bfloat16 (random models
of both architectures, and 30 layers of the laptop model). Rotary embeddings rounded to bfloat16 for the policy alone
gave 10 ``u``, other weights hundreds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from anatomy.errors import RunError
from interventions.training.token_rows import PairTokens

if TYPE_CHECKING:
    from accelerate import Accelerator
    from datasets import Dataset

PAIRS = 8
"""Pairs that are looked at, over all processes, at least."""
TOLERANCE = {torch.float32: 2.0**-13, torch.bfloat16: 2.0**-6}
"""Nats per root of a token: 2¹¹ roundings of float32 (``u = 2⁻²⁴``), 8 of bfloat16 (``u = 2⁻⁹``)."""


class StartGap:
    """Sums over sequences: of the squared gap of each token, and of ones; ``sums`` has shape ``(2,)``."""

    def __init__(self) -> None:
        self.sums = torch.zeros(2)

    def add(self, policy_S: Float[Tensor, " S"], reference_S: Float[Tensor, " S"], tokens_S: Int[Tensor, " S"]) -> None:
        """Add sequences with their summed log-probabilities and numbers of scored tokens."""
        gap_S = (policy_S - reference_S).float().square() / tokens_S.clamp(min=1)
        self.sums = self.sums.to(gap_S.device) + torch.stack([gap_S.sum(), torch.ones_like(gap_S).sum()])


def first_blocks(dataset: Dataset, size: int, processes: Accelerator) -> Iterator[Sequence[PairTokens]]:
    """Yield blocks of ``size`` rows from the start of ``dataset``, others in each process and equally many."""
    world, rank = processes.num_processes, processes.process_index
    for number in range(-(-PAIRS // (size * world))):
        start = (number * world + rank) * size
        yield [dataset[position % len(dataset)] for position in range(start, start + size)]


def require_start(sums: Tensor, dtype: torch.dtype, kept: Sequence[Path]) -> None:
    """Stop where policy and reference are further apart than rounding in ``dtype``.

    Args:
        sums: those of all processes.
        kept: folders in which the reference's values are kept.

    Raises:
        RunError: the gap is larger than the tolerance, or not a number.
    """
    total, sequences = sums.tolist()
    gap = (total / sequences) ** 0.5
    if gap <= TOLERANCE[dtype]:
        return
    remedy = "train with --no-bf16, or in one process"
    if kept:
        folders = " and ".join(map(str, kept))
        remedy = f"delete {folders} and run again; if that does not help, give --no-precompute-references"
    raise RunError(
        f"before the first step the policy is {gap:.2g} nats per √token from its reference, and rounding explains "
        f"{TOLERANCE[dtype]:.2g}: {remedy}"
    )
