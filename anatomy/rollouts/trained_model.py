"""A model after training as a subject: a Hugging Face folder, a LoRA adapter's folder, or the laptop model."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anatomy.activations.model import LAPTOP_MODEL, Subject, load_subject, load_tokenizer, locate_model
from anatomy.errors import ModelError
from anatomy.settings import ModelSettings

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

ADAPTER, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def load_policy(settings: ModelSettings) -> tuple[Subject, PreTrainedTokenizerBase]:
    """The model that ``settings`` name, and its tokenizer; a LoRA adapter is merged into its base model.

    An adapter's base is the model that its ``adapter_config.json`` names; the laptop model where that is the one. The
    merged weights pass through a temporary folder, because the bridge wraps a model's layers when it is loaded.

    Raises:
        ModelError: as :func:`load_subject`, or an adapter without safetensors weights or that does not fit its base.
    """
    folder = None if settings.model is None else Path(settings.model).expanduser()
    if folder is None or not (folder / ADAPTER).is_file():
        tokenizer = load_tokenizer(settings)
        return load_subject(settings, tokenizer), tokenizer
    base = settings.model_copy(update={"model": _base_of(folder)})
    tokenizer = load_tokenizer(base)
    with tempfile.TemporaryDirectory(prefix="anatomy-") as merged:
        _merge(base, folder, merged)
        subject = load_subject(settings.model_copy(update={"model": merged, "model_revision": None}), tokenizer)
    return replace(subject, name=str(folder), origin=f"adapter on {base.model or LAPTOP_MODEL}"), tokenizer


def _base_of(folder: Path) -> str | None:
    try:
        named = json.loads((folder / ADAPTER).read_text(encoding="utf-8"))["base_model_name_or_path"]
    except (ValueError, KeyError, TypeError):
        raise ModelError(f"{folder / ADAPTER}: names no base model; save the adapter with peft") from None
    return None if named in (None, LAPTOP_MODEL) else str(named)


def _merge(base: ModelSettings, folder: Path, out: str) -> None:
    """Write the base model with the adapter's weights added."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    if not (folder / ADAPTER_WEIGHTS).is_file():
        raise ModelError(f"{folder}: no {ADAPTER_WEIGHTS}; save the adapter as safetensors")
    source = locate_model(base)
    try:
        model: Any = AutoModelForCausalLM.from_pretrained(source.path, dtype="auto", **source.arguments)
        PeftModel.from_pretrained(model, str(folder)).merge_and_unload().save_pretrained(out)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"{folder}: does not fit {source.name} ({reason}); check its base model") from None
