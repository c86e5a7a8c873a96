"""What pairs have in common as text: canned responses, near-duplicate prompts, ratings that say nothing."""

from __future__ import annotations

from collections.abc import Iterator

from anatomy.data.health import Health
from anatomy.data.health_parts import CannedText
from anatomy.report.layout import WIDTH, count, fit, share, table
from anatomy.text.visible import visible

FACTS = 3
"""Texts of each kind that are shown without an alarm."""
GROUPS = 3


def canned(health: Health) -> Iterator[str]:
    """Responses and openings under many prompts: those that win or lose too often, then the most frequent."""
    found = health.canned
    if found is None:
        return
    drawn = "" if found.sampled == 1 else f", {share(found.sampled)} of all, drawn at random"
    yield f"Canned responses (the same text under different prompts; {count(found.prompts)} prompts read{drawn}):"
    facts = [text for text in found.texts if not text.alarm]
    kinds = [[text for text in facts if text.kind == kind][:FACTS] for kind in ("response", "opening")]
    shown = [text for text in found.texts if text.alarm] + [text for kind in kinds for text in kind]
    rows = [("", "prompts", "chosen", "rejected", "wins", "95 % interval", "text")]
    for text in shown:
        interval = f"[{share(text.low)}, {share(text.high)}]"
        counts = (count(text.prompts), count(text.chosen), count(text.rejected), share(text.win_rate), interval)
        rows.append(("!" if text.alarm else "", *counts, fit(quoted(text), 56)))
    yield from table(rows, right=range(1, 5))
    if found.alarms:
        yield f"  ! wins or loses more often than chance allows ({count(found.alarms)} of {count(found.tested)} tested)"
    if found.recurring > len(shown):
        yield f"  {count(found.recurring - len(shown))} more under five prompts or more"


def quoted(text: CannedText) -> str:
    """The text in quotation marks on one line; an opening ends in an ellipsis."""
    return f"“{visible(text.text)}{'…' if text.kind == 'opening' else ''}”"


def near_duplicates(health: Health) -> Iterator[str]:
    """How many prompts are nearly another, and the largest groups."""
    found = health.near_duplicates
    if found is None:
        return
    drawn = f"of {count(found.sampled)} drawn from {count(found.distinct)}" if found.sampled < found.distinct else (
        f"of {count(found.distinct)}")  # fmt: skip
    groups = "1 group" if found.groups == 1 else f"{count(found.groups)} groups"
    yield f"Near-duplicate prompts: {count(found.prompts)} {drawn}, in {groups}"
    for group in found.largest[:GROUPS]:
        first, *others = group.examples
        yield fit(f"  {count(group.prompts)}  row {first.index + 1}: {first.excerpt}", WIDTH)
        for one in others:
            yield fit(f"      row {one.index + 1}: {one.excerpt}", WIDTH)


def ratings(health: Health) -> Iterator[str]:
    """That the ratings are the same in every row, if they are."""
    found = health.ratings
    if found is not None and found.constant:
        yield (
            f"Ratings carry nothing: chosen {found.chosen[0]:g} and rejected {found.rejected[0]:g} in all "
            f"{count(found.rows)} rated rows"
        )
