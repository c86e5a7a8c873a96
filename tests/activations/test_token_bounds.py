"""What a text says of its tokens holds of them, and a check of a sample gives every row the status of a full one."""

from __future__ import annotations

import json
import random

import pytest
from support.tiny import save_tokenizer

from anatomy.activations import chat_template, token_sample
from anatomy.activations.chat_template import apply_template, apply_together
from anatomy.activations.model import load_tokenizer
from anatomy.activations.spans import encode_row
from anatomy.activations.token_bounds import TokenBounds, lost_bytes
from anatomy.activations.token_check import TokenCheck
from anatomy.activations.token_sample import MeasuredRow, TokenSample
from anatomy.data.health import Health
from anatomy.data.row_health import HealthTable
from anatomy.report.health_text import format_health
from anatomy.settings import ModelSettings
from anatomy.types import Pair

COMMON = ["the good dog ", "日本", "é", "x" * 40]
ODD = ["e\u0301", "🦊", "\x04", "\n\n", "   ", "<|im_end|>", "\u200b", "\xa0"]
PIECES = COMMON * 8 + ODD


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    save_tokenizer(folder)
    file = folder / "tokenizer.json"
    content = json.loads(file.read_text())
    content["model"]["vocab"].pop("Ą")  # as SmolLM2, which leaves out a control character
    file.write_text(json.dumps(content))
    return load_tokenizer(ModelSettings(model=str(folder)))


def turns(text, role="assistant"):
    return [{"role": role, "content": text}]


def random_pairs(number):
    draw = random.Random(5)
    for index in range(number):
        shared = "".join(draw.choices(PIECES, k=draw.choice((0, 0, 1, 12))))
        sides = [shared + "".join(draw.choices(PIECES, k=draw.choice((0, 1, 1, 3)))) for _ in range(2)]
        prompt = "".join(draw.choices(PIECES, k=draw.choice((1, 30))))
        yield Pair(index, turns(prompt, "user"), turns(sides[0]), turns(sides[1]))


WINDOWS = [
    ({}, 50),
    ({"max_length": 64, "max_prompt_length": 40}, 5),
    ({"max_length": 60, "max_prompt_length": 400}, 0),  # nothing is sure of a prompt that may fill the window
    ({"max_response_length": 40}, 5),
]


def checked(pairs, check):
    check.prepare(pairs)
    return [check(pair)[::2] for pair in pairs]


@pytest.mark.parametrize(("window", "least"), WINDOWS)
def test_a_sampled_check_gives_the_verdicts_of_a_full_one(window, least, tokenizer, monkeypatch):
    monkeypatch.setattr(token_sample, "MOST_SAMPLED", 0)
    settings, pairs = ModelSettings(**window), list(random_pairs(250))
    full, quick = TokenCheck(tokenizer, settings), TokenCheck(tokenizer, settings, TokenSample(0))
    certain = []
    bounds = TokenBounds.certain
    monkeypatch.setattr(TokenBounds, "certain", lambda *given: certain.append(bounds(*given)) or certain[-1])
    assert checked(pairs, quick) == checked(pairs, full)
    assert quick.special_in_text == full.special_in_text > 0
    verdicts = [full(pair).reason for pair in pairs]
    assert None in verdicts
    assert len(set(verdicts)) > 2, "the windows cut"
    assert sum(certain) >= least, "and few rows are tokenised"


BYTES = {"type": "ByteLevel"}
LETTERS = dict.fromkeys(map(chr, [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100), *range(256, 324)]), 0)
FALLBACK = {f"<0x{byte:02X}>": byte for byte in range(256)}


@pytest.mark.parametrize(
    ("changed", "lost"),
    [
        ({}, b""),
        ({"vocab": {key: 0 for key in LETTERS if key not in ("Ą", "a")}}, b"\x04a"),
        ({"type": "WordPiece"}, None),
        ({"dropout": 0.1}, None),
        ({"before": None}, None),
        ({"before": None, "byte_fallback": True, "vocab": FALLBACK}, b""),
        ({"before": {"type": "Sequence", "pretokenizers": [{"type": "Split", "behavior": "Isolated"}, BYTES]}}, b""),
        ({"before": {"type": "Sequence", "pretokenizers": [{"type": "Split", "behavior": "Removed"}, BYTES]}}, None),
        ({"before": {"type": "Sequence", "pretokenizers": [{"type": "Whitespace"}, BYTES]}}, None),
        ({"normalizer": {"type": "NFC"}}, b""),
        ({"normalizer": {"type": "Lowercase"}}, None),
        ({"normalizer": {"type": "Sequence", "normalizers": [{"type": "NFKC"}]}}, None),
        ({"normalizer": {"type": "Replace", "pattern": {"String": "a"}, "content": ""}}, None),
    ],
)
def test_what_a_tokenizer_leaves_out(changed, lost):
    model = {"type": "BPE", "vocab": LETTERS} | {
        key: changed[key] for key in changed if key not in ("before", "normalizer")
    }
    backend = {"model": model, "pre_tokenizer": changed.get("before", BYTES), "normalizer": changed.get("normalizer")}
    assert lost_bytes(backend) == lost


def test_small_sets_are_measured_whole_and_large_ones_by_a_uniform_sample(tokenizer, monkeypatch):
    monkeypatch.setattr(token_sample, "MOST_SAMPLED", 64)

    def of(rows):
        sample = TokenSample(1)
        measured = 0
        for index in range(rows):
            if sample.wants(index):
                measured += 1
                sample.add(index, MeasuredRow((index, 1, 1), (index % 4 == 0, False, False), usable=True))
        return measured, sample.add_to(HealthTable("explicit").found(), lambda texts: [])

    measured, health = of(64)
    assert (measured, health.sampled, health.truncated["prompt"]) == (64, None, 16)
    measured, health = of(4096)
    assert 32 <= health.sampled.rows <= 64
    assert health.sampled.of == 4096
    assert measured < 64 * (1 + 6)
    assert 1200 < health.lengths["prompt"].mean < 2900, "drawn from all rows, first and last"
    text = format_health(Health.of(health))
    assert f"Lengths (tokens; {health.sampled.rows} rows drawn at random from 4,096)" in text
    low, high = (float(number) for number in text.split("prompt of ")[-1].split(" (")[1].split(" %")[0].split("–"))
    assert low < 25 < high


def test_lengths_and_cuts_of_a_small_set_are_those_of_a_full_check(tokenizer):
    settings = ModelSettings(max_length=64, max_prompt_length=40)
    found = []
    for sample in (None, TokenSample(0)):
        check = TokenCheck(tokenizer, settings, sample)
        table = HealthTable("explicit", check)
        for pair in random_pairs(100):
            table.add(pair)
        found.append(check.add_to(table.found()))
    assert found[0] == found[1]


@pytest.mark.parametrize("waiting", [0, 2_000, 1 << 25])
def test_rows_that_wait_are_measured_as_at_once(waiting, tokenizer, monkeypatch):
    monkeypatch.setattr(token_sample, "MOST_SAMPLED", 64)
    monkeypatch.setattr(token_sample, "MOST_WAITING", waiting)
    pairs, found = list(random_pairs(300)), []
    for certain in (TokenBounds.certain, lambda *_: False):
        monkeypatch.setattr(TokenBounds, "certain", certain)
        check = TokenCheck(tokenizer, ModelSettings(max_length=64, max_prompt_length=40), TokenSample(0))
        table = HealthTable("explicit", check)
        for pair in pairs:
            table.add(pair)
        found.append(check.add_to(table.found()))
    assert found[0] == found[1].model_copy(update={"special_in_text": found[0].special_in_text})
    assert found[0].sampled is not None
    assert sum(found[0].truncated.values()) > 0


def test_rows_rendered_together_are_as_rendered_one_by_one(tokenizer, monkeypatch):
    template = tokenizer.chat_template + "{% if messages[0].content == 'bad' %}{{ 1 / 0 }}{% endif %}"
    monkeypatch.setattr(tokenizer, "chat_template", template)
    asked = [(pair, [pair.prompt, [*pair.prompt, *pair.chosen]]) for pair in random_pairs(20)]
    bad = Pair(0, turns("bad", "user"), turns("a"), turns("b"))
    asked.insert(3, (bad, [bad.prompt]))
    asked.insert(5, (bad, []))
    asked.insert(7, (Pair(0, turns("Q", "user"), (), (), chat_template_kwargs={"tools": 1}), [turns("Q", "user")]))
    asked.insert(9, (bad, [turns("x" * chat_template.MOST_TOGETHER + "x")]))
    together = apply_together(asked, tokenizer)
    assert [place for place, texts in enumerate(together) if texts is None] == [3, 5, 7, 9]
    good = [(row, texts, rendered) for (row, texts), rendered in zip(asked, together, strict=True) if rendered]
    assert all(apply_template(row, texts, tokenizer) == rendered for row, texts, rendered in good)


def test_a_row_that_kills_the_process_costs_no_other_row(tokenizer, monkeypatch):
    loops = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
    endless = f"{{% if messages[0].content == 'kill' %}}{loops}{{% endif %}}"
    monkeypatch.setattr(tokenizer, "chat_template", endless + tokenizer.chat_template)
    pairs = [Pair(index, turns(text, "user"), turns("a"), turns("b")) for index, text in enumerate(("Q", "kill", "R"))]
    check = TokenCheck(tokenizer, ModelSettings())
    assert [reason for reason, _ in checked(pairs, check)] == [None, "template-refuses", None]
    assert encode_row(pairs[2], tokenizer, ModelSettings()).fault is None
