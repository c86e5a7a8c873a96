"""Train the laptop model's SAE: ``python -m experiments.laptop_sae.run --data DIR --out DIR``."""

from __future__ import annotations

import argparse
from pathlib import Path

from anatomy.progress import show_messages
from anatomy.sae.train_sae import train_sae
from anatomy.settings import SAETrainSettings, load_settings
from experiments.laptop_sae.laptop_corpus import write_split

CONFIG = Path(__file__).parents[2] / "configs" / "sae" / "smollm2-135m.yaml"


def main() -> None:
    show_messages()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with the three preference sets")
    parser.add_argument("--out", type=Path, required=True, help="folder of the SAE; the split goes beside it")
    parser.add_argument("--config", type=Path, default=CONFIG, help="settings (default: the laptop model's)")
    arguments = parser.parse_args()
    paths = write_split(arguments.data, arguments.out.with_name(arguments.out.name + "-corpus"))
    corpus = [{"rows": str(path)} for path in paths["train"].values()]
    settings = load_settings(SAETrainSettings, {"corpus": corpus}, arguments.config)
    print(train_sae(settings, arguments.out))


if __name__ == "__main__":
    main()
