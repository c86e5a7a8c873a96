"""Fitting: a planted dictionary is found, the threshold means what it should, a killed fit ends in the same weights."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from sae_lens import SAE
from safetensors.torch import load_file
from support import planted
from support.damage import DAMAGES, flip

from anatomy.data.stamped_folder import read_stamp
from anatomy.errors import SAEError
from anatomy.sae.blocks import BatchStream, Blocks, Position, drop_outliers
from anatomy.sae.fit_sae import fit_sae
from anatomy.sae.reconstruction import SAEHealth, measure
from anatomy.settings import SAEFitSettings


class _Codec:
    def __init__(self, sae: torch.nn.Module) -> None:
        self.n_features, self.encode, self.decode = sae.cfg.d_sae, sae.encode, sae.decode


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fit")
    planted.fit(folder, 4).save_inference_model(folder / "sae")
    return folder / "sae"


def _load(folder: Path) -> SAE:
    return SAE.load_from_disk(folder).requires_grad_(False)


def test_planted_dictionary_is_found(fitted: Path) -> None:
    sae, unseen = _load(fitted), planted.activations(1000)
    health = SAEHealth.from_sums(measure(_Codec(sae), unseen))
    assert health.variance_explained > 0.9
    assert health.dead_share < 0.1
    found = torch.nn.functional.normalize(sae.W_dec, dim=1)
    cosines = (planted.dictionary() @ found.T).max(1).values
    assert (cosines > 0.9).float().mean() > 0.8


def test_no_structure_is_not_explained(tmp_path: Path) -> None:
    """The null: on isotropic noise three active features cannot reach what they reach on planted data."""
    noise = Blocks(4, lambda index: torch.randn(4096, planted.WIDTH, generator=torch.Generator().manual_seed(index)))
    settings = planted.SAEFitSettings.model_validate({**planted.SETTINGS, "epochs": 4})
    planted.fit_sae(noise, 16_384, planted.ATOMS, settings, tmp_path).save_inference_model(tmp_path / "sae")
    health = SAEHealth.from_sums(measure(_Codec(_load(tmp_path / "sae")), noise.load(99)))
    assert health.variance_explained < 0.5


def test_threshold_keeps_k_features_on_average(fitted: Path) -> None:
    """JumpReLU with the learned threshold against BatchTopK, computed here by sorting all values of a batch."""
    sae, unseen = _load(fitted), planted.activations(1000)
    assert sae.cfg.architecture() == "jumprelu"
    ours = sae.encode(unseen)
    assert (ours > 0).sum(1).float().mean() == pytest.approx(planted.ACTIVE, rel=0.1)
    raw = ((unseen - sae.b_dec) @ sae.W_enc + sae.b_enc).clamp(min=0)
    cut = raw.flatten().sort(descending=True).values[planted.ACTIVE * len(unseen) - 1]
    differing = ((ours > 0) != (raw >= cut)).sum() / (raw >= cut).sum()
    assert differing < 0.1
    assert (ours > 0).sum(1).unique().numel() > 1, "a per-token top-k has the same count on every token"


def test_normalisation_is_folded_in(fitted: Path) -> None:
    sae = _load(fitted)
    assert sae.cfg.normalize_activations == "none"
    assert sae.W_dec.norm(dim=1).mean() == pytest.approx(1, abs=0.01)


def test_killed_fit_ends_in_the_same_weights(tmp_path: Path) -> None:
    command = [sys.executable, planted.__file__, str(tmp_path / "killed"), "2"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run(command, env=environment, stderr=subprocess.DEVNULL).returncode == -signal.SIGKILL
    (checkpoint,) = (path for path in (tmp_path / "killed").iterdir() if path.is_dir())
    assert read_stamp(checkpoint) is not None
    shutil.copytree(checkpoint, tmp_path / "killed" / "999999")  # a newer one, damaged
    flip(tmp_path / "killed" / "999999" / "sae_weights.safetensors")
    assert not (tmp_path / "killed" / "sae").exists()
    for name in ("killed", "whole"):
        planted.fit(tmp_path / name, 2).save_inference_model(tmp_path / name / "sae")
    whole, resumed = (load_file(tmp_path / name / "sae" / "sae_weights.safetensors") for name in ("whole", "killed"))
    for name, tensor in whole.items():
        torch.testing.assert_close(resumed[name], tensor, rtol=0, atol=0, msg=name)


def test_stream_gives_every_token_once_an_epoch_and_resumes() -> None:
    blocks = Blocks(5, lambda index: index * 100 + torch.arange(100.0)[:, None] + torch.ones(1, 2))
    stream = BatchStream(blocks, 10, 2, seed=3)
    epochs = [[next(stream) for _ in range(50)] for _ in range(2)]
    for epoch in epochs:
        assert torch.cat(epoch)[:, 0].sort().values.tolist() == [float(value) for value in range(1, 501)]
    assert not torch.equal(torch.cat(epochs[0]), torch.cat(epochs[1]))
    again = BatchStream(blocks, 10, 2, seed=3)
    for _ in range(33):
        next(again)
    resumed = BatchStream(blocks, 10, 2, seed=3, position=Position(*again.position))
    assert torch.equal(next(resumed), epochs[0][33])


def test_blocks_on_disk_are_made_once(tmp_path: Path) -> None:
    made = []

    def make(index: int) -> torch.Tensor:
        made.append(index)
        return torch.full((4, 2), float(index + 1))

    blocks = Blocks(2, make, tmp_path)
    assert torch.equal(blocks.load(1), blocks.load(1))
    assert made == [1]
    Blocks(2, make, tmp_path).load(1)
    assert made == [1]
    for damage in DAMAGES.values():
        made.clear()
        (path,) = tmp_path.iterdir()
        before = path.read_bytes()
        damage(path)
        Blocks(2, make, tmp_path).load(1)
        assert made == [1]
        assert path.read_bytes() == before


@pytest.mark.parametrize("value", [torch.nan, torch.inf, 1e6])
@pytest.mark.parametrize(("share", "refused"), [(0.015, False), (0.025, True), (1.0, True)])
def test_no_sae_is_trained_where_many_tokens_are_dropped(value: float, share: float, refused: bool, tmp_path) -> None:
    """The limit of the harvest, over the tokens of a buffer; one enormous row of an embedding gives such a share."""
    if (share, value) == (1.0, 1e6):
        value = torch.nan  # all alike are not enormous

    def make(index: int) -> torch.Tensor:
        x_ND = torch.randn(1000, 8, generator=torch.Generator().manual_seed(index))
        x_ND[: int(share * 1000)] = value
        return x_ND

    def fitted():
        settings = SAEFitSettings(k=2, batch=100, epochs=1, buffer_tokens=2000)
        return fit_sae(Blocks(4, make), 4000, 16, settings, tmp_path)

    if refused:
        with pytest.raises(SAEError, match=f"{share:.1%} of the tokens were left out"):
            fitted()
    else:
        assert all(bool(tensor.isfinite().all()) for tensor in fitted().state_dict().values())


def test_norm_outliers_and_infinities_are_dropped() -> None:
    x_ND = torch.ones(100, 4)
    x_ND[3] *= 50
    x_ND[7] = torch.inf
    assert len(drop_outliers(x_ND)) == 98
    assert len(drop_outliers(torch.ones(100, 4))) == 100
