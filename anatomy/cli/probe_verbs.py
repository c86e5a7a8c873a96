"""``anatomy probe``: detectors of concepts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from anatomy.cli.flags import Rows, flags_of
from anatomy.progress import output
from probes.probe_settings import ProbeFitSettings, ProbeScoreSettings, ProbeTestSettings

probe = App(name="probe", help_format="plaintext")


@probe.command
@flags_of(ProbeFitSettings)
def fit(
    concept: Annotated[str, Parameter(help="Id of a concept (`anatomy concepts list`).")],
    /,
    *,
    out: Annotated[Path | None, Parameter(help="Folder of the detector; default: detectors/<concept>.")] = None,
    **flags: Any,
) -> None:
    """Fit a detector of a concept, choose its layer, measure it on held-out prompts."""
    from anatomy.workflows.probe_fit import probe_fit

    output(probe_fit(concept, out=out, **flags))


@probe.command
@flags_of(ProbeTestSettings)
def test(detector: Annotated[Path, Parameter(help="Folder that `anatomy probe fit` wrote.")], /, **flags: Any) -> None:
    """Measure a saved detector on labelled examples that it was not fitted on."""
    from anatomy.workflows.probe_test import probe_test

    output(probe_test(detector, **flags))


@probe.command
@flags_of(ProbeScoreSettings)
def score(
    rows: Rows,
    /,
    *,
    out: Annotated[
        Path, Parameter(help="Run directory for a preference set; file (.csv, .jsonl, .parquet) for a plain table.")
    ],
    **flags: Any,
) -> None:
    """Score chosen and rejected responses, or a table of prompts and completions."""
    from anatomy.workflows.probe_score import probe_score

    output(probe_score(rows, out=out, **flags))
