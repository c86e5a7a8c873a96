"""Small DPO runs, ours and plain TRL's, on the same rows with the same settings."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback
from trl import DPOConfig, DPOTrainer

from anatomy.types import Pair
from interventions.backends.pair_edits import PairEdit, SteeringVector
from interventions.training.dpo_trainer import InterventionTrainer
from interventions.training.reference_cache import ReferenceCache
from interventions.training.token_rows import gap_tiers, tokenise_pair, write_tokens

WORDS = "the quick brown fox jumps over a lazy dog and why not because it is good **Bold** list hello there thank you"


def make_pairs(n: int = 8, seed: int = 0) -> list[Pair]:
    """Pairs of random words, of different lengths; one has a system prompt, one an earlier exchange."""
    generator = torch.Generator().manual_seed(seed)
    words = WORDS.split()

    def text(low: int, high: int) -> str:
        length = int(torch.randint(low, high, (1,), generator=generator))
        return " ".join(words[int(i)] for i in torch.randint(len(words), (length,), generator=generator))

    def turn(role: str, low: int = 2, high: int = 9) -> dict[str, str]:
        return {"role": role, "content": text(low, high)}

    pairs = []
    for index in range(n):
        prompt = [turn("user")]
        if index % 4 == 1:
            prompt = [turn("system"), *prompt]
        if index % 4 == 2:
            prompt = [turn("user"), turn("assistant"), *prompt]
        pairs.append(Pair(index, prompt, [turn("assistant", 3, 12)], [turn("assistant", 3, 12)]))
    return pairs


@dataclass
class Outcome:
    """What a run gave: losses step by step, everything logged, and the final weights by name."""

    losses: list[float]
    log: list[dict[str, Any]]
    weights: dict[str, torch.Tensor]
    trainer: Any = field(repr=False)


def config(out: Path, **changes: Any) -> DPOConfig:
    settings = {
        "output_dir": str(out), "per_device_train_batch_size": 2, "gradient_accumulation_steps": 2, "beta": 0.3,
        "learning_rate": 1e-2, "max_steps": 3, "logging_steps": 1, "save_strategy": "no", "report_to": "none",
        "use_cpu": True, "bf16": False, "gradient_checkpointing": False, "max_length": 64, "disable_tqdm": True,
        "warmup_steps": 0, "precompute_ref_log_probs": True,
    }  # fmt: skip
    return DPOConfig(**{**settings, **changes})


def load(folder: Path) -> tuple[Any, Any]:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32), AutoTokenizer.from_pretrained(folder)


def lora() -> Any:
    from peft import LoraConfig

    return LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM")


def plain(folder: Path, pairs: list[Pair], out: Path, peft: bool = False, **changes: Any) -> Outcome:
    """TRL's own DPOTrainer, fed conversational rows."""
    model, tokenizer = load(folder)
    rows = [{"prompt": list(p.prompt), "chosen": list(p.chosen), "rejected": list(p.rejected)} for p in pairs]
    args = config(out, **changes)
    beside = not args.precompute_ref_log_probs and not peft
    trainer = DPOTrainer(
        model=model,
        ref_model=copy.deepcopy(model) if beside else None,
        args=args,
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        peft_config=lora() if peft else None,
    )
    return finish(trainer)


def ours(
    folder: Path,
    pairs: list[Pair],
    out: Path,
    edits: dict[str, PairEdit] | None = None,
    vectors: tuple[SteeringVector, ...] = (),
    peft: bool = False,
    run: bool = True,
    **changes: Any,
) -> Outcome:
    """The same through a token table and InterventionTrainer; with ``run`` False only built."""
    model, tokenizer = load(folder)
    args = config(out, **changes)
    beside = not args.precompute_ref_log_probs and not peft
    dataset, concepts = token_table(pairs, tokenizer, out, edits, args.max_length)
    trainer = InterventionTrainer(
        model=model,
        args=args,
        dataset=dataset,
        tokenizer=tokenizer,
        vectors=vectors,
        concepts=concepts,
        cache=ReferenceCache(out / "references", {"model": str(folder)}),
        ref_model=copy.deepcopy(model) if beside else None,
        peft_config=lora() if peft else None,
    )
    return finish(trainer) if run else Outcome([], [], {}, trainer)


def token_table(
    pairs: list[Pair],
    tokenizer: Any,
    out: Path,
    edits: dict[str, PairEdit] | None = None,
    max_length: int = 64,
) -> tuple[Dataset, list[str]]:
    rows = [(edits or {}).get(pair.row_id, PairEdit(pair.row_id)) for pair in pairs]
    concepts = sorted({name for row in rows for name in row.gaps})
    tiers = gap_tiers(rows, concepts)
    lines = [
        tokenise_pair(pair, row, tokenizer, max_length, tiers(row))
        for pair, row in zip(pairs, rows, strict=True)
        if row.dropped is None
    ]
    write_tokens(out / "tokens.arrow", lines)
    return Dataset.from_file(str(out / "tokens.arrow")), concepts


def finish(trainer: Any) -> Outcome:
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    steps = [entry for entry in trainer.state.log_history if "loss" in entry]
    weights = {name: value.detach().clone() for name, value in trainer.model.named_parameters()}
    return Outcome([entry["loss"] for entry in steps], steps, weights, trainer)


def assert_same(found: Outcome, expected: Outcome) -> None:
    """Losses to the last digit and final weights bit by bit."""
    assert found.losses == expected.losses
    assert found.weights.keys() == expected.weights.keys()
    for name, weight in expected.weights.items():
        assert torch.equal(found.weights[name], weight), name
