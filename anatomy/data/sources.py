"""Sources of rows: one file, a folder, a glob, or a data set on the Hugging Face Hub."""

from __future__ import annotations

import glob
import itertools
import re
from functools import partial
from pathlib import Path

from anatomy.artifacts import FILTER_LOG, HEALTH, LEFT_OUT, OUTPUTS
from anatomy.data.hub import cached_copy, hub_set, hub_source, probe
from anatomy.data.readers import READERS, Source, check_regular, count_rows, read_file, suffix_of
from anatomy.data.row_samples import spread_rows
from anatomy.errors import RowsError
from anatomy.progress import logger
from anatomy.settings import RowSettings, expanded
from anatomy.types import file_hash

SPLIT_NAME = re.compile(r"(train|test|validation|valid|val|dev|eval)(?![a-z])", re.IGNORECASE)
SHARD_SUFFIX = re.compile(r"[-_.]\d+(-of-\d+)?$")
DEMO = Path(__file__).parent / "demo" / "pairs.jsonl"
"""The embedded set, which `demo` names wherever rows or prompts are asked for."""
SIDE_FILES = {
    "dataset_info.json",
    "dataset_infos.json",
    "dataset_dict.json",
    "state.json",
    LEFT_OUT,
    FILTER_LOG,
    HEALTH,
    OUTPUTS,
}
"""What `datasets`, and `check` and `filter` here, write beside their data; not rows to be read."""


def find_sources(settings: RowSettings) -> list[Source]:
    """The files (sorted by name) or the Hub split that ``settings.rows`` names.

    Raises:
        RowsError: nothing is there, files of different kinds are mixed, or a split has to be chosen.
    """
    if settings.rows.startswith("hf://"):
        return _on_hub(settings)
    path = expanded(settings.rows)
    if settings.rows == "demo" and not path.exists():
        path = DEMO
    if path.is_dir():
        return _files(_of_split(path, _same_kind(settings.rows, _data_files(path)), settings.split), settings)
    if path.exists():
        check_regular(path)
        return _files([path], settings)
    if glob.has_magic(settings.rows):
        matches = _matches(path)
        if not matches:
            raise RowsError(f"{settings.rows}: no file matches this pattern; check it, and quote it for the shell")
        return _files(_same_kind(settings.rows, matches), settings)
    if suffix_of(path) in READERS or hub_set(settings) is None:
        raise RowsError(f"{settings.rows}: no such file or folder; check the path (relative to {Path.cwd()})")
    return _on_hub(settings)


def _on_hub(settings: RowSettings) -> list[Source]:
    wanted = hub_set(settings)
    assert wanted is not None
    copy = cached_copy(wanted)
    if copy is None:
        return [hub_source(settings, wanted)]
    logger.info(f"{settings.rows}: the Hub cannot be reached; read from its cache, commit {copy.name}")
    return find_sources(settings.model_copy(update={"rows": str(copy / (wanted.path or "")), "revision": None}))


def source_fingerprint(settings: RowSettings) -> dict[str, str]:
    """What the rows are made of: SHA-256 of each local file, or the commit of the Hub data set.

    Raises:
        RowsError: as :func:`find_sources`.
    """
    sources = find_sources(settings)
    if Path(sources[0].name).is_file():
        return {source.name: file_hash(Path(source.name)) for source in sources}
    wanted = hub_set(settings)
    assert wanted is not None
    return {sources[0].name: probe(wanted)}


def _files(paths: list[Path], settings: RowSettings) -> list[Source]:
    for key in ("config", "revision"):
        if getattr(settings, key) is not None:
            raise RowsError(f"{settings.rows}: `{key}` is for data sets on the Hub, and this is local; leave it out")
    if settings.split is not None and not expanded(settings.rows).is_dir():
        raise RowsError(f"{settings.rows}: `split` is for folders and the Hub; leave it out")
    return [
        Source(str(path), partial(read_file, path), partial(count_rows, path), partial(spread_rows, path))
        for path in paths
    ]


def _matches(pattern: Path) -> list[Path]:
    """Files that fit a pattern, by name. ``**`` enters no link to a folder (it may lead back), and nothing hidden."""
    fixed = list(itertools.takewhile(lambda part: not glob.has_magic(part), pattern.parts))
    root, wild = Path(*fixed), pattern.parts[len(fixed) :]
    wants_hidden = any(part.startswith(".") for part in wild)
    try:
        found = {path for path in root.glob("/".join(wild)) if path.is_file()}
    except ValueError as error:
        raise RowsError(f"{pattern}: not a pattern ({error}); `**` stands alone between slashes") from None
    return sorted(
        path
        for path in found
        if wants_hidden or not any(part.startswith(".") for part in path.parts[len(root.parts) :])
    )


def _data_files(folder: Path) -> list[Path]:
    """Data files in a folder, at any depth; not hidden ones, documentation and the side files of `datasets`."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    hidden = [any(part.startswith(".") for part in path.relative_to(folder).parts) for path in paths]
    found = [
        path
        for path, is_hidden in zip(paths, hidden, strict=True)
        if suffix_of(path) in READERS and not is_hidden and path.name not in SIDE_FILES
    ]
    if not found:
        raise RowsError(
            f"{folder}: no data files in this folder; known extensions: {', '.join(READERS)}, also with .gz"
        )
    return found


def _same_kind(name: str, paths: list[Path]) -> list[Path]:
    kinds = sorted({suffix_of(path) or path.name for path in paths})
    if len(kinds) > 1:
        raise RowsError(
            f"{name}: mixes {', '.join(kinds)} files; name the ones that hold rows with a pattern (*{kinds[0]})"
        )
    return paths


def _of_split(folder: Path, paths: list[Path], wanted: str | None) -> list[Path]:
    """Files of the wanted split; by default all, unless their names tell splits apart: then `train`."""
    groups: dict[str | None, list[Path]] = {}
    for path in paths:
        groups.setdefault(_split_of(path.relative_to(folder)), []).append(path)
    if wanted is None and len(groups) == 1:
        return paths
    chosen = wanted or ("train" if None not in groups else None)
    if chosen is None or chosen not in groups:
        names = ", ".join(sorted(name or "(none)" for name in groups))
        raise RowsError(
            f"{folder}: {f'no split `{wanted}`' if wanted else 'files of several splits'}; "
            f"splits by file name: {names}; choose one with `split`, or name files with a pattern"
        )
    return groups[chosen]


def _split_of(path: Path) -> str | None:
    """Split that a file's or a folder's name tells, as on the Hub: ``train-00000-of-00002``, ``test_prefs/…``."""
    names = [SHARD_SUFFIX.sub("", path.name.split(".")[0]), *reversed(path.parts[:-1])]
    return next((name for name in names if SPLIT_NAME.match(name)), None)
