"""The sparse arithmetic gives the losses and gradients of sae-lens's dense BatchTopK."""

from __future__ import annotations

import pytest
import torch
from sae_lens import BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig
from sae_lens.saes.sae import TrainStepInput, TrainStepOutput

from anatomy.sae.sparse_topk import SparseBatchTopK


def _run(
    kind: type[BatchTopKTrainingSAE], dead_share: float, center: bool
) -> tuple[BatchTopKTrainingSAE, TrainStepOutput]:
    torch.manual_seed(0)
    config = BatchTopKTrainingSAEConfig(
        d_in=16, d_sae=64, k=4, aux_loss_coefficient=0.5, apply_b_dec_to_input=center, decoder_init_norm=0.1
    )
    sae = kind(config)
    with torch.no_grad():
        sae.W_dec.mul_(torch.rand(64, 1) + 0.5)
        sae.b_dec.normal_()
        sae.b_enc.normal_().mul_(0.1)
    dead_F = torch.rand(64) < dead_share
    step = TrainStepInput(torch.randn(32, 16), {}, dead_F, n_training_steps=0, is_logging_step=False)
    output = sae.training_forward_pass(step)
    output.loss.backward()
    return sae, output


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("dead_share", [0.0, 0.3, 1.0])
def test_equals_dense(dead_share: float, center: bool) -> None:
    dense, dense_output = _run(BatchTopKTrainingSAE, dead_share, center)
    sparse, sparse_output = _run(SparseBatchTopK, dead_share, center)
    for name in ("loss", "sae_out", "feature_acts"):
        torch.testing.assert_close(getattr(sparse_output, name), getattr(dense_output, name), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(sparse.topk_threshold, dense.topk_threshold)
    for (name, ours), (_, theirs) in zip(sparse.named_parameters(), dense.named_parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-5, msg=name)
