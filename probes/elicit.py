"""Self-generated examples of a trait: the subject model answers questions under contrasting system prompts.

Method.md §8 (paper, F.2). Every question is asked once for the trait and once against it, with one of the concept's
five contrasts in turn. Answers are kept if a judge, or else the concept's text heuristic, agrees with what was
asked for; with neither, all are kept and the report says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from anatomy.activations.generate import generate
from anatomy.activations.generate_settings import GenerateSettings
from anatomy.activations.model import Subject
from anatomy.concepts.concept import Concept
from anatomy.errors import ProbeError
from anatomy.text.matchers import find_ranges
from anatomy.types import Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

KEEP = 50
"""Judge's score (0–100): an answer of at least this shows the trait, one of at most this does not (method.md §8)."""

Judging = Callable[[Sequence[tuple[str, str]]], Sequence[float | None]]
"""(question, answer) pairs → scores 0–100, None where the judge abstained."""


class Elicited(NamedTuple):
    """Kept answers as (question, answer, label), and what happened to all of them."""

    answers: list[tuple[str, str, int]]
    filtered_by: str
    asked: int
    abstained: int


def elicit(
    concept: Concept,
    questions: Sequence[str],
    subject: Subject,
    tokenizer: PreTrainedTokenizerBase,
    settings: GenerateSettings,
    cache: Path,
    judging: Judging | None = None,
    progress: Callable[[int], object] | None = None,
) -> Elicited:
    """Ask every question for and against the trait; ``cache`` keeps the answers, so that a killed run resumes.

    Raises:
        ProbeError: the concept has no contrasting system prompts.
    """
    if not concept.contrasts:
        raise ProbeError(
            f"concept `{concept.id}` has no contrasting system prompts; give examples with --positives pairs"
        )
    asked: list[tuple[str, str, int]] = []
    for number, question in enumerate(questions):
        contrast = concept.contrasts[number % len(concept.contrasts)]
        asked += [(question, contrast.positive, 1), (question, contrast.negative, 0)]
    conversations: list[list[Message]] = [
        [{"role": "system", "content": system}, {"role": "user", "content": question}] for question, system, _ in asked
    ]
    completions = generate(cache, subject, tokenizer, conversations, settings, progress)
    answers = [
        (question, completion.text, label)
        for (question, _, label), completion in zip(asked, completions, strict=True)
        if completion.text.strip()
    ]
    if judging is not None:
        scores = judging([(question, text) for question, text, _ in answers])
        kept = [
            answer
            for answer, score in zip(answers, scores, strict=True)
            if score is not None and (score >= KEEP if answer[2] else score <= KEEP)
        ]
        return Elicited(kept, "judge", len(asked), sum(score is None for score in scores))
    if concept.heuristic is not None:
        heuristic = concept.heuristic
        kept = [answer for answer in answers if bool(find_ranges(answer[1], heuristic)) == bool(answer[2])]
        return Elicited(kept, f"text heuristic `{heuristic}`", len(asked), 0)
    return Elicited(answers, "nothing (no judge was given)", len(asked), 0)
