"""What each backend can be told, and what its strength means."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from anatomy.settings import Settings

CONDITION = r"^([DP]\d+|[^=]+=.*)$"


class FilteringOptions(Settings):
    """What is left out. Of scored targets, rows are picked by one of three rules.

    ``top``: the share of all rows with the largest score gap in the direction, chosen over rejected when suppressing
    and rejected over chosen when amplifying; a gap of the other sign is never picked. ``threshold`` or ``side``: rows
    of which that side scores at least the threshold. Neither: rows whose gap in the direction is more than one
    standard deviation of all responses.

    Tokens can be left out to suppress only, and that is no more than leaving out: where the other side has plain tokens
    in the same place, these are still pushed down, and the concept rises by what they lose.
    """

    drop: Literal["examples", "tokens", "words"] = Field(
        "examples", description="Whole rows, or the tokens or words at the threshold, out of the log-probability sums."
    )
    top: float | None = Field(None, ge=0, le=1, description="Share of the rows, by score gap in the direction.")
    threshold: float | None = Field(
        None, allow_inf_nan=False, description="Score from which on a side, or a token, is picked; default: detector's."
    )
    side: Literal["chosen", "rejected", "either"] | None = Field(
        None, description="Side looked at; default: of rows, the one that teaches against; of tokens, either."
    )
    swap: bool = Field(False, description="Swap chosen and rejected instead of dropping the row.")

    @model_validator(mode="after")
    def _one_rule(self) -> Self:
        if self.top is not None and (self.threshold is not None or self.side is not None or self.drop != "examples"):
            raise ValueError("`top` picks rows by itself; leave out `threshold`, `side` and `drop: tokens | words`")
        if self.swap and self.drop != "examples":
            raise ValueError("`swap` is of whole rows; leave out `drop`")
        return self


class InoculationOptions(Settings):
    """An instruction at the end of the last user turn of flagged rows, seen by the policy alone.

    One that asks for the concept explains it away. To amplify, give one that asks for the opposite.
    """

    instruction: str | None = Field(None, min_length=1, description="The sentence; default: the concept's own.")
    flagged: Literal["either", "chosen"] = Field("either", description="Side that must show the concept.")
    side: Literal["both", "chosen"] = Field("both", description="Side of a flagged row that gets the instruction.")
    threshold: float | None = Field(
        None,
        allow_inf_nan=False,
        description="Score that flags; default: the detector's, or one deviation above the mean of all responses.",
    )


class SteeringOptions(Settings):
    """``h_l ← h_l + α·v``, ``v`` the detector's direction at length 1 and ``α`` the strength (method.md §9).

    The strength is the paper's α, a length in units of the residual stream. Towards the concept when suppressing, on
    either side: to first order the steered policy then gives the side that shows more of it the higher probability,
    which explains the preference. Away from it when amplifying. Of both sides steered alike, the policy of the optimum
    is shifted back by what the vector did. Steering one side alone also changes gradients, and the rejected side alone
    keeps its direction only at small strengths (measured in ``experiments/poisoning``).
    """

    layer: int | None = Field(None, ge=0, description="Block after which it is added, from 0; default: the detector's.")
    side: Literal["both", "chosen", "rejected"] = Field("both", description="Side that is steered.")
    top: float | None = Field(
        None, ge=0, le=1, description="Share of the rows, by score gap of chosen over rejected; default: all rows."
    )


class ShapingOptions(Settings):
    """Offset ``±strength · (s̃⁺ − s̃⁻)`` inside the log-sigmoid (method.md §9)."""

    rows: str | None = Field(
        None,
        pattern=CONDITION,
        description="Shape these rows only: a cluster of rows (`D4`, `P7`) or `column=value`.",
    )
