"""Settings of a judge: which endpoint, and how it is asked."""

from __future__ import annotations

from urllib.parse import urlsplit

from pydantic import Field, field_validator

from anatomy.settings import Address, Settings


class JudgeSettings(Settings):
    """Which endpoint judges, and how it is asked."""

    base_url: Address = Field(repr=False, description="Address of the endpoint, up to `/v1`, with http:// or https://.")
    model: str = Field(min_length=1, description="Model, as the endpoint names it.")
    key_variable: str = Field("OPENAI_API_KEY", description="Environment variable with the key; may be unset.")
    concurrency: int = Field(8, ge=1, le=256, description="Requests under way at once.")
    timeout: float = Field(60.0, gt=0, description="Seconds that one request may take.")
    retries: int = Field(4, ge=0, description="Further tries of a request that failed for a passing reason.")
    max_tokens: int = Field(512, ge=16, description="Tokens of one answer, at most.")
    input_price: float | None = Field(None, ge=0, description="Price of a million input tokens.")
    output_price: float | None = Field(None, ge=0, description="Price of a million output tokens.")

    @field_validator("base_url")
    @classmethod
    def _address(cls, value: str) -> str:
        try:
            parts = urlsplit(value)
            right = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and value.isprintable()
        except ValueError:  # a port that is none, or an open bracket
            right = False
        if not right or any(character in " @?#\\" for character in value):
            raise ValueError("expected http(s)://host/v1, without user name, query or spaces")
        return value.rstrip("/")
