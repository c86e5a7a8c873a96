"""A comparison of two runs as text for the terminal, and as one small page without a script."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from importlib.resources import files
from itertools import groupby
from xml.etree.ElementTree import Element

from anatomy.report.comparison_record import RunComparison, RunDifference, RunSide
from anatomy.report.elements import Node, element, html_table, markup
from anatomy.report.layout import WIDTH, count, fit, table, wrap
from anatomy.statistics.differences import CHANGES, NO_CHANGE

MEANINGS = {
    "changed sign": "a finding in both, for opposite sides",
    "appeared": "a finding in B and not in A",
    "vanished": "a finding in A and not in B",
    "stronger": "a finding in both, larger in B",
    "weaker": "a finding in both, smaller in B",
    "moved": "differs, but is a finding in neither",
    NO_CHANGE: "no proof that they are equal: the interval says how much they may differ",
}
UNITS = {"cluster": "share of the cluster's features", "concept": "SD", "text rule": "SD"}
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; base-uri 'none'"
STYLE = """
details { margin: 10px 0; } summary { cursor: pointer; }
.pair-forest .a { fill: var(--back); stroke-width: 1.6; } .pair-forest .b { stroke-width: 1; }
.pair-forest .zero { stroke: var(--even); stroke-dasharray: 2 2; } .pair-forest .link { stroke: var(--line); }
.pair-forest .chosen { stroke: var(--chosen); } .pair-forest .rejected { stroke: var(--rejected); }
.pair-forest circle.b.chosen { fill: var(--chosen); } .pair-forest circle.b.rejected { fill: var(--rejected); }
td.what { min-width: 190px; } main { max-width: 1180px; }
"""
PICTURE = 190


def terminal(found: RunComparison) -> str:
    """The comparison as text of at most 110 columns."""
    lines = [fit(f"{letter}: {_about(side)}", WIDTH) for letter, side in (("A", found.a), ("B", found.b))]
    lines += [_overlap(found), headline(found)]
    for change, group in groupby(found.differences, key=lambda line: line.change):
        if change != NO_CHANGE:
            lines += ["", f"{change.upper()} ({MEANINGS[change]})", *_rows(list(group))]
    lines.append("")
    for text in found.not_compared:
        lines += wrap(text, indent="  ")
    return "\n".join(lines)


def headline(found: RunComparison) -> str:
    """How many changed, and how."""
    changed = [f"{found.counts[change]} {change}" for change in CHANGES if found.counts[change]]
    total = len(found.differences)
    if not changed:
        return f"No difference shown among {total} clusters, concepts and text rules."
    explained = sum(line.mostly_explained for line in found.differences if line.change != NO_CHANGE)
    of_length = f"; {explained} of these mostly length or authors" if explained else ""
    return f"{', '.join(changed)}, of {total} clusters, concepts and text rules{of_length}."


def _rows(lines: Sequence[RunDifference]) -> list[str]:
    header = ("A", "B", "B − A", "95 % interval", "z", "q", "adjusted", "what")
    return table([header, *((*_numbers(line), _name(line)) for line in lines)], right=range(7))


def _numbers(line: RunDifference) -> list[str]:
    """Effects in A and B, their difference, its interval, z, q, and what is left of it beside length and authors."""
    effects = [signed(value) for value in (line.a.effect, line.b.effect, line.difference)]
    return [*effects, interval(line), signed(line.z, 1), q_text(line.q), signed(line.adjusted)]


def _name(line: RunDifference) -> str:
    kind = "" if line.kind == "cluster" else f" ({line.kind})"
    return f"{line.id} {line.label}".strip() + kind


def _about(side: RunSide) -> str:
    return f"{side.path}: {count(side.rows)} rows, {count(side.prompts)} prompts, read through {side.model}"


def _overlap(found: RunComparison) -> str:
    shared = found.shared
    if not shared.prompts:
        return "They share no prompt: two independent samples."
    return (f"They share {count(shared.prompts)} prompts and {count(shared.rows)} whole rows, "
            "which the tests take into account.")  # fmt: skip


def signed(value: float, digits: int = 3) -> str:
    """A number with its sign; ``?`` for NaN."""
    return "?" if math.isnan(value) else f"{value:+.{digits}f}".replace("-", "−")


def interval(line: RunDifference) -> str:
    """The interval of the difference."""
    return f"[{signed(line.low)}, {signed(line.high)}]"


def q_text(q: float) -> str:
    """A q-value; ``?`` if no test was possible."""
    return "?" if math.isnan(q) else f"{q:.3f}" if q >= 0.001 else f"{q:.0e}"


def page(found: RunComparison, report: str | None) -> str:
    """The comparison as a page of its own; ``report``: where A's report is, seen from it."""
    style = (files("anatomy.report") / "page" / "style.css").read_text(encoding="utf-8")
    title = f"{found.a.name} and {found.b.name}"
    head = element(
        "head",
        {},
        element("meta", {"charset": "utf-8"}),
        element("meta", {"http-equiv": "Content-Security-Policy", "content": POLICY}),
        element("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}),
        element("title", {}, f"{title} · anatomy"),
        element("link", {"rel": "icon", "href": "data:,"}),
    )
    sheet = Element("style")
    sheet.text = style + STYLE  # not through `visible`: line breaks count here
    head.append(sheet)
    body = element("body", {}, _navigation(found, title), element("main", {}, *_sections(found, report)))
    return "<!doctype html>\n" + markup(element("html", {"lang": "en"}, head, body)) + "\n"


def _navigation(found: RunComparison, title: str) -> Element:
    kept = [change for change in (*CHANGES, NO_CHANGE) if found.counts[change]]
    links = [element("li", {}, element("a", {"href": f"#{_anchor(change)}"}, f"{change} {found.counts[change]}"))
             for change in kept]  # fmt: skip
    brand = element("div", {"class": "brand"}, element("strong", {}, "anatomy"), element("span", {}, title))
    return element("nav", {"aria-label": "Sections"}, brand, element("ol", {}, *links))


def _sections(found: RunComparison, report: str | None) -> Iterator[Element]:
    yield element("h1", {}, headline(found))
    for letter, side in (("A", found.a), ("B", found.b)):
        yield element("p", {"class": "note"}, element("strong", {}, letter), f" {_about(side)}")
    yield element(
        "p",
        {"class": "note"},
        f"{_overlap(found)} A change has q of at most {found.q_threshold:g} in the test of B − A itself; that it is a "
        "finding in one run only does not make it one. Effects are chosen minus rejected over all rows: right of the "
        "line they favour the chosen side. Ring: A. Dot: B. Mostly length: less than half of the difference is left "
        "when chosen and rejected are equally long.",
    )
    for change, group in groupby(found.differences, key=lambda line: line.change):
        lines = list(group)
        heading = element("h2", {}, f"{change[0].upper()}{change[1:]}: {len(lines)}")
        parts = [element("p", {"class": "note"}, f"{MEANINGS[change][0].upper()}{MEANINGS[change][1:]}.")]
        parts.append(_table(lines, report))
        if change == NO_CHANGE:
            parts = [element("details", {}, element("summary", {}, "show them"), *parts)]
        yield element("section", {"id": _anchor(change)}, heading, *parts)
    notes = [element("li", {}, text) for text in found.not_compared]
    yield element("section", {}, element("h2", {}, "Not compared"), element("ul", {}, *notes))


def _anchor(change: str) -> str:
    return change.replace(" ", "-")


def _table(lines: Sequence[RunDifference], report: str | None) -> Element:
    reach = {kind: max(abs(end or 0) for line in lines if line.kind == kind for run in (line.a, line.b)
                       for end in (run.low, run.high, run.effect))
             for kind in {line.kind for line in lines}}  # fmt: skip
    header = ("what", "", "A", "B", "B − A", "95 % interval", "z", "q", "beside length and authors")
    rows: list[Sequence[Node]] = [
        (_what(line, report), _forest(line, reach[line.kind] or 1.0), *_numbers(line)) for line in lines
    ]
    return html_table(header, rows, numeric=range(2, len(header)))


def _what(line: RunDifference, report: str | None) -> Element:
    """Id and label, with a link to A's report."""
    address = None if report is None or line.kind == "text rule" else f"{report}#view=global&cluster={line.id}"
    name = element("span", {"class": "id"}, line.id)
    if address is not None:
        name = element("a", {"href": address}, name)
    badge = element("span", {"class": "badge warn"}, "mostly length or authors") if line.mostly_explained else None
    text = f" {line.label or line.kind}"
    return element("td", {"class": "what", "title": f"in {UNITS[line.kind]}"}, name, text, badge)


def _forest(line: RunDifference, reach: float) -> Element:
    """Both effects with their intervals on one axis: A above as a ring, B below as a dot."""

    def x(value: float) -> str:
        return f"{PICTURE / 2 + value / reach * (PICTURE / 2 - 6):.1f}"

    shapes = [element("line", {"class": "zero", "x1": x(0), "x2": x(0), "y1": "0", "y2": "24"})]
    for side, run, y in (("a", line.a, "7"), ("b", line.b, "17")):
        css = f"{side} {'chosen' if run.effect >= 0 else 'rejected'}"
        if math.isfinite(run.low):
            shapes.append(element("line", {"class": css, "x1": x(run.low), "x2": x(run.high), "y1": y, "y2": y}))
        shapes.append(element("circle", {"class": css, "cx": x(run.effect), "cy": y, "r": "3.6"}))
    text = f"A {signed(line.a.effect)}, B {signed(line.b.effect)}"
    size = {"width": str(PICTURE), "height": "24", "role": "img", "aria-label": text}
    return element("svg", {"class": "pair-forest", **size}, *shapes)
