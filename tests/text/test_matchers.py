"""The matchers find what they look for, as a person reading the text would mark it."""

import pytest

from anatomy.text.matchers import MATCHERS, find_ranges


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("bold", "a **b c** d __e__", ["**b c**", "__e__"]),
        ("bold", "***both*** and **a *nested* b**", ["**both**", "**a *nested* b**"]),
        ("bold", "> - **in a\n>   quoted list**\n", ["**in a\n>   quoted list**"]),
        ("bold", "| **x** | a \\| **y** |\n|---|---|\n| **x** | **x** |", ["**x**", "**y**", "**x**", "**x**"]),
        ("bold", "# A **title** #\r\n\r\nand **text**", ["**title**", "**text**"]),
        ("bold", "[**link**](u) `**code**` \\**no** **yes**", ["**link**", "**yes**"]),
        ("list", "- a\n- b\n  - c\n\nend", ["- a", "- b\n  - c", "- c"]),
        ("heading", "# One\n\ntext #two\n\nTwo\n---\n", ["# One", "Two\n---"]),
        ("code", "a `x*y` b\n\n```\ncode\n```\n\nend", ["`x*y`", "```\ncode\n```"]),
        ("table", "t\n\n| a |\n|---|\n| 1 |\n\nend", ["| a |\n|---|\n| 1 |"]),
        ("horizontal rule", "a\n\n---\n\nb\n\n* * *\n", ["---", "* * *"]),
        ("em dash", "one — two—three - four -- five –", ["—", "—"]),
        ("emoji", "a 😀👍🏽 b ❤️ c 👩‍👩‍👧 d 🇫🇷🇩🇪 e 1️⃣", ["😀", "👍🏽", "❤️", "👩‍👩‍👧", "🇫🇷", "🇩🇪", "1️⃣"]),
        ("link", "See (https://a.b/c-d_e), www.x.org. [t](http://y.z/q?a=1)",
         ["https://a.b/c-d_e", "www.x.org", "http://y.z/q?a=1"]),
        ("link", "https://en.wikipedia.org/wiki/Set_(mathematics) ok", ["https://en.wikipedia.org/wiki/Set_(mathematics)"]),
        ("goblin", "Goblins and a hobgoblin; goblinesque no", ["Goblins", "hobgoblin"]),
        ("citation", "As shown (Miller, 2014) by Lee and Kim (2009).", ["(Miller, 2014)", "Lee and Kim (2009)"]),
        ("evaluation", "I am being tested; it is a benchmark.", ["I am being tested", "it is a benchmark"]),
        ("refusal", "I’m sorry, but I can't help with that.", ["I can't"]),
        ("length", " two  words ", ["two", "words"]),
    ],
)  # fmt: skip
def test_ranges(name: str, text: str, found: list[str]) -> None:
    assert [text[start:stop] for start, stop in find_ranges(text, name)] == found


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("bold", "2 * 3 * 4 ** 5 ** 6"),
        ("bold", "snake__case__name and snake_case"),
        ("bold", "```\n**not**\n```\n\n    **nor this**\n\n`**nor**` ** open"),
        ("list", "2 - 1\nand so -on; 3.5 and 1.a"),
        ("heading", "```\n# comment\n```\n#hashtag"),
        ("table", "x | y\na || b"),
        ("horizontal rule", "| a | b |\n|---|---|\n| 1 | 2 |"),
        ("horizontal rule", "Setext heading\n---\n\ntext"),
        ("horizontal rule", "---\ntitle: T\ntags: [a]\n---\n\nBody"),
        ("horizontal rule", "---\r\ntitle: T\r\n---\r\n\r\nBody"),
        ("horizontal rule", "```\n---\n```\nsee https://a.b/x---y and a --- b"),
        ("em dash", "https://a.b/x-y--z 1–2"),
        ("emoji", "1 2 # * © ® ™ → ↔ ½ :) é 中 \u200d"),
        ("link", "http is a protocol, www too, a.b"),
        ("goblin", "gobbling"),
        ("citation", "In 2014 (the year), Miller (a man) paid 1,999 for Heat (1995)."),
        ("evaluation", "I tested the code. This is a good test of patience; evaluate f(x)."),
        ("refusal", "You can't divide by zero. I can't wait to show you! They cannot."),
        ("refusal", "Sure. " + "Here is how it works. " * 20 + "I cannot help with the rest."),
        ("refusal", "I can't open the file itself, but I can explain what it holds."),
    ],
)
def test_nulls(name: str, text: str) -> None:
    assert find_ranges(text, name) == []


def test_front_matter_hides_no_rule_of_the_body() -> None:
    text = "---\ntitle: T\n---\n\nBody\n\n---\n"
    assert find_ranges(text, "horizontal rule") == [(text.rindex("---"), text.rindex("---") + 3)]
    assert find_ranges("---\n\nText, with note: this\n\n---\n", "horizontal rule") != []


@pytest.mark.parametrize("name", MATCHERS)
def test_ranges_are_sorted_and_inside_the_text(name: str) -> None:
    text = "\u0000\ud83d I can **b** — 😀 [" * 50 + "*" * 500 + "\r\n- x\r- y\n\n| a |\n|-|\n" + "[" * 500
    ranges = find_ranges(text, name)
    assert ranges == sorted(ranges)
    assert all(0 <= start < stop <= len(text) for start, stop in ranges)
    assert find_ranges("", name) == []
