"""Activation steering: a vector added to the residual stream after one block (method.md §9).

``h_l ← h_l + α·v`` is a plain forward hook on the decoder layer, so that it works in forward passes, in ``generate``
with its cache, and in training. With gradient checkpointing the backward pass runs the layer again: keep the context
open until ``backward`` is done, or the recomputed activations lack the vector.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from jaxtyping import Float, Int
from torch import Tensor, nn

from anatomy.activations.layers import decoder_layers, hf_model, residual_of
from anatomy.activations.model import Subject
from anatomy.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@contextmanager
def steered(
    model: Subject | PreTrainedModel,
    layer: int,
    vector_D: Float[Tensor, " D"],
    coefficient: float,
    start: int | Int[Tensor, " B"] = 0,
) -> Iterator[None]:
    """Within the context, add ``coefficient · vector_D`` to the residual stream after block ``layer``, from 0.

    In units of the residual stream: a unit vector moves it by ``coefficient``; a negative one moves it away. HF's
    ``hidden_states[layer + 1]`` and all later ones change, earlier ones do not. Contexts nest, and add up.

    Args:
        model: the subject, or a Hugging Face causal language model.
        layer: block, counted from 0.
        vector_D: direction, of the model's width; it is cast to the residual stream's type and device.
        coefficient: factor of the vector, with its sign.
        start: first token steered, for all rows of the batch or for each: the model's own ``position_ids``, which
            count a row's tokens from 0 without its left padding and continue through the steps of ``generate``.

    Raises:
        ModelError: unknown architecture, no such block, or a vector of another width.
    """
    hugging_face = hf_model(model)
    layers = decoder_layers(hugging_face)
    width = hugging_face.config.get_text_config().hidden_size
    if not 0 <= layer < len(layers):
        raise ModelError(f"layer {layer}: {type(hugging_face).__name__} has blocks 0 to {len(layers) - 1}")
    if vector_D.shape != (width,):
        raise ModelError(f"steering vector of shape {tuple(vector_D.shape)}: the residual stream has width {width}")
    # First of the layer's hooks: transformers records `hidden_states` by hooks of its own, which must see the vector.
    hook = _adder(coefficient * vector_D, start)
    handle = layers[layer].register_forward_hook(hook, prepend=True, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def _adder(shift_D: Tensor, start: int | Tensor) -> Any:
    def hook(_layer: nn.Module, _inputs: Any, arguments: Mapping[str, Any], output: Any) -> Any:
        h_BTD = residual_of(output)
        added = shift_D.to(h_BTD)
        if not (isinstance(start, int) and start == 0):
            added = added * _steered_tokens(arguments, start).to(h_BTD)[..., None]
        steered_BTD = h_BTD + added  # method.md §9, h_l ← h_l + α·v
        return steered_BTD if isinstance(output, Tensor) else (steered_BTD, *output[1:])

    return hook


def _steered_tokens(arguments: Mapping[str, Any], start: int | Tensor) -> Tensor:
    """Mask ``[B or 1, T]`` of the tokens at ``start`` or later."""
    position_ids = arguments.get("position_ids")
    if position_ids is None:
        raise ModelError("steering from a start position needs a model that tells its layers `position_ids`; use 0")
    first = start if isinstance(start, int) else start.to(position_ids.device)[:, None]
    found: Tensor = position_ids >= first
    return found
