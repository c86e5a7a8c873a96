"""Why a row is not analysed: the closed list of reasons, and the row that could not become a pair."""

from __future__ import annotations

from dataclasses import dataclass

MISSING_RESPONSE = "missing-response"
EMPTY_RESPONSE = "empty-response"
NON_TEXT = "non-text"
UNREADABLE = "unreadable"
NO_ASSISTANT_TURN = "no-assistant-turn"
IDENTICAL_PAIR = "identical-pair"
TIE = "tie"
BOTH_BAD = "both-bad"
NO_LABEL = "no-label"
UNPAIRED = "unpaired"
DUPLICATE_ROW = "duplicate-row"
OPPOSITE_LABEL = "opposite-label"
IDENTICAL_AFTER_TEMPLATE = "identical-after-template"
IDENTICAL_AFTER_TRUNCATION = "identical-after-truncation"
PROMPT_FILLS_WINDOW = "prompt-fills-window"
TEMPLATE_REFUSES = "template-refuses"
TOO_LONG = "too-long"

REASONS = {
    MISSING_RESPONSE: "the chosen or the rejected response is absent",
    EMPTY_RESPONSE: "the final assistant turn of a side has no text",
    NON_TEXT: "NaN, an image or another non-text value stands where text belongs",
    UNREADABLE: "the row has another shape than the set, or a cell that cannot be read (bad JSON, or too deep)",
    NO_ASSISTANT_TURN: "a side does not end in an assistant turn",
    IDENTICAL_PAIR: "chosen and rejected are the same",
    NO_LABEL: "nothing that can be read says which response is better",
    UNPAIRED: "no other response to this prompt to pair it with",
    TIE: "both responses have the same rating, or as many votes",
    BOTH_BAD: "both responses are judged bad",
    DUPLICATE_ROW: "the same row came before",
    OPPOSITE_LABEL: "the same two responses came before with the labels swapped",
    TEMPLATE_REFUSES: "the model's chat template refuses the turns, or changes their text",
    TOO_LONG: "a conversation is longer than can be tokenised in memory",
    IDENTICAL_AFTER_TEMPLATE: "chosen and rejected differ only in what the chat template leaves out",
    IDENTICAL_AFTER_TRUNCATION: "chosen and rejected are the same once cut to the window",
    PROMPT_FILLS_WINDOW: "the prompt leaves no room for a response in the window",
}
"""Reasons for which a row is not retained, in the order in which they are looked for, with their meaning."""

STRUCTURAL = (UNREADABLE, NON_TEXT, MISSING_RESPONSE, NO_ASSISTANT_TURN)
"""Reasons that say that a row has another shape than the set: past a share of them the set is refused."""

REMEDIES = {
    TEMPLATE_REFUSES: "name another template with --chat-template, or leave out `chat_template_kwargs`",
    PROMPT_FILLS_WINDOW: "raise --max-length, or lower --max-prompt-length",
}
"""What helps where no row is left for a reason; elsewhere the columns are to be looked at."""

RATING_AGAINST_LABEL = "rating-against-label"
EMPTY_PROMPT = "empty-prompt"
RATINGS_CONTRADICT = "ratings-contradict"
SYSTEM_DIFFERS = "system-turns-differ"
DIFFER_INVISIBLY = "differ-invisibly"
DIFFER_IN_SPACE = "differ-in-white-space"
DIFFER_IN_UNICODE = "differ-in-unicode-form"
DIFFER_IN_CASE = "differ-in-case"
DIFFER_IN_PUNCTUATION = "differ-in-final-punctuation"
DIFFER_IN_FORM = "differ-in-form"
TO_GRADER = ("chosen-addresses-grader", "rejected-addresses-grader")
REASONING_HIDDEN = "reasoning-hidden"

FLAGS = {
    RATING_AGAINST_LABEL: "the rejected response has the higher rating",
    RATINGS_CONTRADICT: "ratings of the row contradict each other: of the sides, or of one response",
    EMPTY_PROMPT: "the two sides share no prompt text",
    SYSTEM_DIFFERS: "the sides have different system turns, or one has none: the label can be read off them",
    DIFFER_INVISIBLY: "the sides differ in characters that nobody sees, and in nothing else",
    DIFFER_IN_SPACE: "the sides differ in white space alone",
    DIFFER_IN_UNICODE: "the sides are the same characters in another Unicode form",
    DIFFER_IN_CASE: "the sides differ in capital letters alone",
    DIFFER_IN_PUNCTUATION: "the sides differ in their last punctuation alone",
    DIFFER_IN_FORM: "the sides differ in white space, case, last punctuation or Unicode form, and in nothing else",
    TO_GRADER[0]: "the chosen response speaks to its grader, not to the user",
    TO_GRADER[1]: "the rejected response speaks to its grader, not to the user",
    REASONING_HIDDEN: "the chat template leaves out the reasoning of a response",
}
"""Peculiarities of rows that are retained all the same, with their meaning."""

RETAINED = "retained"
"""Status of a row without a reason against it."""


@dataclass(frozen=True)
class Fault:
    """What cannot become a pair: its place in the stream, one of ``REASONS``, and what was found.

    ``source_rows`` are the rows of the source, from 0, that are left out for it; ``index`` alone unless given.
    """

    index: int
    reason: str
    detail: str
    source_rows: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Name the source row of a fault that is of one."""
        if not self.source_rows:
            object.__setattr__(self, "source_rows", (self.index,))
