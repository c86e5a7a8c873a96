"""``anatomy probe score``: scores of chosen and rejected responses, or of a table of prompts and completions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from anatomy import artifacts
from anatomy.data.sources import find_sources
from anatomy.progress import progress_bar
from anatomy.runs.out_folder import refuse_existing
from anatomy.runs.run import Run
from anatomy.sae.model_bundle import ModelBundle
from anatomy.settings import AuditSettings, load_settings
from anatomy.stages.audit_stages import perform
from anatomy.stages.rows_stage import ROWS_STAGE
from anatomy.stages.scores_stage import SCORES_STAGE
from anatomy.stages.stage import Audit
from anatomy.workflows.outcome import Outcome, Where
from probes.probe_settings import ProbeScoreSettings
from probes.resolve import only, resolve
from probes.score_table import score_table


def probe_score(rows: str, *, out: Where, settings: Where | None = None, **flags: Any) -> Outcome:
    """Score rows: a preference set into a run directory, a plain table (``prompt``, ``completion``) into a file.

    Args:
        rows: Hub id, file, folder or glob; ``demo`` for the embedded set.
        out: run directory, or a file (.csv, .jsonl, .parquet) that is not there yet.
        settings: YAML file with settings; ``flags`` win over it.
        **flags: settings of :class:`probes.probe_settings.ProbeScoreSettings`.

    Raises:
        ProbeError: an unknown concept, a detector of another model, or a table that cannot be scored.
        RunError: the file, or something in the folder, is there already.
        AnatomyError: settings, rows or model cannot be used.
    """
    asked = load_settings(ProbeScoreSettings, {"rows": rows, **flags}, settings)
    bundle = ModelBundle(asked)
    scorers = resolve(asked.concept, bundle, asked.concepts_file)
    sources = find_sources(asked)
    first = next((record for source in sources for record in source.records()), None)
    if first is not None and "completion" in first.values and "chosen" not in first.values:
        refuse_existing(Path(out))
        records = (record for source in sources for record in source.records())
        with progress_bar("score", "row") as bar:
            count = score_table(records, only(scorers), bundle, Path(out), bar.update)
        return Outcome(Path(out), f"{count:,} rows with `score` and `flag`: {out}")
    full = AuditSettings.model_validate(asked.model_dump(exclude={"concept", "concepts_file"}))
    with Run.open(Path(out)) as run:
        run.save(settings=full)
        perform(Audit(run, full, bundle, scorers), ROWS_STAGE, SCORES_STAGE)
    names = ", ".join(f"{artifacts.SCORES}/{scorer.concept}" for scorer in scorers)
    return Outcome(Path(out), f"scores of chosen and rejected by row_id: {out}/{{{names}}}")
