"""What the parts of this experiment share: their flags, the model, cells of tables, results on disk."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from anatomy import artifacts
from anatomy.sae.model_bundle import ModelBundle
from anatomy.settings import HarvestSettings

SEED = 0


def arguments(what: str) -> argparse.ArgumentParser:
    """``--data``, ``--out`` and the model, which every part takes."""
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument("--data", type=Path, required=True, help="folder with the data sets that the README names")
    parser.add_argument("--out", type=Path, required=True, help="folder for results")
    parser.add_argument("--model", help="default: the laptop model")
    parser.add_argument("--sae", help="default: the laptop model's")
    return parser


def bundle_of(given: argparse.Namespace, max_length: int = 256) -> ModelBundle:
    """The model and SAE that were asked for, float32."""
    settings = {"model": given.model, "sae": given.sae, "dtype": "float32", "max_length": max_length}
    return ModelBundle(HarvestSettings(rows="-", max_prompt_length=max_length // 2, **settings))


def layers_of(given: Sequence[int], n_layers: int) -> list[int]:
    """Those of the layers that the model has, the last one where it has none of them."""
    return [layer for layer in given if layer < n_layers] or [n_layers - 1]


def cell(figure: dict[str, float] | None) -> str:
    """``0.98 [0.96, 0.99]``; *too few* where a class has fewer than 30 examples."""
    if figure is None:
        return "too few"
    return f"{figure['value']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}]"


def finish(out: Path, name: str, result: Any, text: str) -> None:
    """Write a part's result and print its table."""
    artifacts.write_json(out / f"{name}.json", {**result, "cpu_seconds": round(sum(os.times()[:2]))})
    artifacts.write_text(out / f"{name}.md", text + "\n")
    print(text)
