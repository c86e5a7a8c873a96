"""From rows and a plan to the token table that a trainer reads, on disk, so that several processes share it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from anatomy import artifacts
from anatomy.activations.model import choose_device, choose_dtype, locate_model, weights_fingerprint
from anatomy.data.rows_table import StoredPair, read_rows
from anatomy.data.sources import source_fingerprint
from anatomy.errors import RunError
from anatomy.progress import progress_bar
from anatomy.runs.run import Run
from anatomy.sae.model_bundle import ModelBundle
from anatomy.settings import AuditSettings, HarvestSettings, ModelSettings, RowSettings
from anatomy.stages import rows_stage
from anatomy.types import SIDES, content_hash
from interventions.backends.pair_edits import PairEdit, SteeringVector
from interventions.backends.planned_rows import Resolve, plan_rows
from interventions.plan.plan import Plan, load_plan
from interventions.plan.plan_settings import PlanSettings, plan_settings
from interventions.training.collator import TOUCHED, touched
from interventions.training.token_rows import gap_tiers, tokenise_pair, write_tokens
from interventions.training.train_settings import SFTSettings, TrainSettings, learnt_by

ASKED = "asked.json"
TOKENS = "tokens.arrow"
PREPARED = "prepared.json"


@dataclass(frozen=True)
class Prepared:
    """What stands in a training directory before training.

    Attributes:
        made_of: hashes of rows, plan, model, template and settings; a run is resumed only where all are the same.
        concepts: names of the token table's ``tiers``.
        counts: rows ``retained``, ``dropped`` by the plan, ``swapped``, without room in the ``window``, ``trained``,
            those ``shaped``, ``inoculated``, ``masked`` and ``steered``; ``tokens`` of both sides in one pass.
    """

    made_of: Mapping[str, str]
    concepts: Sequence[str]
    counts: Mapping[str, int]


def read_prepared(out: Path) -> Prepared:
    """What ``prepare`` left in ``out``."""
    return Prepared(**artifacts.read_json(out / PREPARED))


class Task(NamedTuple):
    """Retained rows, what is done to each (by row id; nothing where it is empty), and the plan's steering vectors."""

    pairs: list[StoredPair]
    edits: Mapping[str, PairEdit]
    vectors: Sequence[SteeringVector]


def read_task(settings: SFTSettings, out: Path, bundle: ModelBundle, resolve: Resolve | None) -> Task:
    """Ingest the rows into ``out/rows.parquet``; with a plan, score them and say what is done to each (``plan_rows``).

    ``resolve`` turns names of concepts into detectors; it is needed where the plan names any.
    """
    plan, read = _plan_and_rows(settings)
    if plan is not None:
        assert resolve is not None
        assert isinstance(read, PlanSettings)
        planned = plan_rows(plan, read, out, resolve)
        by_row = {row.row_id: row for row in planned.edits}
        return Task(list(read_rows(out / artifacts.ROWS)), by_row, planned.vectors)
    full = AuditSettings.model_validate(read.model_dump())
    with Run.open(out) as run:
        run.save(settings=full)
        rows_stage(run, full, bundle)
    return Task(list(read_rows(out / artifacts.ROWS)), {}, ())


def _plan_and_rows(settings: SFTSettings) -> tuple[Plan | None, RowSettings]:
    """The plan, if there is one, and the settings with which rows are read."""
    if isinstance(settings, TrainSettings) and settings.plan is not None:
        plan = load_plan(settings.plan)
        given = {name: getattr(settings, name) for name in settings.model_fields_set & PlanSettings.model_fields.keys()}
        return plan, plan_settings(plan, given)
    names = RowSettings.model_fields.keys() | ModelSettings.model_fields.keys()
    return None, HarvestSettings.model_validate(settings.model_dump(include=set(names)))


def asked_for(settings: SFTSettings, bundle: ModelBundle) -> dict[str, str]:
    """Hashes of all that was asked for, by the words of :func:`made_of`: known before anything is written."""
    plan, read = _plan_and_rows(settings)
    how = read.model_dump(mode="json", include=set(RowSettings.model_fields) - {"rows"})
    return {
        "rows": content_hash([sorted(source_fingerprint(read).values()), how]),
        "plan": content_hash(None if plan is None else plan.model_dump(mode="json")),
        **_model_and_settings(settings, bundle),
    }


def made_of(settings: SFTSettings, bundle: ModelBundle, task: Task) -> dict[str, str]:
    """Hashes of all that the final weights depend on, by the word that an error names them with."""
    steered = [[vector.layer, vector.vector_D.tolist()] for vector in task.vectors]
    return {
        "rows": content_hash([pair.row_id for pair in task.pairs]),
        "plan": content_hash([[asdict(row) for row in task.edits.values()], steered]),
        **_model_and_settings(settings, bundle),
    }


def _model_and_settings(settings: SFTSettings, bundle: ModelBundle) -> dict[str, str]:
    import torch

    tokens = bundle.token_settings()
    dtype = choose_dtype(settings.dtype, torch.device(choose_device(settings.device)))
    return {
        "model": weights_fingerprint(locate_model(settings), dtype),
        "template": content_hash([tokens["template"], tokens["tokenizer"]]),
        "settings": content_hash(learnt_by(settings)),
    }


def prepare(settings: SFTSettings, out: Path, bundle: ModelBundle, task: Task, made: Mapping[str, str]) -> Prepared:
    """Write the token table, and last ``prepared.json``; what is there already and was made of the same is kept.

    Raises:
        RunError: a row has no edit.
        RowsError: no pair is left to train on.
    """
    if (out / PREPARED).is_file() and (out / TOKENS).is_file():
        found = read_prepared(out)
        if found.made_of == made:
            return found
    pairs, edits, _ = task
    missing = [pair.row_id for pair in pairs if edits and pair.row_id not in edits]
    if missing:
        raise RunError(f"{out}: {len(missing)} rows have no edit ({missing[0]} …); give --plan again")
    all_rows = [edits.get(pair.row_id, PairEdit(pair.row_id)) for pair in pairs]
    concepts = sorted({concept for row in all_rows for concept in row.gaps})
    counts = dict.fromkeys(["retained", "dropped", "swapped", "window", "trained", *TOUCHED, "tokens"], 0)
    counts["retained"] = len(pairs)

    def lines() -> Iterator[Mapping[str, Any]]:
        tiers = gap_tiers([row for row in all_rows if row.dropped is None], concepts)
        with progress_bar("tokens", "row", len(pairs)) as bar:
            for stored, row in zip(pairs, all_rows, strict=True):
                bar.update(1)
                if row.dropped is not None:
                    counts["dropped"] += 1
                    continue
                window = settings.max_length, tiers(row), settings.max_response_length
                line = tokenise_pair(stored.pair, row, bundle.tokenizer, *window)
                if line is None:
                    counts["window"] += 1
                    continue
                _count(counts, row, line)
                yield line

    write_tokens(out / TOKENS, lines())
    prepared = Prepared(dict(made), concepts, counts)
    artifacts.write_json(out / PREPARED, asdict(prepared))
    return prepared


def _count(counts: dict[str, int], row: PairEdit, line: Mapping[str, Any]) -> None:
    counts["trained"] += 1
    counts["swapped"] += row.swapped
    counts["tokens"] += sum(len(line[name]["context"]) + len(line[name]["completion"]) for name in SIDES)
    for name, flag in zip(TOUCHED, touched(line), strict=True):
        counts[name] += flag
