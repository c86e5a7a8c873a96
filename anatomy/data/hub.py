"""Stream a data set from the Hugging Face Hub with `datasets`, or read the copy of it in the Hub's cache.

One short request comes first: it tells an unknown or gated id from a missing network within seconds, before
`datasets` starts its own, much longer, series of retries.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from anatomy.data.hub_reach import TIMEOUT_SECONDS, why_unreachable
from anatomy.data.readers import Record, Source, without_absent
from anatomy.errors import RowsError, one_line
from anatomy.settings import RowSettings

NAME = r"[A-Za-z0-9][\w.-]*"
HUB_ID = re.compile(rf"{NAME}(/{NAME})?")
ADDRESS = re.compile(
    rf"hf://datasets/(?P<id>{NAME}/{NAME})(@(?P<revision>[^@/]+))?(/(?P<path>[^@]+?))?(@(?P<later>[^@]+))?/?"
)
RETRIES = 3
"""So often is a lost connection made again, after five seconds each."""


class HubSet(NamedTuple):
    """A data set on the Hub: its id, a revision if one is named, and files in it if only some are meant."""

    id: str
    revision: str | None
    path: str | None = None


def hub_set(settings: RowSettings) -> HubSet | None:
    """The data set that ``rows`` names by its id or as ``hf://datasets/org/name[@revision][/path]``; else None.

    Raises:
        RowsError: the address is of something else, or it and ``revision`` name two revisions.
    """
    rows = settings.rows
    if not rows.startswith("hf://"):
        return HubSet(rows, settings.revision) if HUB_ID.fullmatch(rows) else None
    found = ADDRESS.fullmatch(rows)
    if found is None:
        raise RowsError(f"{rows}: not an address of a data set; write hf://datasets/ORG/NAME[/PATH][@REVISION]")
    named = {name for name in (found["revision"], found["later"], settings.revision) if name}
    if len(named) > 1:
        raise RowsError(f"{rows}: several revisions ({', '.join(sorted(named))}); name one")
    return HubSet(found["id"], next(iter(named), None), found["path"])


def hub_source(settings: RowSettings, wanted: HubSet) -> Source:
    """The split of a Hub data set, as a stream; nothing but metadata is downloaded here.

    Raises:
        RowsError: no network, an unknown or gated id, or an unknown revision, configuration or split.
    """
    commit = probe(wanted)
    split, stream = _split(settings, _streams(settings, wanted, commit))
    name = f"{settings.rows} ({split})"

    def count() -> int:
        info = (stream.info.splits or {}).get(split)
        return info.num_examples if info is not None and info.num_examples else sum(1 for _ in _records(name, stream))

    return Source(name, lambda: _records(name, stream), count)


def cached_copy(wanted: HubSet) -> Path | None:
    """The folder in the Hub's cache that has the data set, if the Hub cannot be reached and it is there.

    Its name is the commit. ``hf download ID --repo-type dataset`` puts it there.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    if why_unreachable() is None:
        return None
    try:
        return Path(snapshot_download(wanted.id, repo_type="dataset", revision=wanted.revision, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        return None


def probe(wanted: HubSet) -> str:
    """One request with a short timeout: the commit that the revision means, or the reason why it cannot be read."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    reason = why_unreachable()
    if reason is not None:
        raise _unreachable(wanted, reason)
    try:
        info = HfApi().dataset_info(wanted.id, revision=wanted.revision, timeout=TIMEOUT_SECONDS)
    except GatedRepoError:
        raise RowsError(f"{wanted.id}: gated on the Hub; accept its terms there, then run `hf auth login`") from None
    except RepositoryNotFoundError:
        raise RowsError(
            f"{wanted.id}: neither a local path nor a data set on the Hub; check the name, "
            "or `hf auth login` if private"
        ) from None
    except RevisionNotFoundError:
        raise RowsError(
            f"{wanted.id}: no revision `{wanted.revision}` on the Hub; name a commit, tag or branch"
        ) from None
    except Exception as error:  # the Hub's client lets errors of several HTTP and socket libraries through
        raise _unreachable(wanted, one_line(error)) from None
    return str(info.sha)


def _unreachable(wanted: HubSet, reason: str) -> RowsError:
    return RowsError(
        f"{wanted.id}: not a local path, and the Hub cannot be reached ({reason}); check path and network, "
        f"or run `hf download {wanted.id} --repo-type dataset --local-dir DIR` elsewhere and name that folder"
    )


def _streams(settings: RowSettings, wanted: HubSet, commit: str) -> dict[str, Any]:
    """Streams by split, at one commit: every pass over the rows sees the same ones."""
    import datasets

    datasets.config.STREAMING_READ_MAX_RETRIES = datasets.config.STREAMING_OPEN_MAX_RETRIES = RETRIES
    files = {} if wanted.path is None else {"data_files": wanted.path}
    try:
        return dict(datasets.load_dataset(wanted.id, settings.config, revision=commit, streaming=True, **files))
    except Exception as error:  # whatever a repository's layout makes `datasets` raise; the user needs its one line
        names = _configurations(wanted, commit)
        if len(names) > 1 and settings.config not in names:
            problem = f"no configuration `{settings.config}`" if settings.config else "several configurations"
            raise RowsError(
                f"{settings.rows}: {problem}; choose one of {', '.join(sorted(names))} with `config`"
            ) from None
        raise RowsError(
            f"{settings.rows}: `datasets` cannot open it ({one_line(error)}); check `config` and `revision`"
        ) from None


def _configurations(wanted: HubSet, commit: str) -> list[str]:
    import datasets

    try:
        return list(datasets.get_dataset_config_names(wanted.id, revision=commit))
    except Exception:  # as above; the error that led here is the one to show
        return []


def _split(settings: RowSettings, streams: dict[str, Any]) -> tuple[str, Any]:
    names = sorted(streams)
    wanted = settings.split or ("train" if "train" in streams else names[0] if len(names) == 1 else None)
    if wanted is None or wanted not in streams:
        problem = f"no split `{wanted}`" if wanted else "no split `train`"
        raise RowsError(f"{settings.rows}: {problem}; choose one of {', '.join(names)} with `split`")
    return wanted, streams[wanted]


def _records(name: str, stream: Any) -> Iterator[Record]:
    row = 0
    try:
        for row, values in enumerate(stream, start=1):
            yield Record(f"{name}, row {row}", without_absent(values))
    except Exception as error:  # as above: network, decompression and schema errors of many libraries
        raise RowsError(
            f"{name}: reading stopped after row {row} ({one_line(error)}); check the network, run again"
        ) from None
