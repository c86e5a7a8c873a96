"""What ``anatomy trace`` does: the rows that carry a predicted shift, and lists of rows to train without."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from anatomy import artifacts
from anatomy.clusters.features import shift_moments
from anatomy.data.rows_table import read_rows
from anatomy.errors import RunError, SettingsError
from anatomy.expected import stored_concepts
from anatomy.features.store import FeatureStore
from anatomy.report.layout import WIDTH, fit
from anatomy.run import Run, load_manifest
from anatomy.settings import AuditSettings
from anatomy.stages import EXCERPT, read_clusters
from anatomy.validation.pool import Pool, Readout, cluster_readout, shift_readout
from anatomy.validation.predictors import OWN, build
from anatomy.validation.settings import TraceSettings
from anatomy.validation.trace import LeaveOut, contributions, leave_out


def trace(run_dir: Path, cluster: str, settings: TraceSettings, out: Path | None = None) -> str:
    """Rows by contribution to the predicted shift of a cluster (R12, S3) or concept of a run; they sum to it.

    Into ``out``: ``contributions.parquet`` (``row_id``, ``contribution`` of every row), ``trace.json``, and lists of
    row ids, one a line: ``top-1-percent.txt``, ``random-1-percent.txt`` and so on for 1, 5 and 10 % of the rows.

    Raises:
        RunError: the run has no such cluster.
        SettingsError: no such predictor, one that has no rows, or one over the model's own responses in a run without.
    """
    load_manifest(run_dir)
    with Run.open(run_dir) as run:
        audited = AuditSettings.model_validate(run.manifest["settings"])
        store = FeatureStore(run.file(artifacts.FEATURES))
        data = Pool.read(store, sorted({"freq", audited.prompt_statistic}), audited.tau)
        made = build(settings.tilt_c)
        if settings.predictor not in made:
            raise SettingsError(f"no predictor {settings.predictor} to trace; there are {', '.join(made)}")
        predictor = made[settings.predictor]().fit(data)
        pool, scores = data, artifacts.SCORES
        if settings.predictor in OWN:
            pool, scores = _own(run, settings.predictor, audited), artifacts.OWN_SCORES
        readout = _readout(run, audited, store, pool, stored_concepts(run, scores)[0], predictor.statistic, cluster)
        contribution_N = contributions(predictor, data, pool, readout)
        rows = _rows(run, contribution_N, settings.top)
        without = leave_out(predictor, data, pool, readout, contribution_N, settings.seed)
    told = {
        "cluster": cluster,
        "predictor": settings.predictor,
        "predicted": float(contribution_N.sum()),
        "rows": len(contribution_N),
        "strongest": rows,
        "without": [{"share": item.share, "kind": item.kind, "predicted": item.predicted} for item in without],
    }
    if out is not None:
        _write(out, told, store.row_ids, contribution_N, without)
    return _text(told)


def _own(run: Run, predictor: str, audited: AuditSettings) -> Pool:
    """The model's own responses, as the audit read them."""
    if not run.manifest["stages"].get("own", {}).get("outputs"):
        raise SettingsError(f"predictor {predictor} reads the model's own responses; run the audit with --policy")
    run.require("own")
    own = FeatureStore(run.file(artifacts.OWN_FEATURES))
    return Pool.read(own, sorted({"freq", audited.prompt_statistic}), audited.tau)


def _readout(
    run: Run,
    audited: AuditSettings,
    store: FeatureStore,
    pool: Pool,
    concepts: Readout,
    statistic: str,
    cluster: str,
) -> Readout:
    """The one column that is traced, of the responses of ``pool`` (whose scores are ``concepts``)."""
    clusters = read_clusters(run, store)
    if cluster in concepts.ids:
        return _column(concepts, cluster)
    if cluster.startswith("S"):
        std_F = shift_moments(store.shards(), audited.prompt_statistic).std_F
        readout = shift_readout(pool, clusters.shift_F, std_F, audited.prompt_statistic)
    else:
        readout = cluster_readout(pool, clusters.response_F, statistic)
    if cluster not in readout.ids:
        last = {name[0]: name for name in (*readout.ids, "R1")}
        known = ", ".join([*(f"{prefix}1 to {name}" for prefix, name in sorted(last.items())), *concepts.ids])
        raise RunError(f"{run.path}: no response cluster or concept `{cluster}`; there are {known}")
    return _column(readout, cluster)


def _column(readout: Readout, name: str) -> Readout:
    place = list(readout.ids).index(name)
    return Readout([name], np.asarray(readout.values_JM)[:, place : place + 1])


def _rows(run: Run, contribution_N: np.ndarray, top: int) -> list[dict[str, Any]]:
    """The rows that carry most of the shift and those most against it, with excerpts."""
    order = np.argsort(-contribution_N * np.sign(contribution_N.sum() or 1.0), kind="stable")
    wanted = dict.fromkeys([*order[:top].tolist(), *order[-top:].tolist()])
    found: dict[int, dict[str, Any]] = {}
    for position, stored in enumerate(read_rows(run.file(artifacts.ROWS))):
        if position in wanted:
            sides = {side: str(stored.pair.side(side)[-1]["content"])[:EXCERPT] for side in ("chosen", "rejected")}
            found[position] = {
                "row_id": stored.row_id,
                "index": stored.pair.index,
                "contribution": float(contribution_N[position]),
                "prompt": str(stored.pair.prompt[-1]["content"])[:EXCERPT] if stored.pair.prompt else "",
                **sides,
            }
    return [found[row] for row in wanted]


def _write(
    out: Path, told: dict[str, Any], row_ids: list[str], contribution_N: np.ndarray, without: list[LeaveOut]
) -> None:
    artifacts.write_table(out / artifacts.CONTRIBUTIONS, pa.table({"row_id": row_ids, "contribution": contribution_N}))
    for item in without:
        lines = [row_ids[row] for row in np.sort(item.rows)]
        artifacts.write_text(out / artifacts.row_list(item.kind, item.share), "\n".join(lines) + "\n")
    artifacts.write_json(out / artifacts.TRACE, told)


def _text(told: dict[str, Any]) -> str:
    lines = [f"{told['cluster']}: predicted shift {told['predicted']:+.4g} by {told['predictor']}, "
             f"the sum over {told['rows']:,} rows", "  contribution  share  row    chosen | rejected"]  # fmt: skip
    for row in told["strongest"]:
        share = row["contribution"] / told["predicted"] if told["predicted"] else 0.0
        texts = f"{row['chosen'][:60]} | {row['rejected'][:60]}"
        lines.append(fit(f"  {row['contribution']:+12.4g} {share:6.1%}  {row['index'] + 1:<6} {texts}", WIDTH))
    lines.append("predicted after training without")
    for item in told["without"]:
        lines.append(f"  {item['share']:4.0%} {item['kind']:6} rows: {item['predicted']:+.4g}")
    return "\n".join(lines)
