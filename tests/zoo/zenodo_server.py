"""A small server that answers as Zenodo does, and misbehaves on demand.

`Zenodo.faults` is a queue: every request for a file's content takes the first fault, if there is one.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import unquote, urlsplit

PIECE = 1 << 16


@dataclass
class Zenodo:
    """What the server holds, what it shall do wrong, and what it was asked.

    Attributes
    ----------
    url
        Of the server.
    records
        Files by record number and name.
    newest
        Record that a concept's number leads to.
    plain
        Files at any other path, as of a mirror or another host.
    faults
        ``busy 429 5`` (status, Retry-After), ``cut N`` (after N bytes), ``slow S`` (seconds before every
        piece), ``wrong``, ``range ignored``, ``range wrong``, ``missing``, ``page``, ``redirect URL``.
    asked
        Path and headers of every request.
    drafts, metadata
        Files and metadata of depositions by number; published ones become records.
    deposit_faults
        Taken by the requests of the deposit API: ``STATUS JSON``, ``pass``, ``cut``, ``wrong`` (md5),
        ``html``, ``elsewhere URL`` (the bucket), ``redirect URL``.
    """

    url: str = ""
    records: dict[int, dict[str, bytes]] = field(default_factory=dict)
    newest: dict[int, int] = field(default_factory=dict)
    plain: dict[str, bytes] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    drafts: dict[int, dict[str, bytes]] = field(default_factory=dict)
    metadata: dict[int, dict] = field(default_factory=dict)
    deposit_faults: list[str] = field(default_factory=list)

    def content_url(self, record: int, name: str) -> str:
        """Address of a file's content."""
        return f"{self.url}/api/records/{record}/files/{name}/content"

    def record_json(self, record: int) -> bytes:
        """A record as the API describes it, without what we do not read."""
        files = [
            {
                "key": name,
                "size": len(content),
                "checksum": f"md5:{hashlib.md5(content, usedforsecurity=False).hexdigest()}",
                "links": {"self": self.content_url(record, name)},
            }
            for name, content in self.records[record].items()
        ]
        about = {"title": f"Record {record}", "license": {"id": "cc-by-4.0"}}
        told = {"id": record, "doi": f"10.5281/zenodo.{record}", "metadata": about, "files": files}
        return json.dumps(told).encode()

    def contents_asked(self) -> list[str]:
        """The Range header of every request for a file; empty where the whole was asked for."""
        return [headers.get("Range", "") for path, headers in self.asked if self.file_at(path) is not None]

    def file_at(self, path: str) -> bytes | None:
        """The file of a path."""
        if match := re.fullmatch(r"/api/records/(\d+)/files/([^/]+)/content", path):
            return self.records.get(int(match[1]), {}).get(unquote(match[2]))
        return self.plain.get(unquote(path))


@contextmanager
def serve() -> Iterator[Zenodo]:
    """Run a server in a thread until the block ends."""
    state = Zenodo()

    class Handler(_Handler):
        zenodo = state

    server = _Server(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}"
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """A client that hangs up is no error."""


class _Handler(BaseHTTPRequestHandler):
    zenodo: Zenodo
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path.startswith("/api/deposit/"):
            if self._deposit_fault() is not None:
                self._deposition(int(path.rpartition("/")[2]))
            return
        self.zenodo.asked.append((path, dict(self.headers)))
        record = re.fullmatch(r"/api/records/(\d+)", path)
        if record and int(record[1]) in self.zenodo.newest:
            self._answer(301, Location=f"/api/records/{self.zenodo.newest[int(record[1])]}")
        elif record and int(record[1]) in self.zenodo.records:
            self._answer(200, self.zenodo.record_json(int(record[1])), content_type="application/json")
        elif (content := self.zenodo.file_at(path)) is not None:
            self._file(content)
        else:
            self._answer(404, b'{"status": 404}', content_type="application/json")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if (fault := self._deposit_fault()) is None:
            return
        state = self.zenodo
        if match := re.fullmatch(r"/api/deposit/depositions/(\d+)/actions/publish", self.path):
            state.records[int(match[1])] = state.drafts.pop(int(match[1]))
            self._json(202, {"id": int(match[1])})
            return
        number = 100 + len(state.metadata)
        state.drafts[number], state.metadata[number] = {}, json.loads(body)["metadata"]
        self._deposition(number, host=fault.removeprefix("elsewhere "), status=201)

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if (fault := self._deposit_fault()) is None:
            return
        _, _, kind, number, name = self.path.split("/")
        if kind == "deposit":
            self.zenodo.metadata[int(name)] = json.loads(body)["metadata"]
            self._deposition(int(name))
            return
        self.zenodo.drafts[int(number)][unquote(name)] = body
        md5 = hashlib.md5(b"" if fault == "wrong" else body, usedforsecurity=False).hexdigest()
        self._json(200, {"key": unquote(name), "checksum": f"md5:{md5}"})

    def _deposition(self, number: int, *, host: str = "", status: int = 200) -> None:
        """What the deposit API says of a draft or of what became of it."""
        state = self.zenodo
        files = state.drafts.get(number, state.records.get(number))
        if files is None:
            self._json(404, {"message": "The persistent identifier does not exist."})
            return
        links = {"bucket": f"{host or state.url}/api/files/{number}", "html": f"{state.url}/deposit/{number}"}
        doi = f"10.5281/zenodo.{number}"
        told = {"doi": doi} if number in state.records else {"metadata": {"prereserve_doi": {"doi": doi}}}
        listed = [
            {"filename": name, "checksum": hashlib.md5(content, usedforsecurity=False).hexdigest()}
            for name, content in files.items()
        ]
        content = {"id": number, "links": links, "files": listed, "submitted": number in state.records}
        self._json(status, content | told)

    def _deposit_fault(self) -> str | None:
        """The next fault that the method must act on itself; None where the request is answered already."""
        self.zenodo.asked.append((self.path, dict(self.headers)))
        fault = self.zenodo.deposit_faults.pop(0) if self.zenodo.deposit_faults else ""
        kind, _, detail = fault.partition(" ")
        if not self.headers.get("Authorization", "").startswith("Bearer "):
            self._json(401, {"message": "no token"})
        elif kind.isdigit():
            self._answer(int(kind), detail.encode(), content_type="application/json")
        elif kind == "redirect":
            self._answer(307, Location=detail)
        elif kind == "html":
            self._answer(200, b"<html>Please log in</html>", content_type="text/html")
        elif kind == "cut":
            self.close_connection = True
        else:
            return "" if kind == "pass" else fault
        return None

    def _json(self, status: int, content: object) -> None:
        self._answer(status, json.dumps(content).encode(), content_type="application/json")

    def _file(self, content: bytes) -> None:
        """A file or its rest, with the next fault."""
        kind, _, detail = (self.zenodo.faults.pop(0) if self.zenodo.faults else "").partition(" ")
        if kind == "busy":
            status, _, wait = detail.partition(" ")
            self._answer(int(status), **({"Retry-After": wait} if wait else {}))
        elif kind == "missing":
            self._answer(404)
        elif kind == "page":
            self._answer(200, b"<html>Please log in</html>", content_type="text/html; charset=utf-8")
        elif kind == "redirect":
            self._answer(302, Location=detail)
        else:
            self._bytes(bytes(len(content)) if kind == "wrong" else content, kind, detail)

    def _bytes(self, content: bytes, kind: str, detail: str) -> None:
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        begin = int(match[1]) if match and (kind, detail) != ("range", "ignored") else 0
        if begin >= len(content) > 0:
            self._answer(416, **{"Content-Range": f"bytes */{len(content)}"})
            return
        told = begin + 1 if (kind, detail) == ("range", "wrong") else begin
        span = {"Content-Range": f"bytes {told}-{len(content) - 1}/{len(content)}"} if begin else {}
        self._head(206 if begin else 200, len(content) - begin, "application/octet-stream", span)
        end = begin + int(detail) if kind == "cut" else len(content)
        for offset in range(begin, min(end, len(content)), PIECE):
            time.sleep(float(detail) if kind == "slow" else 0)
            self.wfile.write(content[offset : min(offset + PIECE, end)])
        self.close_connection = kind == "cut"

    def _answer(
        self, status: int, body: bytes = b"", *, content_type: str = "text/plain", **headers: str
    ) -> None:
        self._head(status, len(body), content_type, headers)
        self.wfile.write(body)

    def _head(self, status: int, length: int, content_type: str, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": content_type, "Content-Length": str(length), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
