"""What is known of N rows besides their signals: prompts, response texts, lengths and authors."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int

from anatomy.statistics.prompts import Prompts
from anatomy.statistics.shared_texts import Bundles, bundles


@dataclass(frozen=True)
class RowFrame:
    """Prompts of N rows, log-length of chosen minus rejected, and numbers for the texts and authors of both sides.

    ``text_N2`` and ``author_N2`` hold chosen, then rejected; a row with an author below 0 has unknown authors. None:
    not known of any row.
    """

    prompts: Prompts
    length_N: Float[np.ndarray, " N"]
    text_N2: Int[np.ndarray, "N 2"] | None = None
    author_N2: Int[np.ndarray, "N 2"] | None = None

    def take(self, rows: Int[np.ndarray, " n"] | Bool[np.ndarray, " N"]) -> RowFrame:
        """The frame of a subset of rows."""
        return RowFrame(self.prompts.take(rows), self.length_N[rows], _taken(self.text_N2, rows),
                     _taken(self.author_N2, rows))  # fmt: skip

    def flipped(self, sign_N: Float[np.ndarray, " N"]) -> RowFrame:
        """The frame with chosen and rejected exchanged where the sign is below 0."""
        author_N2 = self.author_N2
        if author_N2 is not None:
            author_N2 = np.where(sign_N[:, None] < 0, author_N2[:, ::-1], author_N2)
        flipped = replace(self, length_N=self.length_N * sign_N, author_N2=author_N2)
        flipped.__dict__["bundles"] = self.bundles  # texts stay with their rows, whichever side they are on
        return flipped

    @cached_property
    def bundles(self) -> Bundles:
        """Rows that share a response text under different prompts."""
        return bundles(self.text_N2, self.prompts.code_N)


def _taken(values: np.ndarray | None, rows: np.ndarray) -> np.ndarray | None:
    return None if values is None else values[rows]
