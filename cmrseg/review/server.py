"""A server for one person at this computer: masks of patients are shown to and changed by nobody else.

Notes
-----
It listens on 127.0.0.1 only, but every page in the user's browser and every user of the computer can reach
that. So all addresses begin with a random token, which the pages of others cannot know; a host of another
name is refused (a page of a foreign name that is made to lead here, "DNS rebinding"); what is sent must be
JSON of this very origin; no answer may be framed, kept, or read by another origin.
"""

from __future__ import annotations

import json
import secrets
import socket
import threading
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol

from cmrseg.problems import DataError

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOST = "127.0.0.1"
MOST_BYTES = 32 << 20  # of what is sent: a packed mask has some 100 kB
TOKEN_BYTES = 24
_NAMES = ("127.0.0.1", "localhost")
_PACKAGES = ("starlette", "uvicorn")
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'",  # beside that of the page
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Conflict(DataError):
    """What is to be saved was made of something that has changed meanwhile."""


class Desk(Protocol):
    """What is asked of whoever keeps the examinations; numbers count them from 0."""

    def __len__(self) -> int: ...

    def overview(self) -> str:
        """Page of all examinations."""
        ...

    def page(self, number: int) -> str:
        """Page of one."""
        ...

    def save(self, number: int, told: Mapping[str, Any]) -> Mapping[str, Any]:
        """Keep what a person has drawn, and say what is measured now."""
        ...


def new_token() -> str:
    """What every address begins with; nobody can guess it."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def check_installed() -> None:
    """Refuse to begin without the packages of a server.

    Raises
    ------
    DataError
        If one is missing.
    """
    if missing := [name for name in _PACKAGES if find_spec(name) is None]:
        raise DataError(f"review needs {' and '.join(missing)}; install with: pip install 'cmrseg[review]'")


def make_app(desk: Desk, token: str) -> Starlette:
    """The pages of a desk.

    Parameters
    ----------
    desk
        Who keeps the examinations.
    token
        What every address begins with.

    Returns
    -------
    ``/TOKEN/`` is the overview, ``/TOKEN/N`` the page of one examination; what is posted to ``/TOKEN/N`` is
    saved. Everything else is 404, another host 403, too much 413, a conflict 409, other bad data 400, each
    with a sentence.
    """
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.routing import Route

    pages = _Pages(desk)
    routes = [
        Route(f"/{token}/", pages.overview),
        Route(f"/{token}/{{number:int}}", pages.page),
        Route(f"/{token}/{{number:int}}", pages.save, methods=["POST"]),
    ]
    return Starlette(routes=routes, middleware=[Middleware(_OnlyHere, token=token)])


class _Pages:
    """Answers in the words of a desk, which works in other threads."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def overview(self, request: Request) -> Response:
        """The list."""
        return await _in_thread(lambda: self._desk.overview())

    async def page(self, request: Request) -> Response:
        """One examination."""
        number = request.path_params["number"]
        if number >= len(self._desk):
            return _said(404, "there is no such examination")
        return await _in_thread(lambda: self._desk.page(number))

    async def save(self, request: Request) -> Response:
        """What was sent is saved."""
        number = request.path_params["number"]
        if number >= len(self._desk):
            return _said(404, "there is no such examination")
        if not _is_ours(request):
            return _said(403, "only the page of this server may save")
        body = await _body(request)
        if body is None:
            return _said(413, f"more than {MOST_BYTES >> 20} MB; nothing was saved")
        told = _object(body)
        if told is None:
            return _said(400, "this is no JSON object; nothing was saved")
        return await _in_thread(lambda: self._desk.save(number, told))


async def _in_thread(ask: Callable[[], str | Mapping[str, Any]]) -> Response:
    """The answer of a desk: a page, or values as JSON; what is wrong is a sentence."""
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import HTMLResponse, JSONResponse

    try:
        answer = await run_in_threadpool(ask)
    except Conflict as error:
        return _said(409, str(error))
    except DataError as error:
        return _said(400, str(error))
    except OSError as error:
        return _said(500, f"files cannot be read or written ({error.strerror or error}); the page is kept")
    return HTMLResponse(answer) if isinstance(answer, str) else JSONResponse(answer)


def _said(code: int, sentence: str) -> Response:
    """A refusal."""
    from starlette.responses import JSONResponse

    return JSONResponse({"error": sentence}, code)


def _object(body: bytes) -> dict[str, Any] | None:
    """Names and values that were sent; None where it is something else."""
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return told if isinstance(told, dict) else None


class _OnlyHere:
    """Refuses requests for another host or without the token, and adds the headers to every answer."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app, self._token = app, token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        from starlette.datastructures import Headers, MutableHeaders
        from starlette.responses import PlainTextResponse

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            app: ASGIApp = self._app
            first = scope["path"].split("/")[1].encode() if scope["path"].startswith("/") else b""
            hosts = Headers(scope=scope).getlist("host")
            if len(hosts) != 1 or _name(hosts[0]) not in _NAMES:
                app = PlainTextResponse("this server answers to this computer only", 403)
            elif not secrets.compare_digest(first, self._token):
                app = PlainTextResponse("not found", 404)
            await app(scope, receive, with_headers)


def _name(host: str) -> str:
    """A host without its port."""
    return host.rpartition(":")[0] or host


def _is_ours(request: Request) -> bool:
    """Whether a page of this server sends it, and no form of another page."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    origin = request.headers.get("origin")
    return kind == "application/json" and origin in (None, f"http://{request.headers['host']}")


async def _body(request: Request) -> bytes | None:
    """What was sent; None as soon as it is too much."""
    if int(request.headers.get("content-length") or 0) > MOST_BYTES:
        return None
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MOST_BYTES:
            return None
    return bytes(body)


def serve(desk: Desk, *, port: int = 0, ready: Callable[[str], None]) -> None:
    """Show the pages of a desk to the browser of this computer, until Ctrl-C.

    Parameters
    ----------
    desk
        Who keeps the examinations.
    port
        Where; any free one by default.
    ready
        Told the address, as soon as it answers.

    Raises
    ------
    DataError
        If the packages of a server are missing, or the port cannot be had.
    """
    check_installed()
    import uvicorn

    token = new_token()
    with socket.socket() as here:
        if hasattr(socket, "SO_REUSEADDR"):
            here.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            here.bind((HOST, port))
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise DataError(
                f"port {port} cannot be used ({reason}); name another with --port, or none"
            ) from None
        config = uvicorn.Config(
            make_app(desk, token), lifespan="off", log_config=None, access_log=False,
            server_header=False, timeout_graceful_shutdown=10,
        )  # fmt: skip
        server = uvicorn.Server(config)
        # In a thread of its own it leaves Ctrl-C to the command, which knows how to end.
        thread = threading.Thread(target=server.run, kwargs={"sockets": [here]}, name="review", daemon=True)
        thread.start()
        try:
            while thread.is_alive() and not server.started:
                thread.join(0.02)
            ready(f"http://{HOST}:{here.getsockname()[1]}/{token}/")
            while thread.is_alive():
                thread.join(0.5)
        finally:
            server.should_exit = True
            thread.join(15)
