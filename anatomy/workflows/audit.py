"""``anatomy audit``: rows → spans → features → clusters → hypotheses → summary → report, in one run directory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from anatomy.data.sources import find_sources
from anatomy.runs.run import Run
from anatomy.sae.model_bundle import ModelBundle
from anatomy.settings import AuditSettings, RowSettings, load_settings
from anatomy.stages.audit_stages import STAGES, perform
from anatomy.stages.own_stage import read_own
from anatomy.stages.rows_stage import ROWS_STAGE
from anatomy.stages.run_expectation import calibration_of
from anatomy.stages.stage import Audit
from anatomy.workflows.open_run import AuditedRun
from anatomy.workflows.outcome import Where
from probes.resolve import resolve


def audit(rows: str, *, out: Where | None = None, settings: Where | None = None, **flags: Any) -> AuditedRun:
    """Return the audited run of a preference set; stages that are complete and unchanged are not done again.

    Args:
        rows: Hub id, file, folder or glob; ``demo`` for the embedded set.
        out: run directory; default: ``runs/<name of the rows>``.
        settings: YAML file with settings; ``flags`` win over it.
        **flags: settings of :class:`anatomy.settings.AuditSettings`, named as the flags of the command line are
            (``max_length=512`` for ``--max-length 512``).

    Raises:
        SettingsError: a setting is wrong or unknown; all faults in one line.
        AnatomyError: rows, model, SAE, detectors or directory cannot be used.
    """
    asked = load_settings(AuditSettings, {"rows": rows, **flags}, settings)
    folder = default_run_dir(asked) if out is None else Path(out)
    find_sources(asked)  # rows that are not there: nothing is written
    with Run.open(folder) as run:
        run.save(settings=asked)
        bundle = ModelBundle(asked)
        perform(Audit(run, asked, bundle), ROWS_STAGE)
        detectors = resolve(asked.concepts, bundle, asked.concepts_file)  # a wrong name stops here, before any cost
        own = read_own(asked, bundle)
        calibration_of(asked, bundle.subject.fingerprint, bundle.sae.fingerprint)
        perform(Audit(run, asked, bundle, detectors, own), *(stage for stage in STAGES if stage is not ROWS_STAGE))
    return AuditedRun(folder)


def default_run_dir(settings: RowSettings) -> Path:
    """``runs/<name of the rows>``."""
    name = Path(settings.rows.rstrip("/")).name.split(".")[0]
    return Path("runs") / ("".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in name) or "rows")
