"""Does the SAE describe these activations? Additive sums, what they say, and when to stop.

``L0 = Σ active / tokens``; ``variance explained = 1 − Σ‖x − x̂‖² / Σ‖x − x̄‖²`` over all measured tokens (one fraction
of pooled sums, not a mean of per-batch fractions, which depends on the batching); a feature is dead when it fires on
none of them. A public SAE that loads at a wrong scale runs at 26 times its L0 without any error, hence these checks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from jaxtyping import Float, Int

if TYPE_CHECKING:
    from torch import Tensor

MIN_VARIANCE_EXPLAINED = 0.5
"""Below this, more of the activations is lost than kept (the paper reports 0.83–0.86; a wrong scale gives ≤ 0)."""
MAX_L0_RATIO = 3.0
"""L0 may differ from the claim by other text; a factor of 3 either way means a wrong scale, layer or threshold."""
MAX_DEAD_SHARE = 0.9
"""A wide SAE is mostly silent on a small set of one domain; above this little is left to cluster."""
MAX_DROPPED_SHARE = 0.02
"""Attention sinks are fewer than one token in a hundred; more means damaged weights, and findings that miss tokens."""
FEW_DROPPED = 8
"""So many tokens say nothing of a share."""
MIN_TOKENS_FOR_DEAD = 20_000
"""Fewer tokens cannot show that a feature is dead."""


class Codec(Protocol):
    """What health needs of an SAE."""

    @property
    def n_features(self) -> int: ...
    def encode(self, x_BD: Tensor) -> Tensor: ...
    def decode(self, a_BF: Tensor) -> Tensor: ...


class HealthSums(NamedTuple):
    """Sums over tokens; those of two sets of tokens add up with :meth:`plus`.

    ``l0_sum`` active features, ``error_sum`` Σ‖x − x̂‖², ``norm_sum`` Σ‖x‖², ``x_sum`` Σx, ``fires`` tokens on which
    each feature is active.
    """

    tokens: int
    l0_sum: float
    error_sum: float
    norm_sum: float
    x_sum: Float[np.ndarray, " D"]
    fires: Int[np.ndarray, " F"]
    outliers: int = 0  # tokens of enormous norm that were left out of all the other sums

    @classmethod
    def zero(cls, width: int, n_features: int) -> HealthSums:
        """The sums over no tokens."""
        return cls(0, 0.0, 0.0, 0.0, np.zeros(width, np.float64), np.zeros(n_features, np.int64))

    @classmethod
    def of(cls, x_BD: Tensor, a_BF: Tensor, decoded_BD: Tensor) -> HealthSums:
        """The sums over one batch of activations, their features and their reconstruction."""
        fires_BF = a_BF > 0
        x_BD = x_BD.double()
        return cls(
            tokens=x_BD.shape[0],
            l0_sum=float(fires_BF.sum()),
            error_sum=float((x_BD - decoded_BD).square().sum()),
            norm_sum=float(x_BD.square().sum()),
            x_sum=x_BD.sum(0).cpu().numpy(),
            fires=fires_BF.sum(0).cpu().numpy().astype(np.int64),
        )

    def plus(self, other: HealthSums) -> HealthSums:
        """The sums over the tokens of both."""
        return HealthSums(
            self.tokens + other.tokens,
            self.l0_sum + other.l0_sum,
            self.error_sum + other.error_sum,
            self.norm_sum + other.norm_sum,
            self.x_sum + other.x_sum,
            self.fires + other.fires,
            self.outliers + other.outliers,
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {name: np.asarray(value).tolist() for name, value in self._asdict().items()}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> HealthSums:
        """Inverse of :meth:`to_dict`."""
        arrays = {"x_sum": np.asarray(value["x_sum"], np.float64), "fires": np.asarray(value["fires"], np.int64)}
        return cls(**{**value, **arrays})


@dataclass(frozen=True)
class SAEHealth:
    """What was measured beside what the SAE's card claims (``None``: it states nothing)."""

    tokens: int
    l0: float
    variance_explained: float
    dead_share: float
    claimed_l0: float | None = None
    claimed_variance_explained: float | None = None
    outliers: int = 0

    @classmethod
    def from_sums(cls, sums: HealthSums, claimed: Mapping[str, float] | None = None) -> SAEHealth:
        """Health from additive sums; ``claimed`` may hold ``l0`` and ``variance_explained``."""
        claimed = claimed or {}
        tokens = sums.tokens
        variance = sums.norm_sum - float(sums.x_sum @ sums.x_sum) / tokens if tokens else 0.0
        return cls(
            tokens=tokens,
            l0=sums.l0_sum / tokens if tokens else 0.0,
            variance_explained=1 - sums.error_sum / variance if variance > 0 else 0.0,
            dead_share=float((sums.fires == 0).mean()),
            claimed_l0=claimed.get("l0"),
            claimed_variance_explained=claimed.get("variance_explained"),
            outliers=sums.outliers,
        )

    def __str__(self) -> str:
        """Measured beside claimed, one quantity a line."""

        def claim(value: float | None, form: str) -> str:
            return "not stated" if value is None else f"{value:{form}}"

        return "\n".join(
            [
                f"{'over ' + format(self.tokens, ',') + ' tokens':<20} {'measured':>9}  claimed",
                f"{'L0':<20} {self.l0:>9.1f}  {claim(self.claimed_l0, '.1f')}",
                f"{'variance explained':<20} {self.variance_explained:>9.3f}  "
                f"{claim(self.claimed_variance_explained, '.3f')}",
                f"{'dead features':<20} {self.dead_share:>9.1%}  -",
            ]
        )

    def faults(self) -> list[str]:
        """Why the SAE must not be trusted on these rows, one line each; empty when healthy."""
        found = []  # every limit is asked as "is it healthy", which a number that is NaN is not
        if not self.variance_explained >= MIN_VARIANCE_EXPLAINED:
            found.append(f"variance explained {self.variance_explained:.3f} is not {MIN_VARIANCE_EXPLAINED} or more")
        if not self.l0 > 0:
            found.append("no feature fires on any token")
        elif self.claimed_l0 and not 1 / MAX_L0_RATIO <= self.l0 / self.claimed_l0 <= MAX_L0_RATIO:
            found.append(
                f"L0 {self.l0:.1f} is not within a factor {MAX_L0_RATIO:g} of the {self.claimed_l0:g} it claims"
            )
        if self.tokens >= MIN_TOKENS_FOR_DEAD and not self.dead_share <= MAX_DEAD_SHARE:
            found.append(f"{self.dead_share:.0%} of its features never fire (more than {MAX_DEAD_SHARE:.0%})")
        dropped = too_many_dropped(self.outliers, self.tokens + self.outliers)
        return found if dropped is None else [*found, dropped]


def too_many_dropped(dropped: int, tokens: int) -> str | None:
    """Return why so many dropped ones among all ``tokens`` are too many; None if they are not."""
    share = dropped / max(1, tokens)
    if dropped <= FEW_DROPPED or share <= MAX_DROPPED_SHARE:
        return None
    return (
        f"{share:.1%} of the tokens were left out, their activations enormous or not finite (more than "
        f"{MAX_DROPPED_SHARE:.0%})"
    )


CHUNK_ENTRIES = 1 << 24
"""Dense tokens x features entries encoded at once (64 MiB in float32)."""


def measure(sae: Codec, x_ND: Tensor) -> HealthSums:
    """Health sums of ``sae`` over activations ``x_ND``, some tokens at a time."""
    chunk = max(1, CHUNK_ENTRIES // sae.n_features)
    sums = HealthSums.zero(x_ND.shape[1], sae.n_features)
    for x_BD in x_ND.split(chunk):
        a_BF = sae.encode(x_BD.float())
        sums = sums.plus(HealthSums.of(x_BD, a_BF, sae.decode(a_BF)))
    return sums
