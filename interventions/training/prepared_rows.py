"""From a training's settings and plan to the token table that a trainer reads, and to the training's identity.

Both stand on disk, so that several processes share them: the first prepares, all read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from anatomy import artifacts
from anatomy.activations.model import choose_device, choose_dtype, locate_model, weights_fingerprint
from anatomy.artifacts import output_hash
from anatomy.concepts.scorer import Scorer
from anatomy.data.rows_table import StoredPair, read_rows
from anatomy.data.sources import source_fingerprint
from anatomy.errors import RunError
from anatomy.progress import progress_bar
from anatomy.rollouts.training_folder import (
    InputHashes,
    PreparedRows,
    RowCounts,
    TrainedIntervention,
    TrainingIdentity,
    read_identity,
    write_identity,
)
from anatomy.sae.model_bundle import ModelBundle
from anatomy.settings import ModelSettings, RowSettings
from anatomy.types import content_hash, file_hash
from interventions.backends.pair_edits import PairEdit, SteeringVector
from interventions.backends.planned_rows import plan_rows
from interventions.plan.audited_plan import PlanSettings, plan_settings
from interventions.plan.plan import Plan, load_plan, save_plan
from interventions.training.checkpoints import is_begun
from interventions.training.token_rows import TOUCHED, PairTokens, gap_tiers, tokenise_pair, touched, write_tokens
from interventions.training.train_settings import SFTSettings, TrainSettings, learnt_by

TOKENS = "tokens.arrow"


@dataclass(frozen=True)
class TrainingTask:
    """What a training is asked to do.

    Attributes:
        plan: the plan of ``settings``; without interventions if there is none.
        rows: with which settings the rows are read and scored.
        out: directory of the training.
        bundle: tokenizer of the model that is trained.
        reader: model and SAE that the plan's detectors read.
    """

    settings: SFTSettings
    plan: Plan
    rows: PlanSettings
    out: Path
    bundle: ModelBundle
    reader: ModelBundle

    @classmethod
    def of(cls, settings: SFTSettings, out: Path) -> TrainingTask:
        """Read the plan that ``settings`` name.

        Raises:
            PlanError: the plan cannot be read, or is wrong.
        """
        path = settings.plan if isinstance(settings, TrainSettings) else None
        if path is None:
            plan, names = Plan(), RowSettings.model_fields.keys() | ModelSettings.model_fields.keys()
            rows = PlanSettings.model_validate(settings.model_dump(include=set(names)))
        else:
            plan, names = load_plan(path), settings.model_fields_set & PlanSettings.model_fields.keys()
            rows = plan_settings(plan, {name: getattr(settings, name) for name in names})
        return cls(settings, plan, rows, out, ModelBundle(settings), ModelBundle(rows))

    def input_hashes(self) -> InputHashes:
        """Return the hashes of all that is asked for; reads the rows' source and the model's weights."""
        how = self.rows.model_dump(mode="json", include=set(RowSettings.model_fields) - {"rows"})
        tokens = self.bundle.token_settings()
        dtype = choose_dtype(self.settings.dtype, torch.device(choose_device(self.settings.device)))
        return InputHashes(
            rows=content_hash([sorted(source_fingerprint(self.rows).values()), how]),
            plan=content_hash(self.plan.model_dump(mode="json")),
            model=weights_fingerprint(locate_model(self.settings), dtype),
            template=content_hash([tokens["template"], tokens["tokenizer"]]),
            settings=content_hash(learnt_by(self.settings)),
        )


def refuse_changed(task: TrainingTask, asked: InputHashes) -> None:
    """Refuse to continue in a directory that holds a training of something else; nothing is written.

    Raises:
        RunError: one line names what changed, or says that the directory is an earlier version's or damaged.
    """
    found = read_identity(task.out)
    if found is not None and is_begun(task.out, found):
        _refuse(task.out, found.asked.changed(asked))


def prepare(task: TrainingTask, asked: InputHashes, scorers: Mapping[str, Scorer]) -> TrainingIdentity:
    """Read and score the rows, and write the token table and, last, the training's identity.

    What is there already and was made of the same is kept.

    Args:
        scorers: detectors by name of the plan's target.

    Raises:
        RunError: the directory holds a training with other detectors, rows or edits.
        RowsError: no pair is left to train on.
    """
    before = read_identity(task.out)
    begun = before is not None and is_begun(task.out, before)
    detectors = {name: scorer.fingerprint for name, scorer in scorers.items()}
    if begun and before is not None and before.prepared.detectors != detectors:
        _refuse(task.out, ["detectors"])
    planned = plan_rows(task.plan, task.rows, task.reader, scorers, task.out / artifacts.WORK)
    pairs = list(read_rows(task.out / artifacts.WORK / artifacts.ROWS))
    rows = content_hash([pair.row_id for pair in pairs])
    table = task.out / TOKENS
    edits = content_hash([[asdict(edit) for edit in planned.edits], _vector_values(planned.vectors)])
    if before is not None:
        changed = {"rows": before.prepared.rows != rows, "plan": before.prepared.edits != edits}
        if begun:
            _refuse(task.out, [name for name, differs in changed.items() if differs])
        if before.asked == asked and not any(changed.values()) and output_hash(table) == before.prepared.table:
            return before
    concepts = sorted({concept for edit in planned.edits for concept in edit.gaps})
    counts = write_token_table(task, pairs, planned.edits, concepts)
    prepared = PreparedRows(
        rows=rows,
        edits=edits,
        table=file_hash(table),
        detectors=detectors,
        concepts=tuple(concepts),
        counts=counts,
    )
    scored = {name: scorer.concept for name, scorer in scorers.items()}
    identity = _identity(task, planned.plan, asked, prepared, scored)
    if begun and before is not None:  # the table alone was damaged
        identity = identity.model_copy(update={"finished": before.finished})
    save_plan(task.out / artifacts.PLAN, planned.plan)
    write_identity(task.out, identity)
    return identity


def write_token_table(
    task: TrainingTask, pairs: Sequence[StoredPair], edits: Sequence[PairEdit], concepts: Sequence[str]
) -> RowCounts:
    """Write ``tokens.arrow`` from pairs and their edits, which are in one order; return what became of the rows.

    Raises:
        RowsError: no pair is left to train on.
    """
    counts = Counter(retained=len(pairs))
    window = task.settings.max_length, task.settings.max_response_length
    tiers = gap_tiers([edit for edit in edits if edit.dropped is None], concepts)

    def lines() -> Iterator[PairTokens]:
        with progress_bar("tokens", "row", len(pairs)) as bar:
            for stored, edit in zip(pairs, edits, strict=True):
                bar.update(1)
                if edit.dropped is not None:
                    counts["dropped"] += 1
                    continue
                line = tokenise_pair(stored.pair, edit, task.bundle.tokenizer, window[0], tiers(edit), window[1])
                if line is None:
                    counts["window"] += 1
                    continue
                _count(counts, edit, line)
                yield line

    write_tokens(task.out / TOKENS, lines())
    return RowCounts(**{name: counts[name] for name in RowCounts.model_fields})


def _count(counts: Counter[str], edit: PairEdit, line: PairTokens) -> None:
    counts["trained"] += 1
    counts["swapped"] += edit.swapped
    counts["tokens"] += sum(
        len(side["context"]) + len(side["completion"]) for side in (line["chosen"], line["rejected"])
    )
    for name, flag in zip(TOUCHED, touched(line), strict=True):
        counts[name] += flag


def _vector_values(vectors: Sequence[SteeringVector]) -> list[tuple[int, list[float]]]:
    return [(vector.layer, vector.vector_D.tolist()) for vector in vectors]


def _identity(
    task: TrainingTask, plan: Plan, asked: InputHashes, prepared: PreparedRows, scored: dict[str, str]
) -> TrainingIdentity:
    items = [item.model_dump(mode="json") for item in plan.interventions]
    return TrainingIdentity(
        kind="dpo" if isinstance(task.settings, TrainSettings) else "sft",
        source=task.rows.rows,
        seed=task.settings.seed,
        audit=None if plan.run is None else str(plan.run.resolve()),
        interventions=tuple(TrainedIntervention.model_validate(item) for item in items),
        scored=scored,
        settings=learnt_by(task.settings),
        asked=asked,
        prepared=prepared,
        finished=False,
    )


def _refuse(out: Path, changed: Sequence[str]) -> None:
    """Raise a RunError that names what changed, if anything did."""
    if changed:
        names = " and ".join(changed)
        raise RunError(f"{out}: was trained with other {names}; use another --out, or delete it to start again")
