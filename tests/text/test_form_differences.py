"""Pairs that differ in form alone are recognised by kind, and no others are."""

from __future__ import annotations

import random
import unicodedata

import pytest

from anatomy.text.form_differences import HEAD, first_difference, form_difference

LONG = "Kurzwelliges Licht wird an Luftmolekülen stärker gestreut; so it is, says the book. " * 40


@pytest.mark.parametrize(
    ("kind", "first", "second"),
    [
        ("invisible characters", "Hello.", "Hel\u200blo."),
        ("invisible characters", "Hello again.", "Hello\u00a0again."),
        ("invisible characters", "A\u0000B", "AB"),
        ("invisible characters", "so\u00adft", "soft"),
        ("invisible characters", "\u200fשלום", "שלום"),
        ("invisible characters", "ab\u200dcd", "abcd"),
        ("white space", "One\u2028two", "One\ntwo"),
        ("white space", "  a  b\n", "a b"),
        ("white space", "🇧🇷", "🇧 🇷"),
        ("Unicode form", "été", unicodedata.normalize("NFD", "été")),
        ("Unicode form", "\ufb01ne", "fine"),
        ("case", "Yes, it is.", "YES, IT IS."),
        ("case", "Straße", "STRASSE"),
        ("final punctuation", "Yes", "Yes."),
        ("final punctuation", "好的。", "好的！"),
        ("form", "yes", "Yes."),
        ("form", "E\u0301te\u0301  !", "été"),
    ],
)
def test_kinds(kind: str, first: str, second: str) -> None:
    assert form_difference([first], [second]) == kind
    assert form_difference([second], [first]) == kind
    assert form_difference(["the same", LONG + first], ["the same", LONG + second]) == kind


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Yes.", "No."),
        ("36", "36 5"),
        ("👩\u200d👩\u200d👧", "👩👩👧"),
        ("👍🏽", "👍"),
        ("❤\ufe0f", "❤"),
        ("می\u200cخواهم", "میخواهم"),
        ("1. a", "2. a"),
        ("What?!", "What about it?!"),
        ("A" * (3 * HEAD), "A" * (3 * HEAD + 1)),
        ("", "a"),
    ],
)
def test_what_says_or_shows_something_else(first: str, second: str) -> None:
    assert form_difference([first], [second]) is None
    assert form_difference([LONG + first + LONG], [LONG + second + LONG]) is None


def test_other_numbers_of_texts_and_equal_ones_do_not_differ_in_form() -> None:
    assert form_difference(["a"], ["a"]) is None
    assert form_difference(["a"], ["a", "b"]) is None


def test_quick_looks_at_both_ends_never_hide_a_difference_in_form() -> None:
    """Any mixture of the kinds, at any place of a text, is found."""
    draw = random.Random(5)
    for _ in range(400):
        letters = [*draw.choices("abcDE é ñ12.,!?\n", k=draw.randint(1, 200)), "z"]
        text = "".join(letters)
        other = draw.choice(
            [text.swapcase(), unicodedata.normalize("NFD", text), "".join(text.split()), text + " !.", text]
        )
        place = draw.randint(0, len(other))
        other = other[:place] + draw.choice(["\u200b", "  ", "\x00", "\u00a0"]) + other[place:]
        if "".join(text.split()) == text and unicodedata.normalize("NFC", other) == text:
            continue
        assert form_difference([text], [other]) is not None, (text, other)


def test_the_first_difference_is_shown() -> None:
    shown = first_difference("It says hello there.", "It says hel\u200blo there.")
    assert shown == ("…says hello there.", "…says hel\\u200blo there.")
