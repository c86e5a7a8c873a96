"""Groups of a set as text: for each column of few values, a table of them."""

from __future__ import annotations

from collections.abc import Iterator

from anatomy.data.health import Health
from anatomy.data.health_parts import GroupRows
from anatomy.report.layout import WIDTH, count, fit, share, table

TOP_VALUES = 12


def groups(health: Health) -> Iterator[str]:
    """Rows, lengths and how often the longer side wins, by the values of each column; and what is no group."""
    found = health.groups
    if found is None:
        return
    for column, grouped in found.columns.items():
        yield fit(f"By {column}:", WIDTH)
        head = ("", "rows", "retained", "tied", "same", "chosen", "rejected", "longer wins", "", "models")
        shown = list(grouped.values.items())[:TOP_VALUES]
        yield from table([head, *(_line(value, rows) for value, rows in shown)], right=range(1, 8))
        if len(grouped.values) > TOP_VALUES:
            yield f"  … and {count(len(grouped.values) - TOP_VALUES)} more values"
    if found.columns:
        yield "  (chosen, rejected: mean characters; intervals of 95 %)"
    for column, reason in found.refused.items():
        yield fit(f"Not grouped by {column}: {reason}", WIDTH)


def _line(value: str, rows: GroupRows) -> tuple[str, ...]:
    wins = rows.longer_wins
    known = wins.low is not None and wins.high is not None
    return (
        fit(value, 30),
        *(count(number) for number in (rows.rows, rows.retained, rows.ties, rows.identical)),
        *(f"{length:,.0f}" if rows.retained else "" for length in rows.mean_characters.values()),
        share(wins.value) if known else "",
        f"[{share(wins.low)}, {share(wins.high)}]" if known else "",
        ", ".join(fit(name, 20) for name in rows.models),
    )
