"""Training batches of activations: blocks on disk or made on demand, mixed in a buffer, in an order fixed by a seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from anatomy.artifacts import is_sealed, sealed_files, sealed_path
from anatomy.errors import SAEError, SettingsError
from anatomy.sae.reconstruction import too_many_dropped

OUTLIER_FACTOR = 6.0  # method.md §3: tokens whose norm exceeds 6x the mean are dropped


def ordinary(x_ND: Float[Tensor, "N D"]) -> Bool[Tensor, " N"]:
    """Tokens that are finite and whose norm is at most ``OUTLIER_FACTOR`` times the mean norm (method.md §3).

    The others are attention sinks: a few tokens of enormous norm that no SAE is trained on, of which a single one
    spoils the variance explained of 100,000 tokens and sets hundreds of features off.
    """
    norm_N = x_ND.float().norm(dim=1)
    finite_N = norm_N.isfinite()
    kept_N: Tensor = finite_N & (norm_N <= OUTLIER_FACTOR * norm_N[finite_N].mean())
    return kept_N


def drop_outliers(x_ND: Float[Tensor, "N D"]) -> Float[Tensor, "N D"]:
    """Without the tokens that are not :func:`ordinary`."""
    return x_ND[ordinary(x_ND)]


@dataclass
class Blocks:
    """``count`` blocks of activations; block ``i`` is always the same ``[tokens, D]``.

    ``make(i)`` runs the model. With a ``folder`` every block is kept there and made once, or again where it is damaged;
    without one it is made anew whenever it is asked for (a corpus too large for the disk). Either way its numbers are
    float16.
    """

    count: int
    make: Callable[[int], Tensor]
    folder: Path | None = None

    @cached_property
    def _kept(self) -> dict[str, Path]:
        """The files of the folder, by what their names begin with."""
        return {} if self.folder is None else {path.name.rpartition("-")[0]: path for path in sealed_files(self.folder)}

    def load(self, *indices: int) -> Float[Tensor, "N D"]:
        """Blocks one after another, norm outliers dropped.

        Raises:
            SAEError: the share of tokens that were dropped is one that damaged weights give.
        """
        tokens, kept = 0, list[Tensor]()
        for index in indices:
            x_ND = self._whole(index)
            tokens += len(x_ND)
            kept.append(drop_outliers(x_ND))
        fault = too_many_dropped(tokens - sum(map(len, kept)), tokens)
        if fault is not None:
            raise SAEError(f"nothing to train on after this layer: {fault}; check the model's weights, or take another")
        return torch.cat(kept)

    def _whole(self, index: int) -> Float[Tensor, "N D"]:
        from safetensors.torch import load_file, save_file

        if self.folder is None:
            return self.make(index).half()
        stem = f"block-{index:05d}"
        if stem not in self._kept or not is_sealed(self._kept[stem]):
            with sealed_path(self.folder, stem, ".safetensors") as block:
                save_file({"x": self.make(index).half().contiguous()}, block.temporary)
            self._kept[stem] = block.path
        return load_file(self._kept[stem])["x"]


class Position(NamedTuple):
    """The place of a stream: the next batch that it will give."""

    epoch: int = 0
    buffer: int = 0
    batch: int = 0


class BatchStream:
    """Endless iterator over shuffled float32 batches ``[batch, D]``: sae-lens's activation provider.

    Each epoch permutes the blocks; ``per_buffer`` consecutive ones are loaded together and their tokens shuffled.
    Everything follows from ``seed`` and :attr:`position`, so that a resumed stream continues with the same batch and
    reloads one buffer only. What is left of a buffer after whole batches is dropped.
    """

    def __init__(
        self, blocks: Blocks, batch: int, per_buffer: int, seed: int, position: Position | None = None
    ) -> None:
        self.blocks, self.batch, self.per_buffer, self.seed = blocks, batch, per_buffer, seed
        self.position = position or Position()
        self._loaded: tuple[int, int] | None = None
        self._x_ND = torch.empty(0)
        self._order_N = torch.empty(0, dtype=torch.long)

    def __iter__(self) -> BatchStream:
        return self

    def __next__(self) -> Float[Tensor, "B D"]:
        self._settle()
        start = self.position.batch * self.batch
        rows = self._order_N[start : start + self.batch]
        self.position = self.position._replace(batch=self.position.batch + 1)
        return self._x_ND[rows].float()

    def sample(self, tokens: int) -> Float[Tensor, "N D"]:
        """The first ``tokens`` (or fewer) of the current buffer, without moving on."""
        self._settle()
        return self._x_ND[self._order_N[:tokens]].float()

    def _settle(self) -> None:
        """Load the buffer of the current position, passing on to the next one when this is used up."""
        for _ in range(self.blocks.count + 2):
            self._load(self.position.epoch, self.position.buffer)
            if (self.position.batch + 1) * self.batch <= len(self._order_N):
                return
            last = (self.position.buffer + 1) * self.per_buffer >= self.blocks.count
            epoch, buffer = self.position.epoch, self.position.buffer
            self.position = Position(epoch + 1) if last else Position(epoch, buffer + 1)
        raise SettingsError(
            f"batch = {self.batch}: no buffer of activations is that large; lower `batch`, raise `buffer_tokens`, "
            "or give more text"
        )

    def _load(self, epoch: int, buffer: int) -> None:
        if self._loaded == (epoch, buffer):
            return
        self._x_ND = torch.empty(0)  # frees the last buffer before the next one is built
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        order = torch.randperm(self.blocks.count, generator=generator).tolist()
        wanted = order[buffer * self.per_buffer : (buffer + 1) * self.per_buffer]
        self._x_ND = self.blocks.load(*wanted)
        generator.manual_seed((self.seed * 1_000_003 + epoch) * 1_000_003 + buffer)
        self._order_N = torch.randperm(len(self._x_ND), generator=generator)
        self._loaded = (epoch, buffer)
