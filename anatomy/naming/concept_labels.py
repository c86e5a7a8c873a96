"""Entries of ``labels.json`` for concepts: what a detector's score means, and the responses that score highest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from anatomy.concepts.scores import Scores
from anatomy.naming.cluster_names import Label, Rows
from anatomy.text.visible import excerpt, visible
from anatomy.types import SIDES

EXEMPLARS = 30

Place = tuple[int, int, int]
"""Row position, side (0 chosen, 1 rejected) and the token of the response with the highest score."""


def highest(scores: Scores) -> list[Place]:
    """The responses of highest score, highest first, one a prompt."""
    order = np.argsort(-np.nan_to_num(scores.score_NS, nan=-np.inf), axis=None, kind="stable")
    places: list[Place] = []
    prompts: set[str] = set()
    for row, side in zip(*np.unravel_index(order, scores.score_NS.shape), strict=True):
        if len(places) == EXEMPLARS:
            break
        if scores.at_NS[row, side] >= 0 and scores.prompt_ids[row] not in prompts:
            prompts.add(scores.prompt_ids[row])
            places.append((int(row), int(side), int(scores.at_NS[row, side])))
    return places


def concept_label(name: str, facts: Mapping[str, Any], places: list[Place], rows: Rows) -> Label:
    """The label of one concept, in the form of a cluster's; ``facts`` are what is known of its detector."""
    return {
        "label": name,
        "top_tokens": [],
        "ngrams": [],
        "correlates": [],
        "exemplars": [_exemplar(place, rows) for place in places],
        **facts,
    }


def _exemplar(place: Place, rows: Rows) -> Label:
    row, side, at = place
    pieces = rows.tokens_of(row, SIDES[side])
    return {
        "row_id": rows.row_ids[row],
        "index": int(rows.indices[row]),
        "side": SIDES[side],
        "kind": "nearest",
        "text": excerpt(pieces, at),
        "positions": [at],
        "tokens": [visible(pieces[at])],
    }
