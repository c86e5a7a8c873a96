"""Health of the laptop SAE on the test part: ``python -m experiments.laptop_sae.measure --data DIR [--sae DIR]``.

Nothing was chosen on these prompts. Each set is measured alone, then the two together.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from anatomy import artifacts
from anatomy.activations.model import load_subject, load_tokenizer
from anatomy.progress import show_messages
from anatomy.sae.corpus import documents
from anatomy.sae.load_sae import load_sae
from anatomy.sae.reconstruction import HealthSums, SAEHealth
from anatomy.sae.train_sae import measure_documents
from anatomy.settings import CorpusSource, ModelSettings, SAESettings
from experiments.laptop_sae.laptop_corpus import write_split

SETS = ("alpaca_eval", "hh")


def main(words: Sequence[str] | None = None) -> int:
    """Measure, print, and write where that was asked for."""
    show_messages()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with the three preference sets")
    parser.add_argument("--sae", type=Path, help="sae-lens folder (default: the shipped one)")
    parser.add_argument("--model", help="Hub id or folder (default: the laptop model)")
    parser.add_argument("--out", type=Path, help="JSON file of the health of each set")
    parser.add_argument("--tokens", type=int, default=100_000, help="tokens of each set, at most (100000)")
    arguments = parser.parse_args(words)
    settings = ModelSettings(model=arguments.model, max_length=768, max_prompt_length=512)
    tokenizer = load_tokenizer(settings)
    subject = load_subject(settings, tokenizer)
    sae = load_sae(SAESettings(sae=str(arguments.sae) if arguments.sae else None), subject)
    health: dict[str, SAEHealth] = {}
    together = HealthSums.zero(sae.width, sae.n_features)
    with tempfile.TemporaryDirectory() as folder:
        paths = write_split(arguments.data, Path(folder))["test"]
        for name in SETS:
            found = documents(CorpusSource(rows=str(paths[name])), tokenizer, settings)
            sums = measure_documents(sae, subject, found, settings, arguments.tokens)
            together = together.plus(sums)
            health[name] = shown(name, SAEHealth.from_sums(sums, sae.claimed))
    both = " + ".join(SETS)
    health[both] = shown(both, SAEHealth.from_sums(together, sae.claimed))
    if arguments.out:
        artifacts.write_json(arguments.out, {name: vars(found) for name, found in health.items()})
    return 0


def shown(name: str, health: SAEHealth) -> SAEHealth:
    """Print the health of one set and return it."""
    print(f"{name}\n{health}\n{json.dumps(vars(health))}\n", flush=True)
    return health


if __name__ == "__main__":
    sys.exit(main())
