"""``anatomy rows --label-looks-wrong``: rows whose label the other prompts of the set speak against."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from anatomy import artifacts
from anatomy.errors import SettingsError
from anatomy.report.layout import fit, table
from anatomy.runs.out_folder import refuse_existing
from anatomy.runs.run import Run
from anatomy.runs.saved_names import read_names, verified_titles
from anatomy.statistics.label_model import LabelAgreement, LabelModel, label_model
from anatomy.types import SIDES
from anatomy.workflows.outcome import Outcome, Where
from anatomy.workflows.row_table import row_table

LENGTH = "length"
"""Log-length of chosen minus that of rejected, a signal next to the clusters and concepts."""
TOP = 20


@dataclass(frozen=True)
class DoubtfulLabels(Outcome):
    """Rows whose label looks wrong, the least likely first, and how well labels are predicted at all."""

    rows: pd.DataFrame
    agreement: LabelAgreement


def doubtful_labels(run: Where, *, out: Where | None = None, top: int = TOP) -> DoubtfulLabels:
    """Return the rows whose label contradicts what the other prompts of the set teach.

    A linear model of the response clusters, the concepts and the length predicts which side is chosen, each row by a
    fit without its prompt (:func:`anatomy.statistics.label_model.label_model`). ``probability`` is that of the label;
    ``against`` the cluster or concept that speaks most against it, and ``more_in`` the side that has more of it. Rows
    with a probability of a half or more are left out; and all are, if the set teaches nothing that predicts labels.

    Into ``out``: JSON lines ``{"row_id", "decision": "remove", "comment"}`` of ``top`` rows, which the report imports.

    Raises:
        RunError: the run has not been tested, or ``out`` is there already.
        SettingsError: the rows have one prompt.
    """
    file = None if out is None else Path(out)
    if file is not None:
        refuse_existing(file)
    with Run.read(Path(run)) as opened:
        opened.require("hypotheses")
        signals = opened.signals
        names, u_NM = list(signals.disparity.ids), signals.disparity.values_NM
        if LENGTH not in names:
            names, u_NM = [*names, LENGTH], np.column_stack([u_NM, signals.frame.length_N])
        try:
            model = label_model(u_NM, signals.frame, opened.settings.seed)
        except ValueError as error:
            raise SettingsError(f"{opened.path}: no label can be doubted: {error}") from None
        words = opened.words | verified_titles(read_names(opened.path))
        found = _doubted(opened, model, u_NM, names, words)
    shown = found.head(max(top, 0))
    if file is not None:
        artifacts.write_text(file, "".join(map(_decision, shown.to_dict("records"))))
    return DoubtfulLabels(
        file, "\n".join(_text(model.agreement, len(found), len(u_NM), shown, file)), found, model.agreement
    )


def teaches(agreement: LabelAgreement) -> bool:
    """Whether labels of unseen prompts are predicted better than by chance (95 % interval)."""
    return agreement.low > 0.5


def _doubted(run: Run, model: LabelModel, u_NM: np.ndarray, names: list[str], words: dict[str, str]) -> pd.DataFrame:
    probability_N = model.probability_N
    order = np.argsort(probability_N, kind="stable") if teaches(model.agreement) else np.zeros(0, np.int64)
    order = order[probability_N[order] < 0.5]
    part_nM = model.parts(u_NM, order)
    worst_n = part_nM.argmin(axis=1) if len(order) else order
    found = row_table(run, order)
    against = [names[place] for place in worst_n]
    found.insert(2, "probability", probability_N[order])
    found.insert(3, "against", against)
    found.insert(4, "against_label", [words.get(name, "") for name in against])
    found.insert(5, "more_in", np.where(u_NM[order, worst_n] > 0, *SIDES) if len(order) else against)
    return found


def _decision(row: Mapping[Hashable, Any]) -> str:
    comment = f"label looks wrong ({row['probability']:.2f}): more of {_against(row)}"
    return json.dumps({"row_id": row["row_id"], "decision": "remove", "comment": comment}, ensure_ascii=False) + "\n"


def _against(row: Mapping[Hashable, Any]) -> str:
    return f"{row['against']} {row['against_label']}".strip() + f" in {row['more_in']}"


def _text(agreement: LabelAgreement, doubted: int, rows: int, shown: pd.DataFrame, file: Path | None) -> Iterator[str]:
    known = f"{agreement.value:.0%} [{agreement.low:.0%}, {agreement.high:.0%}]"
    yield f"From the other prompts {known} of {rows:,} labels are predicted (50 % is chance, p {agreement.p:.2g})."
    if not teaches(agreement):
        yield "Nothing that the set teaches predicts the labels of other prompts: no label can be said to look wrong."
        return
    yield f"{doubted:,} labels are less likely than not. The least likely, with what speaks most against each:"
    lines: list[tuple[str, ...]] = [("p", "row", "more of", "prompt")]
    for row in shown.to_dict("records"):
        lines.append((f"{row['probability']:.2f}", f"{row['index'] + 1}", fit(_against(row), 44), row["prompt"]))
    yield from table(lines, right=(0, 1))
    yield "An unlikely label is not a wrong one: read a row before you drop it (`anatomy view` shows both responses)."
    if file is not None:
        yield f"{file}: these rows as decisions, for the report's Import"
