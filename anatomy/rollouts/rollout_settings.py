"""Settings of rollouts: which model answers which prompts, and how completions are drawn."""

from __future__ import annotations

from pydantic import Field

from anatomy.activations.generate_settings import DrawSettings
from anatomy.settings import FolderOrId, ModelSettings


class SampleSettings(DrawSettings):
    """How many completions of how many prompts, and how they are drawn."""

    max_new_tokens: int = Field(128, ge=1, description="Tokens of a completion, at most; also the window of the data.")
    temperature: float = Field(1.0, ge=0, description="Divides the logits; 0 takes the likeliest token (greedy).")
    samples: int = Field(2, ge=1, description="Completions of each prompt; more than one needs a temperature.")
    max_prompts: int | None = Field(None, ge=1, description="Prompts used, at most: a random sample with the seed.")


class RolloutSettings(ModelSettings, SampleSettings):
    """Everything that decides a folder of rollouts."""

    adapter: FolderOrId | None = Field(
        None, description="Folder of a LoRA adapter on the model that --model names; merged into it."
    )
    prompts: str = Field(description="Preference rows, or a table with a column `prompt`: only prompts are used.")
