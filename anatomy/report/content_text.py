"""What the responses of a set hold, and their languages, as text: shares by side, and which side each goes with."""

from __future__ import annotations

from collections.abc import Iterator

from anatomy.data.health import Health
from anatomy.data.health_parts import ContentCheck, ShareEstimate
from anatomy.report.layout import WIDTH, count, fit, share, table

TOP_LANGUAGES = 6


def content(health: Health) -> Iterator[str]:
    """Concepts of the library that responses show, with 95 % intervals by prompt, and an example of each."""
    found = health.content
    if found is None or not found.sampled:
        return
    yield f"What responses hold ({_sample(found.sampled, health.retained)}; 95 % intervals):"
    if found.checks:
        head = ("", "chosen", "rejected", "points apart", "", "chosen, of one side", "", "goes with")
        yield from table([head, *map(_line, found.checks, found.checks.values())], right=(1, 2, 3, 5))
    for name, check in found.checks.items():
        example = check.examples[0]
        yield fit(f"    {name}, e.g. row {example.index + 1}, {example.side}: {example.excerpt}", WIDTH)
    if found.absent:
        yield fit(f"  In no response: {', '.join(found.absent)}", WIDTH)


def languages(health: Health) -> Iterator[str]:
    """Languages by side, and pairs whose sides differ."""
    found = health.languages
    if found is None or not found.sampled:
        return
    yield f"Languages ({_sample(found.sampled, health.retained)}):"
    for side, counts in (("chosen", found.chosen), ("rejected", found.rejected)):
        shown = [f"{name} {share(number / found.sampled)}" for name, number in list(counts.items())[:TOP_LANGUAGES]]
        yield fit(f"  {side}: {', '.join(shown)}" + (" …" if len(counts) > TOP_LANGUAGES else ""), WIDTH)
    if found.mixed.count:
        yield f"  {count(found.mixed.count)} pairs of two languages"
        for example in found.mixed.examples:
            yield fit(f"      row {example.index + 1}: {example.excerpt}", WIDTH)


def _sample(sampled: int, retained: int | None) -> str:
    rows = f"{count(sampled)} rows"
    return f"all {rows}" if sampled == retained else f"a random sample of {rows}"


def _line(name: str, check: ContentCheck) -> tuple[str, ...]:
    wins = check.wins
    return (
        name,
        share(check.chosen.value),
        share(check.rejected.value),
        _points(check.difference.value),
        f"[{_points(check.difference.low)}, {_points(check.difference.high)}]",
        "" if wins.value is None else f"{wins.value:.0%}",
        "" if wins.low is None or wins.high is None else f"[{100 * wins.low:.0f}, {100 * wins.high:.0f}]",
        side_of(wins),
    )


def side_of(wins: ShareEstimate) -> str:
    """The side that something goes with, as far as its interval says; nothing where it says none."""
    if wins.low is not None and wins.low > 0.5:
        return "chosen"
    return "rejected" if wins.high is not None and wins.high < 0.5 else ""


def _points(value: float | None) -> str:
    return "?" if value is None else f"{100 * value:+.1f}"
