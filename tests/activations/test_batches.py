"""Token-budget batches."""

from __future__ import annotations

import numpy as np

from anatomy.activations.batches import token_batches


def test_batches_hold_every_sequence_once_within_budget_and_with_little_padding():
    generator = np.random.default_rng(0)
    lengths = generator.lognormal(5, 0.7, 1000).astype(int).clip(1, 1024)
    sequences = [np.full(length, position, np.int32) for position, length in enumerate(lengths)]
    batches = list(token_batches(sequences, 8192))
    assert sorted(np.concatenate([batch.positions_B for batch in batches])) == list(range(1000))
    assert max(batch.ids_BT.size for batch in batches) <= 8192
    assert all(batch.lengths_B.sum() >= 0.9 * batch.ids_BT.size for batch in batches)
    assert len(batches) <= 1.5 * lengths.sum() / 8192  # and yet they are full
    for batch in batches:
        for ids_T, length, position in zip(*batch, strict=True):
            assert (ids_T[:length] == position).all()
            assert not ids_T[length:].any() or position == 0


def test_a_sequence_longer_than_the_budget_goes_alone():
    batches = list(token_batches([np.ones(50, np.int32), np.ones(2, np.int32)], 10))
    assert [batch.ids_BT.shape for batch in batches] == [(1, 50), (1, 2)]
