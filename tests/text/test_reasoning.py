"""Reasoning of a message: fields, tags, tags that never end, and messages without any."""

from __future__ import annotations

import pytest

from anatomy.text.reasoning import reasoning_of


@pytest.mark.parametrize(
    ("message", "text", "unclosed"),
    [
        ({"content": "<think>\nLet me see.\n</think>\n\nA wren."}, "Let me see.", False),
        ({"content": "<think>\n\n</think>\n\nA wren."}, "", False),
        ({"content": "<reasoning>Small.</reasoning><answer>A wren.</answer>"}, "Small.", False),
        ({"content": "<think>Let me see. Let me see."}, "Let me see. Let me see.", True),
        ({"content": "A wren.", "reasoning_content": "Small.\n"}, "Small.", False),
        ({"content": "A wren.", "thinking": "Small."}, "Small.", False),
    ],
)
def test_reasoning_is_found(message, text, unclosed):
    assert reasoning_of({"role": "assistant", **message}) == (text, unclosed)


@pytest.mark.parametrize(
    "message",
    [
        {"content": "I think <b>so</b>."},
        {"content": ""},
        {"content": None},
        {"content": "A.", "reasoning_content": " "},
    ],
)
def test_a_message_without_reasoning_has_none(message):
    assert reasoning_of({"role": "assistant", **message}) is None
