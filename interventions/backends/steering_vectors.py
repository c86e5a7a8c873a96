"""Steering vectors on disk, and the policy's forward pass with them (method.md §9).

The vectors are neither parameters nor buffers: nothing shards, trains or saves them with the model.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from jaxtyping import Int
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from anatomy.activations.steering import steered
from anatomy.artifacts import atomic_path
from anatomy.errors import RunError
from interventions.backends.pair_edits import SteeringVector

if TYPE_CHECKING:
    from transformers import PreTrainedModel

VECTORS = "steering.safetensors"
NEVER = torch.iinfo(torch.int32).max
"""Start position of a sequence that is not steered."""


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
    try:
        with safe_open(path, "pt") as file:
            facts = json.loads(file.metadata()["vectors"])
            return [
                SteeringVector(fact["concept"], fact["layer"], file.get_tensor(str(number)))
                for number, fact in enumerate(facts)
            ]
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
