"""The report over HTTP: this machine only, this folder only."""

import http.client
import threading

import pytest

from anatomy.errors import SettingsError
from anatomy.report.serve import HOST, server


@pytest.fixture
def port(tmp_path):
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "index.html").write_text("the page")
    (tmp_path / "secret").write_text("no")
    with server(tmp_path / "report") as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running.server_address[1]
        running.shutdown()
        thread.join()


def ask(port, path, **headers):
    connection = http.client.HTTPConnection(HOST, port, timeout=5)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    return answer.status, answer.read()


def test_it_serves_the_page(port):
    assert ask(port, "/") == (200, b"the page")


def test_nothing_outside_the_folder(port):
    assert ask(port, "/../secret")[0] == 404
    assert ask(port, "/%2e%2e/secret")[0] == 404


def test_other_host_names_are_refused(port):
    assert ask(port, "/", Host="evil.example:80")[0] == 403


def test_a_taken_port_is_one_line_that_says_what_to_do(port, tmp_path):
    with pytest.raises(SettingsError, match="choose another"):
        server(tmp_path, port)
    with pytest.raises(SettingsError, match="choose another"):
        server(tmp_path, 99_999)
