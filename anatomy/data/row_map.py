"""Which column of a preference set has which role: what ``--map`` says, else what is recognised."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict

from anatomy.errors import RowsError

Layout = Literal["pairs", "winner", "ranking", "pointwise", "unpaired"]
"""How a record says which response is better: by its name, by a column, by scores, or only with other records."""


class RowMap(BaseModel):
    """Column by role. A column is a path (``question.full_text``, ``answers.0``); ``a+b`` joins texts.

    ``scores`` names a list beside ``responses``, or a path inside each of them, as ``response`` does then.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    layout: Layout | None = None
    prompt: str | None = None
    system: str | None = None
    history: str | None = None
    chosen: str | None = None
    rejected: str | None = None
    response_a: str | None = None
    response_b: str | None = None
    winner: str | None = None
    responses: str | None = None
    scores: str | None = None
    response: str | None = None
    score: str | None = None
    label: str | None = None
    chosen_score: str | None = None
    rejected_score: str | None = None
    chosen_model: str | None = None
    rejected_model: str | None = None
    model_a: str | None = None
    model_b: str | None = None
    vote: str | None = None

    def named(self) -> dict[str, str]:
        """The roles that a column has, with it."""
        return {role: str(column) for role, column in self.model_dump(exclude_none=True).items()}

    @classmethod
    def of(cls, columns: Mapping[str, str]) -> RowMap:
        """The map that a person wrote.

        Raises:
            RowsError: a role is unknown, or the layout is.
        """
        for role in columns:
            if role not in cls.model_fields:
                raise RowsError(f"--map: no role `{role}`{nearest(role, cls.model_fields)}")
        if "layout" in columns and columns["layout"] not in Layout.__args__:  # type: ignore[attr-defined]
            raise RowsError(f"--map: no layout `{columns['layout']}`; layouts: {', '.join(Layout.__args__)}")  # type: ignore[attr-defined]
        return cls.model_validate(dict(columns))


def nearest(name: str, known: Mapping[str, object] | list[str]) -> str:
    """The end of a message about an unknown name: the known ones that are near, or all of them."""
    near = difflib.get_close_matches(name, list(known), n=3, cutoff=0.6)
    names = ", ".join(f"`{name}`" for name in (near or list(known))[:25])
    return f"; did you mean {names}?" if near else f"; known: {names}"
