"""Reference log-probabilities, computed once and kept on disk.

A value depends on the model as it is run and on the tokens of one sequence: those before the completion, those of it,
and which of these are scored. Exactly that is the key. Template, tokenizer, window, masks and swaps have no other way
in, so that a changed setting cannot meet a stale value, and arms of an ablation share what they have in common. Rows
are looked up by content, never by position. What is shared with other trainings is what a training found to be its
own policy's before its first step, so that a wrong reference stays with the training that made it.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float
from torch import Tensor

from anatomy.artifacts import atomic_path, is_sealed, read_table, sealed_files, sealed_path
from anatomy.progress import logger, progress_bar
from anatomy.types import SIDES, content_hash
from interventions.training.token_rows import PairTokens, SideTokens, side_tokens

if TYPE_CHECKING:
    from datasets import Dataset

Forward = Callable[[Sequence[PairTokens]], tuple[Float[Tensor, " B"], Float[Tensor, " B"]]]
BLOCKS_PER_PART = 32


def sequence_key(side: SideTokens) -> str:
    """Hash of all that the reference's log-probability of one side depends on, the model apart."""
    digest = hashlib.sha256(f"{len(side['context'])} {len(side['completion'])} ".encode())
    digest.update(np.array([*side["context"], *side["completion"]], np.int64).tobytes())
    digest.update(np.array(side["scored"], np.int8).tobytes())
    return digest.hexdigest()[:32]


@dataclass(frozen=True)
class ReferenceModel:
    """All that changes a reference's value beside the sequence.

    Attributes:
        weights: fingerprint of the weights in their numeric type.
        revision: revision on the Hub that was asked for.
        remote_code: whether code that comes with the weights is run.
        dtype: numeric type of the weights.
        bf16: whether it computes in bfloat16 all the same.
        device: type of the device.
        sharded: whether FSDP splits it.
        torch: version of torch.
        transformers: version of transformers.
    """

    weights: str
    revision: str | None
    remote_code: bool
    dtype: str
    bf16: bool
    device: str
    sharded: bool
    torch: str
    transformers: str


@dataclass(frozen=True)
class ReferenceCache:
    """Summed log-probabilities of sequences under one reference, in sealed parts of ``folder/<hash of model>``.

    ``model`` holds all that changes a value beside the sequence. What stands in ``shared`` is read as well; new values
    get there by :meth:`share` alone.
    """

    folder: Path
    model: Mapping[str, Any]
    shared: Path | None = None

    @property
    def path(self) -> Path:
        """Folder of this reference's values."""
        return self.folder / content_hash(dict(self.model))

    @property
    def folders(self) -> list[Path]:
        """Folders of this reference's values: shared ones, if there are any, and these."""
        return [*([self.shared / self.path.name] if self.shared else []), self.path]

    def read(self) -> dict[str, float]:
        """Value of each sequence by its key; empty where nothing has been computed. Damaged parts are deleted."""
        known: dict[str, float] = {}
        for part in chain.from_iterable(map(sealed_files, self.folders)):
            if not is_sealed(part):
                logger.warning(f"warning: {part}: damaged; its reference log-probabilities are computed again")
                part.unlink(missing_ok=True)
                continue
            table = read_table(part, {"key": "string", "logp": "float"})
            known.update(zip(table["key"].to_pylist(), table["logp"].to_pylist(), strict=True))
        return known

    def share(self) -> None:
        """Give the values computed here to other trainings, if there is a folder for that."""
        for folder in self.folders[:-1]:
            for part in sealed_files(self.path):
                if not (folder / part.name).is_file():
                    with atomic_path(folder / part.name) as temporary:
                        shutil.copyfile(part, temporary)

    def write(self, lines: Sequence[tuple[str, str, str, float]]) -> None:
        """Add a part of (row id, side, key, value)."""
        names = ("row_id", "side", "key", "logp")
        columns = dict(zip(names, map(list, zip(*lines, strict=True)), strict=True))
        with sealed_path(self.path, "part", ".parquet") as part:
            pq.write_table(pa.table(columns).cast(_schema()), part.temporary, compression="zstd")


def _schema() -> pa.Schema:
    texts = [(name, pa.string()) for name in ("row_id", "side", "key")]
    return pa.schema([*texts, ("logp", pa.float32())])


def fill(
    cache: ReferenceCache,
    dataset: Dataset,
    forward: Forward,
    batch_size: int,
    rank: int = 0,
    world: int = 1,
    agree: Callable[[list[int]], list[int]] = list,
) -> None:
    """Compute what the cache lacks for ``dataset``, a block of ``batch_size`` rows at a time; resumes after a kill.

    Blocks are cut by position, so that a value is computed in the company that plain TRL would give it. Each of
    several processes takes its share; all run ``forward`` equally often, as sharded models need. ``agree`` gives each
    of them the first one's list of blocks: between two readings of the cache another training may share its values.
    """
    known = cache.read()
    missing = [
        start
        for start in range(0, len(dataset), batch_size)
        if any(
            sequence_key(side_tokens(row, name)) not in known
            for row in _block(dataset, start, batch_size)
            for name in SIDES
        )
    ]
    starts = agree(missing)
    shares = -(-len(starts) // world)
    lines: list[tuple[str, str, str, float]] = []
    with progress_bar("reference", "block", shares) as bar:
        for number in range(shares):
            position = number * world + rank
            rows = list(_block(dataset, starts[min(position, len(starts) - 1)], batch_size))
            values = dict(zip(SIDES, forward(rows), strict=True))
            if position < len(starts):
                lines += [
                    (row["row_id"], name, sequence_key(side_tokens(row, name)), float(value))
                    for name in SIDES
                    for row, value in zip(rows, values[name].tolist(), strict=True)
                ]
            if lines and (number + 1 == shares or (number + 1) % BLOCKS_PER_PART == 0):
                cache.write(lines)
                lines = []
            bar.update(1)


def _block(dataset: Dataset, start: int, size: int) -> Iterator[PairTokens]:
    for position in range(start, min(start + size, len(dataset))):
        yield dataset[position]


def with_references(dataset: Dataset, cache: ReferenceCache) -> Dataset:
    """``dataset`` with the columns ``ref_chosen_logps`` and ``ref_rejected_logps``, looked up by content."""
    known = cache.read()
    columns: dict[str, list[float]] = {name: [] for name in SIDES}
    for row in dataset:
        for name in SIDES:
            columns[name].append(known[sequence_key(side_tokens(row, name))])
    for name in SIDES:
        dataset = dataset.add_column(f"ref_{name}_logps", columns[name])
    return dataset
