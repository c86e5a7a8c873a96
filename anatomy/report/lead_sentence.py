"""A finding as one sentence that a person can repeat: what is rewarded or punished, where, how often."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from anatomy.hypotheses.contexts import GROUP
from anatomy.hypotheses.same_findings import leans_inside
from anatomy.hypotheses.views import EVERYWHERE


def lead_sentence(test: Mapping[str, Any], name: str, context: str) -> str:
    """The sentence of a test, as a line of ``hypotheses.parquet``.

    Args:
        name: what the response is called.
        context: what the context is called; of the whole set it is not read.
    """
    text = f"{name[:1].upper()}{name[1:]} {_claim(test, _plural(name))} {_where(test, context)}"
    if math.isfinite(test["win_rate"]):
        interval = f"[{100 * test['win_rate_low']:.0f}, {100 * test['win_rate_high']:.0f}]"
        text += (
            f": of the {test['differ']:.0%} of pairs in which the sides differ in it, the chosen side has more in "
            f"{test['win_rate']:.0%} {interval}"
        )
    return f"{text}; {_survives(test)}"


def _plural(name: str) -> bool:
    """Whether a noun, or the noun that "of" follows, is a plural by its look."""
    noun = name.split(" of ")[0].split(" (")[0]
    return noun.endswith("s") and not noun.endswith(("ss", "'s"))


def _claim(test: Mapping[str, Any], plural: bool) -> str:
    rewarded = test["direction"] == "chosen"
    if test["view"] == "global" or leans_inside(test):
        return f"{'are' if plural else 'is'} {'rewarded' if rewarded else 'punished'}"
    return f"{'fare' if plural else 'fares'} {'better' if rewarded else 'worse'}"


def _where(test: Mapping[str, Any], context: str) -> str:
    if test["context"] == EVERYWHERE:
        return "everywhere"
    place = f"where the prompt shows {context}" if test["view"] == "prompt" else f"in {context}"
    if test["context"].startswith(GROUP):
        place = f"where {context}"
    return f"{place}, more than elsewhere" if leans_inside(test) else f"{place} than elsewhere"


def _survives(test: Mapping[str, Any]) -> str:
    beside = "length and authors" if math.isfinite(test["effect_author_adjusted"]) else "length"
    return {
        "holds": f"it holds beside {beside}",
        "mostly length": "it is mostly length",
        "mostly author": "it is mostly who wrote the side",
        "undecided": f"whether it is more than {beside} is not known",
    }[test["verdict"]]
