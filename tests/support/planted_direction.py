"""Residuals in which a direction marks the concept, or nothing does."""

from __future__ import annotations

import numpy as np
import torch

from probes.examples import Examples

WIDTH = 24


def direction(width: int = WIDTH) -> torch.Tensor:
    """The planted direction, of length 1."""
    return torch.nn.functional.normalize(torch.randn(width, generator=torch.Generator().manual_seed(7)), dim=0)


def examples(
    sequences: int = 120,
    strength: float = 2.0,
    seed: int = 0,
    tokens: bool = False,
    shuffled: bool = False,
    width: int = WIDTH,
) -> Examples:
    """Contrastive pairs, one prompt each: positives are moved along :func:`direction` by ``strength`` deviations.

    With ``tokens`` only some tokens of the positives are moved, and tokens are labelled. ``shuffled`` labels mean
    nothing. Dimensions differ in scale and offset, as residuals do.
    """
    generator = np.random.default_rng(seed)
    y_S = np.arange(sequences) % 2
    lengths_S = generator.integers(3, 12, sequences)
    starts_S1 = np.concatenate([[0], np.cumsum(lengths_S)])
    y_N = np.repeat(y_S, lengths_S)
    if tokens:
        y_N = y_N * (generator.random(len(y_N)) < 0.5)
    noise_ND = generator.standard_normal((len(y_N), width))
    x_ND = torch.from_numpy(noise_ND).float() + strength * torch.from_numpy(y_N)[:, None] * direction(width)
    if shuffled:
        y_S = generator.permutation(y_S)
        y_N = generator.permutation(y_N)
    return Examples(
        x_ND=x_ND,
        starts_S1=starts_S1,
        y_S=y_S,
        group_S=np.arange(sequences) // 2,
        pair_S=np.full(sequences, -1) if shuffled else np.arange(sequences) // 2,
        y_N=y_N if tokens else None,
    )


def sequence_scores(estimator, data: Examples, pooling: str = "max") -> np.ndarray:
    """Pooled scores by sequence, each scored on its own."""
    parts = data.x_ND.split(data.lengths_S.tolist())
    scores = [estimator.decision(part) for part in parts]
    return np.array([float(score.max() if pooling == "max" else score.mean()) for score in scores])


def token_scores(estimator, data: Examples) -> np.ndarray:
    """Scores of all tokens, each sequence scored on its own."""
    return torch.cat([estimator.decision(part) for part in data.x_ND.split(data.lengths_S.tolist())]).numpy()
