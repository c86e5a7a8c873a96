"""Pool SAE features over spans (method.md §2): maximum, where it is reached, and on how many tokens a feature fires.

Tokens are encoded in chunks; of each chunk only the features that fire are kept, so that no dense tokens × features
array exists beyond one chunk.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from anatomy.sae.blocks import ordinary
from anatomy.sae.reconstruction import HealthSums

DENSE_CELLS = 1 << 24
"""Tokens × features encoded at once: 64 MiB in float32."""


class Encoder(Protocol):
    """An SAE as pooling uses it: ``layer`` counts blocks from 0, and its input is the residual stream after it."""

    @property
    def n_features(self) -> int: ...
    @property
    def layer(self) -> int: ...
    def encode(self, x_BD: Tensor) -> Tensor: ...
    def decode(self, a_BF: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Pooled:
    """One entry per span and feature that fires in it, ordered by span and feature.

    ``max`` is the largest activation (> 0), ``at`` the first of the span's tokens that reaches it, ``count`` the tokens
    on which the feature fires (``freq`` is ``count`` over the span's tokens). ``spans`` are the spans with a token to
    encode, ascending, ``mean_SD`` the mean residual over those tokens.
    """

    span: Int[np.ndarray, " E"]
    feature: Int[np.ndarray, " E"]
    max: Float[np.ndarray, " E"]
    at: Int[np.ndarray, " E"]
    count: Int[np.ndarray, " E"]
    spans: Int[np.ndarray, " S"]
    mean_SD: Float[np.ndarray, "S D"]


@torch.inference_mode()
def pool_spans(
    x_ND: Float[Tensor, "N D"], span_N: Int[Tensor, " N"], at_N: Int[Tensor, " N"], sae: Encoder
) -> tuple[Pooled, HealthSums]:
    """Encode tokens and pool them by span.

    Args:
        x_ND: residuals of the tokens.
        span_N: the span (any number ≥ 0) of each token.
        at_N: the token's position in its span, from 0.
        sae: the encoder, and decoder for the health sums of the same tokens.

    Tokens of enormous norm (:func:`anatomy.sae.blocks.ordinary`) fire nothing; the health sums count them apart.
    """
    ordinary_N = ordinary(x_ND)
    health = HealthSums.zero(x_ND.shape[1], sae.n_features)._replace(outliers=int((~ordinary_N).sum()))
    x_ND, span_N, at_N = x_ND[ordinary_N], span_N[ordinary_N], at_N[ordinary_N]
    parts = []
    chunk = max(1, DENSE_CELLS // sae.n_features)
    for x_BD, span_B, at_B in zip(x_ND.split(chunk), span_N.split(chunk), at_N.split(chunk), strict=True):
        x_BD = x_BD.float()
        a_BF = sae.encode(x_BD)
        health = health.plus(HealthSums.of(x_BD, a_BF, sae.decode(a_BF)))
        token_E, feature_E = (a_BF > 0).nonzero(as_tuple=True)
        parts.append((span_B[token_E] * sae.n_features + feature_E, a_BF[token_E, feature_E], at_B[token_E]))
    key_E, value_E, at_E = (torch.cat(part) for part in zip(*parts, strict=True))
    columns = _reduce(key_E, value_E, at_E, sae.n_features)
    return Pooled(*(column.cpu().numpy() for column in (*columns, *_span_means(x_ND, span_N)))), health


def _span_means(x_ND: Tensor, span_N: Tensor) -> tuple[Tensor, Tensor]:
    """Spans, ascending, and the mean of their tokens; a product of matrices, which gives the same bits every time."""
    span_S, count_S = span_N.unique(return_counts=True)
    member_SN = (span_S[:, None] == span_N).float()
    return span_S, member_SN @ x_ND.float() / count_S[:, None]


def _reduce(key_E: Tensor, value_E: Tensor, at_E: Tensor, n_features: int) -> tuple[Tensor, ...]:
    """Group entries by ``key = span · F + feature``."""
    key_P, group_E, count_P = key_E.unique(return_inverse=True, return_counts=True)
    max_P = value_E.new_zeros(len(key_P)).scatter_reduce_(0, group_E, value_E, "amax")
    at_top_E = torch.where(value_E == max_P[group_E], at_E, torch.iinfo(at_E.dtype).max)
    at_P = torch.full_like(key_P, torch.iinfo(at_E.dtype).max).scatter_reduce_(0, group_E, at_top_E, "amin")
    return key_P // n_features, key_P % n_features, max_P, at_P, count_P
