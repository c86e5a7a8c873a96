"""How long a step is still predicted: ``python -m experiments.prediction.learning_rates --out DIR``.

After ``--part learning-rates`` of the study.

Every training of a set on the same rows, by learning rate: what it did to the margin and to both rewards, and signed r
of predicted and observed shifts, beside the largest that noise allows. Writes ``DIR/results/rates.md``, and into
``DIR/all-shifts-rates.parquet`` the shifts at other rates than the set's own, which ``all-shifts.parquet`` has.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from anatomy import artifacts
from experiments.prediction.analyse import short
from experiments.prediction.by_prompt import validations
from experiments.tables import records

RATE = "rate-"
VIEWS = ("global", "features")
PREDICTORS = ("sgd", "activations", "sharpened", "disparity", "temperature")


def trainings(out: Path) -> Iterable[tuple[str, Path]]:
    """Validations of every set that was trained at several rates."""
    for folder in sorted(path for path in out.iterdir() if path.is_dir()):
        others = sorted(folder.glob(f"{RATE}*"))
        if others:
            yield from ((folder.name, path) for part in (folder, *others) for path in validations(part))


def row(name: str, validated: Mapping[str, Any], view: str) -> dict[str, Any] | None:
    """One validation in one view; None where it was by other predictors, or the training left no log."""
    figures, drift = validated["agreements"], (validated["training"] or {}).get("reward_drift")
    if drift is None or not set(PREDICTORS) <= set(figures):
        return None
    found = {by: figures[by][view] for by in PREDICTORS if figures[by][view]["r"] is not None}
    cells = {f"`{by}`": f"{found[by]['r']:+.2f} [{found[by]['r_low']:+.2f}, {found[by]['r_high']:+.2f}]" if by in found
             else None for by in PREDICTORS}  # fmt: skip
    allowed = next((figure["ceiling"]["attainable_r"] for figure in found.values()), None)
    return {
        "set": name,
        "rate": f"{drift['learning_rate']:g}",
        "seed": validated["seed"],
        "steps": drift["steps"],
        "margin": drift["margin"],
        "both": drift["common"],
        "noise allows": allowed,
        **cells,
    }


def table(out: Path) -> str:
    """A Markdown table a view, and the shifts."""
    found = list(trainings(out))
    read = [(name, artifacts.read_json(path / artifacts.VALIDATION)) for name, path in found]
    text = ""
    for view in VIEWS:
        rows = [made for name, validated in read if (made := row(name, validated, view)) is not None]
        rows.sort(key=lambda made: (made["set"], float(made["rate"]), made["seed"]))
        text += f"{view}\n\n{records(rows)}\n" if rows else ""
    shifts = [artifacts.read_table(path / artifacts.SHIFTS) for _, path in found if path.parent.parent != out]
    if not text or not shifts:
        raise SystemExit(f"{out}: no trainings at several rates; run the study with --part learning-rates")
    kept = pa.concat_tables(shifts)
    kept = kept.filter(pc.and_(pc.is_in(kept["predictor"], pa.array(PREDICTORS)), pc.equal(kept["context"], "all")))
    artifacts.write_table(out / "all-shifts-rates.parquet", short(kept))
    artifacts.write_text(out / "results" / "rates.md", text)
    return text


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the folder of the study")
    print(table(parser.parse_args(words).out))


if __name__ == "__main__":
    main()
