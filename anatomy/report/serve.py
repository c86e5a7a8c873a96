"""``anatomy view``: the report folder over HTTP, on this machine only."""

from __future__ import annotations

import functools
import webbrowser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from anatomy.errors import SettingsError
from anatomy.progress import logger, output

HOST = "127.0.0.1"


class _Handler(SimpleHTTPRequestHandler):
    """Files of one folder, to requests that name this machine: a page elsewhere cannot read them by DNS rebinding."""

    def do_GET(self) -> None:
        host = (self.headers.get("Host") or "").rsplit(":", 1)[0]
        if host not in (HOST, "localhost"):
            self.send_error(403)
            return
        super().do_GET()

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing."""


def server(folder: Path, port: int = 0) -> ThreadingHTTPServer:
    """A server of ``folder`` on 127.0.0.1, not started yet; port 0 takes a free one.

    Raises:
        SettingsError: the port is taken or not allowed.
    """
    try:
        return ThreadingHTTPServer((HOST, port), functools.partial(_Handler, directory=str(folder)))
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
