"""Settings of names that a language model gives to clusters."""

from __future__ import annotations

from pydantic import Field

from anatomy.settings import Address, SubjectSettings


class NameSettings(SubjectSettings):
    """Which endpoint names, which clusters, how a name is put to the test, and the tokenizer that cuts the texts."""

    judge_url: Address = Field(
        repr=False, description="OpenAI-compatible endpoint that names and is tested, up to `/v1`."
    )
    judge_model: str = Field(min_length=1, description="Model at that endpoint.")
    key_variable: str = Field("OPENAI_API_KEY", description="Environment variable with the key; may be unset.")
    clusters: str | None = Field(
        None, description="Clusters to name, with commas: ids (R12) or kinds (R, S, D, P); default: all of them."
    )
    exemplars: int = Field(12, ge=2, le=40, description="Texts of each sort that a name is drawn from.")
    held_out: int = Field(
        20, ge=5, le=200, description="Held-out texts of each sort, of other prompts, that a name is tested on."
    )
    concurrency: int = Field(8, ge=1, le=256, description="Requests under way at once.")
    timeout: float = Field(60.0, gt=0, description="Seconds that one request may take.")
    retries: int = Field(4, ge=0, description="Further tries of a request that failed for a passing reason.")
    input_price: float | None = Field(None, ge=0, description="Price of a million input tokens.")
    output_price: float | None = Field(None, ge=0, description="Price of a million output tokens.")
