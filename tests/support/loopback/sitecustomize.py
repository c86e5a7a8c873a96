"""No connection but to this machine: watched in this process and in every Python process that it starts.

Python loads a module of this name at its start, if its folder is in ``PYTHONPATH``. The hook sees what goes through
Python's sockets, names that are looked up included; it refuses the rest and writes it down for the test that did it.
Neither ``python -I`` nor programs that are not Python are watched.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

LOG = "TESTS_CONNECTIONS"
"""Environment variable with the file that connections are written to; unset, nothing is watched."""
HERE = os.path.dirname(os.path.abspath(__file__))
LOOKUPS = ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr")
SENDS = ("socket.connect", "socket.sendto", "socket.sendmsg")
INTERNET = (2, 10)
"""Numbers of the address families IPv4 and IPv6 on Linux."""


def is_loopback(host: object) -> bool:
    """Whether a host's name or number is this machine itself; no host counts as that."""
    text = host.decode("ascii", "replace") if isinstance(host, bytes) else host
    if text in (None, "", "localhost", socket.gethostname()):
        return True
    try:
        return ipaddress.ip_address(str(text).partition("%")[0]).is_loopback
    except ValueError:
        return False


def _hook(event: str, given: tuple[Any, ...]) -> None:
    if not event.startswith("socket."):
        return
    if event in LOOKUPS:
        host = given[0]
    elif event in SENDS and given[0].family in INTERNET and given[1] is not None:
        host = given[1][0]
    else:
        return
    if not is_loopback(host):
        test = os.environ.get("PYTEST_CURRENT_TEST", "outside of tests").rpartition(" (")[0]
        with open(os.environ[LOG], "a", encoding="utf-8") as file:
            file.write(f"{test}\t{event} {host!r}\n")
        raise ConnectionRefusedError(f"tests connect to this machine only, not to {host!r}")


def seen(test: str = "") -> list[str]:
    """Connections that were tried, by ``test`` or by all."""
    log = Path(os.environ[LOG])
    lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    return [line for line in lines if not test or line.split("\t")[0] == test]


def _with_hook(path: str | None) -> str:
    return os.pathsep.join([HERE, *(part for part in (path or "").split(os.pathsep) if part and part != HERE)])


def watch() -> None:
    """Watch this process and those that it starts, from now on; once a process."""
    if getattr(sys, "loopback_only", False):
        return
    sys.loopback_only = True  # type: ignore[attr-defined]
    sys.addaudithook(_hook)
    os.environ["PYTHONPATH"] = _with_hook(os.environ.get("PYTHONPATH"))
    start = subprocess.Popen.__init__

    def started(self: Any, *given: Any, env: Any = None, **more: Any) -> None:
        if env is not None:  # a test may choose the path of modules: the hook stays in it
            env = {**env, "PYTHONPATH": _with_hook(env.get("PYTHONPATH")), LOG: os.environ[LOG]}
        start(self, *given, env=env, **more)

    subprocess.Popen.__init__ = started  # type: ignore[method-assign]


if LOG in os.environ:
    watch()
