"""An audited run to look at from Python: its findings and rows as tables, and its texts."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from anatomy import artifacts
from anatomy.errors import RunError, methods_explained
from anatomy.hypotheses.views import Hypotheses, findings, rank
from anatomy.report.summary_record import DIRECTIONS, VIEWS, View
from anatomy.runs.run import Run
from anatomy.runs.saved_names import read_names, verified_titles
from anatomy.settings import AuditSettings
from anatomy.validation.ablations import compare_arms
from anatomy.validation.recovery import ArmEstimate
from anatomy.workflows.doubtful_labels import doubtful_labels
from anatomy.workflows.outcome import Where
from anatomy.workflows.report import report
from anatomy.workflows.row_table import row_table
from anatomy.workflows.show import show


@methods_explained
class AuditedRun:
    """A run directory, read only."""

    def __init__(self, path: Where) -> None:
        self.path = Path(path)

    def __repr__(self) -> str:
        return f"AuditedRun({str(self.path)!r})"

    def findings(self) -> pd.DataFrame:
        """Return the findings, one a line: view by view, chosen before rejected, the strongest first.

        The columns are those of ``hypotheses.parquet`` (effects above 0 favour chosen), and ``context_label`` and
        ``response_label``: verified names where there are some, else offline labels; and ``stability``: how often the
        features of the response's cluster, together on half of the prompts, are together on the other, 0 to 1.

        Raises:
            RunError: the run has not been tested.
        """
        tested, settings = self._tested()
        found = tested.take(findings(tested, settings.q_threshold))
        order = [
            place
            for view in VIEWS
            for direction in DIRECTIONS
            for place in rank(found, settings.rank_by, direction)
            if found.view[place] == view
        ]
        return self._labelled(found.take(np.array(order, np.int64)))

    def tests(self) -> pd.DataFrame:
        """Return every test that was made, finding or not, in the order of ``hypotheses.parquet``.

        The columns are those of :meth:`findings`; a test that was not possible has an empty ``p``.

        Raises:
            RunError: the run has not been tested.
        """
        return self._labelled(self._tested()[0])

    def _tested(self) -> tuple[Hypotheses, AuditSettings]:
        with Run.read(self.path) as run:
            run.require("hypotheses")
            settings, table = run.settings, run.findings
        return Hypotheses.of_table(table), settings

    def _labelled(self, found: Hypotheses) -> pd.DataFrame:
        with Run.read(self.path) as run:
            words, stability = run.words | verified_titles(read_names(self.path)), run.stability
        frame = pd.DataFrame(found.columns())
        for part in ("context", "response"):
            frame[f"{part}_label"] = [words.get(name, "") for name in frame[part]]
        frame["stability"] = [stability.get(name, np.nan) for name in frame["response"]]
        return frame

    def arms(self) -> pd.DataFrame:
        """Return what each validated training changed, one readout of one arm a line.

        An arm is a plan (``arm``: its words; plain DPO has none), ``comparison`` numbers the arms that can be held
        against each other. ``shift`` is after minus before, ``against`` the difference from plain DPO, and
        ``recovery`` the percent of plain DPO's shift that the arm takes back (method.md §10); each has ``_low`` and
        ``_high``, a 95 % interval over prompts. ``target`` marks what the plan names.

        Raises:
            RunError: the run has no clusters.
        """
        with Run.read(self.path) as run:
            clusters, words = run.manifest.cluster_hashes()[artifacts.CLUSTERS], run.words
        compared = compare_arms(self.path / artifacts.VALIDATIONS, clusters).comparisons
        return pd.DataFrame(
            [
                {
                    "comparison": number,
                    "arm": "plain DPO" if arm.plain else "; ".join(arm.words),
                    "seeds": len(arm.seeds),
                    "response": response,
                    "label": words.get(response, ""),
                    "target": response in {target.response for target in arm.on},
                    **_ends("shift", readout.shift),
                    **_ends("against", readout.against),
                    **_ends("recovery", readout.recovery),
                }
                for number, comparison in enumerate(compared)
                for arm in comparison.arms
                for response, readout in arm.responses.items()
            ]
        )

    def rows(self, cluster: str) -> pd.DataFrame:
        """Return the rows behind a cluster or concept, the highest ``value`` first.

        ``value`` is the signed signal of a response cluster (R12), shift cluster (S3) or concept, in every row, above
        0 where the chosen response shows more of it; the cosine to the centre of its own cluster, in the rows of a data
        cluster (D4) or a group (G:domain=code); and the score of a prompt cluster (P7), in the rows of its context.
        Further columns: ``row_id``, ``index`` (the place in the source, from 0), and ``prompt``, ``chosen`` and
        ``rejected``, the text of the last message of each.

        Raises:
            RunError: the run is not complete, or has no such cluster.
        """
        with Run.read(self.path) as run:
            run.require("hypotheses")
            picked = _picked(run, cluster)
            if picked is None:
                raise RunError(f"{self.path}: no tested cluster `{cluster}`; `anatomy show {self.path}` lists them")
            order = picked.rows[np.argsort(-picked.value_N[picked.rows], kind="stable")]
            table = row_table(run, order)
        table.insert(2, "value", picked.value_N[order])
        return table

    def doubtful_labels(self) -> pd.DataFrame:
        """Return the rows whose label looks wrong; see :func:`anatomy.workflows.doubtful_labels.doubtful_labels`."""
        return doubtful_labels(self.path).rows

    def show(self, cluster: str | None = None, *, view: View | None = None, top: int = 5) -> str:
        """Return the findings of the run, or one cluster, as text; see :func:`anatomy.workflows.show.show`."""
        return show(self.path, cluster, view=view, top=top)

    def report(self) -> Path:
        """Write the page again where something changed; see :func:`anatomy.workflows.report.report`."""
        return report(self.path)


def _ends(name: str, estimate: ArmEstimate | None) -> dict[str, float]:
    """An estimate and its interval as three columns; NaN where there is none."""
    values = (np.nan,) * 3 if estimate is None else (estimate.value, estimate.low, estimate.high)
    return dict(zip((name, f"{name}_low", f"{name}_high"), values, strict=True))


class _Picked(NamedTuple):
    """A value for each of the N rows, and the rows that belong to a cluster."""

    value_N: np.ndarray
    rows: np.ndarray


def _picked(run: Run, cluster: str) -> _Picked | None:
    signals = run.signals
    every = np.arange(len(signals.data_N))
    for tested in (signals.disparity, signals.shift):
        if cluster in tested.ids:
            return _Picked(tested.values_NM[:, list(tested.ids).index(cluster)], every)
    number = int(cluster[1:]) if cluster[1:].isdigit() else 0
    if cluster in signals.row_contexts.ids:
        return _Picked(run.clusters.cosine_N, signals.row_contexts.rows(cluster))
    if cluster in run.contexts and signals.shift.ids:
        return _Picked(signals.score_NK[:, number - 1], np.array(run.contexts[cluster], np.int64))
    return None


def open_run(path: Where) -> AuditedRun:
    """Return the audited run at ``path``.

    Raises:
        RunError: there is none.
    """
    Run.at(Path(path))
    return AuditedRun(path)
