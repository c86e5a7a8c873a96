"""A concept: a named thing that a person can decide on. The library of concepts, and a user's own.

The library is one YAML file for each kind (``library/trait.yaml`` …), a list of entries with the fields of
:class:`Concept`. A user's file has the same form and may mix kinds.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import Field, ValidationError, ValidationInfo, field_validator

from anatomy.artifacts import read_yaml
from anatomy.errors import SettingsError
from anatomy.settings import Settings, listed
from anatomy.text.matchers import MATCHERS

LIBRARY = Path(__file__).parent / "library"
QUESTIONS = LIBRARY / "questions.yaml"
CONTRASTS = 5

Kind = Literal["trait", "style", "safety", "integrity", "topic"]


class ContrastPrompts(Settings):
    """Two system prompts: under ``positive`` the model shows the trait, under ``negative`` its opposite."""

    positive: str = Field(min_length=1, description="System prompt that asks for the trait.")
    negative: str = Field(min_length=1, description="System prompt that asks for its opposite.")


class Concept(Settings):
    """A thing to detect, suppress or amplify: how its examples are made, and what detects it by default."""

    id: str = Field(pattern=r"^[a-z][a-z0-9-]*$", description="Name in commands and file names, as `em-dash`.")
    name: str = Field(min_length=1, description="Name in reports.")
    description: str = Field(min_length=1, description="One or two sentences: what counts as the concept.")
    kind: Kind = Field(description="Kind of concept; topic is what a text is about.")
    direction: Literal["suppress", "amplify", "none"] = Field("none", description="What most people want of it.")
    inoculation: str = Field(min_length=1, description="One sentence in the user's voice that asks for the behaviour.")
    positives: Literal["heuristic", "generate", "prompts", "pairs"] = Field(
        description="Examples: responses that the heuristic finds, the model's own answers under contrasting system "
        "prompts, prompts with labels, or pairs that the user gives."
    )
    heuristic: str | None = Field(None, description="Text matcher that is right about the concept by itself.")
    detector: Literal["text", "difference-of-means", "linear", "attention", "sae"] = Field(
        description="Detector by default."
    )
    contrasts: tuple[ContrastPrompts, ...] = Field(
        (), description="Five pairs of system prompts, of self-generated examples."
    )
    judge_question: str | None = Field(
        None, description="One sentence that asks a judge how much of the concept an answer shows, 0 to 100."
    )

    @field_validator("heuristic")
    @classmethod
    def _known_matcher(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and value not in MATCHERS:
            raise ValueError(f"no text matcher `{value}` (there are: {', '.join(sorted(MATCHERS))})")
        if value is None and info.data.get("positives") == "heuristic":
            raise ValueError("positives: heuristic needs a text matcher here")
        return value

    @field_validator("detector")
    @classmethod
    def _text_has_a_matcher(cls, value: str, info: ValidationInfo) -> str:
        if value == "text" and info.data.get("heuristic", "unknown") is None:
            raise ValueError("detector: text needs a `heuristic`")
        return value

    @field_validator("contrasts")
    @classmethod
    def _contrasts_of_generated(
        cls, value: tuple[ContrastPrompts, ...], info: ValidationInfo
    ) -> tuple[ContrastPrompts, ...]:
        wanted = CONTRASTS if info.data.get("positives") == "generate" else 0
        if "positives" in info.data and len(value) != wanted:
            raise ValueError(f"positives: {info.data['positives']} takes {wanted} contrasts, found {len(value)}")
        if len({prompt for contrast in value for prompt in (contrast.positive, contrast.negative)}) != 2 * len(value):
            raise ValueError("a system prompt occurs twice")
        return value

    @field_validator("judge_question")
    @classmethod
    def _judge_of_generated(cls, value: str | None, info: ValidationInfo) -> str | None:
        if not value and info.data.get("positives") == "generate":
            raise ValueError("positives: generate needs a question for the judge")
        return value


class Library(Mapping[str, Concept]):
    """Concepts by id, in the order of kinds and then of their file."""

    def __init__(self, concepts: Mapping[str, Concept]) -> None:
        self._concepts = dict(concepts)

    def __getitem__(self, concept_id: str) -> Concept:
        return self._concepts[concept_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._concepts)

    def __len__(self) -> int:
        return len(self._concepts)

    def find(self, concept_id: str) -> Concept:
        """The concept of that id.

        Raises:
            SettingsError: there is none; the message names the nearest ones.
        """
        if concept_id in self:
            return self[concept_id]
        near = difflib.get_close_matches(concept_id.lower().replace("_", "-").replace(" ", "-"), self, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(self)}"
        raise SettingsError(f"no concept `{concept_id}`; {hint}")


def load_library(extra: Path | None = None) -> Library:
    """The shipped concepts, and those of the user's file ``extra``.

    Raises:
        SettingsError: a file cannot be read, an entry is not a concept, or an id occurs twice; all faults at once.
    """
    files = [path for kind in get_args(Kind) if (path := LIBRARY / f"{kind}.yaml").exists()]
    concepts: dict[str, Concept] = {}
    faults: list[str] = []
    for path in [*files, *([extra] if extra is not None else [])]:
        for number, entry in enumerate(_entries(path), 1):
            try:
                concept = Concept.model_validate(entry)
            except ValidationError as error:
                faults.append(f"{path}: {_label(entry, number)}: {_reasons(error)}")
                continue
            if concept.id in concepts:
                faults.append(f"{path}: {_label(entry, number)}: the id is taken; choose another")
            concepts[concept.id] = concept
    if faults:
        raise SettingsError(listed(faults))
    return Library(concepts)


def find(concept_id: str, extra: Path | None = None) -> Concept:
    """The concept of that id in the library or the user's file; raises as the two functions that it calls."""
    return load_library(extra).find(concept_id)


def load_questions() -> list[str]:
    """Short everyday questions of varied topics, on which traits are elicited."""
    return [str(question) for question in _entries(QUESTIONS)]


def _entries(path: Path) -> list[Any]:
    entries = read_yaml(path, "list of concepts")
    if not isinstance(entries, list):
        raise SettingsError(f"{path}: expected a list of concepts (`- id: ...`), found {type(entries).__name__}")
    return entries


def _label(entry: Any, number: int) -> str:
    name = entry.get("id") if isinstance(entry, dict) else None
    return f"concept `{name[:80]}`" if isinstance(name, str) else f"entry {number}"


def _reasons(error: ValidationError) -> str:
    reasons = []
    for item in error.errors():
        key = ".".join(str(part) for part in item["loc"])
        reason = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            reason = f"unknown field (allowed: {', '.join(Concept.model_fields)})"
        reasons.append(f"`{key}`: {reason}" if key else reason)
    return listed(reasons, ", ")
