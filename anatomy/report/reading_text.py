"""How rows were read, as text: the layout and its columns, notes, what was not read, and rows as they came out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from anatomy.data.health import Health
from anatomy.data.health_parts import RowReading
from anatomy.report.layout import WIDTH, count, fit, share, wrap
from anatomy.types import Message, Pair

MOST_CHARS = 240


def reading(health: Health) -> Iterator[str]:
    """The layout with the flag that would overrule it, notes, and text columns that were not read."""
    found = health.reading
    if found is None:
        return
    roles = ",".join(f"{role}={name}" for role, name in found.map.items() if role != "layout")
    yield fit(f"Read as {found.map.get('layout', found.layout)}: {roles} (overrule with --map)", WIDTH)
    for note in found.notes:
        yield from wrap(note, first="  note: ", indent="    ")
    if found.unread:
        yield "Text columns not read (--map reads them):"
        for name, text in found.unread.items():
            yield fit(f"  {name}: {text}", WIDTH)
    if found.votes is not None:
        votes = found.votes
        alpha = "" if votes.alpha is None else f", Krippendorff's alpha {votes.alpha:.2f}"
        by = "pair" if votes.people is None else f"pair and by {count(votes.people)} people"
        error = "" if votes.error is None else f" (standard error {share(votes.error)}, by {by})"
        yield (
            f"Votes: {count(votes.votes)} on {count(votes.pairs)} pairs; two votes on one agree in "
            f"{share(votes.percent)} of cases{error}{alpha}; {count(votes.ties)} pairs without a winner"
        )


def mapping(found: RowReading, rows: Sequence[Pair]) -> str:
    """The map as YAML that ``--map FILE`` takes, and as comments the notes and some rows as they were read."""
    lines = [f"# {' '.join(note.split())}" for note in found.notes]
    lines += [f"# not read: {name} ({text})" for name, text in found.unread.items()]
    lines += [f"{role}: {json.dumps(name)}" for role, name in found.map.items()]
    for pair in rows:
        lines += ["#", f"# row {pair.source_rows[0] + 1}"]
        for span in ("prompt", "chosen", "rejected"):
            lines += [f"#   {span}"] + [f"#     {_turn(message)}" for message in getattr(pair, span)]
    return "\n".join(lines)


def _turn(message: Message) -> str:
    calls = f" [{len(message['tool_calls'])} tool calls]" if message.get("tool_calls") else ""
    return fit(f"{message['role']}:{calls} {' '.join(message['content'][: 4 * MOST_CHARS].split())}", MOST_CHARS)
