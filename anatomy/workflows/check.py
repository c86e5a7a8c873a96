"""``anatomy check``: data health alone, without model weights; and the rows that can be used, written again."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from anatomy import artifacts
from anatomy.data.health import Health, RowHealth
from anatomy.data.ingest import IGNORED, Drain, measure
from anatomy.data.left_out import LeftOutRows, noting
from anatomy.data.pair_table import write_pairs
from anatomy.data.rows_table import read_rows, write_rows
from anatomy.data.sources import find_sources, source_fingerprint
from anatomy.errors import ModelError
from anatomy.progress import progress_bar
from anatomy.report.clean_card import clean_card
from anatomy.report.health_text import format_health
from anatomy.runs.out_folder import claimed, refuse_foreign
from anatomy.sae.model_bundle import ModelBundle
from anatomy.settings import CheckSettings, expanded, load_settings
from anatomy.types import Pair
from anatomy.workflows.outcome import Where

if TYPE_CHECKING:
    from anatomy.activations.token_check import TokenCheck


class CheckedRows(NamedTuple):
    """Data health, as in ``health.json``, and a note on what could not be measured or what was written."""

    health: Health
    note: str

    def __str__(self) -> str:
        return format_health(self.health) + self.note


def check(
    rows: str, *, out: Where | None = None, write: Where | None = None, settings: Where | None = None, **flags: Any
) -> CheckedRows:
    """Return the health of a set; lengths are in characters where no tokenizer is found.

    Args:
        rows: Hub id, file, folder or glob; ``demo`` for the embedded set.
        out: folder in which to write ``health.json`` as well.
        write: folder in which to write the pairs that are retained, as a data set, and the rows that are left out.
        settings: YAML file with settings; ``flags`` win over it.
        **flags: settings of :class:`anatomy.settings.CheckSettings`.

    Raises:
        AnatomyError: settings or rows cannot be used, or a model or chat template was named that cannot.
    """
    asked = load_settings(CheckSettings, {"rows": rows, **flags}, settings)
    for folder in (out, write):
        if folder is not None:
            refuse_foreign(Path(folder))
    tokens, note = _token_check(asked)
    if write is None:
        found = _measured(asked, tokens)
    else:
        with claimed(Path(write)):
            found, written = _written(asked, tokens, Path(write))
            note += written
    health = Health.of(found)
    if out is not None:
        with claimed(Path(out)):
            health.write(Path(out) / artifacts.HEALTH)
    return CheckedRows(health, note)


def _token_check(asked: CheckSettings) -> tuple[TokenCheck | None, str]:
    try:
        return ModelBundle(asked).sampled_token_check(asked.seed), ""
    except ModelError as error:
        if asked.model is not None or asked.chat_template is not None:
            raise
        return None, f"\nNo tokenizer: lengths are in characters and truncation is not checked ({error})."


def _measured(asked: CheckSettings, tokens: TokenCheck | None, drain: Drain = IGNORED) -> RowHealth:
    with progress_bar("rows", "row") as bar:
        found = measure(asked, tokens, bar.update, drain)
    return found if tokens is None else tokens.add_to(found)


def _written(asked: CheckSettings, tokens: TokenCheck | None, folder: Path) -> tuple[RowHealth, str]:
    """Write the clean set; its card is written last, and says that the rest is whole."""
    card, work = folder / artifacts.CARD, folder / artifacts.WORK
    card.unlink(missing_ok=True)
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, work, ignore_errors=True)
        work.mkdir(exist_ok=True)
        left_out = LeftOutRows(work / "left_out.sqlite")
        rows = work / artifacts.ROWS
        found = _measured(asked, tokens, lambda items: write_rows(rows, noting(left_out, items)))
        native = write_pairs(folder / artifacts.CLEANED, partial(_retained, rows), with_sources=True)
        gone = left_out.write(folder / artifacts.LEFT_OUT, find_sources(asked))
    if found.reading is not None:
        artifacts.write_text(folder / artifacts.COLUMN_MAP, yaml.safe_dump(found.reading.map, allow_unicode=True))
    place = expanded(asked.rows)
    name = place.name if place.exists() else asked.rows  # a card is published: no folders of the user's machine
    source = {Path(key).name if place.exists() else key: mark for key, mark in source_fingerprint(asked).items()}
    artifacts.write_text(card, clean_card(name, source, found, gone, native))
    return found, f"\n{found.retained:,} pairs written, {gone:,} rows of the source left out: {folder}"


def _retained(rows: Path) -> Iterator[Pair]:
    return (stored.pair for stored in read_rows(rows))
