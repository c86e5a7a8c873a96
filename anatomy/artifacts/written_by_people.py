"""Files that a person wrote, as text and as YAML: of limited size, depth and expansion, every fault in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from anatomy.errors import AnatomyError, SettingsError, shown

MOST_BYTES = 4 << 20
"""Largest file of settings, of a plan or of concepts; one of 100,000 row ids has 3.5 MB."""
MOST_NODES = 200_000
MOST_LEVELS = 32


def read_small_file(path: Path, what: str, error: type[AnatomyError] = SettingsError, remedy: str = "") -> str:
    """The text of a file that a person wrote; ``what`` names it in the error, ``remedy`` ends the line.

    Raises:
        AnatomyError: of the kind ``error``: no regular file, larger than 4 MiB, or not UTF-8 text.
    """
    try:
        if path.exists() and not path.is_file():
            raise error(f"{path}: a folder, pipe or device is no {what}; name a file{remedy}")
        with path.open("rb") as stream:
            content = stream.read(MOST_BYTES + 1)
    except (OSError, ValueError) as fault:  # ValueError: a name with a NUL
        raise error(f"{path}: cannot read the {what} ({getattr(fault, 'strerror', None) or fault}){remedy}") from None
    if len(content) > MOST_BYTES:
        raise error(f"{path}: too large for a {what} (more than {MOST_BYTES >> 20} MiB){remedy}")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        raise error(f"{path}: the {what} is not UTF-8 text (byte {fault.start}); save it as UTF-8{remedy}") from None


def read_yaml(path: Path, what: str, error: type[AnatomyError] = SettingsError, remedy: str = "") -> Any:
    """The value in a YAML file, of limited size and depth; arguments as of :func:`read_small_file`.

    Raises:
        AnatomyError: of the kind ``error``: the file cannot be read, is not valid YAML, or passes a limit.
    """
    import yaml

    text = read_small_file(path, what, error, remedy)
    try:
        _check_yaml(text)
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, OverflowError) as fault:  # ValueError: a 13th month, an int of 5,000 digits
        raise error(
            f"{path}: not valid YAML for a {what} ({' '.join(str(fault).split('; use sys.')[0].split())[:300]}){remedy}"
        ) from None


def _check_yaml(text: str) -> None:
    """Refuse YAML that is deep, that anchors make large, or whose tags ask for types by name.

    Raises:
        ValueError: says which limit is passed.
        yaml.YAMLError: the text is not YAML.
    """
    import yaml

    sizes: dict[str, int] = {}  # nodes below an anchor, aliases written out
    opened: list[tuple[str | None, int]] = []  # anchor of each collection around, and the nodes before it
    total = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            if any(anchor == event.anchor for anchor, _ in opened):
                raise ValueError(f"the anchor {shown(event.anchor)} holds itself")
            total += sizes.get(event.anchor or "", 0)
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = opened.pop()
            if anchor is not None:
                sizes[anchor] = total - before
        elif isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent):
            if event.tag not in (None, "!"):
                raise ValueError(f"a tag, {shown(event.tag)}; leave it out")
            total += 1
            if isinstance(event, yaml.CollectionStartEvent):
                opened.append((event.anchor, total - 1))
            elif event.anchor is not None:
                sizes[event.anchor] = 1
        if len(opened) > MOST_LEVELS:
            raise ValueError(f"nested more than {MOST_LEVELS} levels deep")
        if total > MOST_NODES:
            raise ValueError(f"more than {MOST_NODES:,} values, with anchors written out")
