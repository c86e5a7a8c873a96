"""The suite opens no connection but to this machine: the watch sees each way to do so, in every process."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.loopback import sitecustomize as loopback

ELSEWHERE = "192.0.2.1"  # an address for documentation: nobody has it
WAYS = {
    "connect": "socket.socket().connect((HOST, 9))",
    "connect_ex": "socket.socket().connect_ex((HOST, 9))",
    "create_connection": "socket.create_connection((HOST, 9))",
    "IPv6": "socket.socket(socket.AF_INET6).connect(('2001:db8::1', 9))",
    "datagram": "socket.socket(type=socket.SOCK_DGRAM).sendto(b'', (HOST, 9))",
    "datagram with parts": "socket.socket(type=socket.SOCK_DGRAM).sendmsg([b''], [], 0, (HOST, 9))",
    "a name": "socket.getaddrinfo('host.invalid', 9)",
    "an old lookup": "socket.gethostbyname('host.invalid')",
    "a lookup backwards": "socket.gethostbyaddr(HOST)",
    "urllib": "__import__('urllib.request').request.urlopen('http://host.invalid/')",
    "httpx": "__import__('httpx').get('http://host.invalid/', trust_env=False)",
    "asyncio": "__import__('asyncio').run(__import__('asyncio').open_connection(HOST, 9))",
}
STARTED = {
    "in this process": lambda code: exec(code, {}),  # noqa: S102
    "in a process": lambda code: subprocess.run([sys.executable, "-c", code], check=True, capture_output=True),
    "in a process with its own path": lambda code: subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, env={"PYTHONPATH": "/nowhere"}
    ),
    "in a process of a process": lambda code: subprocess.run(
        [sys.executable, "-c", f"import subprocess, sys; subprocess.run([sys.executable, '-c', {code!r}], check=True)"],
        check=True,
        capture_output=True,
    ),
    "in a fork": lambda code: _forked(code),
}


def _forked(code):
    child = os.fork()
    if child == 0:
        try:
            exec(code, {})  # noqa: S102
        finally:
            os._exit(1)
    os.waitpid(child, 0)
    raise ConnectionRefusedError


@pytest.fixture
def log(tmp_path, monkeypatch):
    """A log of this test's own, so that what is tried on purpose fails nothing."""
    monkeypatch.setenv(loopback.LOG, str(tmp_path / "log"))
    yield tmp_path / "log"
    monkeypatch.undo()


@pytest.mark.parametrize("way", WAYS)
def test_every_way_out_is_seen_and_closed(way, log):
    import httpx

    code = f"import socket; HOST = {ELSEWHERE!r}; {WAYS[way]}"
    with ThreadPoolExecutor(1) as pool, pytest.raises((OSError, httpx.ConnectError)):
        pool.submit(exec, code, {}).result()  # in a thread that no event loop of another test runs in
    assert log.read_text().startswith(os.environ["PYTEST_CURRENT_TEST"].rpartition(" (")[0])


@pytest.mark.parametrize("start", STARTED)
def test_every_process_is_watched(start, log):
    with pytest.raises((OSError, subprocess.CalledProcessError)):
        STARTED[start](f"import socket; socket.create_connection(({ELSEWHERE!r}, 9), 1)")
    assert ELSEWHERE in log.read_text()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost", b"localhost", "", None])
def test_this_machine_is_open(host, log):
    assert loopback.is_loopback(host)


@pytest.mark.parametrize("host", ["10.0.0.1", "localhost.evil", "::", "fe80::1%eth0", "host", b"\xff", "127.1"])
def test_other_machines_are_not(host):
    assert not loopback.is_loopback(host)


def test_no_library_reports_what_is_run():
    """Trainings of a local model would be reported to the Hub by TRL."""
    code = "import anatomy; from huggingface_hub import constants; assert constants.HF_HUB_DISABLE_TELEMETRY"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_test_that_connects_elsewhere_fails_and_is_named(tmp_path, log):
    """The plugin of this suite, in a run of two tests."""
    (tmp_path / "test_two.py").write_text(
        "import contextlib, socket\n"
        "def test_stays(): assert True\n"
        "def test_leaves():\n"
        f"    with contextlib.suppress(OSError): socket.create_connection(({ELSEWHERE!r}, 9), 1)\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "support.loopback.loopback_plugin"]
    path = {"PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run(
        [*command, "--rootdir=.", "."], capture_output=True, text=True, cwd=tmp_path, env={**os.environ, **path}
    )
    assert done.returncode == 1, done.stdout
    assert "ERROR test_two.py::test_leaves" in done.stdout
    assert f"socket.getaddrinfo {ELSEWHERE!r}" in done.stdout
    assert "2 passed, 1 error" in done.stdout
