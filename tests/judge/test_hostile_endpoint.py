"""An endpoint that wants memory, time or the key, and addresses that are none: bounded, one line, nothing kept."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import sqlite3
import threading
import time

import pytest
from pydantic import ValidationError
from support.chat_server import Act, completion, scored

from anatomy.errors import JudgeError, SettingsError
from anatomy.judge import endpoint as judge_http
from anatomy.judge.answer_cache import AnswerCache
from anatomy.judge.endpoint import Endpoint
from anatomy.judge.judge import Judge, Question
from anatomy.judge.judge_settings import JudgeSettings
from anatomy.naming.name_settings import NameSettings
from anatomy.settings import load_settings
from anatomy.text.redaction import redacted
from probes.probe_settings import ProbeFitSettings

QUESTION = Question("How much does the answer praise dogs?", {"answer": "A dog is a good dog."})
PADDED = completion('{"evidence": "dog", "score": 70}').replace(b"{", b"{" + b" " * (5 << 20), 1)
DEEP = b'{"choices": ' + b"[" * 100_000


@pytest.fixture
def judge(server, tmp_path):
    def make(**settings) -> Judge:
        return Judge(JudgeSettings(**{"base_url": server.url, "model": "m"} | settings), tmp_path / "cache.sqlite")

    return make


@pytest.fixture
def no_names(monkeypatch):
    """A resolver that knows no name, asked without a connection."""

    def unknown(host, *_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)


HOSTILE = {
    "5 MB of white space": (Act(PADDED), "answer too long"),
    "a gzip bomb": (
        Act(gzip.compress(PADDED * 20), headers=(("Content-Encoding", "gzip"),)),
        "response is not a chat completion",
    ),
    "deep JSON": (Act(DEEP), "response is not a chat completion"),
    "a list": (Act(b"[]"), "response is not a chat completion"),
    "null": (Act(b"null"), "response is not a chat completion"),
    "a number of 10,000 digits": (Act(b'{"choices": 1' + b"0" * 10_000 + b"}"), "response is not a chat completion"),
    "content as an object": (Act(completion({"a": 1})), "response is not a chat completion"),
    "choices as an object": (Act(b'{"choices": {"0": 1}}'), "response is not a chat completion"),
    "no UTF-8": (Act(b'{"choices": [{"message": {"content": "\xff\xfe"}}]}'), "response is not a chat completion"),
    "half a surrogate": (
        Act(b'{"choices": [{"message": {"content": "\\ud800"}}]}'),
        "response is not a chat completion",
    ),
    "a header of 200 kB": (
        scored(70)._replace(headers=(("X-Long", "x" * 200_000),)),
        "connection failed (RemoteProtocolError)",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_answers_that_want_too_much_are_abstentions(name, server, judge):
    act, reason = HOSTILE[name]
    server.act = lambda request, n: act
    (verdict,) = judge(retries=0).ask([QUESTION])
    assert (verdict.score, verdict.reason) == (None, reason)


def test_nothing_packed_is_asked_for(server, judge):
    judge().ask([QUESTION])
    assert server.headers[0]["accept-encoding"] == "identity"


def test_header_lines_that_trickle_end_with_the_time_of_the_request(server, judge):
    """Every line comes in time for a single read; the deadline is for all of them."""
    server.act = lambda request, n: scored(70)._replace(trickle=0.05)
    began = time.monotonic()
    (verdict,) = judge(timeout=0.5, retries=0).ask([QUESTION])
    assert (verdict.score, verdict.reason) == (None, "timeout")
    assert time.monotonic() - began < 60  # the lines alone take minutes


def test_no_redirect_is_followed_and_no_key_sent_elsewhere(server, judge, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    location = ("Location", server.url.replace("127.0.0.1", "localhost") + "/chat/completions")
    server.act = lambda request, n: Act(status=307, headers=(location,))
    (verdict,) = judge().ask([QUESTION])
    assert (verdict.score, verdict.reason) == (None, "HTTP 307")
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "address",
    [
        "http://[::1/v1", "http://h:99999/v1", "http://h:0/v1", "http://h:x/v1", "http://h/v1\x00", "http://h/\x1b[2J",
        "http://h\\@evil/v1", "http:///v1", "file:///etc/passwd", "gopher://h/", "javascript:alert(1)", "//h/v1",
        "http://h/v1?api_key=sk-1", "http://sk-1@h/v1", "http://h/v1#sk-1", "http://h\u202e/v1", "http://\ud800/v1",
    ],
)  # fmt: skip
def test_addresses_that_are_none_are_refused_without_their_secrets(address):
    with pytest.raises(ValidationError, match="host/v1"):
        JudgeSettings(base_url=address, model="m")
    with pytest.raises(SettingsError, match=r"`base_url` = \*\*\*") as caught:
        load_settings(JudgeSettings, {"base_url": address, "model": "m"})
    assert "sk-1" not in str(caught.value)


@pytest.mark.parametrize(
    "host", ["a..b", "x" * 70, "xn--a", "*", "a_b.invalid", "%41", "-", "256.256.256.256", "[::1]:1"]
)
def test_odd_hosts_stop_in_one_line(host, judge, no_names, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")
    with pytest.raises(JudgeError, match=r"cannot (connect|be used)") as caught:
        judge(base_url=f"http://{host}/sk-1/v1", retries=0, timeout=5).ask([QUESTION])
    assert "sk-1" not in str(caught.value)


@pytest.mark.parametrize("proxy", ["foo://h:1", "http://[::1", "socks5://127.0.0.1:1", "http://h:99999"])
def test_a_proxy_of_the_environment_that_is_none_stops_in_one_line(proxy, judge, no_names, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", proxy)
    monkeypatch.setenv("NO_PROXY", "")
    with pytest.raises(JudgeError, match="cannot"):
        judge(base_url="http://judge.invalid/v1", retries=0).ask([QUESTION])


@pytest.mark.parametrize(
    "value", ["9" * 400, "999999999", "-5", "\u00b2", "Mon, 01 Jan 0001 00:00:00 +2400", "x" * 9000, "1e9"]
)
def test_no_pause_is_longer_than_a_minute(value):
    seconds = judge_http._retry_after(value)
    assert seconds is None or min(max(seconds, 0), judge_http.LONGEST_RETRY_AFTER_S) <= 60


def test_a_long_pause_is_said_once(server, judge, monkeypatch):
    """All requests that pause together are one message."""
    monkeypatch.setattr(judge_http.tenacity, "sleep_using_event", lambda stop: lambda seconds: None)
    server.act = lambda request, n: Act(status=429, headers=(("Retry-After", "900"),)) if n == 0 else scored(70)
    heard = []
    monkeypatch.setattr(judge_http.logger, "info", heard.append)
    questions = [Question("r", {"answer": f"dog {number}"}) for number in range(6)]
    assert {verdict.score for verdict in judge().ask(questions)} == {70}
    assert heard == ["judge: waits 60 s before it asks again (HTTP 429)"]


@pytest.mark.parametrize("kind", [JudgeSettings, NameSettings, ProbeFitSettings])
def test_a_key_in_an_address_is_in_nothing_that_is_kept_or_shown(kind):
    field = "base_url" if kind is JudgeSettings else "judge_url"
    settings = kind.model_construct(**{field: "https://api.host/sk-secret-1/v1"})
    kept = json.dumps(settings.model_dump(mode="json", include={field}))
    assert kept == json.dumps({field: "https://api.host/***/v1"})
    assert "secret" not in repr(settings)


def test_a_key_in_an_address_is_no_part_of_the_request(judge, tmp_path):
    first, second = (judge(base_url=f"https://api.host/sk-{number}/v1")._key(QUESTION) for number in (1, 2))
    assert first == second != judge(base_url="https://other.host/sk-1/v1")._key(QUESTION)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://user:p/a:ss@host/v1: no", "http://***@host/v1: no"),
        ("https://a.b:80/sk-123/v1/chat/completions: cannot", "https://a.b:80/***/v1/chat/completions: cannot"),
        ("see https://huggingface.co/org/model?token=a", "see https://huggingface.co/org/model?***"),
        ("HTTP://h/v1?key=3#x, and", "HTTP://h/v1?*** and"),
        ("https://h;key=1/v1", "https://***/v1"),
        ("https://huggingface.co.evil/sk-1", "https://huggingface.co.evil/***"),
        ("http://[::1]:80/v1", "http://[::1]:80/v1"),
        ("s3://id:secret@bucket/a b", "s3://***@bucket/*** b"),
        ("no address: a/b?c", "no address: a/b?c"),
    ],
)
def test_what_is_hidden_of_an_address(text, shown):
    assert redacted(text) == shown


SCHEMAS = {
    "a view": "CREATE VIEW answers AS "
    "WITH RECURSIVE n(key) AS (SELECT 1 UNION ALL SELECT key FROM n) SELECT key FROM n",
    "a trigger": "CREATE TABLE answers (key TEXT PRIMARY KEY, answer TEXT NOT NULL);"
    "CREATE TRIGGER t BEFORE INSERT ON answers BEGIN DELETE FROM answers; END",
    "somebody's database": "CREATE TABLE passwords (a TEXT)",
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_cache_that_holds_more_than_answers_is_not_used(name, tmp_path):
    path = tmp_path / "cache.sqlite"
    with sqlite3.connect(path) as database:
        database.executescript(SCHEMAS[name])
    before = path.read_bytes()
    for use in (lambda: AnswerCache(path).get("a"), lambda: AnswerCache(path).put("a", "b")):
        with pytest.raises(JudgeError, match="it holds more than answers"):
            use()
    assert path.read_bytes() == before


def test_a_stop_ends_requests_that_are_under_way(server):
    """Leaving the endpoint cancels what still waits for an answer."""
    server.act = lambda request, n: Act(hold=True)
    settings = JudgeSettings(base_url=server.url, model="m", timeout=300, retries=0)
    with Endpoint(settings, threading.Event()) as endpoint:
        waiting = threading.Thread(target=_refused, args=(endpoint,), daemon=True)
        waiting.start()
        server.wait_for(1)
    waiting.join(60)
    assert not waiting.is_alive()


def _refused(endpoint: Endpoint) -> None:
    with contextlib.suppress(BaseException):
        endpoint.post({"n": 1})
