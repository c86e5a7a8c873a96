"""A Hub on this machine, with data sets that a test gives it: enough of its interface for the real clients to read."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

COMMIT = "c0ffee" + "0" * 34
Files = dict[str, bytes]


@contextmanager
def serving(sets: dict[str, Files]) -> Iterator[tuple[str, list[str]]]:
    """Serve data sets by id; yields the address for ``HF_ENDPOINT`` and the paths that are asked for."""
    asked: list[str] = []

    class Hub(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _send(self, status: int, body: bytes = b"", **headers: str) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def _json(self, value: object) -> None:
            self._send(200, json.dumps(value).encode(), Content_Type="application/json")

        def _missing(self, code: str) -> None:
            self._send(404, b"{}", X_Error_Code=code)

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = unquote(urlsplit(self.path).path)
            asked.append(path)
            parts = path.strip("/").split("/")
            if path == "/":
                return self._send(200)
            api = parts[0] == "api"
            name = "/".join(parts[1 + api : 3 + api])
            rest = parts[3 + api :]
            if name not in sets:
                return self._missing("RepoNotFound")
            files = sets[name]
            if len(rest) > 1 and rest[1] not in ("main", COMMIT):
                return self._missing("RevisionNotFound")
            if not api:
                return self._file(files, "/".join(rest[2:]))
            if not rest or rest[0] == "revision":
                siblings = [{"rfilename": file} for file in files]
                return self._json({"id": name, "sha": COMMIT, "siblings": siblings, "tags": [], "private": False})
            wanted = json.loads(body).get("paths", []) if rest[0] == "paths-info" and body else None
            return self._json(self._entries(files, "/".join(rest[2:]), wanted))

        def _entries(self, files: Files, folder: str, wanted: list[str] | None) -> list[dict[str, object]]:
            folders = {"/".join(file.split("/")[:depth]) for file in files for depth in range(1, file.count("/") + 1)}
            found = [{"type": "directory", "path": name, "oid": "0", "size": 0} for name in sorted(folders)]
            found += [
                {"type": "file", "path": name, "oid": hashlib.sha256(content).hexdigest(), "size": len(content)}
                for name, content in files.items()
            ]
            if wanted is not None:
                return [entry for entry in found if entry["path"] in wanted]
            return [entry for entry in found if not folder or str(entry["path"]).startswith(folder + "/")]

        def _file(self, files: Files, name: str) -> None:
            if name not in files:
                return self._missing("EntryNotFound")
            content = files[name]
            headers = {"X_Repo_Commit": COMMIT, "ETag": f'"{hashlib.sha256(content).hexdigest()}"'}
            wanted = self.headers.get("Range", "").removeprefix("bytes=")
            if not wanted:
                return self._send(200, content, **headers)
            first, _, last = wanted.partition("-")
            start, stop = int(first), min(int(last or len(content)), len(content) - 1) + 1
            place = f"bytes {start}-{stop - 1}/{len(content)}"
            return self._send(206, content[start:stop], Content_Range=place, **headers)

        do_GET = do_HEAD = do_POST = _answer

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
