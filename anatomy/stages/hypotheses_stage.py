"""Hypotheses: every response is tested in every context, and trivial rules are measured."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from anatomy import artifacts
from anatomy.data.health_parts import MeasuredModel, MeasuredRule
from anatomy.hypotheses.baselines import trivial_baselines
from anatomy.hypotheses.explained import explained
from anatomy.runs.run import Run
from anatomy.runs.stage_facts import HypothesesFacts
from anatomy.settings import EffectSettings
from anatomy.stages.health_record import write_health
from anatomy.stages.stage import Audit, Stage


def _work(audit: Audit) -> HypothesesFacts:
    run, signals = audit.run, audit.run.signals
    found = signals.tested()
    columns = {**found.columns(), "concept": pa.array(found.concept, pa.string())}
    artifacts.write_table(run.file(artifacts.HYPOTHESES), pa.table(columns))
    artifacts.write_table(run.file(artifacts.CONTEXTS), signals.context_table())
    baselines = trivial_baselines(_response_texts(run), signals.prompts)
    predicted = explained(signals, run.features.shards, audit.settings.tau, audit.settings.seed)
    return HypothesesFacts(
        explained={name: MeasuredModel(**one._asdict()) for name, one in predicted.items()},
        baselines={item.rule: MeasuredRule(**item._asdict()) for item in baselines},
        tested={view: int((found.view == view).sum()) for view in ("global", "feature", "prompt")},
        top_rows=signals.top_rows,
    )


def _response_texts(run: Run) -> Iterator[tuple[str, str]]:
    for stored in run.rows():
        yield str(stored.pair.chosen[-1]["content"]), str(stored.pair.rejected[-1]["content"])


HYPOTHESES_STAGE = Stage(
    name="hypotheses",
    work=_work,
    outputs=(artifacts.HYPOTHESES, artifacts.CONTEXTS),
    inputs=(artifacts.ROWS, artifacts.FEATURES, artifacts.SCORES, artifacts.CLUSTERS, artifacts.DATA_CLUSTERS),
    settings=frozenset(EffectSettings.model_fields) | {"seed", "group_by"},
    after=lambda audit: write_health(audit.run),
)
