"""Phrases that name a cluster: planted ones pass the blind test, phrases of chance and stop words do not."""

import numpy as np
import pytest
from scipy import stats

from anatomy.naming.describe import name, unnamed
from anatomy.naming.name_phrases import blind_test, has_content, name_phrases
from anatomy.statistics.prompts import Prompts
from anatomy.text.ngrams import count_ngrams

FILLER = ["river", "stone", "cloud", "paper", "green", "seven", "window", "table", "morning", "quiet", "road", "letter"]


def texts(generator, count):
    return [" ".join(generator.choice(FILLER, 25)) for _ in range(count)]


def prompts_of(count, per_prompt=2):
    return Prompts.from_ids([f"p{place // per_prompt}" for place in range(count)])


def named(said, inside, prompts, activity=None, tokens=None):
    activity = inside.astype(float) if activity is None else activity
    held = [set(text.split()) for text in said]
    return name_phrases(count_ngrams(said), tokens or {}, held, activity, inside, prompts)


def test_a_planted_phrase_names_its_cluster_and_passes():
    generator = np.random.default_rng(0)
    inside = generator.random((400, 2)) < 0.15
    said = [f"{text} a purring cat {text}" if one else text for text, one in zip(texts(generator, 400), inside[:, 0],
            strict=True)]  # fmt: skip
    planted, chance = named(said, inside, prompts_of(400))
    assert "purring" in " ".join(planted.phrases)
    assert planted.test.low > 0.9
    assert not chance.test.passed


def test_a_phrase_of_the_neighbours_is_no_name():
    """Both clusters fire where a cat is, one of them where it sleeps: cat alone does not name that one."""
    generator = np.random.default_rng(1)
    cat, sleeps = generator.random(600) < 0.4, generator.random(600) < 0.5
    inside = np.column_stack([cat & ~sleeps, cat & sleeps])
    said = [f"{text} tabby{' asleep' * bool(one and other)}" if one else text for text, one, other in
            zip(texts(generator, 600), cat, sleeps, strict=True)]  # fmt: skip
    activity = np.column_stack([cat + 0.0, cat + 0.5 * sleeps])
    assert any("asleep" in phrase for phrase in named(said, inside, prompts_of(600), activity)[1].phrases)
    assert "tabby" not in named(said, inside, prompts_of(600), activity)[1].phrases


@pytest.mark.parametrize(("ngram", "content"), [
    ("to", False), ("it is", False), (". and", False), ("i'm", False), ("**", False), ("s", False), ("want", True),
    ("as an ai", True), ("café", True), ("2024", True), ("a cat", True), ("", False),
])  # fmt: skip
def test_stop_words_and_marks_are_no_name(ngram, content):
    assert has_content(ngram) == content


def test_names_of_stop_words_only_are_not_shown():
    generator = np.random.default_rng(2)
    inside = generator.random((300, 1)) < 0.3
    said = [f"and so it is {text}" if one else text for text, one in zip(texts(generator, 300), inside[:, 0],
            strict=True)]  # fmt: skip
    assert not any(
        phrase in ("and so", "and so it", "it is") for phrase in named(said, inside, prompts_of(300))[0].phrases
    )
    (found,) = named(said, inside, prompts_of(300), tokens={0: [" and", "so", "zorp"]})
    assert "zorp" in found.phrases
    assert "so" not in found.phrases


def test_a_name_of_chance_passes_at_the_nominal_rate():
    """The score says nothing of which spans are inside; both go with the prompt."""
    generator, passed = np.random.default_rng(3), []
    prompts = prompts_of(240, 4)
    for _ in range(400):
        score = (generator.standard_normal(60)[prompts.code_N] + generator.standard_normal(240) > 0.8).astype(float)
        inside = generator.standard_normal(60)[prompts.code_N] + generator.standard_normal(240) > 1.2
        passed.append(blind_test(score, inside, prompts).passed)
    assert 0.008 <= np.mean(passed) <= 0.045  # 2.5 %


def test_the_area_under_the_curve_is_mann_whitneys_and_its_interval_delongs():
    generator = np.random.default_rng(4)
    inside = np.arange(200) < 60
    score = np.round(generator.standard_normal(200) + inside)
    found = blind_test(score, inside, prompts_of(200, 1))
    statistic = stats.mannwhitneyu(score[inside], score[~inside]).statistic
    assert found.auc == pytest.approx(statistic / (60 * 140))
    placed = (score[inside][:, None] > score[~inside]) + 0.5 * (score[inside][:, None] == score[~inside])
    variance = placed.mean(1).var(ddof=1) / 60 + placed.mean(0).var(ddof=1) / 140
    assert (found.high - found.low) / 2 == pytest.approx(stats.t.ppf(0.975, 59) * np.sqrt(variance), rel=0.02)


def test_few_prompts_are_no_test():
    assert np.isnan(blind_test(np.arange(12.0), np.arange(12) < 6, prompts_of(12, 2)).auc)


def test_a_name_is_its_concept_with_phrases_or_phrases_or_an_exemplar():
    strong = [{"concept": "list", "r": 0.7}]
    assert name(["a cat"], strong) == "list («a cat»)"
    assert name(["a cat"], strong, "refusal") == "refusal («a cat»)"
    assert name([], [], "refusal") == "refusal"
    assert name(["a cat", "b"], []) == "«a cat», «b»"
    assert name([], []) == ""
    assert unnamed([{"text": "word " * 30}]) == f"unnamed, as in “{('word ' * 30)[:70]}…”"
    assert unnamed([]) == "unnamed"
