"""Whether an observed shift comes back: two validations of one run, with another training seed or sampling seed."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from anatomy import artifacts
from anatomy.errors import RunError
from anatomy.statistics.agreement import attainable, pearson
from anatomy.validation.validation_record import Validation

KEY = ["view", "context", "response"]


class Replication(NamedTuple):
    """Agreement of two validations in one view: ``n`` shared shifts, their ``r``, and what that reliability allows.

    ``shared_before`` says that both use the same rollouts before training. Their noise is then in both, and the
    reliability is too high.
    """

    n: int
    r: float
    shared_before: bool
    attainable_r: float
    attainable_r2: float


def replication(first: Path, second: Path, predictor: str) -> dict[str, Replication]:
    """Agreement of the observed shifts of two validations, by view.

    Args:
        predictor: decides the statistic that is compared (``disparity``: presence; others: frequency).

    Raises:
        RunError: a folder holds no validation, or the two are of different runs or windows.
    """
    records = [Validation.read(folder / artifacts.VALIDATION) for folder in (first, second)]
    if (records[0].run, records[0].window) != (records[1].run, records[1].window):
        raise RunError(f"{first} and {second}: validations of different runs or windows; compare two of one run")
    tables = [artifacts.read_table(folder / artifacts.SHIFTS).to_pandas() for folder in (first, second)]
    ours, theirs = (table[table["predictor"] == predictor][[*KEY, "observed"]] for table in tables)
    joined = ours.merge(theirs, on=KEY, suffixes=("", "_again"))
    shared = records[0].rollouts.before.fingerprint == records[1].rollouts.before.fingerprint
    found = {}
    for view, part in joined.groupby("view"):
        r = pearson(part["observed"].to_numpy(), part["observed_again"].to_numpy())
        found[str(view)] = Replication(len(part), r, shared, *attainable(r))
    return found
