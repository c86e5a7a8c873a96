"""Settings of the training verbs; flags, recipe files and YAML keys alike."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, JsonValue, model_validator

from anatomy.settings import FolderOrId, ModelSettings, RowSettings

Loss = Literal["sigmoid", "sigmoid_norm", "hinge", "robust", "exo_pair", "discopop", "ipo", "nca_pair", "bco_pair",
               "sppo_hard", "apo_zero", "apo_down"]  # fmt: skip
SHAPED = ("sigmoid", "sigmoid_norm", "hinge", "robust", "exo_pair", "discopop")
"""Losses of one argument ``β Δθ``, to which an offset can be added (reverse KL)."""
Schedule = Literal["linear", "cosine", "constant", "constant_with_warmup"]


class SFTSettings(RowSettings, ModelSettings):
    """Supervised fine-tuning on chosen responses, and what it shares with DPO."""

    max_prompt_length: int = Field(
        512, ge=8, description="Tokens of the prompt (its end) that a plan's detectors read; training reads all of it."
    )
    max_response_length: int | None = Field(
        None, ge=1, description="Tokens trained on of a response (its start); default: what `max_length` leaves."
    )
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        "float32", description="Type of the weights; in bfloat16, steps of published learning rates round to nothing."
    )
    bf16: bool = Field(False, description="Compute in bfloat16 (autocast) with weights as `dtype` says.")
    learning_rate: float = Field(1e-6, gt=0, description="Peak learning rate.")
    schedule: Schedule = Field("linear", description="Learning rate after the warm-up.")
    warmup_ratio: float = Field(0.1, ge=0, lt=1, description="Share of the steps in which the learning rate rises.")
    weight_decay: float = Field(0.0, ge=0, description="AdamW's weight decay.")
    max_grad_norm: float = Field(1.0, gt=0, description="Gradients are clipped to this norm.")
    epochs: float = Field(1.0, gt=0, description="Passes over the rows.")
    max_steps: int | None = Field(None, ge=1, description="Stop after this many steps; wins over `epochs`.")
    batch_size: int = Field(128, ge=1, description="Rows in an optimiser step, over all processes.")
    micro_batch_size: int = Field(1, ge=1, description="Rows in one forward pass of one process.")
    gradient_checkpointing: bool = Field(
        False, description="Recompute activations in the backward pass, to save memory."
    )
    lora_rank: int | None = Field(None, ge=1, description="Train LoRA adapters of this rank; default: all weights.")
    lora_alpha: int = Field(32, ge=1, description="LoRA's scale.")
    save_steps: int = Field(200, ge=1, description="Steps between checkpoints; a killed run resumes from the last.")


class TrainSettings(SFTSettings):
    """DPO with the interventions of a plan."""

    plan: Path | None = Field(None, description="YAML plan of interventions; default: none, plain DPO.")
    sae: FolderOrId | None = Field(
        None, description="SAE that the plan's detectors read, if any does; default: the laptop model's own."
    )
    concepts_file: Path | None = Field(None, description="YAML file with further concepts of the plan.")
    loss: Loss = Field("sigmoid", description="TRL's loss; sigmoid_norm divides log-ratios by response length.")
    beta: float = Field(0.1, gt=0, description="β of DPO: how strongly the policy is held to the reference.")
    label_smoothing: float = Field(0.0, ge=0, lt=0.5, description="Label smoothing of the robust and exo_pair losses.")
    precompute_references: bool = Field(
        True, description="Compute the reference's log-probabilities once before training, not beside every step."
    )
    references: Path | None = Field(
        None, description="Folder of reference log-probabilities, which arms can share; default: OUT/references."
    )

    @model_validator(mode="after")
    def _smoothed(self) -> TrainSettings:
        if self.loss == "exo_pair" and self.label_smoothing == 0:
            raise ValueError("loss exo_pair needs a label_smoothing above 0 (1e-3 in its paper)")
        return self


ELSEWHERE = {
    *RowSettings.model_fields, *ModelSettings.model_fields, "plan", "sae", "concepts_file", "save_steps", "references"
} - {"seed", "max_length", "max_response_length", "dtype", "device"}  # fmt: skip
"""Settings whose effect is in rows, edits, weights or template, or that decide only where and when."""


def learnt_by(settings: SFTSettings) -> dict[str, JsonValue]:
    """The settings on which the final weights depend, rows, plan and model apart, by name.

    They are a choice of fields of two models, to be hashed and kept in ``training.json`` as they are.
    """
    return settings.model_dump(mode="json", exclude=set(ELSEWHERE))
