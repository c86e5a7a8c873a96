"""Templates are programs: whatever one does, a row is refused with a reason, in seconds, and the next is rendered."""

from __future__ import annotations

import json
import os

import pytest
from support.tiny import CHATML, save_tokenizer

from anatomy.activations import chat_template
from anatomy.activations.chat_template import TemplateError, apply_template
from anatomy.activations.model import load_tokenizer
from anatomy.activations.spans import encode_row
from anatomy.activations.token_check import TokenCheck
from anatomy.cli.app import main
from anatomy.data.faults import TEMPLATE_REFUSES, TOO_LONG
from anatomy.errors import ModelError
from anatomy.settings import ModelSettings
from anatomy.types import Pair, Response

HOSTILE = {
    "division by zero": ("{{ 1 / 0 }}", "ZeroDivisionError"),
    "recursion": ("{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}", "RecursionError"),
    "own exception": ("{{ raise_exception('roles must alternate') }}", "roles must alternate"),
    "undefined name": ("{{ nothing.more }}", "UndefinedError"),
    "call of a text": ("{{ messages[0].content() }}", "TypeError"),
    "index out of range": ("{{ [].pop() }}", "SecurityError"),
    "attributes of Python": ("{{ ''.__class__.__mro__ }}", "SecurityError"),
    "not Jinja": ("{% for %}", "TemplateSyntaxError"),
    "nested without end": ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", ""),
    "text of 10^11": ("{{ 'a' * (10 ** 11) }}", "MemoryError"),
    "text of 10^8": ("{{ 'a' * (10 ** 8) }}", "characters come out"),
    "padding": ("{{ '%0999999999d' % 1 }}", ""),
    "doubling": (
        "{% set t = namespace(x='a') %}{% for i in range(60) %}{% set t.x = t.x ~ t.x %}{% endfor %}",
        "MemoryError",
    ),
}
ENDLESS = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}x"
TURNS = [{"role": "user", "content": "Hi"}]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    save_tokenizer(folder)
    return load_tokenizer(ModelSettings(model=str(folder)))


@pytest.fixture
def with_template(tokenizer, monkeypatch):
    def make(template: str):
        monkeypatch.setattr(tokenizer, "chat_template", template)
        return tokenizer

    return make


def pair_of(**extra) -> Pair:
    return Pair(7, TURNS, *([{"role": "assistant", "content": text}] for text in ("Yes.", "No.")), **extra)


def rendered(tokenizer, **extra) -> str:
    return apply_template(Response(7, TURNS, (), **extra), [TURNS], tokenizer)[0]


@pytest.mark.parametrize("case", HOSTILE)
def test_what_a_template_raises_is_a_refusal(case, with_template):
    template, says = HOSTILE[case]
    with pytest.raises(TemplateError, match=r"^row 7: the chat template refuses turns \(user\): ") as caught:
        rendered(with_template(template))
    assert says in caught.value.detail
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
    assert rendered(with_template(CHATML)).endswith("Hi<|im_end|>\n"), "the next row is rendered"


def test_endless_template_is_stopped_and_the_next_row_rendered(with_template):
    with pytest.raises(TemplateError, match="it takes seconds for one row"):
        rendered(with_template(ENDLESS))
    assert rendered(with_template(CHATML)).endswith("Hi<|im_end|>\n")


def test_template_that_kills_its_process_again_and_again_is_an_error(with_template, monkeypatch):
    """Each death costs seconds: three in a row end the run, one between good rows does not."""
    monkeypatch.setattr(chat_template._Renderer, "_exchanged", lambda *_: os.kill(pid(), 9) or [])

    def pid() -> int:
        return chat_template._RENDERER._process.pid

    tokenizer = with_template(CHATML)
    for _ in range(2):
        with pytest.raises(TemplateError, match=r"ends the process that renders it \(code -9\)"):
            rendered(tokenizer)
    with pytest.raises(ModelError, match="on 3 rows in turn; use --chat-template") as caught:
        rendered(tokenizer)
    assert not isinstance(caught.value, TemplateError)
    monkeypatch.undo()
    assert rendered(tokenizer)


def test_text_is_that_of_the_tokenizer(tokenizer):
    turns = [
        {"role": "system", "content": 'S\u2028 🦊 "q"'},
        *TURNS,
        {"role": "assistant", "content": "A", "name": None},
    ]
    for opened in (False, True):
        theirs = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=opened)
        assert apply_template(Response(0, turns, ()), [turns], tokenizer, opened=opened) == [theirs]
    assert apply_template(Response(0, turns, ()), [turns, TURNS], tokenizer)[1] == rendered(tokenizer)


RESERVED = [
    "chat_template", "tokenize", "tools", "documents", "messages", "conversation", "conversations",
    "add_generation_prompt", "continue_final_message", "return_dict", "return_tensors", "tokenizer_kwargs", "padding",
    "truncation", "max_length", "bos_token", "eos_token", "pad_token", "unk_token", "additional_special_tokens",
    "raise_exception", "strftime_now", "namespace", "range", "self",
]  # fmt: skip


@pytest.mark.parametrize("name", RESERVED)
def test_row_may_not_decide_how_it_is_rendered(name, tokenizer):
    """The row is counted, with the name of the key."""
    check = TokenCheck(tokenizer, ModelSettings())
    for value in ("{{ 1 / 0 }}", True, None, ["x"]):
        result = check(pair_of(chat_template_kwargs={name: value, "thinking": True}))
        assert result.reason == TEMPLATE_REFUSES
        assert f"`chat_template_kwargs` sets `{name}`" in result.detail


def test_row_may_set_variables_of_the_template(with_template):
    template = "{{ '<think>' if thinking }}{{ tools | length if tools }}{{ messages[0].content }}{{ bos_token }}"
    tokenizer = with_template(template)
    assert rendered(tokenizer) == "Hi<|im_start|>"
    extra = {"chat_template_kwargs": {"thinking": True, "not-a-name": 1}, "tools": [{"name": "f"}]}
    assert rendered(tokenizer, **extra) == "<think>1Hi<|im_start|>"


def test_conversation_too_long_to_tokenise_is_counted(tokenizer, monkeypatch):
    """A tokenizer takes 160 bytes a character; a window holds a few thousand of them."""
    monkeypatch.setattr("anatomy.activations.chat_template.MOST_CHARS", 1000)
    long = [{"role": "assistant", "content": "x" * 1001}]
    check = TokenCheck(tokenizer, ModelSettings())
    assert check(Pair(0, TURNS, long, TURNS)).reason == TOO_LONG
    assert check(pair_of()).reason is None
    with pytest.raises(ModelError, match=r"row 3: .* more than 1,000 characters"):
        encode_row(Response(3, TURNS, long), tokenizer, ModelSettings())


@pytest.mark.parametrize("template", ["{{ 1 / 0 }}", "{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}", ENDLESS])
def test_check_with_a_hostile_template_is_one_line(template, tokenizer, tmp_path, capsys):
    save_tokenizer(tmp_path / "model")
    (tmp_path / "t.jinja").write_text(template)
    (tmp_path / "a.jsonl").write_text(json.dumps({"prompt": "Hi", "chosen": "A", "rejected": "B"}) + "\n")
    rows, model, file = tmp_path / "a.jsonl", tmp_path / "model", tmp_path / "t.jinja"
    assert main(["check", str(rows), "--model", str(model), "--chat-template", str(file)]) == 2
    error = capsys.readouterr().err
    assert "`template-refuses`" in error
    assert "name another template with --chat-template" in error
    assert "Traceback" not in error
