"""Chat markup and end tokens inside texts: each family of templates, and texts that only look alike."""

from __future__ import annotations

import pytest

from anatomy.text.chat_markup import has_end_token, has_turns


@pytest.mark.parametrize(
    "text",
    [
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
        "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi",
        "<s>[INST] Hi [/INST]",
        "[INST] Hi [/INST]",
        "[INST] <<SYS>>\nBe kind.\n<</SYS>>\n\nHi [/INST]",
        "<|user|>\nHi\n<|assistant|>\n",
        "<start_of_turn>user\nHi",
    ],
)
def test_texts_that_went_through_a_template_open_turns(text):
    assert has_turns(text)


@pytest.mark.parametrize(
    "text",
    [
        "Use <s>strike</s> sparingly.",
        "A list [1, 2] and <b>bold</b>.",
        "What does <|endoftext|> mean?",
        "if a <user and b> 3: [INSTALL]",
        "",
    ],
)
def test_other_texts_open_none(text):
    assert not has_turns(text)


@pytest.mark.parametrize("token", ["</s>", "<|im_end|>", "<|eot_id|>", "<end_of_turn>", "<|endoftext|>"])
def test_an_end_token_is_found_anywhere(token):
    assert has_end_token(f"It is a wren.{token}")
    assert has_end_token(f"What does {token} mean?")
    assert not has_end_token(f"It is a wren.{token[:-1]}")
