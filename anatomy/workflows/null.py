"""``anatomy null``: flip labels at random within the set, and test every view again."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from pydantic import Field

from anatomy import artifacts
from anatomy.hypotheses.null_rates import NullRate, NullRates
from anatomy.report.layout import table
from anatomy.runs.run import Run
from anatomy.settings import Settings, load_settings
from anatomy.workflows.outcome import Where


class NullSettings(Settings):
    """How often labels are flipped."""

    repetitions: int = Field(20, ge=1, le=100_000, description="Random relabellings.")
    seed: int = Field(0, ge=0, description="Seed of the relabellings.")


class NullCheck(NamedTuple):
    """What each view finds where there is nothing to find, by the name of the view."""

    rates: dict[str, NullRate]

    def __str__(self) -> str:
        lines = [("view", "tested", "false positives at 5 %", "95 % interval", "q < 5 %, mean")]
        lines += [
            (
                view,
                str(rate.tested),
                f"{rate.false_positive_rate:.3f}",
                f"{rate.low:.3f} to {rate.high:.3f}",
                f"{rate.discoveries:.2f}",
            )
            for view, rate in self.rates.items()
        ]
        return "\n".join(table(lines, right=range(1, 5), indent=""))


def null(run: Where, *, repetitions: int = 20, seed: int = 0) -> NullCheck:
    """Return the false-positive rate of each view over ``repetitions`` random relabellings; write ``null.json``.

    Raises:
        RunError: there is no tested run there.
        SettingsError: fewer than one repetition, or a seed below 0.
    """
    asked = load_settings(NullSettings, {"repetitions": repetitions, "seed": seed})
    with Run.open(Path(run), new=False) as opened:
        opened.require("hypotheses")
        rates = opened.signals.null(asked.repetitions, asked.seed)
        made_of = opened.manifest.hypothesis_hashes()
        NullRates.model_validate({"made_of": made_of, "views": rates}).write(opened.file(artifacts.NULL))
    return NullCheck(rates)
