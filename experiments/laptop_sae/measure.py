"""Health of the laptop SAE on the test part: ``python -m experiments.laptop_sae.measure --data DIR [--sae DIR]``.

Nothing was chosen on these prompts. Each set is measured alone, then the two together.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from anatomy.activations.model import load_subject, load_tokenizer
from anatomy.progress import show_messages
from anatomy.sae.corpus import documents
from anatomy.sae.load_sae import load_sae
from anatomy.sae.reconstruction import HealthSums, SAEHealth
from anatomy.sae.train_sae import measure_documents
from anatomy.settings import CorpusSource, ModelSettings, SAESettings
from experiments.laptop_sae.laptop_corpus import write_split

SETS = ("alpaca_eval", "hh")


def main() -> None:
    show_messages()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with the three preference sets")
    parser.add_argument("--sae", type=Path, help="sae-lens folder (default: the shipped one)")
    parser.add_argument("--model", help="Hub id or folder (default: the laptop model)")
    parser.add_argument("--tokens", type=int, default=100_000, help="tokens of each set, at most (100000)")
    arguments = parser.parse_args()
    settings = ModelSettings(model=arguments.model, max_length=768, max_prompt_length=512)
    tokenizer = load_tokenizer(settings)
    subject = load_subject(settings, tokenizer)
    sae = load_sae(SAESettings(sae=str(arguments.sae) if arguments.sae else None), subject)
    together = HealthSums.zero(sae.width, sae.n_features)
    with tempfile.TemporaryDirectory() as folder:
        paths = write_split(arguments.data, Path(folder))["test"]
        for name in SETS:
            found = documents(CorpusSource(rows=str(paths[name])), tokenizer, settings)
            sums = measure_documents(sae, subject, found, settings, arguments.tokens)
            together = together.plus(sums)
            _print(name, sums, sae.claimed)
    _print(" + ".join(SETS), together, sae.claimed)


def _print(name: str, sums: HealthSums, claimed: dict[str, float]) -> None:
    health = SAEHealth.from_sums(sums, claimed)
    print(f"{name}\n{health}\n{json.dumps(vars(health))}\n", flush=True)


if __name__ == "__main__":
    main()
