"""An audited run of a tiny model whose chosen responses carry Markdown, and rollouts with a known share of it."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path

from anatomy import artifacts
from anatomy.activations.generate import Completion
from anatomy.rollouts.rollout_set import Prompt, SampledModel, save_rollouts
from anatomy.rollouts.rollout_settings import SampleSettings
from anatomy.rollouts.training_folder import keep_training
from anatomy.types import Pair

WORDS = "the quick brown fox jumps over a lazy dog and why not because it is good fine thank you today".split()
FLAGS = ["--device", "cpu", "--dtype", "float32", "--min-features", "2", "--min-community", "2", "--min-rows", "10",
         "--data-clusters", "4", "--min-fires", "10", "--concepts", "bold"]  # fmt: skip
SAMPLING = SampleSettings(max_new_tokens=64)


def sentence(generator: random.Random, marked: bool) -> str:
    """Eight words, three of them bold where ``marked``."""
    words = generator.sample(WORDS, 8)
    return " ".join(f"**{word}**" if marked and place < 3 else word for place, word in enumerate(words))


def write_pairs(path: Path, pairs: int = 240, bold_chosen: float = 0.8, bold_rejected: float = 0.3) -> Path:
    """Pairs whose chosen side is bold more often; two rows a prompt."""
    generator = random.Random(0)
    with path.open("w") as file:
        for number in range(pairs):
            chosen, rejected = (sentence(generator, generator.random() < p) for p in (bold_chosen, bold_rejected))
            row = {"prompt": f"Tell me about {WORDS[number // 2 % 20]} {number // 2}", "chosen": chosen}
            file.write(json.dumps({**row, "rejected": rejected}) + "\n")
    return path


def held_out(count: int) -> list[Prompt]:
    """Prompts that no pair has."""
    pairs = [Pair(0, [{"role": "user", "content": f"Say {WORDS[n % 20]} number {n}"}], (), ()) for n in range(count)]
    return [Prompt(pair.prompt_id, pair.prompt) for pair in pairs]


def plant_rollouts(
    folder: Path,
    share: float,
    seed: int,
    prompts: Sequence[Prompt] | None = None,
    model: Path | None = None,
    samples: int = 2,
    fingerprint: str | None = None,
) -> Path:
    """``samples`` completions a prompt, of which ``share`` are bold: a policy of known habit, said to be ``model``."""
    prompts = held_out(80) if prompts is None else prompts
    generator = random.Random(seed)
    texts = [Completion(sentence(generator, generator.random() < share), []) for _ in range(samples * len(prompts))]
    name, made_of = str(model or f"planted {share}"), fingerprint or f"{share} {seed}"
    made_by = SampledModel(name=name, origin="test", folder=None, fingerprint=made_of)
    keep_training(model, folder / artifacts.TRAINED_BY)
    save_rollouts(folder, prompts, texts, made_by, "none", SAMPLING.model_copy(update={"samples": samples}))
    return folder
