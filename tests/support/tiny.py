"""Tiny random models with a tiny tokenizer, made on the spot: no network, no wheel."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

CHATML = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TEXT = [
    "You are a helpful assistant. system user assistant",
    "The quick brown fox jumps over the lazy dog, and why not? Because the dog is a good dog.",
    "**Bold** lists:\n\n- one\n- two\n- three\n\nHello there, how are you today? I am fine, thank you.",
]


def save_tokenizer(folder: Path, chat_template: str = CHATML) -> None:
    """Save a byte-level BPE tokenizer of 400 tokens with ``chat_template``."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False, min_frequency=1
    )
    tokenizer.train_from_iterator(TEXT * 4, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=SPECIAL[1], eos_token=SPECIAL[2], pad_token=SPECIAL[2]
    )
    fast.chat_template = chat_template
    fast.save_pretrained(folder)


def save_model(folder: Path, arch: str, layers: int = 4) -> None:
    """Save a random model of width 32: ``llama`` (Llama 3.1's rotary scaling) or ``olmo3`` (sliding windows of 8)."""
    from transformers import LlamaConfig, LlamaForCausalLM, Olmo3Config, Olmo3ForCausalLM

    shape = {
        "vocab_size": 400,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 2,
        "max_position_embeddings": 512,
    }
    rope = {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0}
    rope |= {"high_freq_factor": 4.0, "original_max_position_embeddings": 128}
    torch.manual_seed(0)
    if arch == "llama":
        model = LlamaForCausalLM(LlamaConfig(**shape, rope_parameters=rope))
    else:
        model = Olmo3ForCausalLM(Olmo3Config(**shape, sliding_window=8))
    # Default initialisation (0.02) makes blocks nearly the identity: a wrong layer would go unnoticed.
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(folder)


def save_tiny(folder: Path, arch: str) -> Path:
    """Save tokenizer and model of ``arch`` into ``folder`` and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    save_tokenizer(folder)
    save_model(folder, arch)
    return folder


class TinySAE:
    """A random JumpReLU SAE; ``threshold`` sets how seldom features fire."""

    def __init__(self, width: int = 32, n_features: int = 96, layer: int = 1, threshold: float = 1.0) -> None:
        generator = torch.Generator().manual_seed(0)
        self.width, self.n_features, self.layer, self.threshold = width, n_features, layer, threshold
        self.W_DF = torch.randn(width, n_features, generator=generator) / width**0.5

    def encode(self, x_BD: Tensor) -> Tensor:
        a_BF = x_BD @ self.W_DF
        return torch.where(a_BF > self.threshold, a_BF, 0.0)

    def decode(self, a_BF: Tensor) -> Tensor:
        return a_BF @ self.W_DF.T / self.n_features * self.width


def save_sae(folder: Path, model: Path, scale: float = 1.0, threshold: float = 0.6) -> Path:
    """Save an SAE for a tiny model: one feature each way along 32 random axes; ``scale`` ≠ 1 spoils its outputs."""
    import json

    from sae_lens.saes.jumprelu_sae import JumpReLUSAE, JumpReLUSAEConfig

    axes_DD, _ = torch.linalg.qr(torch.randn(32, 32, generator=torch.Generator().manual_seed(1)))
    sae = JumpReLUSAE(JumpReLUSAEConfig(d_in=32, d_sae=64))
    with torch.no_grad():
        sae.W_enc.copy_(torch.cat([axes_DD, -axes_DD], dim=1))
        sae.W_dec.copy_(sae.W_enc.T * scale)
        sae.threshold.fill_(threshold)
    sae.save_model(folder)
    card = json.loads((folder / "cfg.json").read_text())
    card["metadata"] |= {"model_name": str(model), "hook_name": "blocks.1.hook_resid_post"}
    (folder / "cfg.json").write_text(json.dumps(card))
    return folder
