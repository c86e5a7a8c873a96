"""The cleaned set: what filtering leaves, as a folder that can be put on the Hub as it is.

``data/train.parquet`` has explicit conversational rows as TRL reads them (``prompt``, ``chosen``, ``rejected``) and the
rows' own columns of plain values; ``README.md`` is the card; ``filter_log.parquet`` says for every row what became of
it. Working files are in ``work/``.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from anatomy import artifacts
from anatomy.concepts.scorer import Scorer
from anatomy.data.pair_table import write_pairs
from anatomy.data.rows_table import read_rows
from anatomy.errors import PlanError
from anatomy.report.clean_card import front_matter
from anatomy.report.markdown_table import escape, markdown_table
from anatomy.sae.model_bundle import ModelBundle
from anatomy.settings import expanded
from anatomy.types import Pair
from interventions.backends.pair_edits import PairEdit
from interventions.backends.planned_rows import PlannedRows, plan_rows
from interventions.plan.audited_plan import PlanSettings
from interventions.plan.plan import Filtering, Plan, to_yaml


def filterings_of(plan: Plan) -> Plan:
    """Return the plan with its filterings alone.

    Raises:
        PlanError: it has none.
    """
    filterings = tuple(item for item in plan.interventions if isinstance(item, Filtering))
    if not filterings:
        raise PlanError("the plan has no intervention with `backend: filtering`; the others act in `anatomy train`")
    return plan.model_copy(update={"interventions": filterings})


def filter_rows(
    plan: Plan, settings: PlanSettings, bundle: ModelBundle, scorers: Mapping[str, Scorer], out: Path
) -> str:
    """Write the cleaned set of a plan of filterings into ``out``; return the counts of rows as text.

    Raises:
        PlanError: nothing would be left, or as :func:`~interventions.backends.planned_rows.plan_rows`.
    """
    planned = plan_rows(plan, settings, bundle, scorers, out / artifacts.WORK)
    if all(row.dropped for row in planned.edits):
        raise PlanError("the plan's filterings leave no row; loosen them")
    rows = out / artifacts.WORK / artifacts.ROWS
    write_pairs(out / artifacts.CLEANED, lambda: _kept(rows, planned.edits))
    log = artifacts.read_table(out / artifacts.WORK / artifacts.FILTER_LOG)
    shutil.copyfile(out / artifacts.WORK / artifacts.PLAN, out / artifacts.PLAN)
    artifacts.write_table(out / artifacts.FILTER_LOG, log)
    artifacts.write_text(out / artifacts.CARD, _card(settings.rows, log, planned))
    artifacts.record_outputs(out, [artifacts.CLEANED, artifacts.FILTER_LOG, artifacts.PLAN, artifacts.CARD])
    counts = Counter(log["action"].to_pylist())
    done = ", ".join(f"{counts[action]:,} {action}" for action in ("kept", "masked", "swapped", "dropped", "unusable"))
    note = "\nmasked tokens are in the text of the cleaned set: only `anatomy train` leaves them out"
    return f"{len(log):,} rows: {done}\n{out / artifacts.CLEANED}{note if counts['masked'] else ''}"


def _kept(rows: Path, edits: Sequence[PairEdit]) -> Iterator[Pair]:
    """The pairs of a ``rows.parquet`` that are not dropped, in their order, swapped ones swapped."""
    for stored, edit in zip(read_rows(rows), edits, strict=True):
        pair = stored.pair
        if edit.swapped:
            pair = replace(pair, chosen=pair.rejected, rejected=pair.chosen)
        if edit.dropped is None:
            yield pair


def _card(source: str, log: pa.Table, planned: PlannedRows) -> str:
    """The dataset card: where the rows come from, the plan, and the number of rows by action and reason."""
    columns = [log[name].to_pylist() for name in ("action", "reason", "target")]
    reasons = Counter(
        (action, "" if action in ("kept", "masked") else target or reason)
        for action, reason, target in zip(*columns, strict=True)
    )
    rows = [(action, why, f"{count:,}") for (action, why), count in sorted(reasons.items())]
    local = expanded(source)
    name = local.name if local.exists() else source  # a card is published: no folders of the user's machine
    return "\n".join(
        [
            front_matter(),
            f"# {escape(name)}, filtered",
            "",
            f"Preference pairs of {escape(name)} after the filterings below, made by `anatomy filter`.",
            f"`{artifacts.FILTER_LOG}` says of each of the {len(log):,} rows what became of it, and why.",
            "",
            markdown_table(("rows", "because of", "number"), rows, right=(2,)),
            "",
            "```yaml",
            to_yaml(planned.plan).replace("```", "'''"),
            "```",
            "",
        ]
    )
