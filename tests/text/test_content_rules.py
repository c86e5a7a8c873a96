"""Each content rule finds what it names, leaves its near misses, and takes time in proportion to the text."""

from __future__ import annotations

import pytest

from anatomy.concepts.concept import load_library
from anatomy.text.languages import UNDETERMINED, language_of
from anatomy.text.matchers import MATCHERS, TRIVIAL, find_ranges
from anatomy.text.personal_data import masked
from anatomy.text.text_counts import TEXT_COUNTS

CASTLE = "They built castles for the king. "
LONG = "This answer is long enough to have a script of its own."
KEYS = [
    "AKIA" + "Z3XQ7LM2PV9TRB4K", "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8", "sk-proj-" + "Ab3dE9xYz1Qw7Rt5Uv2K",
    "sk_live_" + "4eC39HqLyjWDarjtT1zdp7dc", "-----BEGIN RSA PRIVATE KEY-----",
    "AIza" + "SyA1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q",
]  # fmt: skip

FOUND = [
    ("maker identity", "As an AI language model developed by OpenAI, I can"),
    ("maker identity", "I'm Claude, made by Anthropic. The lamp"),
    ("maker identity", "Qwen here, from Alibaba Cloud. They respire"),
    ("maker identity", "Hello! I am ChatGPT, and I"),
    ("maker identity", "I am a large language model, trained by Google."),
    ("maker identity", "That is against OpenAI's use policy."),
    ("cut-off date", "As of my last update in April 2023, this holds."),
    ("cut-off date", "My knowledge cutoff is September 2021."),
    ("cut-off date", "As of the knowledge cutoff in September 2021 there are"),
    ("cut-off date", "My training data only goes up until 2021."),
    ("cut-off date", "I don't have information on events after January 2022."),
    ("loop", CASTLE * 25),
    ("loop", "So: " + "the product of yourself " * 10),
    ("loop", "".join(f"{number}. Calaquendi\n" for number in range(30))),
    ("loop", "".join(f"{number}. Walk to the shop and buy milk.\n" for number in range(12))),
    ("loop", "总之这就是答案" * 12),
    ("loop", "ha" * 40),
    ("foreign tail", LONG + " 总之，这就是答案。"),
    ("foreign tail", LONG + "\n\nНадеюсь, это поможет."),
    ("foreign tail", "因为空气分子对短波长的光散射更强，所以天空是蓝色的。 I hope that this helps you!"),
    ("canned opening", "Certainly! Below is"),
    ("canned opening", "Sure, here is a recipe"),
    ("canned opening", "Great question! It"),
    ("canned opening", "What a great question. It"),
    ("canned opening", "I'd be happy to help you with that."),
    ("canned opening", "**Of course!** The"),
    ("benchmark wording", "The answer is (B)."),
    ("benchmark wording", "The answer is 42."),
    ("benchmark wording", "5 + 5 = 10\n#### 10"),
    ("benchmark wording", "thus \\boxed{4}"),
    ("benchmark wording", "Which is a metal?\nA. Iron\nB. Oxygen\nC. Neon"),
    ("benchmark wording", "(A) iron (B) oxygen"),
    ("benchmark wording", "It is in MMLU."),
    ("placeholder", "Sincerely,\n[Your Name]"),
    ("placeholder", "Dear [Recipient], I write"),
    ("placeholder", "on [date] at [insert place here]"),
    ("placeholder", "x = 1  # TODO"),
    ("placeholder", "export TOKEN=YOUR_API_KEY"),
    ("placeholder", "Lorem ipsum dolor sit"),
    ("e-mail", "Write to mara.ziegler@uni-hill.edu today"),
    ("e-mail", "mailto:mara.ziegler@uni-hill.edu"),
    ("phone number", "Call +49 30 901820 now"),
    ("phone number", "Call (212) 736-3100 now"),
    *[("secret key", f"key: {key} .") for key in KEYS],
]

NEAR_MISSES = [
    ("maker identity", "GPT-4 is a language model developed by OpenAI."),
    ("maker identity", "I am not as capable as ChatGPT. I'm Claude Monet, a painter."),
    ("maker identity", "I'm a fan of Google. As a company, Meta makes headsets."),
    ("cut-off date", "The hair was cut off. As of 2021, three are open."),
    ("cut-off date", "Keep your firmware up-to-date; its knowledge cutoff is 2021."),
    ("cut-off date", "The column `updated_at` holds the last update."),
    ("loop", CASTLE * 3),
    ("loop", "| --- | --- | --- |\n" * 20 + "0, 0, 0, 0, " * 30),
    ("loop", "".join(f"| {number} | {number * 7} | yes |\n" for number in range(12))),
    ("loop", "no, no, no! " + "Row, row, row your boat, gently down the stream. " * 3),
    ("foreign tail", LONG + ' In Chinese this is "你好世界你好世界".'),
    ("foreign tail", "The translation of this long sentence is:\n\nНадеюсь, это поможет."),
    ("foreign tail", "Words and their meanings: дом is a house. Надеюсь, это поможет."),
    ("foreign tail", "因为空气分子对短波长的光散射更强。 OK"),
    ("canned opening", "Sure. You may do that."),
    ("canned opening", "Certain plants like shade."),
    ("canned opening", "The sky is blue, of course. Sure, here is more."),
    ("canned opening", "OK. I'll do it for a dollar."),
    ("benchmark wording", "The answer is that metal carries heat away."),
    ("benchmark wording", "#### 1. First step\n#### Summary"),
    ("benchmark wording", "Preheat the oven:\na. Turn it on\nb. Wait\nc. Bake"),
    ("placeholder", "[Your name](https://a.b) and row[name], d['date'], a[number]"),
    ("placeholder", "[Verse 1]\nI walk [laughs] on (see [1])"),
    ("placeholder", "My todo list is empty."),
    (
        "e-mail",
        "name@example.com, you@yourdomain.com, info@shop.de, john.doe@gmail.com, a@b, @user, git@github.com:a/b",
    ),
    ("phone number", "(123) 456-7890, 555-123-4567, 1-800-273-8255, 2021-03-04, 192.168.0.1, 212-555-0143"),
    ("phone number", "3.14159265358979 and 1,234,567,890 or ISBN 978-3-16-148410-0"),
    ("secret key", "sk-your-api-key-goes-here, sk-xxxxxxxxxxxxxxxxxxxxxxxx, AKIA, ghp_xxx"),
]


@pytest.mark.parametrize(("name", "text"), FOUND)
def test_what_a_rule_names_is_found(name: str, text: str) -> None:
    ranges = find_ranges(text, name)
    assert ranges
    assert all(0 <= start < stop <= len(text) for start, stop in ranges)


@pytest.mark.parametrize(("name", "text"), NEAR_MISSES)
def test_near_misses_are_left(name: str, text: str) -> None:
    assert [text[start:stop] for start, stop in find_ranges(text, name)] == []


def test_a_loop_reaches_from_its_first_to_its_last_round() -> None:
    text = "Well, " + CASTLE * 25 + "Amen."
    assert find_ranges(text, "loop") == [(6, 6 + len(CASTLE) * 25 - 1)]


def test_a_tail_reaches_to_the_end() -> None:
    text = LONG + " 总之，这就是答案。\n"
    assert find_ranges(text, "foreign tail") == [(len(LONG) + 1, len(text) - 1)]


UNITS = [
    "I am ", "I am a ", "as an ", "made by ", "my name is Claude ", "I don't have ", "my training data is ", "my last ",
    "(A) ", "(A) a ", "?\nA. b\n", "answer is ", "[a ", "[your ", "[your", "<your ", "a@", "a@b.", "a.", "+1 ", "+1",
    "212 ", "212-", "eyJaaaaaaaaaa.", "eyJ", "sk-", "xoxb-", "ab", "a b ", "a ", "a", "中", "中a", "中 a. ", "中。a ",
    "1 a ", "-----BEGIN ", "# TODO", "GPT",
]  # fmt: skip


@pytest.mark.parametrize("name", sorted(MATCHERS.keys() - TRIVIAL.keys()))
def test_rules_take_linear_time(name: str) -> None:
    """A quadratic rule would take minutes on some of these."""
    hints = {"maker identity": " OpenAI", "placeholder": " [", "benchmark wording": " (a)"}
    for unit in UNITS:
        find_ranges(unit * (30_000 // len(unit)) + hints.get(name, ""), name)


def test_trivial_rules_are_those_that_name_clusters() -> None:
    assert TEXT_COUNTS.keys() == TRIVIAL.keys()
    assert "loop" not in TRIVIAL


def test_each_content_rule_is_a_concept_of_the_library() -> None:
    of_library = {concept.heuristic for concept in load_library().values() if concept.detector == "text"}
    assert MATCHERS.keys() - TRIVIAL.keys() <= of_library


def test_masked_text_keeps_nothing_personal() -> None:
    text = "Mail mara.ziegler@uni-hill.edu or call (212) 736-3100, key AKIA" + "Z3XQ7LM2PV9TRB4K."
    assert masked(text) == "Mail ma*** or call (2***, key AK***."
    assert masked("nothing here") == "nothing here"
    assert masked(text, 9) == "*** or call (2***, key AK***."
    assert masked(text, 0, 9) == "Mail ma***"


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Both are at room temperature, but metal carries heat away from your fingers faster.", "en"),
        ("Kurzwelliges Licht wird an Luftmolekülen stärker gestreut als langwelliges.", "de"),
        ("因为空气分子对短波长的光散射更强。", "zh"),
        ("喉頭の筋肉が規則的に動いて、呼吸の流れを震わせるからです。", "ja"),
        ("Постучите: спелый звучит глухо, а пятно от земли жёлтое.", "ru"),
        ("Yes.", UNDETERMINED),
        ("", UNDETERMINED),
        ("😀😀😀 1234 5678", UNDETERMINED),
        ("```python\ndef second_largest(values):\n    return sorted(values)[-2]\n```", UNDETERMINED),
        ("https://www.example.com/a/very/long/address/that/holds/words", UNDETERMINED),
        ("\ud83d broken", UNDETERMINED),
    ],
)
def test_languages(text: str, language: str) -> None:
    assert language_of(text) == language
