"""Fit a BatchTopK SAE to a stream of activations with sae-lens's trainer (method.md §3).

Departures from sae-lens's defaults, all for little data: decoder rows start as directions of real activations and
the encoder as their transpose at the scale that reconstructs best, because random directions leave most features dead;
the activation scale is estimated once, from the first buffer, and folded into the weights at the end.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from jaxtyping import Float
from sae_lens import BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig
from sae_lens.config import SAETrainerConfig
from sae_lens.saes.sae import TrainStepInput
from sae_lens.training.sae_trainer import SAETrainer
from torch import Tensor

from anatomy.data.stamped_folder import STAMP, read_stamp, stamp_folder
from anatomy.progress import logger
from anatomy.sae.blocks import BatchStream, Blocks, Position
from anatomy.sae.sparse_topk import SparseBatchTopK
from anatomy.settings import SAEFitSettings

INIT_TOKENS = 65_536
KEPT = 2
"""Checkpoints that are kept: if the newest is damaged, the one before it serves."""


def fit_sae(
    blocks: Blocks, tokens: int, n_features: int, settings: SAEFitSettings, folder: Path, device: str = "cpu"
) -> BatchTopKTrainingSAE:
    """Train for ``settings.epochs`` passes over the ``tokens`` activations of ``blocks``, checkpoints in ``folder``.

    Resumes from the newest checkpoint that is whole if there is one; a killed and resumed fit gives the same weights as
    an uninterrupted one (same device, same number of threads). Returns the SAE in units of the activations, their
    normalisation folded into its weights.

    Raises:
        SAEError: more of the tokens had to be dropped than sound weights explain.
    """
    checkpoint, position = _last_checkpoint(folder)
    per_buffer = max(1, settings.buffer_tokens * blocks.count // tokens)
    stream = BatchStream(blocks, settings.batch, per_buffer, settings.seed, position)
    sample_ND = stream.sample(INIT_TOKENS).to(device)
    kind = SparseBatchTopK if device == "cpu" else BatchTopKTrainingSAE
    sae = kind(_sae_config(sample_ND.shape[1], n_features, settings, device))
    trainer = SAETrainer(_trainer_config(tokens * settings.epochs, settings, folder, device), sae, stream)
    trainer.save_checkpoint_fn = lambda checkpoint_path: _mark(folder, checkpoint_path, stream.position)
    if checkpoint is not None:
        _restore(trainer, checkpoint)
    else:
        scale = sample_ND.shape[1] ** 0.5 / float(sample_ND.norm(dim=1).mean())
        trainer.activation_scaler.scaling_factor = scale
        initialise(sae, sample_ND * scale, settings.seed)
    return trainer.fit()


def _sae_config(width: int, n_features: int, settings: SAEFitSettings, device: str) -> BatchTopKTrainingSAEConfig:
    return BatchTopKTrainingSAEConfig(
        d_in=width,
        d_sae=n_features,
        k=settings.k,
        aux_loss_coefficient=settings.auxiliary,
        topk_threshold_lr=0.05,  # sae-lens's 0.01 averages over 100 steps and lags in short runs
        normalize_activations="expected_average_only_in",
        device=device,
    )


def _trainer_config(total: int, settings: SAEFitSettings, folder: Path, device: str) -> SAETrainerConfig:
    steps = max(1, total // settings.batch)
    return SAETrainerConfig(
        total_training_samples=steps * settings.batch,
        train_batch_size_samples=settings.batch,
        lr=settings.learning_rate,
        lr_end=settings.learning_rate,
        lr_warm_up_steps=int(settings.warm_up * steps),
        lr_decay_steps=int(settings.decay * steps),
        device=device,
        autocast=device.startswith("cuda"),
        dead_feature_window=max(1, settings.dead_tokens // settings.batch),
        feature_sampling_window=steps + 1,
        n_checkpoints=total // settings.checkpoint_tokens,
        checkpoint_path=str(folder),
    )


@torch.no_grad()
def initialise(sae: BatchTopKTrainingSAE, x_ND: Float[Tensor, "N D"], seed: int) -> None:
    """Decoder rows = centred activations of random tokens at unit length; encoder = their transpose, scaled."""
    generator = torch.Generator().manual_seed(seed)
    mean_D = x_ND.mean(0)
    chosen_F = torch.randint(len(x_ND), (sae.cfg.d_sae,), generator=generator)
    if len(x_ND) >= sae.cfg.d_sae:
        chosen_F = torch.randperm(len(x_ND), generator=generator)[: sae.cfg.d_sae]
    rows_FD = torch.nn.functional.normalize(x_ND[chosen_F.to(x_ND.device)] - mean_D, dim=1)
    sae.b_dec.copy_(mean_D)
    sae.W_dec.copy_(rows_FD)
    sae.W_enc.copy_(rows_FD.T)
    x_BD = x_ND[:4096]
    step = TrainStepInput(x_BD, coefficients={}, dead_neuron_mask=None, n_training_steps=0, is_logging_step=False)
    out_BD = sae.training_forward_pass(step).sae_out - mean_D
    scale = (out_BD * (x_BD - mean_D)).sum() / out_BD.square().sum()
    sae.W_enc.mul_(scale)
    # the moving average starts at the first batch's threshold: from 0 it lags and short runs end far too dense
    sae.topk_threshold.mul_(scale / sae.cfg.topk_threshold_lr)


def _mark(folder: Path, checkpoint: Path | None, position: Position) -> None:
    """Stamp the finished checkpoint, then delete all but it and the one before: a kill never leaves half of one."""
    assert checkpoint is not None
    stamp_folder(checkpoint, "", **position._asdict())
    for other in _checkpoints(folder)[:-KEPT]:
        shutil.rmtree(other)


def _checkpoints(folder: Path) -> list[Path]:
    """sae-lens's checkpoints, which are named by the tokens seen, the oldest first."""
    found = folder.iterdir() if folder.is_dir() else ()
    names = [path for path in found if path.name.isdecimal() and path.is_dir() and not path.is_symlink()]
    return sorted(names, key=lambda path: int(path.name))


def _last_checkpoint(folder: Path) -> tuple[Path | None, Position | None]:
    """The newest checkpoint that is whole, and its place in the stream; newer ones are deleted."""
    for path in reversed(_checkpoints(folder)):
        stamp = read_stamp(path)
        if stamp is not None:
            return path, Position(**stamp.numbers)
        if (path / STAMP).is_file():
            logger.warning(f"warning: {path}: damaged; training resumes from the checkpoint before it, if there is one")
        shutil.rmtree(path)
    return None, None


def _restore(trainer: SAETrainer, checkpoint: Path) -> None:
    trainer.sae.load_weights_from_checkpoint(checkpoint)
    trainer.load_trainer_state(checkpoint)
    # sae-lens saves a checkpoint before it counts the step that led to it
    trainer.n_training_steps += 1
    done = trainer.n_training_samples
    trainer.checkpoint_thresholds = [tokens for tokens in trainer.checkpoint_thresholds if tokens >= done]
