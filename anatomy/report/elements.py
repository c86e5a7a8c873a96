"""HTML elements as a tree: every text in it is escaped when it is written."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from xml.etree.ElementTree import Element, tostring

from anatomy.text.visible import visible

Node = Element | str | None


def element(tag: str, attributes: dict[str, str] | None = None, *children: Node) -> Element:
    """An element with its attributes and children; strings are text, None is left out."""
    made = Element(tag, attributes or {})
    last: Element | None = None
    for child in children:
        if isinstance(child, str):
            if last is None:
                made.text = (made.text or "") + visible(child)
            else:
                last.tail = (last.tail or "") + visible(child)
        elif child is not None:
            made.append(child)
            last = child
    return made


def html_table(header: Sequence[str], rows: Iterable[Sequence[Node]], numeric: Collection[int] = ()) -> Element:
    """A table that scrolls sideways where it is too wide; a cell may be a ``td`` of its own.

    ``numeric`` are the numbers of the columns of numbers, from 0.
    """

    def line(tag: str, cells: Sequence[Node]) -> Element:
        return element("tr", {}, *(_cell(tag, cell, place in numeric) for place, cell in enumerate(cells)))

    head = element("thead", {}, line("th", header))
    body = element("tbody", {}, *(line("td", cells) for cells in rows))
    return element("div", {"class": "scroll"}, element("table", {}, head, body))


def _cell(tag: str, content: Node, number: bool) -> Element:
    if isinstance(content, Element) and content.tag == tag:
        return content
    scope = {"scope": "col"} if tag == "th" else {}
    return element(tag, scope | ({"class": "num"} if number else {}), content)


def markup(root: Element) -> str:
    """The tree as HTML."""
    return tostring(root, encoding="unicode", method="html")
