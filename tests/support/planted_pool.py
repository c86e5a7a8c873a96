"""Pools of responses made from numbers: features drawn from a finite policy, labels by a known reward."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from anatomy.prediction.response_pool import Pool
from anatomy.statistics.prompts import Prompts


def pool_of(chosen_NF: np.ndarray, rejected_NF: np.ndarray, prompts: list[str] | None = None, tokens=None) -> Pool:
    """A pool from dense frequencies; each row its own prompt unless given."""
    values = {("chosen", "freq"): sp.csr_array(chosen_NF), ("rejected", "freq"): sp.csr_array(rejected_NF)}
    names = prompts if prompts is not None else [f"prompt {row}" for row in range(chosen_NF.shape[0])]
    tokens_NS = np.full((chosen_NF.shape[0], 2), 40) if tokens is None else tokens
    return Pool(values, Prompts.from_ids(names), tokens_NS)


class Policy:
    """A uniform distribution over ``size`` responses with correlated sparse features, and a linear reward of them."""

    def __init__(self, size: int = 400, features: int = 30, seed: int = 0) -> None:
        generator = np.random.default_rng(seed)
        factors = generator.random((size, 6)) < 0.4  # features that fire together
        loading = (generator.random((6, features)) < 0.3) * generator.random((6, features))
        noise = (generator.random((size, features)) < 0.2) * generator.random((size, features))
        self.phi_SF = (factors @ loading + noise) / 5
        self.reward_F = np.where(generator.random(features) < 0.2, generator.normal(size=features) * 8, 0.0)
        self.reward_S = self.phi_SF @ self.reward_F

    def pairs(self, count: int, seed: int, weight_S: np.ndarray | None = None) -> Pool:
        """Two draws a row from the policy (or off it, by ``weight_S``), labelled by Bradley–Terry on the reward."""
        generator = np.random.default_rng(seed)
        share_S = None if weight_S is None else weight_S / weight_S.sum()
        first, second = generator.choice(len(self.phi_SF), size=(2, count), p=share_S)
        wins = generator.random(count) < 1 / (1 + np.exp(self.reward_S[second] - self.reward_S[first]))
        chosen, rejected = np.where(wins, first, second), np.where(wins, second, first)
        return pool_of(self.phi_SF[chosen], self.phi_SF[rejected])

    def tilted_shift(self, strength: float) -> np.ndarray:
        """``E[φ]`` under ``π ∝ exp(strength · r)`` minus ``E[φ]`` before: exact, no sampling."""
        weight_S = np.exp(strength * (self.reward_S - self.reward_S.max()))
        return self.phi_SF.T @ (weight_S / weight_S.sum()) - self.phi_SF.mean(axis=0)
