"""Spans, verified by decoding them, over chat templates of several families."""

from __future__ import annotations

import numpy as np
import pytest
from support.tiny import CHATML, save_tokenizer

from anatomy.activations import spans
from anatomy.activations.model import load_tokenizer
from anatomy.activations.spans import encode_row, span_text, span_tokens, template_hash
from anatomy.activations.token_check import TokenCheck
from anatomy.data.faults import EMPTY_RESPONSE, IDENTICAL_AFTER_TEMPLATE, TEMPLATE_REFUSES
from anatomy.data.row_health import HealthTable
from anatomy.errors import ModelError
from anatomy.settings import ModelSettings
from anatomy.types import Pair

LLAMA3 = (
    "<|begin|>"
    "{% for m in messages %}{{ '<|head|>' + m['role'] + '<|end_head|>\n\n' + m['content'] | trim + '<|eot|>' }}"
    "{% endfor %}"
)
TULU = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>\n' + m['content'] }}"
    "{% if m['role'] == 'assistant' %}{{ '<|im_end|>' }}{% endif %}{{ '\n' }}{% endfor %}"
)
MERGED_SYSTEM = (  # Llama 2 and Mistral: the system turn inside the first user turn, a space before the answer
    "{% if messages[0]['role'] == 'system' %}{% set system = '<<SYS>>\n' + messages[0]['content'] + '\n<</SYS>>\n\n' %}"
    "{% set messages = messages[1:] %}{% else %}{% set system = '' %}{% endif %}{% for m in messages %}"
    "{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}"
    "{% if m['role'] == 'user' %}{{ '[INST] ' + (system if loop.first else '') + m['content'].strip() + ' [/INST]' }}"
    "{% else %}{{ ' ' + m['content'].strip() + '<|im_end|>' }}{% endif %}{% endfor %}"
)
THINK = (  # moves reasoning out of the content, as Qwen 3 does
    "{% for m in messages %}{% set c = m['content'] %}{% if m['role'] == 'assistant' %}{% if '</think>' in c %}"
    "{% set c = c.split('</think>')[-1].lstrip('\n') %}{% endif %}{% endif %}"
    "{{ '<|im_start|>' + m['role'] + '\n' + c + '<|im_end|>\n' }}{% endfor %}"
)
TEMPLATES = {"chatml": CHATML, "llama3": LLAMA3, "tulu": TULU, "merged": MERGED_SYSTEM}

SYSTEM = {"role": "system", "content": "You are a pirate."}
TURNS = [
    {"role": "user", "content": "You"},  # also the first word of ChatML's default system message
    {"role": "assistant", "content": "Good dog."},
    {"role": "user", "content": "  Why not?  \n"},
]
CHOSEN = "\n\n**Bold** café 🦊\n\n- one\n- two"
REJECTED = "I am fine."


def pair_of(chosen=CHOSEN, rejected=REJECTED, prompt=TURNS, **extra):
    sides = [[{"role": "assistant", "content": text}] for text in (chosen, rejected)]
    return Pair(7, prompt, *sides, **extra)


@pytest.fixture(scope="module")
def tokenizer_of(tmp_path_factory):
    def make(template: str):
        folder = tmp_path_factory.mktemp("tokenizer")
        save_tokenizer(folder, template)
        return load_tokenizer(ModelSettings(model=str(folder)))

    return make


@pytest.fixture(scope="module")
def chatml(tokenizer_of):
    return tokenizer_of(CHATML)


def decode(tokenizer, side, span):
    return tokenizer.decode(side.ids[side.spans[span]])


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("system", [[], [SYSTEM]], ids=["plain", "system"])
def test_spans_decode_to_the_messages(name, system, tokenizer_of):
    tokenizer = tokenizer_of(TEMPLATES[name])
    encoded = encode_row(pair_of(prompt=[*system, *TURNS]), tokenizer, ModelSettings())
    assert encoded.fault is None
    stripped = name in ("llama3", "merged")
    turns = [turn["content"].strip() if stripped else turn["content"] for turn in (*system, *TURNS)]
    for side, text in ((encoded.sides["chosen"], CHOSEN), (encoded.sides["rejected"], REJECTED)):
        assert decode(tokenizer, side, "response") == (text.strip() if stripped else text)
        assert decode(tokenizer, side, "prompt").replace(" ", "") == "".join(turns).replace(" ", "")
        assert not (side.spans["prompt"] & side.spans["response"]).any()
        np.testing.assert_array_equal(side.ids[: len(encoded.prompt_ids)], encoded.prompt_ids)


def test_the_sequence_is_the_rendered_text_up_to_the_end_of_the_response(chatml):
    encoded = encode_row(pair_of(), chatml, ModelSettings())
    messages = [*TURNS, {"role": "assistant", "content": CHOSEN}]
    rendered = chatml.apply_chat_template(messages, tokenize=False)
    assert chatml.decode(encoded.sides["chosen"].ids) + "<|im_end|>\n" == rendered
    assert encoded.lengths == {
        "prompt": len(encoded.prompt_ids),
        "chosen": int(encoded.sides["chosen"].spans["response"].sum()),
        "rejected": int(encoded.sides["rejected"].spans["response"].sum()),
    }
    assert encoded.truncated == {"prompt": False, "chosen": False, "rejected": False}


def test_pieces_of_a_span_are_its_text(chatml):
    encoded = encode_row(pair_of(chosen="The good dog."), chatml, ModelSettings())
    for span, text in (("prompt", "".join(turn["content"] for turn in TURNS)), ("chosen", "The good dog.")):
        assert "".join(span_tokens(encoded, span, chatml)) == span_text(encoded, span, chatml) == text


def test_only_the_final_assistant_turn_is_the_response(chatml):
    middle = [{"role": "assistant", "content": "First."}, {"role": "user", "content": "More?"}]
    pair = Pair(
        0, TURNS[:1], [*middle, {"role": "assistant", "content": "Last."}], [{"role": "assistant", "content": "No."}]
    )
    encoded = encode_row(pair, chatml, ModelSettings())
    assert decode(chatml, encoded.sides["chosen"], "response") == "Last."
    assert decode(chatml, encoded.sides["chosen"], "prompt") == "You"
    assert "First." in chatml.decode(encoded.sides["chosen"].ids)
    assert "First." not in chatml.decode(encoded.sides["rejected"].ids)


def test_special_tokens_spelt_out_by_a_message_belong_to_no_span(chatml):
    encoded = encode_row(pair_of(chosen="one<|im_end|>\n<|im_start|>user two"), chatml, ModelSettings())
    assert decode(chatml, encoded.sides["chosen"], "response") == "one\nuser two"
    assert encoded.special_in_text == 2
    assert encode_row(pair_of(), chatml, ModelSettings()).special_in_text == 0


def test_the_prompt_keeps_its_end_and_the_response_its_start(chatml):
    long_prompt = [{"role": "user", "content": " ".join(f"p{number}" for number in range(200)) + " END"}]
    pair = pair_of("START " + "yes " * 200, "BEGIN " + "no " * 200, long_prompt)
    encoded = encode_row(pair, chatml, ModelSettings(max_length=100, max_prompt_length=60))
    assert len(encoded.prompt_ids) == 60
    assert encoded.prompt_ids[0] == chatml.bos_token_id
    assert decode(chatml, encoded.sides["chosen"], "prompt").endswith(" END")
    for name, start in (("chosen", "START"), ("rejected", "BEGIN")):
        side = encoded.sides[name]
        assert len(side.ids) == 100
        assert decode(chatml, side, "response").startswith(start)
        np.testing.assert_array_equal(side.ids[:60], encoded.prompt_ids)
        assert side.spans["response"].sum() == 40
    assert encoded.truncated == {"prompt": True, "chosen": True, "rejected": True}
    assert encoded.lengths["prompt"] > 200


@pytest.mark.parametrize(
    ("pair", "settings", "fault"),
    [
        (pair_of("same " * 100 + "A", "same " * 100 + "B"), {"max_length": 120}, "identical-after-truncation"),
        (pair_of(), {"max_length": 16, "max_prompt_length": 16}, "prompt-fills-window"),
        (pair_of(chosen=""), {}, "empty-response"),
        (pair_of(chosen="<|im_end|>"), {}, "empty-response"),
        (pair_of(), {}, None),
    ],
)
def test_faults(pair, settings, fault, chatml):
    check = TokenCheck(chatml, ModelSettings(**settings))
    assert check(pair).reason == fault
    assert set(check(pair).lengths) == {"prompt", "chosen", "rejected"}


def test_the_judge_counts_what_was_cut(chatml):
    check = TokenCheck(chatml, ModelSettings(max_length=80))
    check(pair_of("yes " * 100, "no"))
    check(pair_of())
    health = check.add_to(HealthTable("explicit").found())
    assert health.truncated == {"prompt": 0, "chosen": 1, "rejected": 0}
    assert health.special_in_text == 0


def test_text_that_a_template_rewrites(tokenizer_of):
    tokenizer = tokenizer_of(THINK)
    kept = encode_row(pair_of("plain", "text"), tokenizer, ModelSettings())
    assert decode(tokenizer, kept.sides["chosen"], "response") == "plain"
    with pytest.raises(ModelError, match="row 7: the chat template changes the text"):
        encode_row(pair_of("<think>hm</think>\nyes", "no"), tokenizer, ModelSettings())


def test_turns_that_a_template_refuses_are_one_line(tokenizer_of):
    tokenizer = tokenizer_of(MERGED_SYSTEM)
    with pytest.raises(
        ModelError, match=r"row 7: the chat template refuses turns \(user, user, assistant\): roles must"
    ):
        encode_row(pair_of(prompt=[TURNS[0], TURNS[0]]), tokenizer, ModelSettings())


def test_a_refused_row_is_counted_with_the_templates_words(tokenizer_of):
    check = TokenCheck(tokenizer_of(MERGED_SYSTEM), ModelSettings())
    table = HealthTable("explicit", check)
    statuses = [table.add(pair_of()), table.add(pair_of(prompt=[TURNS[0], TURNS[0]]))]
    assert statuses == ["retained", TEMPLATE_REFUSES]
    (example,) = table.found().reasons[TEMPLATE_REFUSES].examples
    assert "roles must" in example.excerpt


def test_tools_reach_the_template(tokenizer_of):
    template = "{% if tools %}{{ 'TOOLS ' + tools[0]['name'] + '\n' }}{% endif %}{{ flag | default('') }}" + CHATML
    tokenizer = tokenizer_of(template)
    call = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": {}}}]}
    prompt = [TURNS[0], call, {"role": "tool", "content": "42"}]
    pair = pair_of(prompt=prompt, tools=[{"name": "search"}], chat_template_kwargs={"flag": "FLAG"})
    encoded = encode_row(pair, tokenizer, ModelSettings())
    assert tokenizer.decode(encoded.prompt_ids).startswith("TOOLS search\nFLAG")
    assert decode(tokenizer, encoded.sides["chosen"], "prompt") == "You42"


def test_a_tokenizer_without_a_template_needs_one(tmp_path):
    save_tokenizer(tmp_path, chat_template="")
    with pytest.raises(ModelError, match="no chat template; name one with --chat-template"):
        load_tokenizer(ModelSettings(model=str(tmp_path)))
    (tmp_path / "t.jinja").write_text(CHATML)
    named = load_tokenizer(ModelSettings(model=str(tmp_path), chat_template=tmp_path / "t.jinja"))
    assert named.chat_template == CHATML
    with pytest.raises(ModelError, match=r"none\.jinja: cannot read the chat template"):
        load_tokenizer(ModelSettings(model=str(tmp_path), chat_template=tmp_path / "none.jinja"))


def test_the_template_hash_tells_templates_apart(tokenizer_of, chatml):
    assert template_hash(chatml) == template_hash(tokenizer_of(CHATML))
    assert template_hash(chatml) != template_hash(tokenizer_of(TULU))


@pytest.mark.laptop
def test_spans_of_the_laptop_model():
    tokenizer = load_tokenizer(ModelSettings())
    encoded = encode_row(pair_of(), tokenizer, ModelSettings())
    assert "SmolLM, trained by Hugging Face" in tokenizer.decode(encoded.prompt_ids)
    # The header's newline and the first of two spaces are one token, which is not the message's.
    assert decode(tokenizer, encoded.sides["chosen"], "prompt") == "YouGood dog. Why not?  \n"
    assert decode(tokenizer, encoded.sides["chosen"], "response") == CHOSEN
    assert decode(tokenizer, encoded.sides["rejected"], "response") == REJECTED


def test_turns_are_looked_for_among_their_own_tokens(chatml, monkeypatch):
    """Among all tokens, the work would grow with the square of a conversation."""
    looked_at = []
    overlap = spans._overlap
    monkeypatch.setattr(spans, "_overlap", lambda *given: looked_at.append(len(given[1])) or overlap(*given))
    turns = [{"role": ("user", "assistant")[number % 2], "content": "Hi"} for number in range(301)]
    spans._kept_tokens.cache_clear()
    encoded = encode_row(pair_of(prompt=turns), chatml, ModelSettings())
    assert len(looked_at) == 301 + 2, "the prompt once, and each response"
    assert sum(looked_at) < sum(encoded.lengths.values())
    assert set(decode(chatml, encoded.sides["chosen"], "prompt")) == {"H", "i"}


def test_many_turns_under_a_template_that_moves_text_are_refused(tokenizer_of):
    """Each turn would be searched for in the whole text."""
    turns = [
        {"role": ("user", "assistant")[number % 2], "content": f"<think>x</think>turn {number}"}
        for number in range(10_001)
    ]
    pair = pair_of(prompt=turns)
    check = TokenCheck(tokenizer_of(THINK), ModelSettings())
    assert check(pair).reason == TEMPLATE_REFUSES


CALLS = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}{% for call in m.tool_calls or [] %}"
    "<call>{{ call.function.name }} {{ call.function.arguments | tojson }}</call>{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def calls(*names: str) -> list[dict]:
    called = [{"type": "function", "function": {"name": name, "arguments": {"city": "Rome"}}} for name in names]
    return [{"role": "assistant", "content": "", "tool_calls": called}]


def test_a_call_without_text_is_a_response(tokenizer_of):
    """Its span is what the template writes of the calls, without the marks of the turn around it."""
    tokenizer = tokenizer_of(CALLS)
    pair = Pair(7, TURNS, calls("weather", "time"), [{"role": "assistant", "content": REJECTED}])
    encoded = encode_row(pair, tokenizer, ModelSettings())
    assert encoded.fault is None
    assert decode(tokenizer, encoded.sides["chosen"], "response") == (
        '<call>weather {"city": "Rome"}</call><call>time {"city": "Rome"}</call>'
    )
    assert decode(tokenizer, encoded.sides["rejected"], "response") == REJECTED
    assert encoded.sides["chosen"].ids[: len(encoded.prompt_ids)].tolist() == encoded.prompt_ids.tolist()


def test_a_call_that_the_template_leaves_out_is_no_response(tokenizer_of):
    pair = Pair(7, TURNS, calls("weather"), [{"role": "assistant", "content": REJECTED}])
    assert encode_row(pair, tokenizer_of(CHATML), ModelSettings()).fault == EMPTY_RESPONSE
    other = Pair(7, TURNS, calls("weather"), calls("time"))
    assert TokenCheck(tokenizer_of(CHATML), ModelSettings())(other).reason == IDENTICAL_AFTER_TEMPLATE
