"""Settings of the probe verbs; flags and YAML keys alike."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from anatomy.concepts.scorer import Pooling
from anatomy.settings import Address, HarvestSettings, ModelSettings, SAESettings

Positives = Literal["pairs", "heuristic", "prompts", "generate", "cluster"]


class ExampleSettings(ModelSettings, SAESettings):
    """The source of labelled examples."""

    concept: str = Field(description="Id of a concept in the library, or in --concepts-file.")
    concepts_file: Path | None = Field(None, description="YAML file with further concepts.")
    positives: Positives | None = Field(
        None,
        description="How examples are made: `pairs` (chosen positive, rejected negative), `heuristic` (responses with "
        "and without a match), `prompts` (columns prompt, label; answers are read where there is a column completion), "
        "`generate` (the model answers under contrasting "
        "system prompts), `cluster` (an audit's); default: as the concept says.",
    )
    examples: str | None = Field(None, description="Rows to take examples from (Hub id, file, folder or glob).")
    limit: int = Field(600, ge=20, description="Sequences taken from them, at most.")
    hard_negatives: str | None = Field(
        None, description="A further text matcher (`heading`, say): half of the negatives of `heuristic` will match it."
    )
    run: Path | None = Field(None, description="Run directory of the audit, for `cluster`.")
    cluster: str | None = Field(None, description="Response cluster of that audit (R12), for `cluster`.")
    seed: int = Field(0, ge=0, description="Seed of samples, fits and bootstraps.")
    questions: int = Field(60, ge=20, description="Questions asked for `generate`, each under both system prompts.")
    max_new_tokens: int = Field(96, ge=8, description="Length of generated answers, in tokens.")
    judge_url: Address | None = Field(
        None, repr=False, description="OpenAI-compatible endpoint that filters generated answers."
    )
    judge_model: str | None = Field(None, description="Model at that endpoint.")


class ProbeFitSettings(ExampleSettings):
    """How a detector is fitted."""

    detector: Literal["difference-of-means", "linear", "linear-pairwise", "attention", "sae"] | None = Field(
        None, description="Kind of detector; default: as the concept says."
    )
    layers: str | None = Field(
        None, description="Blocks tried, counted from 0: `all`, or numbers with commas; default: eight over the depth."
    )
    pooling: Pooling = Field("max", description="How token scores become a response's.")


class ProbeTestSettings(ExampleSettings):
    """Examples on which a saved detector is measured."""

    concept: str = Field("", description="Default: the detector's own.")


class ProbeScoreSettings(HarvestSettings):
    """What is scored, and the detectors that score it."""

    concept: str = Field(
        description="Concepts or detectors, with commas: ids with a text heuristic, or folders from `probe fit`."
    )
    concepts_file: Path | None = Field(None, description="YAML file with further concepts.")
