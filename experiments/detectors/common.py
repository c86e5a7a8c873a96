"""What the parts of this experiment share: the laptop model, sampling rows, tables."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from anatomy import artifacts
from anatomy.report.markdown_table import markdown_table
from anatomy.sae.model_bundle import ModelBundle
from anatomy.settings import HarvestSettings

SEED = 0


def arguments(what: str) -> argparse.ArgumentParser:
    """``--data`` and ``--out``, which every part takes."""
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument("--data", type=Path, required=True, help="folder with the data sets that the README names")
    parser.add_argument("--out", type=Path, required=True, help="folder for results")
    return parser


def laptop(max_length: int = 256) -> ModelBundle:
    """The laptop model with its SAE, float32."""
    return ModelBundle(
        HarvestSettings(rows="-", dtype="float32", max_length=max_length, max_prompt_length=max_length // 2)
    )


def cell(figure: dict[str, float]) -> str:
    """``0.98 [0.96, 0.99]``."""
    return f"{figure['value']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}]"


def markdown(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table of our own numbers."""
    return markdown_table(header, rows, verbatim=True)


def finish(out: Path, name: str, result: Any, text: str) -> None:
    """Write a part's result and print its table."""
    artifacts.write_json(out / f"{name}.json", {**result, "cpu_seconds": round(sum(os.times()[:2]))})
    artifacts.write_text(out / f"{name}.md", text + "\n")
    print(text)
