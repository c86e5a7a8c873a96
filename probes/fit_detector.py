"""Fit a detector so that its figures can be believed: prompts split once into fit, validation and test.

Estimators see the fit part (60 % of prompts, by hash); layer and threshold come from the validation part (20 %); the
test part (20 %) is read once, at the end. Beside its figures stand those of length, words and columns alone, those of
each value of a column, and chance: labels shuffled by whole prompts, without and with a new fit.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from jaxtyping import Float, Int
from sklearn.metrics import roc_auc_score
from torch import Tensor

from anatomy.concepts.scorer import Pooling, pool_scores
from anatomy.errors import ProbeError
from probes.attention_probe import AttentionProbe
from probes.collect import Labelled
from probes.detector import Estimator
from probes.detector_controls import PromptNull, prompt_null, shuffled_by_prompt, text_baselines, within
from probes.difference_of_means import DifferenceOfMeans
from probes.examples import Examples
from probes.linear_probe import LinearProbe
from probes.metrics import Metrics, best_f1_threshold, evaluate

Kind = Literal["difference-of-means", "linear", "linear-pairwise", "attention"]
Unit = Literal["token", "sequence"]
PARTS = ("fit", "validation", "test")
SHUFFLES = {"difference-of-means": 50, "linear": 10, "linear-pairwise": 10, "attention": 5}
"""Fits to shuffled labels, by kind: more where a fit is cheap."""
LEAST = 5
"""Prompts that each part needs with positives, and with negatives."""


class Fittable(Estimator, Protocol):
    """An estimator that learns from examples of one layer."""

    def fit(self, examples: Examples) -> Any: ...


class LayerScore(NamedTuple):
    """AUROC of one layer on the validation part, with its 95 % interval."""

    layer: int
    auroc: float
    low: float
    high: float
    too_few: bool = False  # fewer than 30 of a class: good for a choice, not for a report

    def to_dict(self) -> dict[str, Any]:
        """Plain values; None for a figure of too few."""
        unknown = {"auroc": None, "low": None, "high": None} if self.too_few else {}
        return self._asdict() | unknown


class Control(NamedTuple):
    """Mean AUROC of fits to shuffled labels, its standard error over the shuffles, and their number."""

    auroc: float
    error: float
    fits: int

    def __str__(self) -> str:
        return f"{self.auroc:.3f} ± {self.error:.3f}"


@dataclass(frozen=True)
class FitReport:
    """What fitting found: the layers tried, the one taken, and figures on prompts that had no part in a choice.

    ``length`` are the figures of length alone on the same prompts, ``baselines`` those of words and columns (sequences
    only), ``within`` those of each value of a column (None: too few). ``null`` is the AUROC of the same scores against
    labels shuffled by whole prompts; ``shuffled`` is that of new fits to such labels (None where nothing is fitted).
    """

    kind: str
    unit: Unit
    layer: int
    threshold: float
    test: Metrics
    length: Metrics
    prompts: dict[str, int]
    layers: Sequence[LayerScore] = ()
    shuffled: Control | None = None
    null: PromptNull | None = None
    baselines: Mapping[str, Metrics] = field(default_factory=dict)
    within: Mapping[str, Metrics | None] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, figures by name."""
        return {
            **{name: getattr(self, name) for name in ("kind", "unit", "layer", "threshold", "prompts")},
            "layers": [score.to_dict() for score in self.layers],
            "test": self.test.to_dict(),
            "length": self.length.to_dict(),
            "baselines": {name: found.to_dict() for name, found in self.baselines.items()},
            "within": {name: None if found is None else found.to_dict() for name, found in self.within.items()},
            "null": None if self.null is None or self.test.too_few else self.null._asdict(),
            "shuffled": None if self.shuffled is None or self.test.too_few else self.shuffled._asdict(),
        }


class Scored(NamedTuple):
    """Scores, labels and prompts of the units (tokens or sequences) of some examples."""

    score_U: Float[np.ndarray, " U"]
    y_U: Int[np.ndarray, " U"]
    group_U: Int[np.ndarray, " U"]


def part_of(prompt: str) -> str:
    """The part of a prompt, by its content hash."""
    return PARTS[max(0, int(prompt, 16) % 5 - 2)]


def split(items: Sequence[Labelled]) -> dict[str, np.ndarray]:
    """Positions of the items of each part.

    Raises:
        ProbeError: a part has fewer than five prompts with a positive, or with a negative.
    """
    part_S = np.array([part_of(item.prompt) for item in items], dtype=object)
    for part in PARTS:
        for label, name in ((1, "positive"), (0, "negative")):
            found = {item.prompt for item, p in zip(items, part_S, strict=True) if p == part and item.label == label}
            if len(found) < LEAST:
                raise ProbeError(
                    f"{len(found)} prompts with {name} examples in the {part} part of {len(items)} sequences; "
                    f"at least {LEAST} are needed: give more examples"
                )
    return {part: np.flatnonzero(part_S == part) for part in PARTS}


def new_estimator(kind: Kind, unit: Unit, pooling: Pooling, seed: int) -> Fittable:
    """An estimator with the settings of method.md §8."""
    if kind == "difference-of-means":
        return DifferenceOfMeans()
    if kind == "attention":
        return AttentionProbe(supervision=unit, pooling=pooling, seed=seed)
    loss: Literal["bce", "pairwise"] = "pairwise" if kind == "linear-pairwise" else "bce"
    return LinearProbe(loss, "sequence" if loss == "pairwise" else unit, pooling, seed=seed)


def unit_scores(decision: Callable[[Tensor], Tensor], examples: Examples, unit: Unit, pooling: Pooling) -> Scored:
    """Scores of every token, or of every sequence."""
    ends = itertools.pairwise(examples.starts_S1)
    by_sequence = [decision(examples.x_ND[start:stop]).float().numpy() for start, stop in ends]
    if unit == "token":
        assert examples.y_N is not None
        return Scored(np.concatenate(by_sequence), examples.y_N, examples.group_S[examples.sequence_N])
    scores_S = np.array([pool_scores(scores_T, pooling) for scores_T in by_sequence])
    return Scored(scores_S, examples.y_S, examples.group_S)


def length_scores(examples: Examples, unit: Unit) -> Scored:
    """What length alone would say: a token's position in its sequence, or a sequence's number of tokens."""
    if unit == "token":
        assert examples.y_N is not None
        position_N = np.arange(len(examples.y_N)) - examples.starts_S1[:-1][examples.sequence_N]
        return Scored(position_N.astype(float), examples.y_N, examples.group_S[examples.sequence_N])
    return Scored(examples.lengths_S.astype(float), examples.y_S, examples.group_S)


def shuffled(examples: Examples, rng: np.random.Generator) -> Examples:
    """The examples with labels that mean nothing, by whole prompts: pairs are flipped, other labels change prompts."""
    if (examples.pair_S >= 0).all():
        flip_G = rng.random(int(examples.group_S.max()) + 1) < 0.5
        y_S = np.where(flip_G[examples.group_S], 1 - examples.y_S, examples.y_S)
    else:
        y_S = shuffled_by_prompt(examples.y_S, examples.group_S, rng)
    if examples.y_N is None:
        return replace(examples, y_S=y_S)
    return replace(examples, y_S=y_S, y_N=shuffled_by_prompt(examples.y_N, examples.group_S[examples.sequence_N], rng))


def fit_layers(
    by_layer: Mapping[int, Examples],
    parts: Mapping[str, np.ndarray],
    kind: Kind,
    pooling: Pooling,
    seed: int,
    items: Sequence[Labelled] = (),
) -> tuple[Estimator, FitReport]:
    """Fit at every layer, choose by validation AUROC (the lower layer on a tie), and measure on the test part.

    ``items`` are the sequences that the examples were read from: their texts and columns make baselines.
    """
    unit = unit_of(next(iter(by_layer.values())), kind)
    fitted: dict[int, Fittable] = {}
    layers = []
    for layer, examples in sorted(by_layer.items()):
        fitted[layer] = new_estimator(kind, unit, pooling, seed).fit(examples.take(parts["fit"]))
        scored = unit_scores(fitted[layer].decision, examples.take(parts["validation"]), unit, pooling)
        found = evaluate(*scored, 0.0, seed)
        layers.append(LayerScore(layer, *found.auroc, found.too_few))
    best = max(layers, key=lambda score: (score.auroc, -score.layer)).layer
    report = measure(fitted[best], best, by_layer[best], parts, kind, pooling, seed, items)
    control = control_of(by_layer[best], parts, kind, pooling, seed)
    return fitted[best], replace(report, layers=layers, shuffled=control)


def measure(
    estimator: Estimator,
    layer: int,
    examples: Examples,
    parts: Mapping[str, np.ndarray],
    kind: str,
    pooling: Pooling,
    seed: int,
    items: Sequence[Labelled] = (),
) -> FitReport:
    """Threshold of best F1 on the validation part, figures on the test part, and those of what it must beat."""
    unit = unit_of(examples, kind)
    validation, held_out = examples.take(parts["validation"]), examples.take(parts["test"])
    scored = unit_scores(estimator.decision, validation, unit, pooling)
    threshold = best_f1_threshold(scored.score_U, scored.y_U)
    by_length = length_scores(validation, unit)
    tested = unit_scores(estimator.decision, held_out, unit, pooling)
    whole = list(items) if unit == "sequence" else []
    return FitReport(
        kind=kind,
        unit=unit,
        layer=layer,
        threshold=threshold,
        test=evaluate(*tested, threshold, seed),
        length=evaluate(*length_scores(held_out, unit), best_f1_threshold(by_length.score_U, by_length.y_U), seed),
        prompts={name: len(np.unique(examples.group_S[rows])) for name, rows in parts.items()},
        null=prompt_null(*tested, seed),
        baselines=text_baselines(whole, parts, seed) if whole else {},
        within=within([whole[row] for row in parts["test"]], *tested, threshold, seed) if whole else {},
    )


def control_of(examples: Examples, parts: Mapping[str, np.ndarray], kind: Kind, pooling: Pooling, seed: int) -> Control:
    """AUROC of fits to labels shuffled by prompts over all examples: 0.5, or no figure above it can be believed."""
    unit, rng = unit_of(examples, kind), np.random.default_rng(seed)
    found = []
    for number in range(SHUFFLES[kind]):
        meaningless = _both_classes(examples, parts, unit, rng)
        control = new_estimator(kind, unit, pooling, seed + number).fit(meaningless.take(parts["fit"]))
        scored = unit_scores(control.decision, meaningless.take(parts["test"]), unit, pooling)
        found.append(float(roc_auc_score(scored.y_U, scored.score_U)))
    return Control(float(np.mean(found)), float(np.std(found, ddof=1) / len(found) ** 0.5), len(found))


def _both_classes(
    examples: Examples, parts: Mapping[str, np.ndarray], unit: Unit, rng: np.random.Generator
) -> Examples:
    """Shuffled labels of which the fit and the test part have both; labels of few prompts may need several draws."""
    for _ in range(100):
        drawn = shuffled(examples, rng)
        y_U, sequence_U = drawn.y_S, np.arange(len(drawn))
        if unit == "token" and drawn.y_N is not None:
            y_U, sequence_U = drawn.y_N, drawn.sequence_N
        if all(len(np.unique(y_U[np.isin(sequence_U, parts[part])])) == 2 for part in ("fit", "test")):
            return drawn
    raise ProbeError("labels shuffled by prompts leave a part with one class: give examples of more prompts")


def unit_of(examples: Examples, kind: str) -> Unit:
    """Tokens where tokens are labelled, else sequences; the pairwise loss knows sequences only."""
    return "sequence" if examples.y_N is None or kind == "linear-pairwise" else "token"


def default_layers(n_layers: int) -> list[int]:
    """About eight blocks, evenly spaced over the depth; the first and last are seldom best and are left out."""
    return sorted({round(share * (n_layers - 1)) for share in np.linspace(0.15, 0.9, 8)})
