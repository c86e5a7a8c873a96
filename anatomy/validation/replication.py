"""Does the observed shift come back? Two validations of one run, of another training seed or another sampling seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from anatomy import artifacts
from anatomy.errors import RunError
from anatomy.statistics.agreement import attainable, pearson

KEY = ["view", "context", "response"]


def replication(first: Path, second: Path, predictor: str) -> dict[str, dict[str, Any]]:
    """By view: ``n`` shared shifts, their ``r`` between the two, and the r and r² attainable under that reliability.

    Rollouts before training that both validations use put the same noise into both: ``shared_before`` says so, and the
    reliability is then too high.

    Args:
        predictor: whose statistic is compared (``disparity``: presence; others: frequency).

    Raises:
        RunError: a folder holds no validation, or the two are of different runs or windows.
    """
    told = [artifacts.read_json(folder / artifacts.VALIDATION) for folder in (first, second)]
    if told[0]["run"] != told[1]["run"] or told[0]["window"] != told[1]["window"]:
        raise RunError(f"{first} and {second}: validations of different runs or windows; compare two of one run")
    tables = [artifacts.read_table(folder / artifacts.SHIFTS).to_pandas() for folder in (first, second)]
    ours, theirs = (table[table["predictor"] == predictor][[*KEY, "observed"]] for table in tables)
    joined = ours.merge(theirs, on=KEY, suffixes=("", "_again"))
    shared = len({side["rollouts"]["before"]["fingerprint"] for side in told}) == 1
    found = {}
    for view, part in joined.groupby("view"):
        r = pearson(part["observed"].to_numpy(), part["observed_again"].to_numpy())
        found[str(view)] = {"n": len(part), "r": r, "shared_before": shared, **attainable(r)}
    return found
