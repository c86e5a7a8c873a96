"""The Hugging Face model inside a subject, and its decoder layers, whatever the architecture calls them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from torch import Tensor, nn

from anatomy.activations.model import Subject
from anatomy.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def hf_model(model: Subject | PreTrainedModel) -> PreTrainedModel:
    """The Hugging Face module: the one that a subject's bridge wraps (hooks on its layers see both), or ``model``."""
    return cast("PreTrainedModel", model.bridge.original_model) if isinstance(model, Subject) else model


def decoder_layers(model: PreTrainedModel) -> list[nn.Module]:
    """The blocks that the residual stream passes through: the one outermost module list with as many entries.

    HF's own modules, also where a bridge wraps them: HF records ``hidden_states`` there.

    Raises:
        ModelError: no list, or several, have the ``num_hidden_layers`` entries that the (text) configuration states.
    """
    config = model.config.get_text_config()
    count = getattr(config, "num_hidden_layers", None)
    lists = [
        (name, part)
        for name, part in model.named_modules()
        if isinstance(part, nn.ModuleList) and len(part) == count and len({type(layer) for layer in part}) == 1
    ]
    outermost = [
        part for name, part in lists if not any(name.startswith(f"{other}.") for other, _ in lists if other != name)
    ]
    if len(outermost) != 1:
        raise ModelError(
            f"{type(model).__name__}: {len(outermost)} module lists have the {count} decoder layers that its "
            "configuration states, expected one; use a decoder-only model such as Llama, OLMo, Gemma or GPT-NeoX"
        )
    return [getattr(layer, "original_component", layer) for layer in outermost[0]]


def residual_of(output: Tensor | tuple[Any, ...]) -> Tensor:
    """The residual stream in what a decoder layer returns: a tensor, or a tuple that starts with one."""
    return output if isinstance(output, Tensor) else output[0]
