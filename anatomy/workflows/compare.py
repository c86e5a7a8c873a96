"""``anatomy compare``: what two runs reward, and where they differ.

With one model and SAE, the response clusters of A are groups of the same features in B. Across models, only what has a
name can be held against each other: concepts that both runs scored, each in its own standard deviations, and text
rules, which need no model.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from anatomy import artifacts
from anatomy.clusters.assignments import Clusters
from anatomy.features.feature_store import FeatureStore
from anatomy.hypotheses.run_signals import Identities
from anatomy.hypotheses.signals import response_signals
from anatomy.hypotheses.views import Responses, responses
from anatomy.progress import progress_bar
from anatomy.report.comparison_page import page, terminal
from anatomy.report.comparison_record import (
    DifferenceKind,
    RunComparison,
    RunDifference,
    RunEffect,
    RunSide,
    SharedRows,
)
from anatomy.report.summary import mostly_explained
from anatomy.runs.out_folder import claimed, refuse_foreign
from anatomy.runs.run import Run
from anatomy.runs.saved_names import read_names, verified_titles
from anatomy.settings import AuditSettings
from anatomy.statistics.differences import CHANGES, NO_CHANGE, Differences, SetFindings, SetSignals, differences
from anatomy.text.text_counts import TEXT_COUNTS
from anatomy.workflows.outcome import Outcome, Where

WINDOW = ("template", "tokenizer", "max_length", "max_prompt_length", "max_response_length")
OTHER_MODEL = "the runs were read through different models or SAEs, whose features are not the same"


class ComparedRun(NamedTuple):
    """One run, read only: its artifacts, settings, pooled features, and what the source says of its rows."""

    run: Run
    settings: AuditSettings
    store: FeatureStore
    identities: Identities

    def measured(self, values_NM: np.ndarray, mark: str = "") -> SetSignals:
        """Signals of its rows; ``mark`` keeps its rows apart from those of another run with the same ids."""
        known, row_ids = self.identities, [mark + name for name in self.store.row_ids]
        return SetSignals(values_NM, row_ids, self.store.prompt_ids, known.length_N, known.text_N2, known.author_N2)

    def concepts(self) -> list[str]:
        """The concepts that it scored."""
        return list(self.run.concepts)


def compare(run: Where, other: Where, *, out: Where | None = None) -> Outcome:
    """Compare two runs into ``out`` (default: ``RUN/compared/<name of OTHER>``), as a page and ``compare.json``.

    Raises:
        RunError: A has no clusters, B no features, or the artifacts of one are of different rows.
    """
    a_dir, b_dir = Path(run), Path(other)
    a, b = _open(a_dir, "cluster"), _open(b_dir, "harvest")
    same = _lens(a) == _lens(b)
    folder = a_dir / artifacts.COMPARISONS / (b_dir.resolve().name or "run") if out is None else Path(out)
    refuse_foreign(folder)
    document = _document(a, b, same, _compared(a, b, same))
    with claimed(folder):
        artifacts.write_text(folder / artifacts.COMPARISON_PAGE, page(document, _report_link(a_dir, folder)))
        document.write(folder / artifacts.COMPARISON)
        artifacts.record_outputs(
            folder, [artifacts.COMPARISON, artifacts.COMPARISON_PAGE], a.run.manifest.cluster_hashes()
        )
    return Outcome(folder, f"{terminal(document)}\n\n{folder / artifacts.COMPARISON_PAGE}")


def _open(path: Path, stage: str) -> ComparedRun:
    run = Run.at(path)
    run.require(stage)
    return ComparedRun(run, run.settings, run.features, run.identities())


def _lens(compared: ComparedRun) -> list[str]:
    return [compared.run.model.fingerprint, compared.run.sae.fingerprint]


def _compared(a: ComparedRun, b: ComparedRun, same: bool) -> list[RunDifference]:
    """One difference for each cluster, concept and text rule; q-values are over each of the three kinds."""
    threshold = a.settings.q_threshold
    compared: list[RunDifference] = []
    if same:
        clusters = a.run.clusters
        tested = [_clusters(one, clusters, a.settings) for one in (a, b)]
        found = differences(a.measured(tested[0].values_NM), b.measured(tested[1].values_NM), threshold)
        compared += _differences("cluster", tested[0].ids, found, _words(a))
    names = [name for name in a.concepts() if name in b.concepts()]
    if names:
        # detectors of different models give one row two scores: its copies are kept apart, its prompt is not
        found = differences(*_scored(a, b, names, same), threshold)
        compared += _differences("concept", names, found, {})
    ours, theirs = _counted(a, b)
    found = differences(a.measured(ours), b.measured(theirs), threshold)
    return compared + _differences("text rule", list(TEXT_COUNTS), found, {})


def _clusters(compared: ComparedRun, clusters: Clusters, settings: AuditSettings) -> Responses:
    values_NM = response_signals(compared.store.shards(), clusters.response_F, settings.tau).disparity_NM
    return responses("R", values_NM, clusters.response_F, settings.min_features)


def _words(compared: ComparedRun) -> dict[str, str]:
    """Verified names, else offline labels."""
    return compared.run.words | verified_titles(read_names(compared.run.path))


def _scored(a: ComparedRun, b: ComparedRun, names: Sequence[str], same: bool) -> tuple[SetSignals, SetSignals]:
    """Chosen minus rejected scores, in standard deviations over both runs' responses (of each, if models differ)."""
    scores = [[_scores(compared, name) for name in names] for compared in (a, b)]
    units = [[float(score_NS.std()) for score_NS in part] for part in scores]
    if same:
        pairs = zip(*scores, strict=True)
        units = [[float(np.concatenate(pair).std()) for pair in pairs]] * 2
    columns = [np.stack([_difference(score_NS, unit) for score_NS, unit in zip(part, unit_M, strict=True)], axis=1)
               for part, unit_M in zip(scores, units, strict=True)]  # fmt: skip
    return a.measured(columns[0]), b.measured(columns[1], "" if same else "b ")


def _scores(compared: ComparedRun, name: str) -> np.ndarray:
    return compared.run.scores(name).score_NS


def _counted(a: ComparedRun, b: ComparedRun) -> list[np.ndarray]:
    """Chosen minus rejected counts of each text rule, in standard deviations over the responses of both runs."""
    counts = [_counts(compared) for compared in (a, b)]
    unit_M = np.concatenate(counts).std(axis=(0, 1))
    return [np.stack([_difference(count_N2M[:, :, m], unit) for m, unit in enumerate(unit_M)], axis=1)
            for count_N2M in counts]  # fmt: skip


def _difference(score_NS: np.ndarray, unit: float) -> np.ndarray:
    difference_N = (score_NS[:, 0] - score_NS[:, 1]).astype(np.float64)
    return difference_N / unit if unit > 0 else np.zeros_like(difference_N)


def _counts(compared: ComparedRun) -> np.ndarray:
    """Counts of each text rule in both responses of each row: [N, 2, M]."""
    row_ids, counts = [], []
    with progress_bar(f"texts of {compared.run.path.name}", "row", compared.store.n_rows) as bar:
        for stored in compared.run.rows():
            row_ids.append(stored.row_id)
            texts = [str(messages[-1]["content"]) for messages in (stored.pair.chosen, stored.pair.rejected)]
            counts.append([[rule(text) for rule in TEXT_COUNTS.values()] for text in texts])
            bar.update()
    compared.run.require_same_rows(row_ids, "rows")
    return np.array(counts, np.float64)


def _differences(
    kind: DifferenceKind, ids: Sequence[str], found: Differences, words: Mapping[str, str]
) -> list[RunDifference]:
    return [
        RunDifference(
            kind=kind,
            id=name,
            label=words.get(name, ""),
            a=_effect(found.a, place),
            b=_effect(found.b, place),
            difference=found.difference[place],
            low=found.low[place],
            high=found.high[place],
            d=found.d[place],
            z=found.z[place],
            p=found.p[place],
            q=found.q[place],
            adjusted=found.adjusted[place],
            change=str(found.change[place]),
            mostly_explained=mostly_explained(float(found.difference[place]), float(found.adjusted[place])),
        )
        for place, name in enumerate(ids)
    ]


def _effect(found: SetFindings, place: int) -> RunEffect:
    return RunEffect.model_validate({name: values[place].item() for name, values in found._asdict().items()})


def _document(a: ComparedRun, b: ComparedRun, same: bool, found: Sequence[RunDifference]) -> RunComparison:
    """The comparison: changes first, the strongest first."""
    order = {change: place for place, change in enumerate((*CHANGES, NO_CHANGE))}
    return RunComparison(
        a=_side(a),
        b=_side(b),
        clusters_compared=same,
        shared=SharedRows(
            rows=len(set(a.store.row_ids) & set(b.store.row_ids)),
            prompts=len(set(a.store.prompt_ids) & set(b.store.prompt_ids)),
        ),
        q_threshold=a.settings.q_threshold,
        counts={change: sum(one.change == change for one in found) for change in order},
        not_compared=tuple(_not_compared(a, b, same)),
        differences=tuple(sorted(found, key=lambda one: (order[one.change], -abs(np.nan_to_num(one.z))))),
    )


def _side(compared: ComparedRun) -> RunSide:
    return RunSide(
        path=str(compared.run.path),
        name=compared.run.path.resolve().name,
        rows=compared.store.n_rows,
        prompts=len(set(compared.store.prompt_ids)),
        model=compared.run.model.name,
        sae=compared.run.sae.name,
        features=compared.run.require("harvest").fingerprint,
    )


def _not_compared(a: ComparedRun, b: ComparedRun, same: bool) -> list[str]:
    """What this comparison is silent about, or blurs."""
    notes = []
    if not same:
        notes.append(f"Clusters: {OTHER_MODEL}; only concepts and text rules are compared.")
        if set(a.concepts()) & set(b.concepts()):
            notes.append("Concepts are in each run's own standard deviations: their detectors are of different models.")
    else:
        notes.append("Groups of features are those of A; `anatomy compare B A` reads both sets through those of B.")
        read = [compared.run.manifest.inputs for compared in (a, b)]
        differ = [name for name in WINDOW if getattr(read[0], name) != getattr(read[1], name)]
        if differ:
            notes.append(
                f"The runs cut texts differently ({', '.join(differ)}): part of a difference may be the window."
            )
    for name in sorted(set(a.concepts()) ^ set(b.concepts())):
        notes.append(f"Concept {name}: scored in {'A' if name in a.concepts() else 'B'} only.")
    notes.append("Effects are over all rows; groups of rows and prompt contexts are not compared.")
    return notes


def _report_link(run_dir: Path, out: Path) -> str | None:
    """Return the path of A's report relative to the comparison; None if there is none."""
    report = run_dir / artifacts.REPORT / artifacts.REPORT_PAGE
    return Path(os.path.relpath(report, out)).as_posix() if report.is_file() else None
