"""The check of pairs that only a tokenizer can make: what the template leaves, and what the windows leave of that."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from anatomy.activations.chat_template import RowTooLong, TemplateError, apply_together
from anatomy.activations.spans import (
    TokenisedSides,
    Window,
    fit_window,
    rendered_sides,
    tokenised_sides,
    with_holes,
)
from anatomy.activations.template_facts import template_facts
from anatomy.activations.token_bounds import RenderedSide, TokenBounds
from anatomy.activations.token_sample import MeasuredRow, TokenSample
from anatomy.data.faults import (
    EMPTY_RESPONSE,
    IDENTICAL_AFTER_TEMPLATE,
    IDENTICAL_AFTER_TRUNCATION,
    REASONING_HIDDEN,
    TEMPLATE_REFUSES,
    TOO_LONG,
)
from anatomy.data.health import RowHealth
from anatomy.data.health_parts import TrainingWindow
from anatomy.data.row_health import CheckResult
from anatomy.settings import ModelSettings
from anatomy.text.reasoning import reasoning_of
from anatomy.types import SPANS, Pair

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MEASURED_TOGETHER = 64
"""Rows: a tokenizer takes 160 bytes for each of their characters."""


class TokenCheck:
    """Says whether a pair survives template, tokenisation and truncation, and counts what was cut.

    With ``sample``, lengths and cuts are those of the sampled rows, and other rows are tokenised only where their text
    does not tell that they survive: the verdicts are the same. With ``train_length`` every row is tokenised, and what
    a training in that window loses is counted too.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        settings: ModelSettings,
        sample: TokenSample | None = None,
        train_length: int | None = None,
    ) -> None:
        self.tokenizer = tokenizer
        self._window = Window.of(settings)
        self.truncated = {"prompt": 0, "chosen": 0, "rejected": 0}
        self.special_in_text = 0
        self._sample = sample
        self._ready: dict[tuple[int, str], tuple[Pair, list[str] | None]] = {}  # pairs are held: no id is given twice
        self._training = _Training(train_length) if train_length is not None else None
        self._bounds = TokenBounds(tokenizer, settings) if sample is not None and train_length is None else None

    def prepare(self, pairs: Sequence[Pair]) -> None:
        """Render the pairs that are checked next; all at once takes a third of the time."""
        sides = [(pair, side) for pair in pairs for side in pair.sides]
        texts = apply_together([(pair, with_holes(pair, side)) for pair, side in sides], self.tokenizer)
        self._ready = {(id(pair), side): (pair, found) for (pair, side), found in zip(sides, texts, strict=True)}

    def __call__(self, pair: Pair) -> CheckResult:
        try:
            rendered = rendered_sides(pair, self.tokenizer, {side: self._texts(pair, side) for side in pair.sides})
        except TemplateError as error:
            return CheckResult(TEMPLATE_REFUSES, None, error.detail)
        except RowTooLong as error:
            return CheckResult(TOO_LONG, None, error.detail)
        if len({side.text for side in rendered.values()}) < len(rendered):
            return CheckResult(IDENTICAL_AFTER_TEMPLATE, None)
        flags = (REASONING_HIDDEN,) if _hides_reasoning(pair, rendered) else ()
        wanted = self._sample is None or self._sample.wants(pair.index)
        if self._sample is not None and self._bounds is not None and self._bounds.certain(rendered):
            if wanted:
                texts = [next(iter(rendered.values())).head, *(side.response for side in rendered.values())]
                self._sample.wait(pair.index, texts, self._measured)
            return CheckResult(None, None, flags=flags)
        sides = tokenised_sides(rendered, self.tokenizer)
        encoded = fit_window(sides, self._window)
        self.special_in_text += encoded.special_in_text > 0
        if self._training is not None and encoded.fault != EMPTY_RESPONSE:  # the audit's window is none of its business
            self._training.add(sides)
        if self._sample is None:
            for span, cut in encoded.truncated.items():
                self.truncated[span] += cut
            return CheckResult(encoded.fault, encoded.lengths, flags=flags)
        if wanted:
            lengths = tuple(encoded.lengths[span] for span in SPANS)
            is_cut = tuple(encoded.truncated[span] for span in SPANS)
            self._sample.add(pair.index, MeasuredRow(lengths, is_cut, encoded.fault is None))
        return CheckResult(encoded.fault, None, flags=flags)

    def _measured(self, rows: Sequence[Sequence[str]]) -> list[MeasuredRow]:
        """The tokens of rows that survive, from the text before their responses and the responses themselves."""
        backend = self.tokenizer.backend_tokenizer
        found = []
        for start in range(0, len(rows), MEASURED_TOGETHER):
            group = rows[start : start + MEASURED_TOGETHER]
            encoded = backend.encode_batch_fast([text for row in group for text in row], add_special_tokens=False)
            sizes = iter(map(len, encoded))
            for row in group:
                lengths = tuple(next(sizes) for _ in row)
                room = self._window.room(lengths[0])
                limits = (self._window.prompt, *[room] * (len(row) - 1))
                found.append(MeasuredRow(lengths, tuple(map(operator.gt, lengths, limits)), usable=True))
        return found

    def _texts(self, pair: Pair, side: str) -> list[str] | None:
        return self._ready.get((id(pair), side), (pair, None))[1]

    def add_to(self, health: RowHealth) -> RowHealth:
        """The health of the checked rows, with what was cut, special tokens in texts, and facts of the template."""
        if self._sample is not None:
            health = self._sample.add_to(health, self._measured)
        else:
            health = health.model_copy(update={"truncated": dict(self.truncated)})
        return health.model_copy(
            update={
                "special_in_text": self.special_in_text,
                "template": template_facts(self.tokenizer),
                "training": self._training.found() if self._training is not None else None,
            }
        )


class _Training:
    """What a training in a window of ``length`` tokens loses of the rows: it cuts the end, never the prompt."""

    def __init__(self, length: int) -> None:
        self._window = Window(length, length)
        self._identical = self._no_room = 0
        self._cut: Counter[str] = Counter()

    def add(self, sides: TokenisedSides) -> None:
        """Take in one row."""
        encoded = fit_window(sides, self._window)
        self._identical += encoded.fault == IDENTICAL_AFTER_TRUNCATION
        self._no_room += encoded.fault not in (None, IDENTICAL_AFTER_TRUNCATION)
        self._cut.update(span for span, cut in encoded.truncated.items() if cut)

    def found(self) -> TrainingWindow:
        """The counts so far."""
        return TrainingWindow(
            length=self._window.length,
            no_room=self._no_room,
            identical=self._identical,
            cut={span: self._cut[span] for span in SPANS},
        )


def _hides_reasoning(pair: Pair, rendered: dict[str, RenderedSide]) -> bool:
    """Whether a response carries reasoning that is not in the rendered text of its side."""
    for side, shown in rendered.items():
        for message in pair.side(side):
            reasoning = reasoning_of(message)
            if reasoning is not None and reasoning.text not in shown.text:
                return True
    return False
