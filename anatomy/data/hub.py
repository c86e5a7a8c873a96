"""Stream a data set from the Hugging Face Hub with `datasets`.

One short request comes first: it tells an unknown or gated id from a missing network within seconds, before
`datasets` starts its own, much longer, series of retries.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from anatomy.data.readers import Record, Source, without_absent
from anatomy.errors import RowsError, one_line
from anatomy.settings import RowSettings

TIMEOUT_SECONDS = 10.0


def hub_source(settings: RowSettings) -> Source:
    """The split of a Hub data set, as a stream; nothing but metadata is downloaded here.

    Raises:
        RowsError: no network, an unknown or gated id, or an unknown revision, configuration or split.
    """
    commit = probe(settings.rows, settings.revision)
    split, stream = _split(settings, _streams(settings, commit))
    name = f"{settings.rows} ({split})"

    def count() -> int:
        info = (stream.info.splits or {}).get(split)
        return info.num_examples if info is not None and info.num_examples else sum(1 for _ in _records(name, stream))

    return Source(name, lambda: _records(name, stream), count)


def probe(hub_id: str, revision: str | None) -> str:
    """One request with a short timeout: the commit that ``revision`` means, or the reason why it cannot be read."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    try:
        return str(HfApi().dataset_info(hub_id, revision=revision, timeout=TIMEOUT_SECONDS).sha)
    except GatedRepoError:
        raise RowsError(f"{hub_id}: gated on the Hub; accept its terms there, then run `hf auth login`") from None
    except RepositoryNotFoundError:
        raise RowsError(
            f"{hub_id}: neither a local path nor a data set on the Hub; check the name, or `hf auth login` if private"
        ) from None
    except RevisionNotFoundError:
        raise RowsError(f"{hub_id}: no revision `{revision}` on the Hub; name a commit, tag or branch") from None
    except Exception as error:  # the Hub's client lets errors of several HTTP and socket libraries through
        raise RowsError(
            f"{hub_id}: not a local path, and the Hub cannot be reached ({one_line(error)}); check path and network, "
            f"or run `hf download {hub_id} --repo-type dataset --local-dir DIR` elsewhere and name that folder"
        ) from None


def _streams(settings: RowSettings, commit: str) -> dict[str, Any]:
    """Streams by split, at one commit: every pass over the rows sees the same ones."""
    import datasets

    try:
        return dict(datasets.load_dataset(settings.rows, settings.config, revision=commit, streaming=True))
    except Exception as error:  # whatever a repository's layout makes `datasets` raise; the user needs its one line
        raise RowsError(
            f"{settings.rows}: `datasets` cannot open it ({one_line(error)}); check `config` and `revision`"
        ) from None


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
