"""Two runs beside each other: for the terminal, and as one small page without any script."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from itertools import groupby
from typing import Any
from xml.etree.ElementTree import Element

from anatomy.report.elements import element, markup
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


def terminal(told: Mapping[str, Any]) -> str:
    """The comparison as text of at most 110 columns."""
    lines = [fit(f"{letter.upper()}: {_about(told[letter])}", WIDTH) for letter in "ab"]
    lines += [_overlap(told), headline(told)]
    for change, group in groupby(told["differences"], key=lambda line: line["change"]):
        if change != NO_CHANGE:
            lines += ["", f"{change.upper()} ({MEANINGS[change]})", *_rows(list(group))]
    lines.append("")
    for text in told["not_compared"]:
        lines += wrap(text, indent="  ")
    return "\n".join(lines)


def headline(told: Mapping[str, Any]) -> str:
    """How many changed, and how."""
    changed = [f"{told['counts'][change]} {change}" for change in CHANGES if told["counts"][change]]
    total = len(told["differences"])
    if not changed:
        return f"No difference shown among {total} clusters, concepts and text rules."
    lengths = sum(line["mostly_length"] for line in told["differences"] if line["change"] != NO_CHANGE)
    told_lengths = f"; {lengths} of these mostly length" if lengths else ""
    return f"{', '.join(changed)}, of {total} clusters, concepts and text rules{told_lengths}."


def _rows(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    header = ("A", "B", "B − A", "95 % interval", "z", "q", "same length", "what")
    return table([header, *((*_numbers(line), _name(line)) for line in lines)], right=range(7))


def _numbers(line: Mapping[str, Any]) -> list[str]:
    """Effects in A and B, their difference, its interval, z, q, and what is left of it at equal length."""
    effects = [signed(value) for value in (line["a"]["effect"], line["b"]["effect"], line["difference"])]
    return [*effects, interval(line), signed(line["z"], 1), q_text(line["q"]), signed(line["adjusted"])]


def _name(line: Mapping[str, Any]) -> str:
    kind = "" if line["kind"] == "cluster" else f" ({line['kind']})"
    return f"{line['id']} {line['label']}".strip() + kind


def _about(side: Mapping[str, Any]) -> str:
    return f"{side['path']}: {count(side['rows'])} rows, {count(side['prompts'])} prompts, read through {side['model']}"


def _overlap(told: Mapping[str, Any]) -> str:
    shared = told["shared"]
    if not shared["prompts"]:
        return "They share no prompt: two independent samples."
    return (f"They share {count(shared['prompts'])} prompts and {count(shared['rows'])} whole rows, "
            "which the tests take into account.")  # fmt: skip


def signed(value: float | None, digits: int = 3) -> str:
    """A number with its sign; ``?`` where there is none."""
    return "?" if value is None or value != value else f"{value:+.{digits}f}".replace("-", "−")


def interval(line: Mapping[str, Any]) -> str:
    """The interval of the difference."""
    return f"[{signed(line['low'])}, {signed(line['high'])}]"


def q_text(q: float | None) -> str:
    """A q-value; ``?`` where no test was possible."""
    return "?" if q is None or q != q else f"{q:.3f}" if q >= 0.001 else f"{q:.0e}"


def page(told: Mapping[str, Any], report: str | None) -> str:
    """The comparison as a page of its own; ``report``: where A's report is, seen from it."""
    style = (files("anatomy.report") / "page" / "style.css").read_text(encoding="utf-8")
    title = f"{told['a']['name']} and {told['b']['name']}"
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
    body = element("body", {}, _navigation(told, title), element("main", {}, *_sections(told, report)))
    return "<!doctype html>\n" + markup(element("html", {"lang": "en"}, head, body)) + "\n"


def _navigation(told: Mapping[str, Any], title: str) -> Element:
    kept = [change for change in (*CHANGES, NO_CHANGE) if told["counts"][change]]
    links = [element("li", {}, element("a", {"href": f"#{_anchor(change)}"}, f"{change} {told['counts'][change]}"))
             for change in kept]  # fmt: skip
    brand = element("div", {"class": "brand"}, element("strong", {}, "anatomy"), element("span", {}, title))
    return element("nav", {"aria-label": "Sections"}, brand, element("ol", {}, *links))


def _sections(told: Mapping[str, Any], report: str | None) -> Iterator[Element]:
    yield element("h1", {}, headline(told))
    for letter in "ab":
        yield element("p", {"class": "note"}, element("strong", {}, letter.upper()), f" {_about(told[letter])}")
    yield element(
        "p",
        {"class": "note"},
        f"{_overlap(told)} A change has q of at most {told['q_threshold']:g} in the test of B − A itself; that it is a "
        "finding in one run only does not make it one. Effects are chosen minus rejected over all rows: right of the "
        "line they favour the chosen side. Ring: A. Dot: B. Mostly length: less than half of the difference is left "
        "when chosen and rejected are equally long.",
    )
    for change, group in groupby(told["differences"], key=lambda line: line["change"]):
        lines = list(group)
        heading = element("h2", {}, f"{change[0].upper()}{change[1:]}: {len(lines)}")
        parts = [element("p", {"class": "note"}, f"{MEANINGS[change][0].upper()}{MEANINGS[change][1:]}.")]
        parts.append(element("div", {"class": "scroll"}, _table(lines, report)))
        if change == NO_CHANGE:
            parts = [element("details", {}, element("summary", {}, "show them"), *parts)]
        yield element("section", {"id": _anchor(change)}, heading, *parts)
    notes = [element("li", {}, text) for text in told["not_compared"]]
    yield element("section", {}, element("h2", {}, "Not compared"), element("ul", {}, *notes))


def _anchor(change: str) -> str:
    return change.replace(" ", "-")


def _table(lines: Sequence[Mapping[str, Any]], report: str | None) -> Element:
    reach = {kind: max(abs(end or 0) for line in lines if line["kind"] == kind for side in "ab"
                       for end in (line[side]["low"], line[side]["high"], line[side]["effect"]))
             for kind in {line["kind"] for line in lines}}  # fmt: skip
    names = ("what", "", "A", "B", "B − A", "95 % interval", "z", "q", "at equal length")
    head = element("tr", {}, *(element("th", {"class": "num"} if place > 1 else {}, name)
                               for place, name in enumerate(names)))  # fmt: skip
    body = [_line(line, reach[line["kind"]] or 1.0, report) for line in lines]
    return element("table", {}, element("thead", {}, head), element("tbody", {}, *body))


def _line(line: Mapping[str, Any], reach: float, report: str | None) -> Element:
    address = None if report is None or line["kind"] == "text rule" else f"{report}#view=global&cluster={line['id']}"
    name = element("span", {"class": "id"}, line["id"])
    if address is not None:
        name = element("a", {"href": address}, name)
    told = line["label"] or line["kind"]
    cells = [element("td", {"class": "num"}, text) for text in _numbers(line)]
    badge = element("span", {"class": "badge warn"}, "mostly length") if line["mostly_length"] else None
    what = element("td", {"class": "what", "title": f"in {UNITS[line['kind']]}"}, name, f" {told}", badge)
    return element("tr", {}, what, element("td", {}, _forest(line, reach)), *cells)


def _forest(line: Mapping[str, Any], reach: float) -> Element:
    """Both effects with their intervals on one axis: A above as a ring, B below as a dot."""

    def x(value: float) -> str:
        return f"{PICTURE / 2 + value / reach * (PICTURE / 2 - 6):.1f}"

    shapes = [element("line", {"class": "zero", "x1": x(0), "x2": x(0), "y1": "0", "y2": "24"})]
    for side, y in (("a", "7"), ("b", "17")):
        own = line[side]
        css = f"{side} {'chosen' if own['effect'] >= 0 else 'rejected'}"
        if own["low"] is not None and own["low"] == own["low"]:
            shapes.append(element("line", {"class": css, "x1": x(own["low"]), "x2": x(own["high"]), "y1": y, "y2": y}))
        shapes.append(element("circle", {"class": css, "cx": x(own["effect"]), "cy": y, "r": "3.6"}))
    told = f"A {signed(line['a']['effect'])}, B {signed(line['b']['effect'])}"
    size = {"width": str(PICTURE), "height": "24", "role": "img", "aria-label": told}
    return element("svg", {"class": "pair-forest", **size}, *shapes)
