"""What makes a connection to another machine a failure; importing this begins the watch."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator

import pytest

from support.loopback import sitecustomize as loopback

if loopback.LOG not in os.environ:  # a worker has it from the process that started it
    os.environ[loopback.LOG] = os.path.join(tempfile.mkdtemp(prefix="connections-"), "log")
loopback.watch()


@pytest.fixture(autouse=True)
def loopback_only(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that looks up or connects to another machine, in whatever process it does that."""
    yield
    found = loopback.seen(request.node.nodeid)
    assert not found, f"connections beyond this machine: {found}"


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run with a connection that no test answers for, such as one while modules were collected."""
    if found := loopback.seen():
        print("\nconnections beyond this machine:", *found, sep="\n")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
