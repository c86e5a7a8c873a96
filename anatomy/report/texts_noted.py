"""What texts and template of a set do to a training, as sentences: the same for the terminal and the page."""

from __future__ import annotations

from collections.abc import Iterator

from anatomy.data.health import Health
from anatomy.data.health_parts import ChatMarkup, ReasoningRows, TemplateFacts, TrainingWindow
from anatomy.report.layout import count


def noted_texts(health: Health) -> list[str]:
    """One sentence for each thing that somebody who trains on the set should know of its texts."""
    parts = [
        *(_markup(health.markup) if health.markup else ()),
        *(_reasoning(health) if health.reasoning else ()),
        *(_template(health.template) if health.template else ()),
        *(_training(health.training) if health.training else ()),
    ]
    return list(parts)


def _markup(found: ChatMarkup) -> Iterator[str]:
    if found.turns:
        yield (
            f"Chat markup in the text of {_rows(found.turns)}: they went through a template already, and a second one "
            "would be applied to its output"
        )
    for side, other in (("chosen", "rejected"), ("rejected", "chosen")):
        if found.only[side]:
            yield (
                f"End token only in {side}: {count(found.only[side])} (only in {other}: {count(found.only[other])}); "
                "a training learns to write it"
            )
    if any(found.ends.values()) and not any(found.only.values()):
        yield "End tokens spelt out: " + ", ".join(f"{span} {count(rows)}" for span, rows in found.ends.items())


def _reasoning(health: Health) -> Iterator[str]:
    found: ReasoningRows | None = health.reasoning
    assert found is not None
    sides = ", ".join(f"{side} {count(rows)}" for side, rows in found.sides.items())
    yield f"Reasoning in responses of {_rows(found.rows)} ({sides})"
    if found.unclosed:
        yield f"Reasoning that never ends (its tag is not closed): {_rows(found.unclosed)}"


def _template(found: TemplateFacts) -> Iterator[str]:
    if found.bos == "missing":
        yield "The chat template writes no start token, and the tokenizer starts every text with one"
    if found.bos == "doubled":
        yield "The chat template writes the start token twice"
    elif found.added:
        yield "A trainer that adds special tokens to rendered text doubles the start token; `anatomy train` does not"
    if not found.ends:
        yield "The chat template puts no end token after an answer: a training on it does not teach when to stop"
    if found.own_system:
        yield "The chat template puts a system turn of its own before a conversation that has none"
    if found.dated:
        yield "The chat template writes the day's date: texts of audit and training differ by it"


def _training(found: TrainingWindow) -> Iterator[str]:
    cut = ", ".join(f"{span} of {count(rows)}" for span, rows in found.cut.items() if rows) or "none"
    yield (
        f"At the training length of {count(found.length)} tokens: {count(found.no_room)} rows without room for a "
        f"response, {count(found.identical)} alike once cut; cut: {cut} rows"
    )


def _rows(number: int) -> str:
    return f"{count(number)} row{'' if number == 1 else 's'}"
