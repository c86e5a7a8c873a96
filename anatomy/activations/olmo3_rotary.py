"""Does this version of transformers give each OLMo 3 layer its own rotary embedding?

In OLMo 3 only layers with full attention scale their rotary embedding (YaRN); those with a sliding window do not. Some
versions of transformers use one embedding for all layers: such a model runs, and its activations are others. A tiny
model with both kinds of layers and weights by formula is run, and its residual stream is held against known numbers.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch

from anatomy.errors import ModelError

TOLERANCE = 2e-3
"""Largest difference that is the arithmetic's; one embedding for all layers differs by 0.02 and more."""
LENGTH = 24
EXPECTED = ((-1.02714, 3.03662, -0.50827, 0.65432), (0.36624, 0.67006, -0.72045, 1.48536))
"""First four numbers after the sliding layer, and after the full one and the final norm, at the last token."""


@cache
def require_olmo3_rotary() -> None:
    """Refuse a version of transformers that computes OLMo 3 otherwise; asked once in a process, when one is loaded.

    Raises:
        ModelError: the tiny model's activations are not the known ones.
    """
    import transformers

    found = tiny_residuals()
    gaps = [abs(a - b) for row, known in zip(found, EXPECTED, strict=True) for a, b in zip(row, known, strict=True)]
    if not all(gap <= TOLERANCE for gap in gaps):
        raise ModelError(
            f"transformers {transformers.__version__} computes OLMo 3 otherwise than it was trained (off by "
            f"{max(gaps):.2g} on a known input: one rotary embedding for all layers?); install the version tested "
            "with: `pip install transformers==5.23.0`"
        )


def tiny_residuals() -> list[list[float]]:
    """What is compared with ``EXPECTED``; float32 on the CPU, no random numbers."""
    from transformers import Olmo3Config, Olmo3ForCausalLM

    kind: Any = Olmo3Config  # the released form of its fields, which transformers reads and does not declare
    config = kind(
        vocab_size=32,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=64,
        sliding_window=8,
        layer_types=["sliding_attention", "full_attention"],
        rope_theta=10_000.0,
        rope_scaling={
            "rope_type": "yarn",
            "factor": 8.0,
            "original_max_position_embeddings": 8,
            "attention_factor": 1.2079441541679836,
            "beta_fast": 32.0,
            "beta_slow": 1.0,
        },
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        attn_implementation="eager",
    )
    with torch.device("cpu"):
        model = Olmo3ForCausalLM(config).float().eval()
    with torch.inference_mode():
        for number, (_, weight) in enumerate(sorted(model.named_parameters())):
            if weight.ndim > 1:
                weight.copy_(torch.sin(torch.arange(weight.numel()) * 0.7 + number).reshape(weight.shape) * 0.8)
        ids_BT = torch.arange(LENGTH)[None] * 7 % 32
        hidden = model(ids_BT, output_hidden_states=True).hidden_states
        first = hidden[1][0, -1, :4].tolist()
        second = hidden[2][0, -1, :4].tolist()
    return [first, second]
