"""Counts of what texts of a set spell out that belongs to templates: chat markup, end tokens, reasoning."""

from __future__ import annotations

from collections import Counter

from anatomy.data.health_parts import ChatMarkup, ReasoningRows
from anatomy.text.chat_markup import STARTS, has_end_token, has_turns
from anatomy.text.hints import Hints
from anatomy.text.reasoning import TAGS, reasoning_of
from anatomy.types import SIDES, SPANS, Pair

_STARTS = Hints([*STARTS, *(f"<{tag}>" for tag in TAGS)])


class TextMarks:
    """Counts over retained rows; ``add`` one after the other."""

    def __init__(self) -> None:
        self._turns = self._reasoned = self._unclosed = 0
        self._ends: Counter[str] = Counter()
        self._only: Counter[str] = Counter()
        self._sides: Counter[str] = Counter()

    def add(self, pair: Pair) -> None:
        """Take one pair into account; most hold nothing that a mark begins with."""
        for message in (*pair.prompt, *pair.chosen, *pair.rejected):
            content = message["content"]
            if len(message) > 2 or (("<" in content or "[" in content) and _STARTS.are_in(content)):
                self._look(pair)
                return

    def _look(self, pair: Pair) -> None:
        texts = {"prompt": [message["content"] for message in pair.prompt]}
        texts |= {side: [message["content"] for message in pair.side(side)] for side in SIDES}
        self._turns += any(has_turns(text) for span in texts.values() for text in span)
        ends = {span: any(map(has_end_token, texts[span])) for span in SPANS}
        self._ends.update(span for span in SPANS if ends[span])
        if ends["chosen"] != ends["rejected"]:
            self._only["chosen" if ends["chosen"] else "rejected"] += 1
        found = {side: [reasoning_of(message) for message in pair.side(side)] for side in SIDES}
        with_text = [side for side in SIDES if any(reasoning and reasoning.text for reasoning in found[side])]
        self._sides.update(with_text)
        self._reasoned += bool(with_text)
        self._unclosed += any(reasoning and reasoning.unclosed for side in SIDES for reasoning in found[side])

    def markup(self) -> ChatMarkup | None:
        """Chat markup and end tokens; None where no text holds any."""
        if not self._turns and not self._ends:
            return None
        return ChatMarkup(
            turns=self._turns,
            ends={span: self._ends[span] for span in SPANS},
            only={side: self._only[side] for side in SIDES},
        )

    def reasoning(self) -> ReasoningRows | None:
        """Rows with reasoning; None where no response carries any."""
        if not self._reasoned and not self._unclosed:
            return None
        return ReasoningRows(
            rows=self._reasoned, sides={side: self._sides[side] for side in SIDES}, unclosed=self._unclosed
        )
