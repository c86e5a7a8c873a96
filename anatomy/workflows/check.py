"""``anatomy check``: data health alone, without model weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from anatomy import artifacts
from anatomy.data.health import Health
from anatomy.data.ingest import measure
from anatomy.errors import ModelError
from anatomy.progress import progress_bar
from anatomy.report.health_text import format_health
from anatomy.runs.out_folder import claimed, refuse_foreign
from anatomy.sae.model_bundle import ModelBundle
from anatomy.settings import CheckSettings, load_settings
from anatomy.workflows.outcome import Where


class CheckedRows(NamedTuple):
    """Data health, as in ``health.json``, and a note on what could not be measured."""

    health: Health
    note: str

    def __str__(self) -> str:
        return format_health(self.health) + self.note


def check(rows: str, *, out: Where | None = None, settings: Where | None = None, **flags: Any) -> CheckedRows:
    """Return the health of a set; lengths are in characters where no tokenizer is found.

    Args:
        rows: Hub id, file, folder or glob; ``demo`` for the embedded set.
        out: folder in which to write ``health.json`` as well.
        settings: YAML file with settings; ``flags`` win over it.
        **flags: settings of :class:`anatomy.settings.CheckSettings`.

    Raises:
        AnatomyError: settings or rows cannot be used, or a model or chat template was named that cannot.
    """
    asked = load_settings(CheckSettings, {"rows": rows, **flags}, settings)
    if out is not None:
        refuse_foreign(Path(out))
    tokens, note = None, ""
    try:
        tokens = ModelBundle(asked).sampled_token_check(asked.seed)
    except ModelError as error:
        if asked.model is not None or asked.chat_template is not None:
            raise
        note = f"\nNo tokenizer: lengths are in characters and truncation is not checked ({error})."
    with progress_bar("rows", "row") as bar:
        found = measure(asked, tokens, bar.update)
    health = Health.of(found if tokens is None else tokens.add_to(found))
    if out is not None:
        with claimed(Path(out)):
            health.write(Path(out) / artifacts.HEALTH)
    return CheckedRows(health, note)
