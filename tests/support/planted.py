"""Synthetic activations with a known dictionary, and a fit of them that tests can kill."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch

from anatomy.sae import fit_sae as fit_module
from anatomy.sae.blocks import Blocks
from anatomy.sae.fit_sae import fit_sae
from anatomy.settings import SAEFitSettings

ATOMS, WIDTH, ACTIVE = 96, 64, 3
SETTINGS = {"k": ACTIVE, "batch": 256, "learning_rate": 3e-3, "dead_tokens": 10_000, "checkpoint_tokens": 20_000}


def dictionary() -> torch.Tensor:
    """Unit atoms, [ATOMS, WIDTH]."""
    atoms = torch.randn(ATOMS, WIDTH, generator=torch.Generator().manual_seed(1))
    return torch.nn.functional.normalize(atoms, dim=1)


def activations(index: int, tokens: int = 4096) -> torch.Tensor:
    """Sums of ACTIVE random atoms with strengths 5-15, off-centre, [tokens, WIDTH]; the same for the same index."""
    generator = torch.Generator().manual_seed(100 + index)
    chosen = torch.rand(tokens, ATOMS, generator=generator).topk(ACTIVE, dim=1).indices
    strength = torch.zeros(tokens, ATOMS).scatter(1, chosen, 5 + 10 * torch.rand(tokens, ACTIVE, generator=generator))
    return strength @ dictionary() + 2.0


def fit(folder: Path, epochs: int, **changes: float) -> torch.nn.Module:
    """Fit the planted data: 10 blocks of 4,096 tokens."""
    settings = SAEFitSettings.model_validate({**SETTINGS, "epochs": epochs, **changes})
    return fit_sae(Blocks(10, activations), 40_960, ATOMS, settings, folder)


def main(folder: str, epochs: str) -> None:
    """Fit; this process is killed for real when its first checkpoint is complete."""
    mark = fit_module._mark

    def dying(*given: Any) -> None:
        mark(*given)
        os.kill(os.getpid(), signal.SIGKILL)

    fit_module._mark = dying
    fit(Path(folder), int(epochs)).save_inference_model(Path(folder) / "sae")


if __name__ == "__main__":
    main(*sys.argv[1:])
