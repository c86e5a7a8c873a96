"""Hub data sets, with the Hub itself replaced: no test here needs a network."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import datasets
import httpx
import huggingface_hub
import pytest
from huggingface_hub.errors import GatedRepoError, OfflineModeIsEnabled, RepositoryNotFoundError, RevisionNotFoundError

from anatomy.data import hub_reach
from anatomy.data.pair_stream import read_pairs
from anatomy.data.sources import source_fingerprint
from anatomy.errors import RowsError
from anatomy.settings import RowSettings
from anatomy.types import Pair

INFO = SimpleNamespace(sha="c0ffee")


@pytest.fixture(autouse=True)
def reached(monkeypatch: pytest.MonkeyPatch) -> None:
    """The Hub has answered this process once."""
    monkeypatch.setattr(hub_reach, "_reached", {huggingface_hub.constants.ENDPOINT})


def rows(count: int) -> list[dict[str, Any]]:
    return [{"prompt": f"Q{n}", "chosen": "A", "rejected": "B"} for n in range(count)]


def stream(count: int) -> datasets.IterableDataset:
    return datasets.Dataset.from_list(rows(count)).to_iterable_dataset()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """A reachable Hub with two data sets; returns the arguments that `datasets` was called with."""
    calls: list[dict[str, Any]] = []
    sets = {
        "org/two": {"train": stream(5), "test": stream(3)},
        "org/prefs": {"train_prefs": stream(2), "test_prefs": stream(1)},
        "org/one": {"test": stream(4)},
    }

    def load_dataset(path: str, name: str | None, **kwargs: Any) -> dict[str, Any]:
        calls.append({"path": path, "name": name, **kwargs})
        if name == "missing":
            raise ValueError("BuilderConfig 'missing' not found.\nAvailable: ['default']")
        return sets[path]

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", lambda *_, **__: INFO)
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.setattr(datasets, "get_dataset_config_names", lambda *_, **__: ["default"])
    return calls


def prompts(settings: RowSettings) -> list[str]:
    return [row.prompt[0]["content"] for row in read_pairs(settings) if isinstance(row, Pair)]


def test_train_or_the_only_split_is_streamed(hub: list[dict[str, Any]]) -> None:
    assert prompts(RowSettings(rows="org/two", config="c", revision="abc")) == ["Q0", "Q1", "Q2", "Q3", "Q4"]
    assert hub[0] == {"path": "org/two", "name": "c", "revision": "c0ffee", "streaming": True}, "pinned to a commit"
    assert len(prompts(RowSettings(rows="org/one"))) == 4
    assert len(prompts(RowSettings(rows="org/two", split="test"))) == 3


@pytest.mark.usefixtures("hub")
def test_fingerprint_is_the_commit() -> None:
    assert source_fingerprint(RowSettings(rows="org/one")) == {"org/one (test)": "c0ffee"}


@pytest.mark.usefixtures("hub")
def test_sample_of_a_stream_without_a_known_length() -> None:
    sample = prompts(RowSettings(rows="org/two", sample=3, seed=1))
    assert len(sample) == 3
    assert sample == sorted(sample)


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"rows": "org/prefs"}, "org/prefs: no split `train`; choose one of test_prefs, train_prefs with `split`"),
        ({"rows": "org/two", "split": "dev"}, "org/two: no split `dev`; choose one of test, train"),
        ({"rows": "org/two", "config": "missing"}, "'missing' not found. Available: ['default']); check `config`"),
    ],
)
def test_wrong_split_or_configuration(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(RowsError) as caught:
        prompts(RowSettings(**settings))
    assert says in str(caught.value)


RESPONSE = httpx.Response(404, request=httpx.Request("GET", "https://hub.invalid"))


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OfflineModeIsEnabled("offline mode is enabled"), "not a local path, and the Hub cannot be reached"),
        (httpx.ConnectTimeout("timed out"), "(timed out); check path and network, or run `hf download org/x"),
        (RepositoryNotFoundError("x", response=RESPONSE), "neither a local path nor a data set on the Hub"),
        (GatedRepoError("x", response=RESPONSE), "gated on the Hub; accept its terms"),
        (RevisionNotFoundError("x", response=RESPONSE), "no revision `v9` on the Hub"),
    ],
)
def test_unreachable_or_unknown_id(error: Exception, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, timeout: float, **__: Any) -> None:
        assert timeout <= 10, "never hangs"
        raise error

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", fail)
    with pytest.raises(RowsError) as caught:
        prompts(RowSettings(rows="org/x", revision="v9"))
    assert str(caught.value).startswith("org/x: ")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_network_is_told_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A real request, to a port of this machine on which nobody listens."""
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    with pytest.raises(RowsError, match=r"org/x: not a local path, and the Hub cannot be reached .*hf download org/x"):
        prompts(RowSettings(rows="org/x"))
    assert sum(slept) == 0


def test_connection_lost_on_the_way_names_the_row(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Any:
        yield from rows(40)
        raise ConnectionError("peer closed the connection")

    lost = datasets.IterableDataset.from_generator(broken)
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", lambda *_, **__: INFO)
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: {"train": lost})
    with pytest.raises(
        RowsError, match=r"org/x \(train\): reading stopped after row 40 .*; check the network, run again"
    ):
        prompts(RowSettings(rows="org/x"))
