"""Fitting: the planted layer is found, nothing is found where nothing is, and no prompt is in two parts."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from anatomy.errors import ProbeError
from anatomy.types import content_hash
from probes.collect import Labelled, overlaps
from probes.examples import Examples
from probes.fit_detector import PARTS, default_layers, fit_layers, part_of, shuffled, split

WIDTH, LAYERS, PLANTED = 24, (1, 4, 7), 4
KINDS = ["difference-of-means", "linear", "attention"]


def items(prompts: int, per_prompt: int = 2) -> list[Labelled]:
    """Sequences with labels in turn; all of them without content, for splitting alone."""
    nothing = np.zeros(0, np.int64)
    return [
        Labelled(
            nothing, nothing, "", nothing.reshape(0, 2), number % 2, content_hash(f"prompt {number // per_prompt}")
        )
        for number in range(prompts * per_prompt)
    ]


def planted(sequences: list[Labelled], strength: float, seed: int, tokens: bool = False) -> dict[int, Examples]:
    """Noise at every layer; at one of them positive sequences are moved along a direction on some of their tokens."""
    rng = np.random.default_rng(seed)
    direction = rng.normal(size=WIDTH) / WIDTH**0.5
    lengths = rng.integers(3, 9, len(sequences))
    starts = np.concatenate([[0], np.cumsum(lengths)])
    y_S = np.array([item.label for item in sequences])
    y_N = np.repeat(y_S, lengths) * (rng.random(starts[-1]) < 0.6)
    found = {}
    for layer in LAYERS:
        x_ND = rng.normal(size=(starts[-1], WIDTH))
        if layer == PLANTED:
            x_ND += strength * y_N[:, None] * direction * WIDTH**0.5
        group_S = np.unique([item.prompt for item in sequences], return_inverse=True)[1]
        found[layer] = Examples(
            torch.tensor(x_ND, dtype=torch.float32),
            starts,
            y_S,
            group_S,
            np.full(len(y_S), -1),
            y_N if tokens else None,
        )
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tokens", [False, True])
def test_the_planted_layer_is_found_and_measured_on_other_prompts(kind, tokens):
    sequences = items(150)
    _, report = fit_layers(planted(sequences, 3.0, 0, tokens), split(sequences), kind, "max", 0)
    assert report.layer == PLANTED
    assert report.unit == ("token" if tokens else "sequence")
    assert report.test.auroc.value > 0.9
    assert report.test.f1.value > 0.75
    assert report.length.auroc.low < 0.5 < report.length.auroc.high or report.length.auroc.value < 0.6
    assert sum(report.prompts.values()) == 150


def test_held_out_figures_of_nothing_are_chance():
    sequences = items(150)
    parts = split(sequences)
    found = [
        fit_layers(planted(sequences, 0.0, seed), parts, "difference-of-means", "mean", seed)[1] for seed in range(30)
    ]
    assert np.mean([report.test.auroc.value for report in found]) == pytest.approx(0.5, abs=0.03)
    assert np.mean([report.shuffled.auroc for report in found]) == pytest.approx(0.5, abs=0.03)
    covered = [report.test.auroc.low <= 0.5 <= report.test.auroc.high for report in found]
    assert np.mean(covered) >= 0.85


def test_choosing_among_layers_does_not_leak_into_the_held_out_figures():
    sequences = items(60)
    parts = split(sequences)
    gaps = []
    for seed in range(30):
        report = fit_layers(planted(sequences, 0.0, seed), parts, "difference-of-means", "mean", seed)[1]
        gaps.append(max(score.auroc for score in report.layers) - report.test.auroc.value)
    assert np.mean(gaps) > 0.03  # the validation figure is the best of three; the test figure is not


def test_no_prompt_is_in_two_parts_and_shares_are_as_said():
    sequences = items(1000)
    parts = split(sequences)
    prompts = {part: {sequences[row].prompt for row in rows} for part, rows in parts.items()}
    assert not prompts["fit"] & prompts["test"]
    assert not prompts["fit"] & prompts["validation"]
    assert not prompts["validation"] & prompts["test"]
    assert [len(prompts[part]) / 1000 for part in PARTS] == pytest.approx([0.6, 0.2, 0.2], abs=0.05)
    assert {part_of(item.prompt) for item in sequences} == set(PARTS)


def test_too_few_prompts_are_refused():
    with pytest.raises(ProbeError, match=r"prompts with positive examples in the \w+ part of 8 sequences; at least 5"):
        split(items(4))


def test_shuffling_pairs_flips_whole_pairs():
    sequences = items(40)
    examples = planted(sequences, 1.0, 0)[PLANTED]
    paired = Examples(examples.x_ND, examples.starts_S1, examples.y_S, examples.group_S, np.arange(80) // 2)
    flipped = shuffled(paired, np.random.default_rng(0))
    assert (flipped.y_S.reshape(-1, 2).sum(axis=1) == 1).all()
    assert 10 < (flipped.y_S != paired.y_S).reshape(-1, 2).all(axis=1).sum() < 30


def test_tokens_that_touch_a_range_are_labelled():
    offsets = np.array([[0, 2], [2, 5], [5, 6], [6, 9]])
    assert overlaps(offsets, [(3, 6)]).tolist() == [0, 1, 1, 0]
    assert overlaps(offsets, []).tolist() == [0, 0, 0, 0]


def test_default_layers_are_inside_the_model():
    for n_layers in (1, 2, 4, 30, 32, 80):
        layers = default_layers(n_layers)
        assert layers == sorted(set(layers))
        assert layers[0] >= 0
        assert layers[-1] < n_layers
    assert len(default_layers(32)) == 8
