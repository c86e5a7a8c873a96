"""Hypotheses → what a person reads: labels, summary, tokens, report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from anatomy import artifacts
from anatomy.concepts.scored_tokens import write_scored_tokens
from anatomy.concepts.scorer import Scorer
from anatomy.data.rows_table import StoredPair
from anatomy.naming.cluster_names import Rows, label_clusters, sampled_rows
from anatomy.naming.concept_labels import concept_label, highest
from anatomy.progress import progress_bar
from anatomy.report.markdown_summary import to_markdown
from anatomy.report.page import html, write_report
from anatomy.report.summary import RowsBehind, strongest_rows, summarise
from anatomy.report.summary_record import FindingRow, Summary
from anatomy.report.token_table import TOKEN_ROWS, rows_behind_report, write_tokens
from anatomy.runs.run import Run
from anatomy.sae.model_bundle import ModelBundle
from anatomy.settings import AuditSettings, HypothesisSettings
from anatomy.stages.run_expectation import calibration_of, expected_of_run
from anatomy.text.text_counts import TEXT_COUNTS
from anatomy.types import SIDES, SPANS, content_hash, file_hash

EXCERPT = 300


def labels_stage(run: Run, settings: AuditSettings, bundle: ModelBundle) -> None:
    """Clusters, features and texts → ``labels.json``."""

    def work() -> None:
        store, clusters, concepts = run.features, run.clusters, run.concepts
        places = {name: highest(run.scores(name)) for name in concepts}
        needed = set(sampled_rows(store.prompt_ids, clusters, settings.seed).tolist())
        rows = text_rows(run, bundle, needed | {row for found in places.values() for row, _, _ in found})
        with progress_bar("labels", "cluster"):
            labels = label_clusters(store.shards, rows, clusters, TEXT_COUNTS, settings.seed)
        for name, facts in concepts.items():
            labels["response"][name] = concept_label(
                f"concept ({facts.detector})", facts.model_dump(), places[name], rows
            )
        artifacts.write_json(run.file(artifacts.LABELS), labels)

    depends = {
        "clusters": [run.output_hash("cluster", name) for name in (artifacts.CLUSTERS, artifacts.DATA_CLUSTERS)],
        "features": run.require("harvest").fingerprint,
        "scores": run.require("scores").fingerprint,
        "seed": settings.seed,
    }
    run.stage("labels", depends, [artifacts.LABELS], work)


def text_rows(run: Run, bundle: ModelBundle, needed: set[int]) -> Rows:
    """Texts and tokens of the needed rows, encoded as they were for the model."""
    from anatomy.activations.spans import encode_row, span_text, span_tokens

    pieces: dict[tuple[int, str], list[str]] = {}
    texts: dict[tuple[int, str], str] = {}
    indices = []
    for position, stored in enumerate(run.rows()):
        indices.append(stored.pair.index)
        if position in needed:
            encoded = encode_row(stored.pair, bundle.tokenizer, bundle.settings)
            for span in SPANS:
                pieces[position, span] = span_tokens(encoded, span, bundle.tokenizer)
                texts[position, span] = span_text(encoded, span, bundle.tokenizer)
    return Rows(
        row_ids=run.features.row_ids,
        indices=indices,
        prompt_ids=run.features.prompt_ids,
        text_of=lambda row, span: texts[row, span],
        tokens_of=lambda row, span: pieces[row, span],
    )


def summary_stage(run: Run, settings: AuditSettings) -> None:
    """Everything → ``summary.json`` and ``summary.md``."""

    def work() -> None:
        labels = artifacts.read_json(run.file(artifacts.LABELS))
        health = artifacts.read_json(run.file(artifacts.HEALTH))

        def find_rows(view: str, context: str, response: str, direction: str) -> RowsBehind:
            count, strongest = strongest_rows(*run.signals.of(view, context, response), direction)
            return RowsBehind(count, strongest.tolist())

        def read_excerpts(wanted: set[int]) -> dict[int, FindingRow]:
            return {row: _excerpt(one) for row, one in enumerate(run.rows()) if row in wanted}

        expected = None
        calibration = calibration_of(settings, run.model.fingerprint, run.sae.fingerprint)
        if calibration is not None:
            expected = expected_of_run(run, settings, run.features, run.clusters, calibration)
        summary = summarise(run.findings, labels, health, settings, find_rows, read_excerpts, expected)
        summary.write(run.file(artifacts.SUMMARY))
        artifacts.write_text(run.file(artifacts.SUMMARY_TEXT), to_markdown(summary))

    depends = {
        "hypotheses": run.output_hash("hypotheses", artifacts.HYPOTHESES),
        "labels": run.output_hash("labels", artifacts.LABELS),
        "health": file_hash(run.file(artifacts.HEALTH)),
        "settings": settings.model_dump(mode="json", include=set(HypothesisSettings.model_fields)),
        "calibration": None if settings.calibration is None else artifacts.read_json(settings.calibration),
        "own": None if settings.base_rollouts is None else run.require("own").fingerprint,
    }
    run.stage("summary", depends, [artifacts.SUMMARY, artifacts.SUMMARY_TEXT], work)


def tokens_stage(run: Run, bundle: ModelBundle) -> None:
    """Rows behind the findings → ``tokens.parquet``: their tokens as the model read them, for the report."""

    def work() -> dict[str, Any]:
        found, labels = Summary.read(run.file(artifacts.SUMMARY)), artifacts.read_json(run.file(artifacts.LABELS))
        wanted = rows_behind_report(found.row_ids(), labels, run.features.row_ids, TOKEN_ROWS)
        rows = text_rows(run, bundle, set(wanted))
        tokens = {row: {span: rows.tokens_of(row, span) for span in SPANS} for row in wanted}
        write_tokens(run.file(artifacts.TOKENS), tokens, run.features.row_ids)
        return {"rows": len(wanted)}

    depends = {
        "summary": run.output_hash("summary", artifacts.SUMMARY),
        "labels": run.output_hash("labels", artifacts.LABELS),
        "features": run.require("harvest").fingerprint,
    }
    run.stage("tokens", depends, [artifacts.TOKENS], work)


def scored_tokens_stage(run: Run, bundle: ModelBundle, scorers: Sequence[Scorer]) -> None:
    """Rows of ``tokens.parquet`` → ``scored_tokens.parquet``: each detector's score of each token of a response."""

    def work() -> dict[str, Any]:
        if not scorers:
            return {}
        kept = set(artifacts.read_table(run.file(artifacts.TOKENS), ["row"])["row"].to_pylist())
        rows = enumerate(run.rows())
        pairs = {row: stored.pair for row, stored in rows if row in kept}
        path = run.file(artifacts.SCORED_TOKENS)
        with progress_bar("token scores", "row", len(pairs)) as bar:
            write_scored_tokens(
                path, pairs, scorers, bundle.tokenizer, lambda: bundle.subject, bundle.settings, bar.update
            )
        return {"rows": len(pairs)}

    depends = {
        "tokens": run.output_hash("tokens", artifacts.TOKENS),
        "scores": run.require("scores").fingerprint,
    }
    run.stage("scored_tokens", depends, [artifacts.SCORED_TOKENS] if scorers else [], work)


def report_stage(run: Run, settings: AuditSettings) -> None:
    """Everything → ``report/``. The null check, names and validations appear if they are there."""
    extra = [
        *map(run.file, (artifacts.NULL, artifacts.TOKENS, artifacts.SCORED_TOKENS, artifacts.NAMES)),
        *run.file(artifacts.VALIDATIONS).rglob("*.json"),
    ]

    def work() -> dict[str, Any]:
        return write_report(run.path, run.signals, run.clusters, run.features, settings.seed)

    depends = {
        "summary": run.output_hash("summary", artifacts.SUMMARY),
        "labels": run.output_hash("labels", artifacts.LABELS),
        "extra": {str(path.relative_to(run.path)): file_hash(path) for path in sorted(extra) if path.is_file()},
        "page": content_hash(html("", [])),
        "seed": settings.seed,
    }
    run.stage("report", depends, [f"{artifacts.REPORT}/{artifacts.REPORT_PAGE}"], work)


def _excerpt(stored: StoredPair) -> FindingRow:
    chosen, rejected = (str(stored.pair.side(side)[-1]["content"])[:EXCERPT] for side in SIDES)
    return FindingRow(row_id=stored.row_id, index=stored.pair.index, chosen=chosen, rejected=rejected)
