"""HTML elements as a tree: every text in it is escaped when it is written."""

from __future__ import annotations

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


def markup(root: Element) -> str:
    """The tree as HTML."""
    return tostring(root, encoding="unicode", method="html")
