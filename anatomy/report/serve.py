"""``anatomy view``: the report folder over HTTP, on this machine only.

Files that a report consists of are served and nothing else: a closed list of endings in one folder, no links, no
listings. A page elsewhere can neither read them by DNS rebinding nor load them as scripts.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import socket
import stat
import sys
import threading
import webbrowser
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO

from anatomy import artifacts
from anatomy.errors import SettingsError
from anatomy.progress import logger, output

HOST = "127.0.0.1"
_NAMED = re.compile(r"(127\.0\.0\.1|localhost)(:\d{1,5})?", re.ASCII)
_FILE = re.compile(r"[\w-]+\.(html|js)", re.ASCII)
_KINDS = {"html": "text/html; charset=utf-8", "js": "text/javascript; charset=utf-8"}
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
MOST_CONNECTIONS = 32
"""Connections at once; further ones are closed."""
READ_S = 10.0
"""Seconds that a client has to send its request, all of it."""
WRITE_S = 30.0
"""Seconds without a byte taken by the client after which it is given up."""


class _Handler(BaseHTTPRequestHandler):
    """One request of a connection: a file of ``folder`` to GET and HEAD, an error to everything else."""

    timeout = WRITE_S

    def __init__(self, *given: Any, folder: Path) -> None:
        self.folder = folder
        super().__init__(*given)

    def setup(self) -> None:
        super().setup()
        self._late = threading.Timer(READ_S, _shut, [self.connection])
        self._late.daemon = True
        self._late.start()

    def finish(self) -> None:
        self._late.cancel()
        super().finish()

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def _answer(self, body: bool) -> None:
        self._late.cancel()
        hosts = self.headers.get_all("Host") or []
        if len(hosts) != 1 or not _NAMED.fullmatch(hosts[0]):
            self.send_error(HTTPStatus.FORBIDDEN)
            return
        name = self.path.partition("?")[0].removeprefix("/") or artifacts.REPORT_PAGE
        file = _opened(self.folder, name)
        if file is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        with file:
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", _KINDS[name.rpartition(".")[2]])
            self.send_header("Content-Length", str(os.fstat(file.fileno()).st_size))
            self.end_headers()
            if body:
                shutil.copyfileobj(file, self.wfile)

    def end_headers(self) -> None:
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def version_string(self) -> str:
        return "anatomy"

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing."""


def _opened(folder: Path, name: str) -> BinaryIO | None:
    """The file of that name in ``folder`` itself; None for links, devices, and names that no report has."""
    if not _FILE.fullmatch(name):
        return None
    try:
        file = os.fdopen(os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb")
    except OSError:
        return None
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return file
    file.close()
    return None


def _shut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:  # it ended by itself
        return


class _Server(ThreadingHTTPServer):
    """At most :data:`MOST_CONNECTIONS` threads, and no traceback when a client leaves."""

    daemon_threads = True
    request_queue_size = 2 * MOST_CONNECTIONS

    def __init__(self, *given: Any) -> None:
        self._free = threading.BoundedSemaphore(MOST_CONNECTIONS)
        super().__init__(*given)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exception()
        if not isinstance(error, OSError):
            logger.warning(f"view: a request failed ({type(error).__name__})")


def server(folder: Path, port: int = 0) -> ThreadingHTTPServer:
    """A server of ``folder`` on 127.0.0.1, not started yet; port 0 takes a free one.

    Raises:
        SettingsError: the port is taken or not allowed.
    """
    try:
        return _Server((HOST, port), functools.partial(_Handler, folder=folder))
    except (OSError, OverflowError) as error:
        raise SettingsError(f"--port {port}: cannot be used on {HOST} ({error}); choose another") from None


def serve(folder: Path, port: int, browser: bool) -> None:
    """Serve the report until interrupted, and open it in a browser where there is one."""
    with server(folder, port) as running:
        address = f"http://{HOST}:{running.server_address[1]}/"
        output(f"{address}  (Ctrl-C ends)")
        if browser and not webbrowser.open(address):
            logger.info("no browser here: open the address yourself")
        try:
            running.serve_forever()
        except KeyboardInterrupt:
            return
