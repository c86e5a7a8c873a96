"""A chat endpoint on 127.0.0.1 that answers as a test tells it to, or misbehaves."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

PATIENCE_S = 300.0
"""What a test waits for comes at once; only a fault takes this long."""


class Act(NamedTuple):
    """What the server does with one request.

    ``cut`` bytes of the body are promised but not sent; ``drip`` seconds pass after each byte; with ``hold`` nothing is
    sent before the test sets the server's ``released``. ``trickle`` seconds pass after each of a thousand header lines.
    """

    body: bytes = b""
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    cut: int = 0
    drip: float = 0.0
    hold: bool = False
    trickle: float = 0.0


def completion(content: Any) -> bytes:
    """A chat completion whose message is ``content``."""
    return json.dumps({"choices": [{"message": {"role": "assistant", "content": content}}]}).encode()


def scored(score: Any, evidence: Any = "dog") -> Act:
    """A well-formed answer of the judge."""
    return Act(completion(json.dumps({"evidence": evidence, "score": score})))


class ChatServer:
    """``act(request, n)`` says what to do with a request body, asked for the n-th time (from 0)."""

    def __init__(self) -> None:
        self.act: Callable[[dict[str, Any], int], Act] = lambda request, n: scored(70)
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.under_way, self.most_under_way = 0, 0
        self.lock, self.released = threading.Condition(), threading.Event()
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def wait_for(self, count: int) -> None:
        """Return once ``count`` requests were read: a client that gave up may be faster than this server."""
        with self.lock:
            assert self.lock.wait_for(lambda: len(self.requests) >= count, PATIENCE_S)

    def close(self) -> None:
        self.released.set()
        self.http.shutdown()
        self.http.server_close()

    def _handler(server) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with server.lock:
                    earlier = server.requests.count(request)
                    server.requests.append(request)
                    server.headers.append({key.lower(): value for key, value in self.headers.items()})
                    server.under_way += 1
                    server.most_under_way = max(server.most_under_way, server.under_way)
                    server.lock.notify_all()
                act = server.act(request, earlier) if self.path == "/v1/chat/completions" else Act(status=404)
                if act.hold:
                    server.released.wait()
                with server.lock:
                    server.under_way -= 1
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the client had enough
                    self._send(act)
                self.close_connection = True

            def _send(self, act: Act) -> None:
                self.send_response(act.status)
                for number in range(1000 if act.trickle else 0):
                    self.send_header("X-More", str(number))
                    self.flush_headers()
                    time.sleep(act.trickle)
                for name, value in (*act.headers, ("Content-Length", str(len(act.body) + act.cut))):
                    self.send_header(name, value)
                self.end_headers()
                pieces = [bytes([byte]) for byte in act.body] if act.drip else [act.body]
                for piece in pieces:
                    self.wfile.write(piece)
                    time.sleep(act.drip)

            def log_message(self, *_: object) -> None:
                pass

        return Handler
