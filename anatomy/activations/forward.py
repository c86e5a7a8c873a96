"""Residual stream after one block, through TransformerBridge, stopping there (no later block, no LM head)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float

from anatomy.activations.model import Subject
from anatomy.errors import ModelError

if TYPE_CHECKING:
    from anatomy.activations.batches import Batch


def hook_name(layer: int) -> str:
    """TransformerLens name of the residual stream after block ``layer``."""
    return f"blocks.{layer}.hook_resid_post"


@torch.inference_mode()
def residuals(subject: Subject, batch: Batch, layer: int) -> Float[torch.Tensor, "B T D"]:
    """Residual stream after block ``layer``, counted from 0: HF ``hidden_states[layer + 1]`` (before the final norm).

    In the subject's dtype, on its device. Rows of padding hold numbers without meaning; use ``batch.lengths_B``.

    Raises:
        ModelError: ``layer`` is not a block of the model.
    """
    if not 0 <= layer < subject.n_layers:
        raise ModelError(f"layer {layer}: {subject.name} has blocks 0 to {subject.n_layers - 1}")
    ids_BT = torch.from_numpy(batch.ids_BT).to(subject.device, torch.long)
    # Padding is on the right and attention is causal: real tokens never see it, so no mask is needed.
    if layer + 1 < subject.n_layers:
        return subject.bridge(ids_BT, stop_at_layer=layer + 1, use_cache=False)
    return _last_block(subject, ids_BT)


def _last_block(subject: Subject, ids_BT: torch.Tensor) -> torch.Tensor:
    """``stop_at_layer`` stops before a block; after the last one there is none, so its output hook is read."""
    kept: list[torch.Tensor] = []
    name = f"blocks.{subject.n_layers - 1}.hook_out"
    hooks: list[Any] = [(name, lambda tensor, hook: kept.append(tensor))]
    subject.bridge.run_with_hooks(ids_BT, return_type=None, fwd_hooks=hooks, use_cache=False)
    return kept[0]
