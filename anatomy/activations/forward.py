"""Residual stream after some blocks, through TransformerBridge, stopping there (no later block, no LM head)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float

from anatomy.activations.layers import residual_of
from anatomy.activations.model import Subject
from anatomy.errors import ModelError

if TYPE_CHECKING:
    from anatomy.activations.batches import Batch


def hook_name(layer: int) -> str:
    """TransformerLens name of the residual stream after block ``layer``."""
    return f"blocks.{layer}.hook_resid_post"


def residuals(subject: Subject, batch: Batch, layer: int) -> Float[torch.Tensor, "B T D"]:
    """Residual stream after block ``layer``: :func:`residuals_at` for one layer."""
    return residuals_at(subject, batch, [layer])[layer]


@torch.inference_mode()
def residuals_at(subject: Subject, batch: Batch, layers: Sequence[int]) -> dict[int, Float[torch.Tensor, "B T D"]]:
    """Residual stream after each of ``layers``, counted from 0: HF ``hidden_states[layer + 1]``, before the final norm.

    One pass, which ends with the highest of the layers. In the subject's dtype, on its device. Rows of padding hold
    numbers without meaning; use ``batch.lengths_B``.

    Raises:
        ModelError: no layer, or one that is not a block of the model.
    """
    wanted = sorted(set(layers))
    if not wanted or wanted[0] < 0 or wanted[-1] >= subject.n_layers:
        raise ModelError(f"layers {wanted}: {subject.name} has blocks 0 to {subject.n_layers - 1}; name one at least")
    ids_BT = torch.from_numpy(batch.ids_BT).to(subject.device, torch.long)
    kept: dict[int, torch.Tensor] = {}
    with ExitStack() as hooks:
        for layer in wanted:
            hook = _keep(kept, layer, stop=layer == wanted[-1])
            hooks.callback(subject.bridge.blocks[layer].register_forward_hook(hook).remove)
        # Padding is on the right and attention is causal: real tokens never see it, so no mask is needed.
        subject.bridge(ids_BT, return_type=None, use_cache=False)
    return kept


def _keep(kept: dict[int, torch.Tensor], layer: int, stop: bool) -> Any:
    """Forward hook that keeps a block's output, and ends the pass there by the bridge's own exception.

    ``stop_at_layer`` would stop before the next block, and after the last block there is none.
    """
    from transformer_lens.model_bridge.exceptions import StopAtLayerException

    def hook(_block: torch.nn.Module, _inputs: Any, output: Any) -> None:
        kept[layer] = residual_of(output)
        if stop:
            raise StopAtLayerException(kept[layer])

    return hook
