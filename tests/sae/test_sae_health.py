"""Health numbers against brute force, and against SAEs that are wrong in known ways."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from anatomy.sae.reconstruction import MIN_TOKENS_FOR_DEAD, HealthSums, SAEHealth, measure


class TopFeatures:
    """A hand-made codec: rectified projections on orthonormal axes, and an input scale to get wrong."""

    def __init__(self, width: int, scale: float = 1.0) -> None:
        self.n_features, self.width, self.scale = 2 * width, width, scale

    def encode(self, x_BD: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.scale * x_BD, -self.scale * x_BD], dim=1).clamp(min=0)

    def decode(self, a_BF: torch.Tensor) -> torch.Tensor:
        return a_BF[:, : self.width] - a_BF[:, self.width :]


class Lossy(TopFeatures):
    """Sees only the first half of the axes."""

    def encode(self, x_BD: torch.Tensor) -> torch.Tensor:
        return super().encode(x_BD * (torch.arange(self.width) < self.width // 2))


@pytest.fixture
def x_ND() -> torch.Tensor:
    return torch.randn(1000, 8, generator=torch.Generator().manual_seed(0)) * torch.arange(1, 9) + 5


def test_numbers_equal_brute_force(x_ND: torch.Tensor) -> None:
    sae = Lossy(8)
    health = SAEHealth.from_sums(measure(sae, x_ND))
    features = sae.encode(x_ND).numpy()
    errors = (x_ND - sae.decode(sae.encode(x_ND))).numpy().astype(np.float64)
    centred = x_ND.numpy().astype(np.float64) - x_ND.numpy().mean(0, dtype=np.float64)
    assert health.tokens == 1000
    assert health.l0 == pytest.approx((features > 0).sum(1).mean())
    assert health.variance_explained == pytest.approx(1 - (errors**2).sum() / (centred**2).sum(), rel=1e-6)
    assert health.dead_share == (features.max(0) == 0).mean()


def test_sums_of_parts_add_up(x_ND: torch.Tensor) -> None:
    sae = Lossy(8)
    parts = HealthSums.zero(8, 16)
    for piece in x_ND.split(300):
        parts = parts.plus(measure(sae, piece))
    whole, added = SAEHealth.from_sums(measure(sae, x_ND)), SAEHealth.from_sums(parts)
    assert added.variance_explained == pytest.approx(whole.variance_explained, rel=1e-9)
    assert (added.tokens, added.l0, added.dead_share) == (whole.tokens, whole.l0, whole.dead_share)


def test_sums_survive_json(x_ND: torch.Tensor) -> None:
    sums = measure(Lossy(8), x_ND)
    again = HealthSums.from_dict(json.loads(json.dumps(sums.to_dict())))
    assert SAEHealth.from_sums(again) == SAEHealth.from_sums(sums)


def test_sound_sae_has_no_faults(x_ND: torch.Tensor) -> None:
    health = SAEHealth.from_sums(measure(TopFeatures(8), x_ND), {"l0": 8, "variance_explained": 1.0})
    assert health.variance_explained == pytest.approx(1)
    assert health.faults() == []


def test_wrong_scale_is_unhealthy(x_ND: torch.Tensor) -> None:
    health = SAEHealth.from_sums(measure(TopFeatures(8, scale=3), x_ND), {"l0": 8})
    assert health.variance_explained < 0
    assert any("variance explained" in fault for fault in health.faults())


@pytest.mark.parametrize(("change", "word"), [
    ({"l0": 1089.0, "claimed_l0": 42.0}, "L0 1089.0"),
    ({"l0": 10.0, "claimed_l0": 42.0}, "L0 10.0"),
    ({"l0": 0.0}, "no feature fires"),
    ({"dead_share": 0.95}, "95% of its features"),
    ({"variance_explained": 0.3}, "variance explained 0.300"),
])  # fmt: skip
def test_each_fault_is_named(change: dict[str, float], word: str) -> None:
    sound = SAEHealth(tokens=MIN_TOKENS_FOR_DEAD, l0=45, variance_explained=0.8, dead_share=0.1, claimed_l0=42)
    assert sound.faults() == []
    (fault,) = replace(sound, **change).faults()
    assert word in fault
    assert "\n" not in fault


def test_few_tokens_prove_no_death() -> None:
    assert SAEHealth(tokens=500, l0=45, variance_explained=0.8, dead_share=0.95).faults() == []


def test_printed_beside_the_claim() -> None:
    text = str(SAEHealth(1234, 45.25, 0.8, 0.1, claimed_l0=42.0))
    assert "1,234 tokens" in text
    assert "45.2" in text
    assert "42.0" in text
    assert "not stated" in text
