"""A model after training as a subject: a Hugging Face folder, a LoRA adapter's folder, or the laptop model."""

from __future__ import annotations

import json
import shlex
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anatomy.activations.model import LAPTOP_MODEL, Subject, load_subject, load_tokenizer, load_weights, locate_model
from anatomy.data.stamped_folder import require_whole
from anatomy.errors import ModelError, one_line
from anatomy.settings import ModelSettings, expanded
from anatomy.text.visible import visible

if TYPE_CHECKING:
    from peft import LoraConfig
    from transformers import PreTrainedTokenizerBase

ADAPTER, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
APPLIED = frozenset(
    "r lora_alpha target_modules exclude_modules layers_to_transform layers_pattern rank_pattern alpha_pattern "
    "fan_in_fan_out bias use_rslora use_dora lora_bias modules_to_save".split()
)
"""Fields of a LoRA adapter's configuration that say how its weights are added."""
PASSED_OVER = frozenset(
    "peft_type task_type base_model_name_or_path revision auto_mapping peft_version inference_mode lora_dropout "
    "init_lora_weights megatron_core".split()
)
"""Fields that say where it came from and how it was trained; peft imports modules by the names in some of them."""


def load_policy(settings: ModelSettings, adapter: str | None = None) -> tuple[Subject, PreTrainedTokenizerBase]:
    """The model that ``settings`` name, and its tokenizer; the LoRA adapter of a folder is merged into it.

    An adapter's folder in the place of the model in ``settings`` has the laptop model as its base. An adapter does
    not choose its base: its ``adapter_config.json`` may come from anybody. The merged weights pass through a temporary
    folder, because the bridge wraps a model's layers when it is loaded.

    Raises:
        ModelError: as :func:`load_subject`, or an adapter without safetensors weights, that does not fit its base, or
            on another model than the laptop model where no base was named.
    """
    if adapter is None and settings.model is not None and _is_adapter(settings.model):
        _require_laptop_base(expanded(settings.model))
        adapter, settings = settings.model, settings.model_copy(update={"model": None})
    tokenizer = load_tokenizer(settings)
    if adapter is None:
        return load_subject(settings, tokenizer), tokenizer
    folder = expanded(adapter)
    with tempfile.TemporaryDirectory(prefix="anatomy-") as merged:
        _merge(settings, folder, merged)
        subject = load_subject(settings.model_copy(update={"model": merged, "model_revision": None}), tokenizer)
    return replace(subject, name=str(folder), origin=f"adapter on {settings.model or LAPTOP_MODEL}"), tokenizer


def _is_adapter(model: str) -> bool:
    return (expanded(model) / ADAPTER).is_file()


def _require_laptop_base(folder: Path) -> None:
    named = _card(folder).get("base_model_name_or_path")
    if named not in (None, LAPTOP_MODEL):
        raise ModelError(
            f"{folder}: a LoRA adapter, which does not choose the model that is loaded; name both: --model "
            f"{shlex.quote(visible(str(named))[:200])} --adapter {shlex.quote(str(folder))}"
        )


def _card(folder: Path) -> dict[str, Any]:
    try:
        card = json.loads((folder / ADAPTER).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        raise ModelError(f"{folder / ADAPTER}: cannot be read; give a folder that peft saved an adapter in") from None
    if not isinstance(card, dict) or card.get("peft_type") != "LORA":
        raise ModelError(f"{folder / ADAPTER}: not a LoRA adapter; only those are merged")
    return card


def _lora_config(folder: Path) -> LoraConfig:
    """How the weights are added, and nothing else of what the folder says."""
    from peft import LoraConfig

    card, usual = _card(folder), vars(LoraConfig())
    odd = [
        name
        for name, value in card.items()
        if name not in APPLIED | PASSED_OVER and value not in (None, False, [], {}, usual.get(name))
    ]
    if odd:
        raise ModelError(f"{folder / ADAPTER}: `{visible(odd[0])[:80]}` is not supported; merge the adapter with peft")
    return LoraConfig(**{name: value for name, value in card.items() if name in APPLIED}, task_type="CAUSAL_LM")


def _merge(base: ModelSettings, folder: Path, out: str) -> None:
    """Write the base model with the adapter's weights added."""
    from peft import PeftModel

    require_whole(folder)
    if not (folder / ADAPTER_WEIGHTS).is_file():
        raise ModelError(f"{folder}: no {ADAPTER_WEIGHTS}; save the adapter as safetensors")
    source = locate_model(base)
    model = load_weights(source, "auto")
    try:
        adapted: Any = PeftModel.from_pretrained(model, str(folder), config=_lora_config(folder))
        adapted.merge_and_unload().save_pretrained(out)
    except (OSError, ValueError, TypeError, RuntimeError, KeyError) as error:
        raise ModelError(f"{folder}: does not fit {source.name} ({one_line(error)}); check its base model") from None
