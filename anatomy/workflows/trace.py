"""``anatomy trace``: the rows that carry a predicted shift, and lists of rows to train without."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pydantic import BaseModel

from anatomy import artifacts
from anatomy.prediction.attribution import LeaveOut, contributions, leave_out
from anatomy.prediction.prediction_settings import TraceSettings
from anatomy.report.layout import WIDTH, fit
from anatomy.runs.out_folder import claimed, refuse_foreign
from anatomy.runs.run import Run
from anatomy.settings import load_settings
from anatomy.stages.run_prediction import Prediction
from anatomy.stages.summary_stage import EXCERPT
from anatomy.types import SPANS
from anatomy.workflows.outcome import Outcome, Where
from anatomy.workflows.row_table import row_table


class CarryingRow(BaseModel, frozen=True):
    """A row, its contribution to the shift, and excerpts of its texts."""

    row_id: str
    index: int
    contribution: float
    prompt: str
    chosen: str
    rejected: str


class WithoutRows(BaseModel, frozen=True):
    """The shift predicted without a share of the rows: the strongest ones (``top``), or ``random`` ones."""

    share: float
    kind: str
    predicted: float


class TraceRecord(artifacts.Artifact):
    """``trace.json``: a predicted shift, the rows that carry it and those against it, and what is left without them."""

    NAME = "trace"
    REMEDY = "run `anatomy trace` again"

    cluster: str
    predictor: str
    predicted: float
    rows: int
    strongest: list[CarryingRow]
    without: list[WithoutRows]


@dataclass(frozen=True)
class TracedShift(Outcome):
    """Every row's ``contribution`` to a predicted shift, by ``row_id``, in the order of the rows."""

    contributions: pd.DataFrame


def trace(
    run: Where, cluster: str, *, out: Where | None = None, settings: Where | None = None, **flags: Any
) -> TracedShift:
    """Return each row's contribution to the predicted shift of a cluster (R12, S3) or concept; they sum to it.

    Into ``out``: ``contributions.parquet`` (``row_id``, ``contribution`` of every row), ``trace.json``, and lists of
    row ids, one a line: ``top-1-percent.txt``, ``random-1-percent.txt`` and so on for 1, 5 and 10 % of the rows.

    Raises:
        RunError: the run has no such cluster.
        SettingsError: no such predictor, one that has no rows, or one over the model's own responses in a run without.
    """
    asked = load_settings(TraceSettings, flags, settings)
    folder = None if out is None else Path(out)
    if folder is not None:
        refuse_foreign(folder)
    with Run.read(Path(run)) as opened:
        made = Prediction.of(opened, asked.predictor, asked.tilt_c)
        readout = made.one(cluster)
        contribution_N = contributions(made.predictor, made.data, made.pool, readout)
        rows = _rows(opened, contribution_N, asked.top)
        made_of = opened.manifest.cluster_hashes()
        without = leave_out(made.predictor, made.data, made.pool, readout, contribution_N, asked.seed)
    record = TraceRecord(
        cluster=cluster,
        predictor=asked.predictor,
        predicted=float(contribution_N.sum()),
        rows=len(contribution_N),
        strongest=rows,
        without=[WithoutRows(share=item.share, kind=item.kind, predicted=item.predicted) for item in without],
    )
    if folder is not None:
        with claimed(folder):
            names = _write(folder, record, made.store.row_ids, contribution_N, without)
            artifacts.record_outputs(folder, names, made_of)
    table = pd.DataFrame({"row_id": made.store.row_ids, "contribution": contribution_N})
    return TracedShift(folder, _text(record), table)


def _rows(run: Run, contribution_N: np.ndarray, top: int) -> list[CarryingRow]:
    """The rows that carry most of the shift and those most against it, with excerpts."""
    order = np.argsort(-contribution_N * np.sign(contribution_N.sum() or 1.0), kind="stable")
    wanted = dict.fromkeys([*order[:top].tolist(), *order[-top:].tolist()])
    return [
        CarryingRow(
            row_id=row["row_id"],
            index=row["index"],
            contribution=float(contribution_N[place]),
            **{span: row[span][:EXCERPT] for span in SPANS},
        )
        for place, row in zip(wanted, row_table(run, wanted).to_dict("records"), strict=True)
    ]


def _write(
    out: Path, record: TraceRecord, row_ids: list[str], contribution_N: np.ndarray, without: list[LeaveOut]
) -> list[str]:
    """Write everything; return the names of the files."""
    artifacts.write_table(out / artifacts.CONTRIBUTIONS, pa.table({"row_id": row_ids, "contribution": contribution_N}))
    for item in without:
        lines = [row_ids[row] for row in np.sort(item.rows)]
        artifacts.write_text(out / artifacts.row_list(item.kind, item.share), "\n".join(lines) + "\n")
    record.write(out / artifacts.TRACE)
    lists = [artifacts.row_list(item.kind, item.share) for item in without]
    return [artifacts.CONTRIBUTIONS, artifacts.TRACE, *lists]


def _text(record: TraceRecord) -> str:
    lines = [f"{record.cluster}: predicted shift {record.predicted:+.4g} by {record.predictor}, "
             f"the sum over {record.rows:,} rows", "  contribution  share  row    chosen | rejected"]  # fmt: skip
    for row in record.strongest:
        share = row.contribution / record.predicted if record.predicted else 0.0
        texts = f"{row.chosen[:60]} | {row.rejected[:60]}"
        lines.append(fit(f"  {row.contribution:+12.4g} {share:6.1%}  {row.index + 1:<6} {texts}", WIDTH))
    lines.append("predicted after training without (where this was tried, less was lost; see the README)")
    for item in record.without:
        lines.append(f"  {item.share:4.0%} {item.kind:6} rows: {item.predicted:+.4g}")
    return "\n".join(lines)
