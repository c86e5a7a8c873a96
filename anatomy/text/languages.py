"""The language of a text, by `py3langid`: its two-letter code (ISO 639-1), or that it cannot be said.

The start of the prose decides: fenced and inline code and addresses are left out. Texts of a few words, and those of
which the classifier is not sure, have no language. Regional languages without a two-letter code count as their large
relatives.
"""

from __future__ import annotations

import functools
import re
from typing import Any

import numpy as np
import regex

UNDETERMINED = "undetermined"
READ_CHARS = 160
LEAST_LETTERS = 24
LEAST_DENSE = 6
"""Least letters of scripts that say much in few: Chinese, Japanese, Korean."""
LEAST_PROBABILITY = 0.7
_NO_PROSE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]{1,200}`|https?://\S+|www\.\S+", re.DOTALL)
_DENSE = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}]")


def language_of(text: str) -> str:
    """Return the ISO 639 code of the language of ``text``, or ``"undetermined"``."""
    prose = " ".join(_NO_PROSE.sub(" ", text[: 10 * READ_CHARS]).split())[:READ_CHARS]
    if sum(map(str.isalpha, prose)) < LEAST_LETTERS and len(_DENSE.findall(prose)) < LEAST_DENSE:
        return UNDETERMINED
    language, probability = _classifier().classify(prose)
    return str(language) if probability >= LEAST_PROBABILITY else UNDETERMINED


@functools.cache
def _classifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    classifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    classifier.set_languages([name for name in classifier.labels if len(name) == 2])
    classifier.nb_ptc = np.ascontiguousarray(classifier.nb_ptc)  # a text needs whole rows of it: half of the time
    return classifier
