"""Train an SAE for a subject model from text to a folder that ``load_sae`` reads (method.md §3).

tokenise → activations after block ``layer`` → fit → weights and card. The card (``cfg.json``) states L0, variance
explained and the share of live features on prompts that were held out, measured on the saved weights.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from anatomy.activations.batches import token_batches
from anatomy.activations.forward import hook_name, residuals
from anatomy.activations.model import Subject, load_subject, load_tokenizer
from anatomy.activations.spans import template_hash
from anatomy.artifacts import read_json, write_json
from anatomy.errors import ModelError, RunError
from anatomy.sae.blocks import Blocks
from anatomy.sae.corpus import HELD_OUT, Corpus, Document, build_corpus
from anatomy.sae.fit_sae import fit_sae
from anatomy.sae.load_sae import LoadedSAE, load_sae
from anatomy.sae.reconstruction import HealthSums, SAEHealth, measure
from anatomy.settings import ModelSettings, SAESettings, SAETrainSettings
from anatomy.types import content_hash

if TYPE_CHECKING:
    from sae_lens import BatchTopKTrainingSAE

BLOCKS_PER_BUFFER = 16
WORK = "work"
"""Folder inside the SAE's own for tokens, activations and checkpoints; deleted when the SAE is finished."""
DOCUMENTS = 256


def train_sae(settings: SAETrainSettings, out: Path) -> SAEHealth:
    """Train an SAE into the sae-lens folder ``out`` and return its health on held-out prompts.

    Killed and started again with the same settings, it resumes and ends with the same weights.

    Raises:
        ModelError: the model or its template cannot be used, or it has no block ``layer``.
        RowsError: a source cannot be read.
        RunError: ``out`` holds the work of other settings.
    """
    tokenizer = load_tokenizer(settings)
    subject = load_subject(settings, tokenizer)
    if settings.layer >= subject.n_layers:
        raise ModelError(f"layer {settings.layer}: {subject.name} has blocks 0 to {subject.n_layers - 1}")
    work = _claim(out, settings, subject, template_hash(tokenizer))
    corpus = build_corpus(settings, tokenizer, work / "tokens", max(1, settings.buffer_tokens // BLOCKS_PER_BUFFER))
    cached = corpus.tokens <= settings.cache_tokens
    blocks = Blocks(
        corpus.blocks,
        lambda index: activations(subject, corpus.block(index), settings.layer, settings.batch_tokens),
        work / "activations" if cached else None,
    )
    n_features = settings.features or settings.expansion * subject.width
    sae = fit_sae(blocks, corpus.tokens, n_features, settings, work / "checkpoints", str(subject.device))
    card = {
        "model_name": subject.name,
        "model_fingerprint": subject.fingerprint,
        "chat_template_hash": template_hash(tokenizer),
        "hook_name": hook_name(settings.layer),
        "training_tokens": corpus.tokens,
        "epochs": settings.epochs,
        "corpus": corpus.index.source_tokens,
        "held_out_tokens": corpus.index.held_out_tokens,
    }
    save_sae(sae, out, card)
    health = _state_health(out, subject, corpus, settings)
    shutil.rmtree(work)
    return health


def measure_documents(
    sae: LoadedSAE, subject: Subject, found: Iterable[Document], settings: ModelSettings, max_tokens: int
) -> HealthSums:
    """Health sums over the first documents that together hold ``max_tokens`` counted tokens, or over all there are."""
    sums = HealthSums.zero(sae.width, sae.n_features)
    window: list[Document] = []
    waiting = 0
    for document in found:
        window.append(document)
        waiting += int(document.counts.sum())
        if len(window) == DOCUMENTS or sums.tokens + waiting >= max_tokens:
            sums = sums.plus(measure(sae, activations(subject, window, sae.layer, settings.batch_tokens)))
            window, waiting = [], 0
        if sums.tokens >= max_tokens:
            break
    if window:
        sums = sums.plus(measure(sae, activations(subject, window, sae.layer, settings.batch_tokens)))
    return sums


def activations(subject: Subject, block: list[Document], layer: int, batch_tokens: int) -> Float[Tensor, "N D"]:
    """Residual stream after block ``layer`` at the counted tokens of ``block``, in float32 on the CPU."""
    kept = []
    for batch in token_batches([document.ids for document in block], batch_tokens):
        residuals_BTD = residuals(subject, batch, layer)
        counts_BT = np.zeros(batch.ids_BT.shape, dtype=bool)
        for row, position in enumerate(batch.positions_B):
            counts_BT[row, : len(block[position].counts)] = block[position].counts
        kept.append(residuals_BTD[torch.from_numpy(counts_BT).to(residuals_BTD.device)].float().cpu())
    return torch.cat(kept)


def save_sae(sae: BatchTopKTrainingSAE, folder: Path, card: dict[str, Any]) -> None:
    """Write the JumpReLU form with ``card`` as metadata; matrices in float16 (half the size, L0 and error unmoved)."""
    from safetensors.torch import load_file, save_file

    for key, value in card.items():
        sae.cfg.metadata[key] = value
    weights, _ = sae.save_inference_model(folder)
    tensors = load_file(weights)
    save_file({key: tensor.half() if tensor.ndim == 2 else tensor for key, tensor in tensors.items()}, weights)


def state_in_card(folder: Path, values: dict[str, Any]) -> None:
    """Add measured values to the metadata of the saved SAE."""
    config = read_json(folder / "cfg.json")
    config["metadata"].update(values)
    write_json(folder / "cfg.json", dict(sorted(config.items())))


def _state_health(out: Path, subject: Subject, corpus: Corpus, settings: SAETrainSettings) -> SAEHealth:
    sae = load_sae(SAESettings(sae=str(out), force=False), subject)
    sums = measure_documents(sae, subject, corpus.block(HELD_OUT), settings, corpus.index.held_out_tokens)
    health = SAEHealth.from_sums(sums)
    state_in_card(
        out,
        {"l0": health.l0, "variance_explained": health.variance_explained, "alive_share": 1 - health.dead_share},
    )
    return replace(health, claimed_l0=settings.k)


def _claim(out: Path, settings: SAETrainSettings, subject: Subject, template: str) -> Path:
    """The work folder, marked with what it is for; refuses one begun with other settings."""
    wanted = content_hash([json.loads(settings.model_dump_json()), subject.fingerprint, template])
    work, marker = out / WORK, out / WORK / "settings.json"
    if marker.is_file() and read_json(marker)["fingerprint"] != wanted:
        raise RunError(f"{out}: holds an unfinished SAE of other settings; choose another --out or delete {work}")
    if (out / "cfg.json").is_file() and not marker.is_file():
        raise RunError(f"{out}: holds a finished SAE; choose another --out or delete it")
    (work / "checkpoints").mkdir(parents=True, exist_ok=True)
    write_json(marker, {"fingerprint": wanted, "settings": json.loads(settings.model_dump_json())})
    return work
