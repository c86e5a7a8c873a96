"""``anatomy rows RUN CLUSTER``: the rows behind a cluster or a concept, as text."""

from __future__ import annotations

import pandas as pd

from anatomy.report.layout import fit, table
from anatomy.workflows.open_run import open_run
from anatomy.workflows.outcome import Where


def rows(run: Where, cluster: str, *, top: int = 20) -> str:
    """Return the rows behind a cluster or a concept as text: those with most of it in chosen, then in rejected.

    Raises:
        RunError: the run is not complete, or has no such cluster.
    """
    found = open_run(run).rows(cluster)
    ends = found if len(found) <= top else pd.concat([found.head(top - top // 2), found.tail(top // 2)])
    lines: list[tuple[str, ...]] = [("value", "row", "prompt", "chosen | rejected")]
    for row in ends.to_dict("records"):
        texts = f"{fit(row['chosen'], 34)} | {fit(row['rejected'], 34)}"
        lines.append((f"{row['value']:+.3f}", f"{row['index'] + 1}", fit(row["prompt"], 24), texts))
    return "\n".join([f"{len(found):,} rows", *table(lines, right=(0, 1))])
