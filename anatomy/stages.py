"""The stages of an audit: what each one reads, writes and depends on."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa
from tqdm import tqdm

from anatomy import artifacts
from anatomy.clusters.build import cluster_features, cluster_rows
from anatomy.concepts.labels import concept_label, highest
from anatomy.concepts.scorer import Scorer
from anatomy.concepts.scores import read_scores, score_pairs
from anatomy.data.ingest import ingest
from anatomy.data.rows_table import StoredPair, read_rows
from anatomy.data.sources import source_fingerprint
from anatomy.errors import RunError, SAEError
from anatomy.expected import expected_of_run
from anatomy.features.store import FeatureStore
from anatomy.hypotheses.baselines import trivial_baselines
from anatomy.hypotheses.build import Signals, read_signals
from anatomy.hypotheses.heuristics import TEXT_COUNTS
from anatomy.hypotheses.labels import Clusters, Rows, label_clusters, sampled_rows
from anatomy.hypotheses.signals import response_signals
from anatomy.hypotheses.views import Responses
from anatomy.lens import Lens
from anatomy.report.markdown import to_markdown
from anatomy.report.page import html, write_report
from anatomy.report.summary import Evidence, strongest_rows, summarise
from anatomy.report.tokens import TOKEN_ROWS, evidence_rows, write_tokens
from anatomy.run import Run
from anatomy.settings import AuditSettings, ClusterSettings, HypothesisSettings, RowSettings
from anatomy.types import SIDES, SPANS

EXCERPT = 300


def rows_stage(run: Run, settings: AuditSettings, lens: Lens) -> None:
    """Source → ``rows.parquet`` and data health."""

    def work() -> dict[str, Any]:
        with progress_bar("rows", "row") as bar:
            health = ingest(settings, run.path, lens.judge, bar.update)
        return {"health": {**health, **lens.judge.to_dict()}}

    names = RowSettings.model_fields.keys() - {"rows"}
    depends = {
        "source": source_fingerprint(settings),
        "settings": settings.model_dump(mode="json", include=set(names)),
        "tokens": lens.token_settings(),
    }
    run.stage("rows", depends, [artifacts.ROWS], work)
    run.save(inputs={**run.manifest.get("inputs", {}), "rows": depends["source"], **lens.token_settings()})
    write_health(run)


def harvest_stage(run: Run, settings: AuditSettings, lens: Lens) -> None:
    """``rows.parquet`` → ``features/``, and the SAE's health on these rows.

    Raises:
        SAEError: the SAE is unhealthy on these rows and ``force`` is off; told after the first shard.
    """
    from anatomy.features.harvest import harvest
    from anatomy.sae.health import HealthSums, SAEHealth

    depends = {
        "rows": run.output_hash("rows", artifacts.ROWS),
        "tokens": lens.token_settings(),
        "model": lens.subject.fingerprint,
        "sae": lens.sae.fingerprint,
        "layer": lens.sae.layer,
        "batch_tokens": settings.batch_tokens,
    }

    def measured(sums: HealthSums) -> dict[str, Any]:
        health = SAEHealth.from_sums(sums, lens.sae.claimed)
        faults = health.faults()
        if faults and not settings.force:
            raise SAEError(
                f"{lens.sae.name} is unhealthy on these rows: {'; '.join(faults)}; check model, layer and scale "
                "(`anatomy sae health`), or go on with --force"
            )
        return {**asdict(health), "faults": faults}

    def work() -> dict[str, Any]:
        health = run.require("rows")["facts"]["health"]
        retained, means = health["retained"], {span: told["mean"] for span, told in health["lengths"].items()}
        tokens = retained * sum(min(settings.max_length, means["prompt"] + means[side]) for side in SIDES)
        print(f"harvest: {retained:,} rows, at most {tokens:,.0f} tokens through the model", file=sys.stderr)
        pairs = (stored.pair for stored in read_rows(run.file(artifacts.ROWS)))
        fingerprint = artifacts.text_hash(str(depends))
        with progress_bar("harvest", "row", retained) as bar:
            sums = harvest(
                pairs,
                lens.tokenizer,
                lens.subject,
                lens.sae,
                run.file(artifacts.FEATURES),
                fingerprint,
                settings,
                progress=bar.update,
                check=measured,
            )
        return {"sae": measured(sums), "features": lens.sae.n_features}

    run.stage("harvest", depends, [artifacts.FEATURES], work)
    identity = {
        "model": {"name": lens.subject.name, "origin": lens.subject.origin, "fingerprint": lens.subject.fingerprint},
        "sae": {"name": lens.sae.name, "fingerprint": lens.sae.fingerprint, "layer": lens.sae.layer},
    }
    run.save(inputs={**run.manifest.get("inputs", {}), **identity})
    write_health(run)


def scores_stage(run: Run, settings: AuditSettings, lens: Lens, scorers: Sequence[Scorer]) -> None:
    """``rows.parquet`` → ``scores/<concept>/``: chosen and rejected responses scored by every detector asked for."""
    made_of = {"tokens": lens.token_settings(), "batch_tokens": settings.batch_tokens}
    if any(scorer.layer is not None for scorer in scorers):
        made_of["model"] = lens.subject.fingerprint

    def work() -> dict[str, Any]:
        pairs = (stored.pair for stored in read_rows(run.file(artifacts.ROWS)))
        if scorers:
            with progress_bar("scores", "row", run.require("rows")["facts"]["health"]["retained"]) as bar:
                mark = artifacts.text_hash(str(made_of))
                score_pairs(
                    pairs,
                    scorers,
                    lens.tokenizer,
                    lambda: lens.subject,
                    run.file(artifacts.SCORES),
                    mark,
                    settings,
                    bar.update,
                )
        return {"concepts": {scorer.concept: _of_scorer(scorer) for scorer in scorers}}

    depends = {
        "rows": run.output_hash("rows", artifacts.ROWS),
        "scorers": {scorer.concept: scorer.fingerprint for scorer in scorers},
        **(made_of if scorers else {}),
    }
    run.stage("scores", depends, [f"{artifacts.SCORES}/{scorer.concept}" for scorer in scorers], work)


def _of_scorer(scorer: Scorer) -> dict[str, Any]:
    return {"detector": scorer.kind, "layer": scorer.layer, "pooling": scorer.pooling, "threshold": scorer.threshold}


def concept_responses(run: Run, store: FeatureStore) -> Responses:
    """Standardised chosen-minus-rejected scores of the run's concepts, one column each (none: no columns)."""
    names = list(run.require("scores")["facts"]["concepts"])
    columns = []
    for name in names:
        scores = read_scores(run.file(artifacts.SCORES) / name)
        if scores.row_ids != list(store.row_ids):
            raise RunError(f"{run.path}: scores of `{name}` and features are of different rows; run the audit again")
        columns.append(scores.standardised_difference())
    return Responses(np.stack(columns, axis=1) if columns else np.zeros((store.n_rows, 0)), names)


def analysis_stages(run: Run, settings: AuditSettings, lens: Lens, until: str = "summary") -> None:
    """Features → clusters → hypotheses → labels → summary → tokens → report."""
    store = FeatureStore(run.file(artifacts.FEATURES))
    cluster_stage(run, settings, store)
    if until == "cluster":
        return
    signals = hypotheses_stage(run, settings, store)
    labels_stage(run, settings, store, lens)
    summary_stage(run, settings, store, signals)
    tokens_stage(run, store, lens)
    report_stage(run, settings, store, lambda: signals)


def cluster_stage(run: Run, settings: AuditSettings, store: FeatureStore) -> None:
    """``features/`` → ``clusters.parquet`` (feature → cluster) and ``data_clusters.parquet`` (row → cluster)."""

    def work() -> dict[str, Any]:
        statistic = settings.prompt_statistic
        found = cluster_features(store.shards, store.n_rows, settings, statistic, settings.seed)
        kinds = {"R": found.response_F, "P": found.prompt_F, "S": found.shift_F}
        if not found.response_F.any():
            raise RunError(
                f"{run.path}: no group of features fires together on these {store.n_rows} rows, so there is nothing to "
                "test; give more rows, or lower --min-community"
            )
        columns = [(prefix, feature, label) for prefix, labels in kinds.items()
                   for feature, label in enumerate(labels) if label]  # fmt: skip
        names = {"R": "response", "P": "prompt", "S": "shift"}
        table = {
            "feature": [feature for _, feature, _ in columns],
            "kind": [names[prefix] for prefix, _, _ in columns],
            "cluster": [f"{prefix}{label}" for prefix, _, label in columns],
        }
        rows = cluster_rows(
            response_signals(store.shards(), found.response_F, settings.tau).activity_NM, settings, settings.seed
        )
        artifacts.write_table(run.file(artifacts.CLUSTERS), pa.table(table))
        data = {"row_id": store.row_ids, "cluster": [f"D{label}" for label in rows.label_N], "cosine": rows.cosine_N}
        artifacts.write_table(run.file(artifacts.DATA_CLUSTERS), pa.table(data))
        counts = {f"{names[prefix]}_clusters": int(labels.max(initial=0)) for prefix, labels in kinds.items()}
        counts |= {"data_clusters": int(rows.label_N.max(initial=0)), "silent_rows": int((rows.label_N == 0).sum())}
        return {**found.resolved, **counts}

    depends = {
        "features": run.require("harvest")["fingerprint"],
        "settings": settings.model_dump(
            mode="json", include=set(ClusterSettings.model_fields) | {"prompt_statistic", "seed"}
        ),
    }
    run.stage("cluster", depends, [artifacts.CLUSTERS, artifacts.DATA_CLUSTERS], work)


def read_clusters(run: Run, store: FeatureStore) -> Clusters:
    """The clusterings of a run as arrays of numbers."""
    table = artifacts.read_table(run.file(artifacts.CLUSTERS)).to_pydict()
    labels = {kind: np.zeros(store.n_features, np.int64) for kind in ("response", "prompt", "shift")}
    for feature, kind, cluster in zip(table["feature"], table["kind"], table["cluster"], strict=True):
        labels[kind][feature] = int(cluster[1:])
    data = artifacts.read_table(run.file(artifacts.DATA_CLUSTERS)).to_pydict()
    if data["row_id"] != list(store.row_ids):
        raise RunError(f"{run.path}: data clusters and features are of different rows; run `anatomy cluster` again")
    return Clusters(
        response_F=labels["response"],
        shift_F=labels["shift"],
        prompt_F=labels["prompt"],
        data_N=np.array([int(cluster[1:]) for cluster in data["cluster"]], np.int64),
        cosine_N=np.array(data["cosine"], np.float32),
    )


def run_signals(run: Run, settings: AuditSettings, store: FeatureStore) -> Signals:
    """Signals of every row: clusters', and those of the concepts that were scored."""
    return read_signals(store, read_clusters(run, store), settings, concept_responses(run, store))


def hypotheses_stage(run: Run, settings: AuditSettings, store: FeatureStore) -> Signals:
    """Clusters → ``hypotheses.parquet`` and the trivial baselines; returns the signals of every row."""
    signals = run_signals(run, settings, store)

    def work() -> dict[str, Any]:
        found = signals.tested()
        artifacts.write_table(run.file(artifacts.HYPOTHESES), pa.table(found.columns()))
        baselines = trivial_baselines(_response_texts(run), signals.prompts)
        return {
            "baselines": {item.rule: item._asdict() for item in baselines},
            "tested": {view: int((found.view == view).sum()) for view in ("global", "feature", "prompt")},
            "top_rows": signals.top_rows,
        }

    depends = {
        "clusters": [run.output_hash("cluster", name) for name in (artifacts.CLUSTERS, artifacts.DATA_CLUSTERS)],
        "features": run.require("harvest")["fingerprint"],
        "scores": run.require("scores")["fingerprint"],
        "settings": settings.model_dump(mode="json", include=set(HypothesisSettings.model_fields) | {"seed"}),
    }
    run.stage("hypotheses", depends, [artifacts.HYPOTHESES], work)
    write_health(run)
    return signals


def labels_stage(run: Run, settings: AuditSettings, store: FeatureStore, lens: Lens) -> None:
    """Clusters, features and texts → ``labels.json``."""

    def work() -> None:
        clusters = read_clusters(run, store)
        concepts = run.require("scores")["facts"]["concepts"]
        places = {name: highest(read_scores(run.file(artifacts.SCORES) / name)) for name in concepts}
        needed = set(sampled_rows(store.prompt_ids, clusters, settings.seed).tolist())
        rows = _text_rows(run, store, lens, needed | {row for found in places.values() for row, _, _ in found})
        with progress_bar("labels", "cluster"):
            labels = label_clusters(store.shards, rows, clusters, TEXT_COUNTS, settings.seed)
        for name, facts in concepts.items():
            labels["response"][name] = concept_label(f"concept ({facts['detector']})", facts, places[name], rows)
        artifacts.write_json(run.file(artifacts.LABELS), labels)

    depends = {
        "clusters": [run.output_hash("cluster", name) for name in (artifacts.CLUSTERS, artifacts.DATA_CLUSTERS)],
        "features": run.require("harvest")["fingerprint"],
        "scores": run.require("scores")["fingerprint"],
        "seed": settings.seed,
    }
    run.stage("labels", depends, [artifacts.LABELS], work)


def _text_rows(run: Run, store: FeatureStore, lens: Lens, needed: set[int]) -> Rows:
    """Texts and tokens of the needed rows, encoded as they were for the model."""
    from anatomy.activations.spans import encode_pair, span_text, span_tokens

    pieces: dict[tuple[int, str], list[str]] = {}
    texts: dict[tuple[int, str], str] = {}
    indices = []
    for position, stored in enumerate(read_rows(run.file(artifacts.ROWS))):
        indices.append(stored.pair.index)
        if position in needed:
            encoded = encode_pair(stored.pair, lens.tokenizer, lens.settings)
            for span in SPANS:
                pieces[position, span] = span_tokens(encoded, span, lens.tokenizer)
                texts[position, span] = span_text(encoded, span, lens.tokenizer)
    return Rows(
        row_ids=store.row_ids,
        indices=indices,
        prompt_ids=store.prompt_ids,
        text_of=lambda row, span: texts[row, span],
        tokens_of=lambda row, span: pieces[row, span],
    )


def summary_stage(run: Run, settings: AuditSettings, store: FeatureStore, signals: Signals) -> None:
    """Everything → ``summary.json`` and ``summary.md``."""

    def work() -> None:
        labels = artifacts.read_json(run.file(artifacts.LABELS))
        health = artifacts.read_json(run.file(artifacts.HEALTH))
        wanted: dict[int, dict[str, Any]] = {}

        def rows_behind(view: str, context: str, response: str, direction: str) -> Evidence:
            count, strongest = strongest_rows(*signals.of(view, context, response), direction)
            return Evidence(count, [wanted.setdefault(int(row), {}) for row in strongest])

        table = artifacts.read_table(run.file(artifacts.HYPOTHESES))
        expected = {}
        if settings.calibration is not None:
            expected = expected_of_run(run, settings, store, read_clusters(run, store), settings.calibration)
        summary = summarise(table, labels, health, settings, rows_behind, expected)
        for position, stored in enumerate(read_rows(run.file(artifacts.ROWS))):
            if position in wanted:
                wanted[position].update(_evidence(stored))
        artifacts.write_json(run.file(artifacts.SUMMARY), summary)
        artifacts.write_text(run.file(artifacts.SUMMARY_TEXT), to_markdown(summary))

    depends = {
        "hypotheses": run.output_hash("hypotheses", artifacts.HYPOTHESES),
        "labels": run.output_hash("labels", artifacts.LABELS),
        "health": artifacts.file_hash(run.file(artifacts.HEALTH)),
        "settings": settings.model_dump(mode="json", include=set(HypothesisSettings.model_fields)),
        "calibration": None if settings.calibration is None else artifacts.read_json(settings.calibration),
    }
    run.stage("summary", depends, [artifacts.SUMMARY, artifacts.SUMMARY_TEXT], work)


def tokens_stage(run: Run, store: FeatureStore, lens: Lens) -> None:
    """Rows behind the findings → ``tokens.parquet``: their tokens as the model read them, for the report."""

    def work() -> dict[str, Any]:
        summary, labels = (artifacts.read_json(run.file(name)) for name in (artifacts.SUMMARY, artifacts.LABELS))
        wanted = evidence_rows(summary, labels, store.row_ids, TOKEN_ROWS)
        rows = _text_rows(run, store, lens, set(wanted))
        tokens = {row: {span: rows.tokens_of(row, span) for span in SPANS} for row in wanted}
        write_tokens(run.file(artifacts.TOKENS), tokens, store.row_ids)
        return {"rows": len(wanted)}

    depends = {
        "summary": run.output_hash("summary", artifacts.SUMMARY),
        "labels": run.output_hash("labels", artifacts.LABELS),
        "features": run.require("harvest")["fingerprint"],
    }
    run.stage("tokens", depends, [artifacts.TOKENS], work)


def report_stage(run: Run, settings: AuditSettings, store: FeatureStore, signals: Callable[[], Signals]) -> None:
    """Everything → ``report/``. The null check and a validation are told of where they are there."""
    extra = [run.file(artifacts.NULL), run.file(artifacts.TOKENS), *run.file(artifacts.VALIDATIONS).rglob("*.json")]

    def work() -> dict[str, Any]:
        return write_report(run.path, signals(), read_clusters(run, store), store, settings.seed)

    depends = {
        "summary": run.output_hash("summary", artifacts.SUMMARY),
        "labels": run.output_hash("labels", artifacts.LABELS),
        "extra": {
            str(path.relative_to(run.path)): artifacts.file_hash(path) for path in sorted(extra) if path.is_file()
        },
        "page": artifacts.text_hash(html("", [])),
        "seed": settings.seed,
    }
    run.stage("report", depends, [f"{artifacts.REPORT}/{artifacts.REPORT_PAGE}"], work)


def _evidence(stored: StoredPair) -> dict[str, Any]:
    sides = {side: str(stored.pair.side(side)[-1]["content"])[:EXCERPT] for side in ("chosen", "rejected")}
    return {"row_id": stored.row_id, "index": stored.pair.index, **sides}


def _response_texts(run: Run) -> Iterator[tuple[str, str]]:
    for stored in read_rows(run.file(artifacts.ROWS)):
        yield str(stored.pair.chosen[-1]["content"]), str(stored.pair.rejected[-1]["content"])


def write_health(run: Run) -> None:
    """``health.json`` from the facts of the stages that are complete: rows, SAE, baselines."""
    facts = {name: record.get("facts", {}) for name, record in run.manifest["stages"].items()}
    health = dict(facts.get("rows", {}).get("health", {}))
    health |= {"sae": facts["harvest"]["sae"]} if "sae" in facts.get("harvest", {}) else {}
    health |= {"baselines": facts["hypotheses"]["baselines"]} if "baselines" in facts.get("hypotheses", {}) else {}
    artifacts.write_json(run.file(artifacts.HEALTH), health)


def progress_bar(what: str, unit: str, total: int | None = None) -> Any:
    """A bar on standard error; silent where that is not a terminal."""
    return tqdm(total=total, desc=what, unit=f" {unit}s", file=sys.stderr, disable=None, leave=False)
