"""The report over HTTP: this machine only, the files of this report only, and no more time or threads than stated."""

import http.client
import os
import socket
import threading
import time
from types import SimpleNamespace

import pytest

from anatomy.errors import RunError, SettingsError
from anatomy.report import serve
from anatomy.report.page import report_folder
from anatomy.report.serve import HOST, server
from anatomy.workflows import view as view_verb  # the module


@pytest.fixture
def folder(tmp_path):
    """A report with what must not be served in it and beside it."""
    report = tmp_path / "report"
    (report / "below").mkdir(parents=True)
    (report / "index.html").write_text("the page")
    (report / "tokens-0001.js").write_text("anatomyPart()")
    for path in (tmp_path / "secret.html", report / "below" / "in.html", report / "notes.txt", report / ".a.html"):
        path.write_text("secret")
    (report / "link.html").symlink_to(tmp_path / "secret.html")
    (report / "up.html").symlink_to(tmp_path)
    (report / "up").symlink_to(tmp_path)
    os.mkfifo(report / "pipe.js")
    return report


@pytest.fixture
def port(folder):
    with server(folder) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield running.server_address[1]
        running.shutdown()
        thread.join()


def ask(port, path, method="GET", **headers):
    connection = http.client.HTTPConnection(HOST, port, timeout=60)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    found = answer.status, answer.read()
    connection.close()
    return found


def raw(port, text):
    """All that comes back for bytes as they are."""
    with socket.create_connection((HOST, port), timeout=60) as connection:
        connection.sendall(text)
        received = b""
        while piece := connection.recv(1 << 16):
            received += piece
    return received


@pytest.mark.parametrize("path", ["/", "/?a=b", "/index.html", "/index.html?x"])
def test_it_serves_the_page(port, path):
    assert ask(port, path) == (200, b"the page")
    assert ask(port, path, "HEAD") == (200, b"")
    assert ask(port, path, Range="bytes=0-1") == (200, b"the page")  # a range may be answered with all
    assert ask(port, path, Host=f"localhost:{port}") == (200, b"the page")


def test_it_serves_the_parts(port):
    assert ask(port, "/tokens-0001.js") == (200, b"anatomyPart()")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "path",
    [
        "/../secret.html", "/%2e%2e/secret.html", "/%252e%252e/secret.html", "/..%2fsecret.html", "/..\\secret.html",
        "/link.html", "/up.html", "/up/secret.html", "/up/", "/below/", "/below", "/below/in.html", "/notes.txt",
        "/.a.html", "/pipe.js", "/index.html%00", "/%00", "/index.html/", "//index.html/..", "/%ff%fe", "/none.html",
        "/[", "//[", "/./index.html", "/con.js:stream", "/" + "a" * 5000 + ".html",
    ],
)  # fmt: skip
def test_nothing_else_is_served(port, path, method, capfd):
    status, body = ask(port, path, method)
    assert status == 404
    assert b"secret" not in body
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:80", "[::1]", "localhost.evil", "127.0.0.1.evil:1", "0", "", "a@localhost"],
)
def test_other_host_names_are_refused(port, method, host):
    assert ask(port, "/", method, Host=host)[0] == 403


@pytest.mark.parametrize("lines", [b"", b"Host: localhost\r\nHost: evil\r\n", b"Host:\r\n"])
def test_exactly_one_host_is_named(port, lines):
    assert b" 403 " in raw(port, b"GET / HTTP/1.1\r\n" + lines + b"\r\n")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PATCH", "X\x1b[2J"])
def test_other_methods_are_refused(port, method, capfd):
    status = raw(port, f"{method} / HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()).split(b" ")[1]
    assert status in (b"501", b"400")
    assert capfd.readouterr().err == ""


MALFORMED = {
    "a long line": b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n",
    "a long header": b"GET / HTTP/1.1\r\nX: " + b"a" * 70_000 + b"\r\n\r\n",
    "many headers": b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * 200 + b"\r\n",
    "bytes": bytes(range(256)) + b"\r\n\r\n",
    "a version": b"GET / HTTP/9.9.9\r\n\r\n",
    "no version": b"GET /\r\n\r\n",
    "a null byte": b"GET /\x00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "TLS": bytes.fromhex("160301020001000001fc0303") + b"\0" * 64 + b"\r\n",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_requests_are_errors_and_the_server_stays(port, name, capfd):
    try:
        answer = raw(port, MALFORMED[name])
    except ConnectionResetError:  # it was refused before it was read to its end
        answer = b""
    assert b" 200 " not in answer
    assert b"the page" not in answer
    assert capfd.readouterr().err == ""
    assert ask(port, "/")[0] == 200


def test_every_answer_says_that_it_is_for_this_page_only(port):
    for path, status in (("/", b"200"), ("/none.html", b"404")):
        head = raw(port, f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()).partition(b"\r\n\r\n")[0]
        assert head.split(b" ")[1] == status
        for line in (b"X-Content-Type-Options: nosniff", b"frame-ancestors 'none'", b"Resource-Policy: same-origin"):
            assert line in head
        assert b"Python" not in head


def test_a_client_that_sends_slowly_is_given_up(port, monkeypatch, folder):
    """Bytes that come one by one do not hold a thread for longer than a request may take."""
    monkeypatch.setattr(serve, "READ_S", 0.3)
    with socket.create_connection((HOST, port), timeout=60) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nX: ")
        assert connection.recv(1) == b""


def test_connections_at_once_are_bounded(port, monkeypatch):
    held = [socket.create_connection((HOST, port), timeout=60) for _ in range(serve.MOST_CONNECTIONS)]
    try:
        with socket.create_connection((HOST, port), timeout=60) as further:
            assert further.recv(1) == b""
    finally:
        for connection in held:
            connection.close()
    for _ in range(1000):  # their threads end
        try:
            assert ask(port, "/")[0] == 200
            return
        except (http.client.RemoteDisconnected, ConnectionResetError):
            time.sleep(0.02)
    pytest.fail("no thread became free")


def test_a_client_that_leaves_is_no_traceback(folder, capfd):
    (folder / "index.html").write_bytes(b"x" * (32 << 20))
    with server(folder) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        with socket.create_connection(running.server_address) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            connection.recv(10)
        assert ask(running.server_address[1], "/none.html")[0] == 404
        running.shutdown()
        thread.join()
    assert capfd.readouterr().err == ""


def test_a_taken_port_is_one_line_that_says_what_to_do(port, tmp_path):
    with pytest.raises(SettingsError, match="choose another"):
        server(tmp_path, port)
    with pytest.raises(SettingsError, match="choose another"):
        server(tmp_path, 99_999)


def test_a_report_that_is_a_link_is_refused(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "report").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunError, match="report: a link"):
        report_folder(tmp_path / "run")


def test_the_page_of_a_read_only_run_is_served_as_it_is(tmp_path, monkeypatch):
    served, required = [], []
    monkeypatch.setattr(view_verb, "serve", lambda folder, port, browser: served.append(folder))
    monkeypatch.setattr(view_verb, "report", lambda run: pytest.fail("it was written"))
    monkeypatch.setattr(view_verb.os, "access", lambda path, mode: False)
    monkeypatch.setattr(view_verb.Run, "at", lambda path: SimpleNamespace(require=required.append))
    view_verb.view(tmp_path)
    assert (served, required) == ([tmp_path / "report"], ["report"])
