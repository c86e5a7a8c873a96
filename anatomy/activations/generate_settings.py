"""Settings of completions: how they are drawn, and how many at once."""

from __future__ import annotations

from pydantic import Field

from anatomy.settings import Settings


class DrawSettings(Settings):
    """How a completion is drawn."""

    max_new_tokens: int = Field(256, ge=1, description="Tokens of a completion, at most.")
    temperature: float = Field(0.0, ge=0, description="Divides the logits; 0 takes the likeliest token (greedy).")
    top_p: float = Field(1.0, gt=0, le=1, description="Sample from the fewest tokens that hold this probability.")
    seed: int = Field(0, ge=0, description="Seed of the samples.")


class GenerateSettings(DrawSettings):
    """How completions are drawn, and how many at once."""

    batch_tokens: int = Field(16_384, ge=64, description="Padded tokens of a batch, prompts and completions together.")
