"""Predictors of the shift that DPO will cause, behind one interface (method.md §1, §7).

Every predictor is a signed weight on responses: the predicted shift of any readout is ``Σ_j q_j · y_j``, for a feature,
a cluster or a concept alike, over all responses or over those of a context. Nothing of shape F × F is formed.

- *Difference* (``disparity``, ``continuous``, ``on-policy``): the mean over pairs of chosen minus rejected,
  ``q = ±ω_i / Σω``; ``disparity`` is the paper's, on presence; ``on-policy`` weighs a pair by how likely the model
  before training finds its responses.
- *Tilt*: KL-regularised training tilts the policy by ``exp(λ r)``, and ``d E[y]/dλ = Cov(y, r)`` (method.md §1), so
  ``q_j = (r_j − r̄)/J``. ``r = b·φ`` is linear in pooled frequencies: ridge Bradley–Terry on standardised differences
  (``tilt``), or the first gradient step of it from 0 (``gradient``): at step 0 all DPO margins are 0, every pair has
  weight ½, and with the kernel ``K(y, y') = φ̃(y)·φ̃(y')`` in place of the gradients' inner product, a small step changes
  ``E[y]`` by ``½ Σ_i Cov(y, φ̃)·(φ̃_i⁺ − φ̃_i⁻)``. It is the limit of ``tilt`` for a large penalty. ``tilt-within``
  takes the covariance within prompts, as the derivative at a fixed prompt says; ``tilt-policy`` over the model's own
  responses.
- *SGD*: as ``gradient``, with unscaled frequencies, ``b = ½ mean(d)``, and the covariance over the model's own
  responses: ``K(y, y') = φ(y)·φ(y')``. A feature weighs by how much of a response it covers, not by how rare it is.
- *Adam*: the reward is what Adam's first steps make of the same: the mean gradient over its root mean square,
  ``b = ½ mean(d)/rms(d)``. The covariance is over the model's own responses within each prompt, because DPO moves the
  model's distribution at a fixed prompt.
- *Activations*: the same first step with the residual stream as the kernel, in place of the SAE's features: summed over
  a pair's tokens, as DPO's log-probabilities are, about the mean of the model's own tokens and over their deviation;
  the covariance is over the model's own responses. It sees how strongly something is there, and what no feature is for.
- *Sharpened*: as ``activations``, and half as much certainty, the log-probability that the model itself gives a
  response's tokens: a term without labels, because training made the model surer on three of four sets measured
  (``experiments/prediction``). A reason to expect it is that what DPO takes from a rejected response goes to what was
  likely anyway, the squeezing effect (arXiv 2407.10490).
- *Temperature*: no labels at all. Tempering, ``π_T ∝ π^{1/T}``, has ``d log π_T/dT = −(log π − E log π)`` at T = 1, so
  its reward is a response's surprisal ``−log π(y)`` and its pool the model's own responses. Training that moves both
  responses of a pair alike (``reward_drift.py``) flattens a model in about this way.
- *Controls*: a reward that knows only the response's length; base rates without labels.

The unit of a tilt is arbitrary (λ is how far training goes): a slope, not the identity, relates it to what is observed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float

from anatomy.prediction.readouts import Readout
from anatomy.prediction.response_pool import Pool, flat
from anatomy.prediction.rewards import (
    Signs,
    bradley_terry,
    covariance_weights,
    inverse,
    standard,
    standardised_differences,
)
from anatomy.types import SIDES

SHARPENING = 0.5
"""Weight of certainty beside a reward, both in standard deviations over the responses."""


class Predictor(Protocol):
    """A fitted predictor is a signed weight on the responses of a pool."""

    @property
    def name(self) -> str:
        """How it is asked for."""

    @property
    def statistic(self) -> str:
        """What is read of features and response clusters: ``freq`` or ``present``."""

    @property
    def own(self) -> bool:
        """Whether it predicts over the model's own responses, in place of the data's."""

    @property
    def residuals(self) -> bool:
        """Whether it reads residuals beside features."""

    def fit(self, data: Pool, sign_N: Signs | None = None) -> Predictor:
        """Learn from the labels of ``data``; ``sign_N`` = −1 swaps chosen and rejected of a row."""

    def weights(self, pool: Pool, inside_N: Bool[np.ndarray, " N"]) -> Float[np.ndarray, " J"]:
        """``q`` over the responses of ``pool`` for the rows inside; 0 for the others."""


@runtime_checkable
class Rewarding(Predictor, Protocol):
    """A predictor that is a covariance with a reward, over all responses or within prompts."""

    @property
    def within(self) -> bool:
        """Whether the covariance is within prompts."""

    def fit(self, data: Pool, sign_N: Signs | None = None) -> Rewarding:
        """As a predictor's."""

    def rewards(self, pool: Pool) -> Float[np.ndarray, " J"]:
        """The reward of every response of ``pool``."""

    def contributions(self, data: Pool, pool: Pool, value_J: Float[np.ndarray, " J"]) -> Float[np.ndarray, " N"]:
        """What each pair of ``data`` adds to the predicted shift of ``value_J``, read of the responses of ``pool``."""


def predict(predictor: Predictor, pool: Pool, readout: Readout, inside_N: Bool[np.ndarray, " N"]) -> np.ndarray:
    """The predicted shift of every name of ``readout``, in its unit: ``Σ_j q_j y_j`` in float64; [M]."""
    weight_J = predictor.weights(pool, inside_N)
    used = np.flatnonzero(weight_J)
    return np.asarray(readout.values_JM[used].T.astype(np.float64) @ weight_J[used])


@dataclass(frozen=True)
class MeanDifference:
    """Mean over pairs of chosen minus rejected; ``likely_N2`` (mean log-probability per token) weighs the pairs."""

    name: str
    statistic: str = "freq"
    likely_N2: Float[np.ndarray, "N 2"] | None = None
    sign_N: Signs | None = None
    own: ClassVar[bool] = False
    residuals: ClassVar[bool] = False

    def fit(self, data: Pool, sign_N: Signs | None = None) -> MeanDifference:
        """Keeps the signs: nothing is learnt."""
        return replace(self, sign_N=sign_N)

    def weights(self, pool: Pool, inside_N: Bool[np.ndarray, " N"]) -> Float[np.ndarray, " J"]:
        """``±ω_i / Σω`` over the pairs inside; ω is the geometric mean of the two sides' per-token probability."""
        weight_N = inside_N.astype(np.float64)
        if self.likely_N2 is not None:
            weight_N = weight_N * np.exp(self.likely_N2.mean(axis=1))
        weight_N = weight_N / max(weight_N.sum(), np.finfo(float).tiny)
        weight_N = weight_N if self.sign_N is None else weight_N * self.sign_N
        return np.concatenate([weight_N, -weight_N])


@dataclass(frozen=True)
class Tilt:
    """Covariance with a reward ``b·φ`` that is linear in pooled frequencies.

    After ``fit``: ``direction_F_`` is b, ``scale_F_`` what b is divided by (the root mean square of a feature's
    difference; 1 for ``adam``, its inverse for ``sgd``, 0 for features left out), ``dual_N_`` each pair's pull on b:
    ``b = scale⁻¹ Σ_i dual_i · d̃_i`` with ``d̃_i`` the pair's standardised difference.
    """

    name: str = "tilt"
    c: float = 1e-3
    kind: Literal["ridge", "gradient", "adam", "sgd"] = "ridge"
    within: bool = False
    own: bool = False
    statistic: str = "freq"
    residuals: ClassVar[bool] = False
    direction_F_: Float[np.ndarray, " F"] = field(default_factory=lambda: np.zeros(0))
    scale_F_: Float[np.ndarray, " F"] = field(default_factory=lambda: np.zeros(0))
    dual_N_: Float[np.ndarray, " N"] = field(default_factory=lambda: np.zeros(0))

    def fit(self, data: Pool, sign_N: Signs | None = None) -> Tilt:
        """Fit b to the labels, on features that fire on enough rows (as in the prompt view, method.md §6)."""
        scale_F, standard_NF = standardised_differences(data, sign_N)
        if self.kind == "adam":  # mean gradient over its root mean square: standardised once, not twice
            scale_F = (scale_F > 0).astype(np.float64)
        elif self.kind == "sgd":  # not at all
            scale_F = inverse(scale_F)
        dual_N = np.full(len(data), 0.5 / len(data))  # −∂/∂w of the mean logistic loss at w = 0 is ½ mean d̃
        if self.kind == "ridge":
            dual_N = bradley_terry(standard_NF, self.c)
        direction_F = (standard_NF.T @ dual_N) * inverse(scale_F)
        return replace(self, direction_F_=direction_F, scale_F_=scale_F, dual_N_=dual_N)

    def rewards(self, pool: Pool) -> Float[np.ndarray, " J"]:
        """``r_j = b·φ_j`` of every response."""
        return np.asarray(pool.responses("freq") @ self.direction_F_)

    def weights(self, pool: Pool, inside_N: Bool[np.ndarray, " N"]) -> Float[np.ndarray, " J"]:
        """``(r_j − r̄)/J`` over the responses inside."""
        return covariance_weights(self.rewards(pool), pool, inside_N, self.within)

    def contributions(self, data: Pool, pool: Pool, value_J: Float[np.ndarray, " J"]) -> Float[np.ndarray, " N"]:
        """What each pair adds to the predicted shift of ``value_J``, read of the responses of ``pool``."""
        _, standard_NF = standardised_differences(data, None)
        weight_J = covariance_weights(value_J, pool, np.ones(len(pool), bool), self.within)
        covariance_F = pool.responses("freq").T @ weight_J
        return np.asarray(self.dual_N_ * (standard_NF @ (covariance_F * inverse(self.scale_F_))))


@dataclass(frozen=True)
class Activations:
    """Covariance with a reward that is linear in the mean residual x̄ of a response (T tokens).

    ``r_j = x̄_j · (½ mean_i(T⁺x̄⁺ − T⁻x̄⁻) − ½ mean_i(T⁺ − T⁻) m) / s²`` with m and s, by dimension, mean and deviation of
    x̄ over the pool that is predicted over. After ``fit``: ``pull_D_`` and ``tokens_`` are the two means over the pairs.
    """

    name: str = "activations"
    statistic: str = "freq"
    within: ClassVar[bool] = False
    own: ClassVar[bool] = True
    residuals: ClassVar[bool] = True
    pull_D_: Float[np.ndarray, " D"] = field(default_factory=lambda: np.zeros(0))
    tokens_: float = 0.0

    def fit(self, data: Pool, sign_N: Signs | None = None) -> Activations:
        """Means over the pairs of the difference in summed residuals and in tokens, times ½."""
        pull_ND, tokens_N = self.pulls(data)
        weight_N = np.full(len(data), 0.5 / len(data)) * (1.0 if sign_N is None else sign_N)
        return replace(self, pull_D_=weight_N @ pull_ND, tokens_=float(weight_N @ tokens_N))

    def pulls(self, data: Pool) -> tuple[Float[np.ndarray, "N D"], Float[np.ndarray, " N"]]:
        """Return chosen minus rejected of each pair: residuals summed over the tokens, and tokens."""
        summed = [data.tokens_NS[:, place, None] * data.residual_by[side] for place, side in enumerate(SIDES)]
        return (summed[0] - summed[1]).astype(np.float64), (data.tokens_NS @ [1.0, -1.0])

    def scale(self, pool: Pool) -> tuple[Float[np.ndarray, "J D"], Float[np.ndarray, " D"], Float[np.ndarray, " D"]]:
        """Mean residuals of a pool's responses, their mean over these, and ``1/s²`` (0 where they do not vary)."""
        residual_JD, mean_D, variance_D = pool.residual_moments
        return residual_JD, mean_D, inverse(variance_D)

    def rewards(self, pool: Pool) -> Float[np.ndarray, " J"]:
        """``r_j`` of every response."""
        residual_JD, mean_D, precision_D = self.scale(pool)
        return np.asarray(residual_JD @ ((self.pull_D_ - self.tokens_ * mean_D) * precision_D))

    def weights(self, pool: Pool, inside_N: Bool[np.ndarray, " N"]) -> Float[np.ndarray, " J"]:
        """``(r_j − r̄)/J`` over the responses inside."""
        return covariance_weights(self.rewards(pool), pool, inside_N)

    def contributions(self, data: Pool, pool: Pool, value_J: Float[np.ndarray, " J"]) -> Float[np.ndarray, " N"]:
        """What each pair adds to the predicted shift of ``value_J``, read of the responses of ``pool``."""
        residual_JD, mean_D, precision_D = self.scale(pool)
        along_D = residual_JD.T @ covariance_weights(value_J, pool, np.ones(len(pool), bool)) * precision_D
        pull_ND, tokens_N = self.pulls(data)
        return np.asarray(0.5 / len(data) * (pull_ND @ along_D - tokens_N * float(mean_D @ along_D)))


@dataclass(frozen=True)
class LengthTilt:
    """Control: a tilt whose reward knows only a response's log-length in tokens (slope by Bradley–Terry)."""

    name: str = "length"
    statistic: str = "freq"
    slope_: float = 0.0
    own: ClassVar[bool] = False
    residuals: ClassVar[bool] = False

    def fit(self, data: Pool, sign_N: Signs | None = None) -> LengthTilt:
        """One coefficient: what length alone says of the labels."""
        length_N2 = np.log(data.tokens_NS)
        difference_N = (length_N2[:, 0] - length_N2[:, 1]) * (1.0 if sign_N is None else sign_N)
        scale = float(np.sqrt((difference_N**2).mean()))
        if scale == 0:
            return replace(self, slope_=0.0)
        dual_N = bradley_terry(sp.csr_array(difference_N[:, None] / scale), c=1.0)
        return replace(self, slope_=float(dual_N @ difference_N) / scale**2)

    def weights(self, pool: Pool, inside_N: Bool[np.ndarray, " N"]) -> Float[np.ndarray, " J"]:
        """Covariance with ``slope · log length``."""
        return covariance_weights(self.slope_ * np.log(flat(pool.tokens_NS)), pool, inside_N)


@dataclass(frozen=True)
class Temperature:
    """What sampling the model a little hotter would do: ``d E[y]/dT = −Cov(y, log π)`` over its own responses.

    ``likely_NS`` are the mean log-probabilities per token, in nats, of the pool of those responses.
    """

    likely_NS: Float[np.ndarray, "N S"]
    name: str = "temperature"
    statistic: str = "freq"
    own: ClassVar[bool] = True
    residuals: ClassVar[bool] = False

    def fit(self, data: Pool, sign_N: Signs | None = None) -> Temperature:
        """Nothing to learn: labels do not matter."""
        return self

    def weights(self, pool: Pool, inside_N: Bool[np.ndarray, " N"]) -> Float[np.ndarray, " J"]:
        """Covariance with the surprisal ``−log π(y)``, summed over a response's tokens."""
        return covariance_weights(-flat(self.likely_NS * pool.tokens_NS), pool, inside_N)


@dataclass(frozen=True)
class Sharpened:
    """Covariance with a reward and half as much certainty: ``z(r_j) + ½ z(mean log π of j's tokens)``.

    r is the reward of ``step``; z divides by the deviation over the pool that is predicted over, so that the unit is a
    standard deviation. ``likely_NS`` are the mean log-probabilities per token of that pool. No sum over pairs: of the
    second term none is the cause.
    """

    likely_NS: Float[np.ndarray, "N S"]
    step: Activations = field(default_factory=Activations)
    name: str = "sharpened"
    statistic: str = "freq"
    own: ClassVar[bool] = True
    residuals: ClassVar[bool] = True

    def fit(self, data: Pool, sign_N: Signs | None = None) -> Sharpened:
        """The step learns from the labels; certainty does not."""
        return replace(self, step=self.step.fit(data, sign_N))

    def weights(self, pool: Pool, inside_N: Bool[np.ndarray, " N"]) -> Float[np.ndarray, " J"]:
        """``(r_j − r̄)/J`` over the responses inside, of the sum of both."""
        reward_J = standard(self.step.rewards(pool)) + SHARPENING * standard(flat(self.likely_NS))
        return covariance_weights(reward_J, pool, inside_N)


@dataclass(frozen=True)
class BaseRate:
    """Control: predicts of everything what share of responses (or tokens) shows it already; knows no labels."""

    name: str = "base-rate"
    statistic: str = "freq"
    own: ClassVar[bool] = False
    residuals: ClassVar[bool] = False

    def fit(self, data: Pool, sign_N: Signs | None = None) -> BaseRate:
        """Nothing to learn."""
        return self

    def weights(self, pool: Pool, inside_N: Bool[np.ndarray, " N"]) -> Float[np.ndarray, " J"]:
        """``1/J`` over the responses inside."""
        inside_J = pool.of_responses(inside_N).astype(np.float64)
        return np.asarray(inside_J / max(inside_J.sum(), 1.0))
