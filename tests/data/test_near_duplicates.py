"""Near-duplicate prompts are found as comparing all with all finds them."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from anatomy.data.health_parts import NearDuplicates
from anatomy.data.ingest import measure
from anatomy.data.near_duplicates import PromptSample, grams_of, jaccard, letters_of
from anatomy.settings import RowSettings
from anatomy.types import Pair

SHARED = Path(__file__).parents[3] / "shared" / "data"
DRAW = random.Random(0)
WORDS = ["".join(DRAW.choices("abdefgiklmnoprstu", k=DRAW.randint(2, 9))) for _ in range(2000)]
TEMPLATES = ["Please answer: {}", "{} Thanks!", "Hi! {}", "{} Explain briefly.", "I wonder: {}", "{}", "  {} ", "{}?"]


def found_of(prompts: list[str], most: int = 4096) -> NearDuplicates | None:
    sample = PromptSample(most)
    for index, prompt in enumerate(prompts):
        answers = [[{"role": "assistant", "content": text}] for text in "ab"]
        sample.add(Pair(index, [{"role": "user", "content": prompt}], *answers))
    return sample.found(len(set(prompts)))


def question(draw: random.Random) -> str:
    return " ".join(draw.choices(WORDS, k=draw.randint(10, 25))).capitalize()


def test_planted_paraphrases_are_found_and_nothing_else() -> None:
    draw = random.Random(2)
    originals = [question(draw) for _ in range(600)]
    copies = [draw.choice(TEMPLATES[:5]).format(one) for one in originals[:100]]
    found = found_of(originals + copies)
    assert found is not None
    assert (found.sampled, found.distinct) == (700, 700)
    assert found.groups >= 99  # recall: a pair is missed with probability 0.006 at most
    assert found.prompts == 2 * found.groups


def test_what_is_similar_by_brute_force_is_found() -> None:
    """Copies with words left out lie on both sides of the limit."""
    draw = random.Random(8)
    pairs = []
    for _ in range(300):
        words = question(draw).split()
        copy = [word for word in words if draw.random() > 0.17]
        pairs.append((" ".join(words), " ".join(copy)))
    pairs = [(a, b) for a, b in pairs if a != b and b]
    similar = sum(jaccard(grams_of(letters_of(a)), grams_of(letters_of(b))) >= 0.7 for a, b in pairs)
    assert 30 < similar < len(pairs) - 30
    found = found_of([text for both in pairs for text in both])
    assert found is not None
    assert similar - 3 <= found.groups <= similar


def test_other_numbers_make_another_prompt() -> None:
    assert found_of(["What is 15 % of 240, rounded?", "What is 25 % of 240, rounded?"]) is None
    assert found_of(["What is 15 % of 240, rounded?", "what is 15 %  of 240 rounded"]) is not None


def test_a_template_around_everything_makes_no_duplicates() -> None:
    draw = random.Random(4)
    frame = "Below is an instruction that describes a task. Write a response that completes the request. ### {} ###"
    assert found_of([frame.format(question(draw)) for _ in range(200)]) is None


def test_any_script_and_no_letters() -> None:
    found = found_of(["为什么天空是蓝色的呢请告诉我", "为什么天空是蓝色的呢？请告诉我！", "!!!", "???", ""])
    assert found is not None
    assert (found.prompts, found.groups) == (2, 1)


def test_groups_are_shown_from_the_first_difference_on() -> None:
    start = "I like to host guests, and I gather recipes of drinks and of dishes; can you give me one, please, for "
    found = found_of([start + "soup", start + "bread"])
    assert found is not None
    assert [example.index for example in found.largest[0].examples] == [0, 1]
    assert found.largest[0].examples[1].excerpt.endswith("for bread")


def test_a_large_set_is_sampled() -> None:
    draw = random.Random(6)
    prompts = [question(draw) for _ in range(1500)]
    found = found_of(prompts + ["Hi! " + prompt for prompt in prompts], most=1000)
    assert found is not None
    assert 500 <= found.sampled <= 1000
    assert found.distinct == 3000
    assert found.prompts < found.sampled


@pytest.mark.skipif(not SHARED.is_dir(), reason="real data is not here")
def test_paraphrases_of_the_label_problems() -> None:
    found = measure(RowSettings(rows=str(SHARED / "cases" / "31-label-problems.jsonl"))).near_duplicates
    assert found is not None
    assert (found.groups, found.prompts) == (5, 10)
