"""Data and SAE health as text: what was retained, why the rest was not, and what trivial rules already get right."""

from __future__ import annotations

from collections.abc import Iterator

from anatomy.data.faults import FLAGS, REASONS
from anatomy.data.health import Health
from anatomy.report.content_text import content, languages
from anatomy.report.group_text import groups
from anatomy.report.layout import WIDTH, count, fit, share, table, wrap
from anatomy.report.pair_health_text import canned, near_duplicates, ratings
from anatomy.report.reading_text import reading
from anatomy.report.texts_noted import noted_texts

TOP_NAMES = 5


def format_health(health: Health) -> str:
    """``health.json`` for the terminal; parts that are absent are left out."""
    lines = [f"{count(health.retained)} of {count(health.rows)} rows retained"
             + (f"; format: {fit(health.format, 60)}" if health.format else "")]  # fmt: skip
    of_pairs, of_content = (ratings, canned, near_duplicates), (groups, content, languages)
    for part in (
        reading,
        _noted,
        *of_pairs,
        _lengths,
        _truncated,
        _texts,
        _repeats,
        _names,
        *of_content,
        baselines,
        explained,
        sae_health,
    ):
        lines += part(health)
    return "\n".join(lines)


def _noted(health: Health) -> Iterator[str]:
    """Reasons and flags with their counts, meanings and example rows (counted from 1, as an editor does)."""
    titles = (("Not retained", REASONS, health.reasons), ("Retained, but odd", FLAGS, health.flags))
    for title, meanings, noted in titles:
        if noted:
            yield f"{title}:"
        for name, entry in sorted(noted.items(), key=lambda item: (-item[1].count, item[0])):
            meaning = f" ({meanings[name]})" if name in meanings else ""
            yield fit(f"  {count(entry.count)}  {name}{meaning}", WIDTH)
            for example in entry.examples:
                yield fit(f"      row {example.index + 1}: {example.excerpt}", WIDTH)


def _lengths(health: Health) -> Iterator[str]:
    lengths = health.lengths
    columns = ("mean", "p5", "p50", "p95", "max")
    rows = []
    for span, row in lengths.items():
        values = (row.mean, row.p5, row.p50, row.p95, row.max)
        rows.append((span, *(f"{value:,.0f}" for value in values)))
    if rows:
        drawn = health.sampled
        how = f"; {count(drawn.rows)} rows drawn at random from {count(drawn.of)}" if drawn else ""
        yield f"Lengths ({next(iter(lengths.values())).unit}{how}):"
        yield from table([("span", *columns), *rows], right=range(1, 6))


def _truncated(health: Health) -> Iterator[str]:
    cut = {span: number for span, number in health.truncated.items() if number}
    if health.special_in_text:
        yield f"Special tokens spelt out in the text (in no span): {count(health.special_in_text)} rows"
    if cut and health.sampled:
        shares = (f"{span} of {_interval(number, health.sampled.rows)} of rows" for span, number in cut.items())
        yield "Cut to the window, with 95 % intervals: " + ", ".join(shares)
    elif cut:
        yield "Cut to the window: " + ", ".join(f"{span} of {count(number)} rows" for span, number in cut.items())


def _texts(health: Health) -> Iterator[str]:
    for line in noted_texts(health):
        yield from wrap(line, indent="  ")


def _interval(number: int, total: int) -> str:
    from scipy.stats import binomtest

    low, high = binomtest(number, total).proportion_ci(0.95, method="wilson")
    return f"{share(number / total)} ({100 * low:.1f}–{100 * high:.1f} %)"


def _repeats(health: Health) -> Iterator[str]:
    prompts, responses = health.prompts, health.responses
    if prompts:
        yield (
            f"Prompts: {count(prompts.distinct)} distinct; {count(prompts.repeated_rows)} rows share "
            f"theirs, at most {count(prompts.largest_group)} to one"
        )
    if responses:
        yield f"Responses: {count(responses.distinct)} distinct; {count(responses.repeated)} repeated"


def _names(health: Health) -> Iterator[str]:
    sources, models = health.sources, health.models
    if sources:
        named = ", ".join(f"{name} {count(number)}" for name, number in list(sources.items())[:TOP_NAMES])
        yield fit(f"Sources: {named}" + (" …" if len(sources) > TOP_NAMES else ""), WIDTH)
    if models:
        yield "Models:"
        rows = [(fit(name, 60), count(sides.chosen), count(sides.rejected))
                for name, sides in list(models.items())[:TOP_NAMES]]  # fmt: skip
        yield from table([("model", "chosen", "rejected"), *rows], right=(1, 2))


def baselines(health: Health) -> Iterator[str]:
    """How often trivial rules pick the chosen side, with 95 % intervals."""
    found = health.baselines
    if found:
        yield "Trivial rules, and how often each picks the chosen side:"
        yield from table(
            [(fit(name, 50), share(rule.accuracy), f"[{share(rule.low)}, {share(rule.high)}]")
             for name, rule in found.items()], right=(1,),
        )  # fmt: skip


def explained(health: Health) -> Iterator[str]:
    """What predicts the labels of prompts that it was not fitted on, with 95 % intervals."""
    if health.explained:
        yield "Labels of prompts left out, as far as a fitted model predicts them (50 % is chance):"
        yield from table(
            [(name, share(one.value), f"[{share(one.low)}, {share(one.high)}]")
             for name, one in health.explained.items()], right=(1,),
        )  # fmt: skip


def sae_health(health: Health) -> Iterator[str]:
    """Measured L0, variance explained and dead share, beside what the SAE claims of itself."""
    sae = health.sae
    if sae is None:
        return
    left_out = f" ({count(sae.outliers)} of enormous norm left out)" if sae.outliers else ""
    yield f"SAE on {count(sae.tokens)} tokens of these rows{left_out}:"
    yield from table(
        [
            ("", "measured", "claimed"),
            ("L0", _number(sae.l0), _number(sae.claimed_l0)),
            ("variance explained", share(sae.variance_explained), share(sae.claimed_variance_explained)),
            ("dead features", share(sae.dead_share), ""),
        ],
        right=(1, 2),
    )
    for fault in sae.faults:
        yield fit(f"  unhealthy: {fault}", WIDTH)


def _number(value: object) -> str:
    return f"{value:.1f}" if isinstance(value, int | float) else "?"
