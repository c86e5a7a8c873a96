"""What the interventions of a plan do to each pair: the one thing that the planner hands to the trainer.

A plan and the scores of its concepts become one :class:`PairEdit` for each row, on disk beside the rows
(``pair_edits.parquet``), aligned by ``row_id``, and the steering vectors that edits number (``steering.safetensors``).
Training reads nothing else of a plan, so that arms of an ablation differ in these two files and in nothing else. The
vectors are neither parameters nor buffers of the policy: nothing shards, trains or saves them with the model.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import torch
from jaxtyping import Float, Int
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from anatomy.activations.steering import steered
from anatomy.artifacts import atomic_path, read_table, require_unchanged, write_table
from anatomy.errors import RunError
from anatomy.types import SIDES

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Ranges = tuple[tuple[int, int], ...]
"""Characters ``[start, stop)`` of a response, by start."""
VECTORS = "steering.safetensors"
NEVER = torch.iinfo(torch.int32).max
"""Start position of a sequence that is not steered."""


@dataclass(frozen=True)
class SideEdit:
    """What is done to one side of a pair.

    Attributes:
        instruction: sentence that the policy alone sees at the end of the last user turn (inoculation), or None.
        masked: characters ``[start, stop)`` of the final response whose tokens are left out of the log-probability
            sums of policy and reference (token filtering); of the text of ``EncodedSide.text``.
        steered: numbers of the steering vectors added in the policy's forward pass of this side.
    """

    instruction: str | None = None
    masked: Ranges = ()
    steered: tuple[int, ...] = ()


@dataclass(frozen=True)
class PairEdit:
    """What is done to one pair.

    Attributes:
        row_id: content hash of the pair as it stands in the rows, before any swap.
        offset: added inside the log-sigmoid, ``−log σ(β Δθ + offset)``; positive where the pair's preference is
            already explained, which suppresses (method.md §9).
        dropped: why the pair is not trained on, or None.
        swapped: True where chosen and rejected change places; ``chosen``, ``rejected`` and ``offset`` are those after.
        gaps: by concept, the standardised score of chosen minus rejected, after any swap; for the log, whatever the
            backend.
    """

    row_id: str
    offset: float = 0.0
    dropped: str | None = None
    swapped: bool = False
    chosen: SideEdit = field(default_factory=SideEdit)
    rejected: SideEdit = field(default_factory=SideEdit)
    gaps: Mapping[str, float] = field(default_factory=dict)

    def side(self, name: str) -> SideEdit:
        """Return the edit of ``"chosen"`` or ``"rejected"``."""
        return {"chosen": self.chosen, "rejected": self.rejected}[name]


@dataclass(frozen=True)
class SteeringVector:
    """``h_l ← h_l + vector`` after block ``layer``, from 0, of the policy; the coefficient is already in the vector."""

    concept: str
    layer: int
    vector_D: Float[Tensor, " D"]


def write_edits(path: Path, edits: Iterable[PairEdit]) -> None:
    """Write the table, one row a pair, in the order given."""
    rows = list(edits)
    columns: dict[str, list[object]] = {
        "row_id": [row.row_id for row in rows],
        "offset": [row.offset for row in rows],
        "dropped": [row.dropped for row in rows],
        "swapped": [row.swapped for row in rows],
        "gaps": [json.dumps(dict(row.gaps), sort_keys=True) for row in rows],
    }
    for name in SIDES:
        columns[f"{name}_instruction"] = [row.side(name).instruction for row in rows]
        columns[f"{name}_masked"] = [[list(span) for span in row.side(name).masked] for row in rows]
        columns[f"{name}_steered"] = [list(row.side(name).steered) for row in rows]
    schema = pa.schema(
        [
            ("row_id", pa.string()),
            ("offset", pa.float64()),
            ("dropped", pa.string()),
            ("swapped", pa.bool_()),
            ("gaps", pa.string()),
            *(
                column
                for name in SIDES
                for column in (
                    (f"{name}_instruction", pa.string()),
                    (f"{name}_masked", pa.list_(pa.list_(pa.int64()))),
                    (f"{name}_steered", pa.list_(pa.int64())),
                )
            ),
        ]
    )
    write_table(path, pa.table(columns, schema=schema))


def read_edits(path: Path) -> dict[str, PairEdit]:
    """The table by ``row_id``; raises :class:`~anatomy.errors.RunError` where it is missing or broken."""
    return {
        row["row_id"]: PairEdit(
            row_id=row["row_id"],
            offset=row["offset"],
            dropped=row["dropped"],
            swapped=row["swapped"],
            gaps=json.loads(row["gaps"]),
            **{
                name: SideEdit(
                    instruction=row[f"{name}_instruction"],
                    masked=tuple((start, stop) for start, stop in row[f"{name}_masked"]),
                    steered=tuple(row[f"{name}_steered"]),
                )
                for name in SIDES
            },
        )
        for row in read_table(path).to_pylist()
    }


def write_vectors(path: Path, vectors: Sequence[SteeringVector]) -> None:
    """Write the vectors in their order: tensors ``0``, ``1``, …; concept and layer of each as JSON in the header."""
    facts = [{"concept": vector.concept, "layer": vector.layer} for vector in vectors]
    tensors = {str(number): vector.vector_D.contiguous() for number, vector in enumerate(vectors)}
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata={"vectors": json.dumps(facts)})


def read_vectors(path: Path) -> list[SteeringVector]:
    """The vectors in the order in which edits number them.

    Raises:
        RunError: the file is missing, or not one that ``write_vectors`` wrote.
    """
    require_unchanged(path)
    try:
        with safe_open(path, "pt") as file:
            facts = json.loads(file.metadata()["vectors"])
            vectors = [
                SteeringVector(fact["concept"], fact["layer"], file.get_tensor(str(number)))
                for number, fact in enumerate(facts)
            ]
            if not all(bool(vector.vector_D.isfinite().all()) for vector in vectors):
                raise ValueError("numbers that are not finite")
            return vectors
    except (OSError, KeyError, TypeError, ValueError, SafetensorError) as error:
        raise RunError(f"{path}: not a file of steering vectors ({error}); make the plan's edits again") from None


@contextmanager
def steering(
    model: PreTrainedModel, vectors: Sequence[SteeringVector], steer_from: Int[Tensor, "V B"]
) -> Iterator[None]:
    """Within the context, add each vector to the sequences that it steers, from their start positions on.

    The hooks go before the backward pass: layers are recomputed there without them, which leaves gradients as they
    are, because what is added after a layer does not enter what the layer computes.
    """
    with ExitStack() as stack:
        for vector, start_B in zip(vectors, steer_from, strict=True):
            if bool((start_B < NEVER).any()):
                stack.enter_context(steered(model, vector.layer, vector.vector_D, 1.0, start_B))
        yield
