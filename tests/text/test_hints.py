"""A cheap look before a rule never changes what the rule finds: texts drawn from each rule's own pattern pass it."""

from __future__ import annotations

import re

import pytest

from anatomy.data.text_marks import _STARTS
from anatomy.text import chat_markup, matchers, personal_data, reasoning, refusal_rule
from anatomy.text.content_patterns import CONTENT_PATTERNS
from anatomy.text.hints import Hints
from tests.support.matching_texts import matching_texts

HINTED = {
    **{name: hints for name, (_, hints) in CONTENT_PATTERNS.items() if hints},
    **matchers._HINTS,
}
PATTERNS = {**matchers._PATTERNS, **{name: pattern for name, (pattern, _) in CONTENT_PATTERNS.items()}}
DRAWS = 1_000


@pytest.mark.parametrize("name", HINTED)
def test_what_a_pattern_finds_has_a_hint(name):
    pattern = re.compile(PATTERNS[name], 0 if name in matchers._CASED else re.IGNORECASE)
    texts = list(matching_texts(pattern, DRAWS))
    assert len(texts) > DRAWS / 10
    for text in texts:
        assert matchers.find_ranges(text, name) == [match.span() for match in pattern.finditer(text)]


def test_refusals_have_a_hint():
    texts = [text for text in matching_texts(refusal_rule._REFUSAL, DRAWS) if not refusal_rule._ANSWERS.search(text)]
    assert len(texts) > DRAWS / 10
    assert all(refusal_rule.refusal_ranges(text) for text in texts if refusal_rule._REFUSAL.search(text, 0, 300))


@pytest.mark.parametrize(("look", "pattern"), [
    (personal_data._KEY_HINTS.are_in, personal_data._KEY),
    (personal_data._LIKE_A_PHONE.search, personal_data._PHONE),
    *((_STARTS.are_in, pattern) for pattern in (chat_markup._END, *chat_markup._OPENERS, reasoning._OPENED)),
])  # fmt: skip
def test_what_is_looked_for_has_a_hint(look, pattern):
    texts = list(matching_texts(pattern, DRAWS))
    assert len(texts) > DRAWS / 10
    assert all(look(text) for text in texts)


@pytest.mark.parametrize(("text", "held"), [("a needle", True), ("Needle", False), ("öpinö", True), ("\ud800", False)])
def test_hints_are_found_in_any_text(text, held):
    assert Hints(["needle", "pin"]).are_in(text) is held
