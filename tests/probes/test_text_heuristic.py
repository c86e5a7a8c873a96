"""The text heuristic as a scorer of tokens."""

import re

import numpy as np
import pytest

from anatomy.concepts.scorer import Scorer, Span, score_span
from anatomy.errors import ProbeError
from probes.text_heuristic import TextHeuristic


def span(text: str, pattern: str = r"\s*\S+") -> Span:
    """Tokens as a byte-pair tokenizer makes them: a word with the space before it."""
    offsets = [match.span() for match in re.finditer(pattern, text)]
    return Span(text, np.array(offsets, dtype=np.int64).reshape(-1, 2))


def test_tokens_that_overlap_a_range_score_one() -> None:
    scorer = TextHeuristic("bold", "bold")
    assert isinstance(scorer, Scorer)
    assert (scorer.layer, scorer.pooling, scorer.threshold) == (None, "max", 1.0)
    np.testing.assert_array_equal(scorer.score_tokens(span("a **b c** d x**e**y 2 ** 3")), [0, 1, 1, 0, 1, 0, 0, 0])


@pytest.mark.parametrize("name", ["bold", "list", "number", "link", "emoji", "length"])
def test_against_brute_force(name: str) -> None:
    from anatomy.text.matchers import find_ranges

    generator = np.random.default_rng(0)
    text = "- **a** 1 😀\n- b https://c.d/e __f g__ 22\n  - h **i `**` j**\n\n1. k"
    cuts = np.sort(generator.choice(len(text) + 1, 30))  # some tokens are empty
    tokens = Span(text, np.stack([cuts[:-1], cuts[1:]], axis=1))
    ranges = find_ranges(text, name)
    if name == "length":
        expected = [sum(start < stop for start, _ in ranges) for _, stop in tokens.offsets_T2]
    else:
        expected = [any(max(a, c) < min(b, d) for c, d in ranges) for a, b in tokens.offsets_T2]
    np.testing.assert_array_equal(TextHeuristic(name, name).score_tokens(tokens), np.array(expected, dtype=float))


def test_length_is_the_number_of_words() -> None:
    scorer = TextHeuristic("length", "length")
    text = "three  short words\n"
    assert (scorer.pooling, scorer.threshold) == ("last", None)
    np.testing.assert_array_equal(scorer.score_tokens(span(text, r"\S+|\s+")), [1, 1, 2, 2, 3, 3])
    assert score_span(scorer, span(text)) == 3


def test_span_scores_and_flags() -> None:
    scorer = TextHeuristic("refusal", "refusal")
    assert scorer.threshold is not None
    assert score_span(scorer, span("I cannot help with that.")) >= scorer.threshold
    assert score_span(scorer, span("Here is how.")) < scorer.threshold
    assert np.isnan(score_span(scorer, span("")))
    assert score_span(TextHeuristic("bold", "bold", pooling="mean"), span("a **b** c d")) == 0.25


def test_no_flag_without_a_threshold() -> None:
    assert TextHeuristic("bold", "bold", pooling="mean").threshold is None


def test_unknown_matcher_is_named() -> None:
    with pytest.raises(ProbeError, match="no text matcher `bald`"):
        TextHeuristic("x", "bald")
