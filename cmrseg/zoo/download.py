"""One file over HTTP: resumed where it stopped, tried again while the server is busy.

Proxies and certificates are those of `requests`: ``HTTPS_PROXY``, ``NO_PROXY``, ``REQUESTS_CA_BUNDLE``.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from time import sleep
from typing import Any
from urllib.parse import urlsplit

import requests
from requests import Response
from requests import exceptions as failures

from cmrseg import __version__
from cmrseg.problems import DataError
from cmrseg.zoo.cache import Checksum, difference

BytesProgress = Callable[[int, int | None], object]

ATTEMPTS = 5
_TIMEOUT_S = (10, 60)  # to connect, and between two pieces
_LONGEST_WAIT_S = 120  # that a server may ask for
_CHUNK_BYTES = 1 << 16  # what a broken connection loses at most
_BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})
# What was sent compressed could neither be resumed nor compared with a size.
_HEADERS = {"Accept-Encoding": "identity", "User-Agent": f"cmrseg/{__version__}"}
_BAD_ADDRESS = (
    failures.MissingSchema,
    failures.InvalidSchema,
    failures.InvalidURL,
    failures.TooManyRedirects,
)


class _InterruptedError(Exception):
    """A try that failed and may succeed later."""

    def __init__(self, reason: str, wait_s: float = 0.0) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


def download(url: str, part: Path, *, size: int | None, progress: BytesProgress) -> None:
    """Bring a file to the whole of what lies at an address; what it already holds is kept.

    Parameters
    ----------
    url
        Of the file.
    part
        File to go on with, or to begin; it stays when the download fails, so that a later call resumes.
    size
        Bytes expected, where known; any other size is refused before the first byte is read.
    progress
        Told of the bytes done and in all.

    Raises
    ------
    DataError
        If the file is not there, is of another size, or the server cannot be reached after some tries.
    """
    _retried(lambda: _go_on(url, part, size, progress))


def download_checked(
    url: str, part: Path, *, size: int | None, expected: Checksum | None, progress: BytesProgress
) -> str:
    """`download`, and how what came differs from a checksum; empty where it does not.

    What differs is deleted. Where its beginning was there already, that may have been of another file: the
    whole is fetched once more.
    """
    resumed = part.exists()
    download(url, part, size=size, progress=progress)
    wrong = difference(part, expected) if expected else ""
    if not wrong:
        return ""
    part.unlink()
    if resumed:
        return download_checked(url, part, size=size, expected=expected, progress=progress)
    return wrong


def read_json(url: str) -> dict[str, Any]:
    """What a web service answers.

    Raises
    ------
    DataError
        If it does not answer, or not with a JSON object.
    """

    def ask() -> Any:
        with _get(url, {"Accept": "application/json"}) as answer:
            _check_status(answer)
            try:
                return answer.json()
            except failures.JSONDecodeError:
                return None
            except failures.RequestException:
                raise _broken(url) from None

    answer = _retried(ask)
    if not isinstance(answer, dict):
        raise DataError(
            f"{public(url)} did not answer with a record; open it in a browser to see what it says"
        )
    return answer


def _retried(work: Callable[[], Any]) -> Any:
    """The result of some work, tried again with growing waits while it is interrupted."""
    for attempt in range(ATTEMPTS):
        try:
            return work()
        except _InterruptedError as error:
            reason = str(error)
            if attempt < ATTEMPTS - 1:
                sleep(max(2.0**attempt, error.wait_s))
    raise DataError(f"{reason}, after {ATTEMPTS} tries; the same command goes on where this one stopped")


def _go_on(url: str, part: Path, size: int | None, progress: BytesProgress) -> None:
    """One try to fetch what is missing."""
    done = part.stat().st_size if part.exists() else 0
    if size is not None and done >= size:
        if done == size:
            return
        part.unlink()
        done = 0
    with _get(url, {"Range": f"bytes={done}-"} if done else {}) as answer:
        if answer.status_code == requests.codes.requested_range_not_satisfiable or (
            answer.status_code == requests.codes.partial_content and not _begins_at(answer, done)
        ):
            part.unlink(missing_ok=True)
            raise _InterruptedError(f"{public(url)} does not give the rest of a file")
        _check_status(answer)
        _check_kind(answer)
        begin = done if answer.status_code == requests.codes.partial_content else 0
        _save(answer, part, begin, size, progress)


def _get(url: str, headers: dict[str, str]) -> Response:
    """Open an address; every failure is a sentence."""
    host = urlsplit(url).hostname
    try:
        answer = requests.get(url, headers=_HEADERS | headers, stream=True, timeout=_TIMEOUT_S)
    except failures.SSLError:
        raise DataError(
            f"the certificate of {host} cannot be verified; behind a proxy that reads along, "
            "name your institution's certificates in REQUESTS_CA_BUNDLE"
        ) from None
    except failures.ProxyError:
        raise DataError(f"the proxy does not let us reach {host}; check HTTPS_PROXY and NO_PROXY") from None
    except _BAD_ADDRESS:
        raise DataError(f"{public(url)} is no file and no address that can be fetched; check it") from None
    except failures.RequestException:
        raise _InterruptedError(f"{host} cannot be reached") from None
    if url.startswith("https:") and any(r.url.startswith("http:") for r in (*answer.history, answer)):
        answer.close()
        raise DataError(
            f"{host} leads to {public(answer.url)} by way of an address without https; nothing was fetched"
        )
    return answer


def public(url: str) -> str:
    """An address without password and signature, for messages and logs."""
    scheme, place, path, *_ = urlsplit(url)
    return f"{scheme}://{place.rpartition('@')[2]}{path}" if scheme and place else url


def _broken(url: str) -> _InterruptedError:
    return _InterruptedError(f"the connection to {urlsplit(url).hostname} broke")


def _check_status(answer: Response) -> None:
    status = answer.status_code
    if status in _BUSY:
        raise _InterruptedError(
            f"{urlsplit(answer.url).hostname} is busy (HTTP {status})", _wait_asked_for(answer)
        )
    if status not in (requests.codes.ok, requests.codes.partial_content):
        raise DataError(
            f"{public(answer.url)} answers HTTP {status} ({answer.reason}); check the address and access"
        )


def _check_kind(answer: Response) -> None:
    """A login page or a proxy's complaint is no model."""
    if answer.headers.get("Content-Type", "").startswith("text/html"):
        raise DataError(
            f"{public(answer.url)} is a web page, not a file; is there a login or a proxy in between?"
        )


def _begins_at(answer: Response, offset: int) -> bool:
    return answer.headers.get("Content-Range", "").startswith(f"bytes {offset}-")


def _wait_asked_for(answer: Response) -> float:
    """Seconds of the Retry-After header, which holds seconds or a date."""
    text = answer.headers.get("Retry-After", "0")
    try:
        wait_s = (
            float(text)
            if text.isdigit()
            else (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
        )
    except (TypeError, ValueError):
        return 0.0
    if wait_s > _LONGEST_WAIT_S:
        raise DataError(f"{urlsplit(answer.url).hostname} asks to wait for {wait_s:.0f} s; try again then")
    return max(wait_s, 0.0)


def _save(answer: Response, part: Path, begin: int, size: int | None, progress: BytesProgress) -> None:
    """Write what a server sends behind what is there."""
    length = answer.headers.get("Content-Length", "")
    total = begin + int(length) if length.isdigit() else size
    if size is not None and total != size:
        raise DataError(
            f"{public(answer.url)} has {total} bytes, not {size}: another file; nothing was fetched"
        )
    if total is not None:
        _check_space(part.parent, total - begin)
    done = begin
    progress(done, total)
    with part.open("ab" if begin else "wb") as file:
        try:
            for chunk in answer.iter_content(_CHUNK_BYTES):
                done += len(chunk)
                if total is not None and done > total:
                    raise DataError(f"{public(answer.url)} sends more than {total} bytes: another file")
                file.write(chunk)
                progress(done, total)
        except failures.RequestException:
            raise _broken(answer.url) from None
    if total is not None and done < total:
        raise _broken(answer.url)


def _check_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DataError(
            f"{folder} has {free / 1e6:.0f} MB free and {needed / 1e6:.0f} MB are needed; "
            "make room, or name another folder in CMRSEG_HOME"
        )
