"""The attention probe against a softmax over all pairs of tokens; causality; large logits; ragged batches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from support.planted_direction import direction, examples, sequence_scores, token_scores

from probes.attention_probe import AttentionProbe, causal_average
from probes.examples import Examples
from probes.linear_probe import LinearProbe


def random_probe(width: int = 6, heads: int = 4, scale: float = 1.0, position_bias: bool = True) -> AttentionProbe:
    generator = torch.Generator().manual_seed(3)
    probe = AttentionProbe(heads=heads, position_bias=position_bias)
    probe.query_ = torch.randn(heads, width, generator=generator) * scale
    probe.value_ = torch.randn(heads, width, generator=generator)
    probe.w_, probe.b_ = torch.randn(width, generator=generator), torch.tensor(0.3)
    return probe


def naive(probe: AttentionProbe, x_TD: torch.Tensor) -> torch.Tensor:
    """The definition, with a T × T softmax and ALiBi's bias −m(t − j)."""
    x_TD = x_TD.double()
    t = torch.arange(len(x_TD))
    out_T = x_TD @ probe.w_.double() + probe.b_
    for head, (q_D, u_D) in enumerate(zip(probe.query_.double(), probe.value_.double(), strict=True), start=1):
        slope = 2.0 ** (-8 * head / probe.heads) if probe.position_bias else 0.0
        logits_TT = (x_TD @ q_D)[None] - slope * (t[:, None] - t[None])
        weights_TT = logits_TT.masked_fill(t[None] > t[:, None], -torch.inf).softmax(dim=1)
        out_T = out_T + weights_TT @ (x_TD @ u_D)
    return out_T


@pytest.mark.parametrize("position_bias", [False, True])
@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_scores_equal_those_of_a_full_softmax(position_bias, scale):
    probe = random_probe(scale=scale, position_bias=position_bias)
    x_TD = torch.randn(200, 6, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(probe.decision(x_TD).double(), naive(probe, x_TD), rtol=1e-4, atol=1e-4)


def test_a_running_mean_by_hand():
    """Equal logits: means of 4; 4, −2; 4, −2, 1. A logit of log 3 at the second: (4 − 3·2)/4 there."""
    values = torch.tensor([4.0, -2.0, 1.0])[None, :, None]
    flat = causal_average(torch.zeros(1, 3, 1), values)
    torch.testing.assert_close(flat[0, :, 0], torch.tensor([4.0, 1.0, 1.0]).double())
    tilted = causal_average(torch.tensor([1.0, 3.0, 1.0]).log()[None, :, None], values)
    torch.testing.assert_close(tilted[0, :, 0], torch.tensor([4.0, -0.5, -0.2]).double())


def test_the_future_does_not_change_the_past():
    probe = random_probe(scale=3.0)
    x_TD = torch.randn(60, 6, generator=torch.Generator().manual_seed(0))
    changed = x_TD.clone()
    changed[40:] = 50 * torch.randn(20, 6, generator=torch.Generator().manual_seed(1))
    before, after = probe.decision(x_TD), probe.decision(changed)
    torch.testing.assert_close(before[:40], after[:40], rtol=0, atol=1e-5)
    torch.testing.assert_close(before[:40], probe.decision(x_TD[:40]), rtol=0, atol=1e-5)
    assert not torch.allclose(before[40:], after[40:])
    changed_past = x_TD.clone()
    changed_past[0] += 5
    assert not torch.allclose(probe.decision(changed_past)[1:], before[1:])


@pytest.mark.parametrize("scale", [1e2, 1e4])
def test_long_sequences_with_large_logits_stay_finite_and_right(scale):
    """32,768 tokens with logits of ± 10⁴ and more: rising, falling, and one giant at the start."""
    generator = torch.Generator().manual_seed(0)
    t = torch.arange(32_768)
    v_T = torch.randn(32_768, generator=generator)
    rising_T, giant_T = scale * t / 1000, torch.where(t == 0, scale, -scale)
    out = causal_average(
        torch.stack([rising_T, -rising_T, giant_T.double()], 1)[None], v_T[None, :, None].expand(1, -1, 3)
    )
    assert out.isfinite().all()
    torch.testing.assert_close(out[0, :, 2].float(), v_T[:1].expand(32_768), rtol=1e-5, atol=1e-5)
    last = torch.softmax(rising_T.double(), 0) @ v_T.double()
    torch.testing.assert_close(out[0, -1, 0], last, rtol=1e-6, atol=1e-6)


def test_gradients_are_finite_and_right():
    s = (torch.randn(2, 7, 2, generator=torch.Generator().manual_seed(0)).double() * 2).requires_grad_()
    v = torch.randn(2, 7, 2, generator=torch.Generator().manual_seed(1)).double().requires_grad_()
    assert torch.autograd.gradcheck(causal_average, (s, v))
    large = (1e4 * torch.randn(1, 3000, 2, generator=torch.Generator().manual_seed(0))).requires_grad_()
    values = torch.randn(1, 3000, 2, generator=torch.Generator().manual_seed(1)).requires_grad_()
    causal_average(large, values).square().sum().backward()
    assert large.grad.isfinite().all()
    assert values.grad.isfinite().all()


def test_ragged_batches_score_as_single_sequences():
    probe = random_probe()
    lengths = torch.tensor([5, 1, 40, 7])
    x_ND = torch.randn(53, 6, generator=torch.Generator().manual_seed(0))
    together = probe._scores(x_ND, lengths, probe.query_, probe.value_, probe.w_, probe.b_)
    alone = torch.cat([probe.decision(part) for part in x_ND.split(lengths.tolist())])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("tokens", [False, True])
def test_a_planted_direction_is_found(tokens):
    probe = AttentionProbe(supervision="token" if tokens else "sequence").fit(examples(sequences=400, tokens=tokens))
    held_out = examples(seed=1, tokens=tokens)
    if tokens:
        assert roc_auc_score(held_out.y_N, token_scores(probe, held_out)) > 0.85
    else:
        assert roc_auc_score(held_out.y_S, sequence_scores(probe, held_out)) > 0.9


def opened(sequences: int, seed: int) -> Examples:
    """A token is positive where one of the 3 tokens before it opened the concept: it shows nothing of its own."""
    data = examples(sequences=sequences, strength=0.0, seed=seed)
    generator = np.random.default_rng(seed)
    opens_N = (data.y_S[data.sequence_N] == 1) & (generator.random(len(data.x_ND)) < 0.2)
    y_N = np.zeros(len(opens_N), np.int64)
    for start, stop in zip(data.starts_S1[:-1], data.starts_S1[1:], strict=True):
        for t in range(start, stop):
            y_N[t] = opens_N[max(start, t - 3) : t].any()
    x_ND = data.x_ND + 6 * torch.from_numpy(opens_N)[:, None] * direction()
    return replace(data, x_ND=x_ND, y_N=y_N)


def test_what_only_earlier_tokens_show_is_seen_by_attention_alone():
    train, held_out = opened(600, 0), opened(200, 1)
    probe = AttentionProbe(epochs=24).fit(train)
    linear = LinearProbe(supervision="token").fit(train)
    assert roc_auc_score(held_out.y_N, token_scores(probe, held_out)) > 0.85
    assert roc_auc_score(held_out.y_N, token_scores(linear, held_out)) < 0.65


def test_folding_gives_what_training_saw():
    """A probe fitted to residuals of wild scale scores raw residuals as it did standardised ones."""
    data = examples(sequences=200, tokens=True)
    wild = replace(data, x_ND=data.x_ND * torch.logspace(-2, 2, 24) + torch.linspace(-300, 300, 24))
    plain_fit, wild_fit = AttentionProbe().fit(data), AttentionProbe().fit(wild)
    np.testing.assert_allclose(token_scores(plain_fit, data), token_scores(wild_fit, wild), atol=0.02)
