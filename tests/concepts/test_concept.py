"""The library of concepts, and what a user's own file may hold."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from anatomy.concepts.concept import Concept, ContrastPrompts, find, load_library, load_questions
from anatomy.errors import SettingsError
from anatomy.text.matchers import find_ranges

STYLE = {
    "id": "rhyme",
    "name": "rhyme",
    "description": "Lines that rhyme.",
    "kind": "style",
    "inoculation": "Please rhyme.",
    "positives": "pairs",
    "detector": "linear",
}
CONTRASTS = [{"positive": f"Rhyme {number}.", "negative": f"Never rhyme {number}."} for number in range(5)]
TRAIT = {**STYLE, "positives": "generate", "contrasts": CONTRASTS, "judge_question": "How much does it rhyme?"}


def write(folder: Path, *entries: Any) -> Path:
    path = folder / "own.yaml"
    path.write_text(yaml.safe_dump(list(entries)))
    return path


def test_library_holds_the_promised_concepts() -> None:
    library = load_library()
    kinds: dict[str, set[str]] = {}
    for concept in library.values():
        kinds.setdefault(concept.kind, set()).add(concept.id)
    assert kinds["trait"] == {
        "goblin-weave", "cheerfulness", "conflict-avoidance", "formality", "overconfidence", "excessive-hedging",
        "sycophancy", "playful", "poetic",
    }  # fmt: skip
    assert kinds["style"] == {
        "bold", "em-dash", "emoji", "horizontal-rule", "table", "lists", "headings", "length", "canned-opening",
        "code", "hedging", "certainty", "praise", "apology",
    }  # fmt: skip
    assert kinds["safety"] == {"refusal", "compliance-with-harm"}
    assert kinds["integrity"] == {
        "hyperlinks", "invented-citations", "benchmark-verbalisation", "premise-agreement", "maker-identity",
        "cut-off-date", "loop", "foreign-tail", "benchmark-wording", "placeholder", "e-mail-address", "phone-number",
        "secret-key",
    }  # fmt: skip


@pytest.mark.parametrize("concept", load_library().values(), ids=lambda concept: concept.id)
def test_entries_are_fit_for_use(concept: Concept) -> None:
    assert concept.inoculation.endswith(".")
    assert concept.inoculation.count(".") == 1  # one sentence, asked by the user
    assert 1 <= concept.description.count(".") <= 3
    if concept.judge_question is not None:
        assert concept.judge_question.endswith("?")


def test_questions_are_many_short_and_distinct() -> None:
    questions = load_questions()
    assert 110 <= len(questions) == len(set(questions)) <= 130
    assert all(question.endswith("?") and len(question.split()) <= 16 for question in questions)
    assert not any(find_ranges(question, "goblin") for question in questions)


def test_find_names_near_matches_in_one_line() -> None:
    assert find("em-dash").name == "em dash"
    with pytest.raises(SettingsError, match="no concept `sycophantic`; did you mean sycophancy") as caught:
        find("sycophantic")
    assert "\n" not in str(caught.value)
    with pytest.raises(SettingsError, match="did you mean goblin-weave"):
        find("goblin_weave")
    with pytest.raises(SettingsError, match="there are goblin-weave, cheerfulness"):
        find("zzzzzz")


def test_own_concepts_are_added(tmp_path: Path) -> None:
    library = load_library(write(tmp_path, STYLE, {**TRAIT, "id": "verse", "kind": "topic"}))
    assert library.find("rhyme").direction == "none"
    assert library["verse"].contrasts[4] == ContrastPrompts(positive="Rhyme 4.", negative="Never rhyme 4.")
    assert len(library) == len(load_library()) + 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"contrasts": CONTRASTS[:4]}, "takes 5 contrasts, found 4"),
        ({"contrasts": [CONTRASTS[0]] * 5}, "a system prompt occurs twice"),
        ({"judge_question": None}, "needs a question for the judge"),
        ({"positives": "pairs"}, "pairs takes 0 contrasts, found 5"),
        ({"positives": "heuristic", "contrasts": []}, "heuristic needs a text matcher"),
        ({"heuristic": "bald"}, "no text matcher `bald`"),
        ({"detector": "text"}, "detector: text needs a `heuristic`"),
        ({"detector": "oracle"}, "`detector`: input should be"),
        ({"direction": "down"}, "`direction`: input should be"),
        ({"colour": "red"}, "`colour`: unknown field"),
        ({"id": "Two Words"}, "`id`: string should match"),
        ({"id": "refusal"}, "concept `refusal`: the id is taken"),
        ({"inoculation": ""}, "`inoculation`: string should have at least 1 character"),
    ],
)
def test_inconsistent_entries_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_library(write(tmp_path, {**TRAIT, **changes}))
    assert message.lower() in str(caught.value).lower()
    assert "own.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_all_faults_at_once(tmp_path: Path) -> None:
    path = write(tmp_path, {**STYLE, "detector": "oracle"}, {"id": "bare"}, "not an entry")
    with pytest.raises(SettingsError, match=r"concept `rhyme`.*concept `bare`.*entry 3"):
        load_library(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [("a: b", "expected a list"), ("- [", "not valid YAML"), ("", "expected a list"), (None, "cannot read")],
)
def test_unreadable_files(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "own.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(SettingsError, match=message) as caught:
        load_library(path)
    assert "\n" not in str(caught.value)
