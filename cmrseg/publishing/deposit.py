"""Upload files to Zenodo through its deposit API."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

from cmrseg.io.atomic import write_text
from cmrseg.io.settings import read_json, told_of
from cmrseg.parallel import Progress
from cmrseg.problems import DataError
from cmrseg.zoo.sources import is_offline

ZENODO, SANDBOX = "https://zenodo.org/api", "https://sandbox.zenodo.org/api"
TOKENS = {ZENODO: "ZENODO_TOKEN", SANDBOX: "ZENODO_SANDBOX_TOKEN"}
_TIMEOUT_S = (20, 600)  # to connect, to answer after a large file
_CHUNK_BYTES = 1 << 20
_REASONS = {
    401: "the token is not valid",
    403: "the token lacks the scopes deposit:write and deposit:actions",
    413: "the file is too large for Zenodo",
    429: "too many requests; wait a minute",
}
_GONE = (404, 410)


class _GoneError(DataError):
    """What was asked for has been deleted."""


@dataclass(frozen=True)
class Account:
    """Where to upload, and with which token.

    Attributes
    ----------
    token
        Access token.
    api
        `ZENODO` or `SANDBOX`.

    Raises
    ------
    ValueError
        If the token cannot be one: a header that is refused later would be quoted with it.
    """

    token: str = field(repr=False)
    api: str = ZENODO

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[!-~]+", self.token):
            raise ValueError("the token holds spaces or other characters that no token has; copy it again")


@dataclass(frozen=True)
class Deposit:
    """A record on Zenodo that was begun.

    Attributes
    ----------
    id
        Its number.
    doi
        Reserved from the beginning; it works once the record is published.
    page
        Where to look at it.
    published
        A draft can still be changed and deleted, a published record cannot.
    """

    id: int
    doi: str
    page: str
    published: bool


def upload(
    files: Sequence[Path],
    metadata: Mapping[str, Any],
    account: Account,
    memory: Path,
    *,
    publish: bool = False,
    progress: Progress | None = None,
) -> Deposit:
    """Make a record, send it files, and publish it when asked to; what was begun earlier goes on.

    Parameters
    ----------
    files
        What to upload; their checksums are compared with those that Zenodo reports.
    metadata
        From `cmrseg.publishing.deposit_metadata.zenodo_metadata`.
    account
        Where, and with which token; the token is sent in a header and never shown.
    memory
        JSON file with the number of the draft by API. A draft in it gets the files that it lacks; of one that
        was published with the same files nothing is sent again.
    publish
        Publish at once; otherwise a draft is left to be looked at.
    progress
        Told of the bytes that were sent.

    Raises
    ------
    DataError
        If Zenodo cannot be reached or refuses; the same call goes on with the draft that is named.

    References
    ----------
    developers.zenodo.org
    """
    if is_offline():
        raise DataError("CMRSEG_OFFLINE is set, so nothing is sent to Zenodo; unset it to upload")
    with requests.Session() as session:
        session.auth = _Bearer(account.token)
        draft = _earlier(session, account.api, memory, metadata, files) or _begin(
            session, account.api, memory, metadata
        )
        if draft.deposit.published:
            return draft.deposit
        try:
            _send(session, draft, files, progress)
            if publish:
                _call(session, "POST", f"{draft.url}/actions/publish")
        except DataError as error:
            raise DataError(
                f"{error}; the same command goes on with the draft {draft.deposit.page}"
            ) from None
    return replace(draft.deposit, published=publish)


class _Bearer(requests.auth.AuthBase):
    """The token in the header of a request; unlike a header of the session, no .netrc replaces it."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


@dataclass(frozen=True)
class _Draft:
    """A record that is being made: its address, where its files go, and the MD5 of those it has."""

    deposit: Deposit
    url: str
    bucket: str
    md5: Mapping[str, str]


def _earlier(
    session: requests.Session, api: str, memory: Path, metadata: Mapping[str, Any], files: Sequence[Path]
) -> _Draft | None:
    """What an earlier upload began; None where it was deleted, or published with other files."""
    number = _remembered(memory).get(api)
    if number is None:
        return None
    url = f"{api}/deposit/depositions/{number}"
    try:
        draft = _draft(_call(session, "GET", url), api)
        if draft.deposit.published:
            return draft if all(draft.md5.get(path.name) == _md5(path) for path in files) else None
        _call(session, "PUT", url, json={"metadata": dict(metadata)})
    except _GoneError:
        return None
    return draft


def _begin(session: requests.Session, api: str, memory: Path, metadata: Mapping[str, Any]) -> _Draft:
    """A new draft, remembered before anything is sent to it."""
    url = f"{api}/deposit/depositions"
    draft = _draft(_call(session, "POST", url, json={"metadata": dict(metadata)}), api)
    write_text(json.dumps({**_remembered(memory), api: draft.deposit.id}, indent=2) + "\n", memory)
    return draft


def _remembered(memory: Path) -> dict[str, int]:
    """Numbers of drafts by API."""
    remedy = "it is damaged: delete it, and on Zenodo the draft that it was of"
    numbers = read_json(memory, remedy) if memory.exists() else {}
    with told_of(memory, remedy):
        return {api: int(number) for api, number in numbers.items()}


def _draft(answer: dict[str, Any], api: str) -> _Draft:
    """What Zenodo says of a draft or record."""
    url = f"{api}/deposit/depositions"
    try:
        number, links = int(answer["id"]), answer["links"]
        published = bool(answer.get("submitted"))
        doi = str(answer["doi"] if published else answer["metadata"]["prereserve_doi"]["doi"])
        page, bucket = str(links.get("html", f"{url}/{number}")), str(links.get("bucket", ""))
        md5 = {str(f["filename"]): _bare(f["checksum"]) for f in answer.get("files", ())}
    except (KeyError, TypeError, AttributeError, ValueError):
        raise DataError(f"{url} does not answer as Zenodo does; update cmrseg") from None
    if not published and urlsplit(bucket)[:2] != urlsplit(api)[:2]:  # the token goes to nobody else
        raise DataError(f"{url} wants the files at another host, {urlsplit(bucket).netloc}; nothing was sent")
    return _Draft(Deposit(number, doi, page, published), f"{url}/{number}", bucket, md5)


def _send(session: requests.Session, draft: _Draft, files: Sequence[Path], progress: Progress | None) -> None:
    """Send the files that are not there yet, one after the other."""
    files = [path for path in files if draft.md5.get(path.name) != _md5(path)]
    total, before = sum(path.stat().st_size for path in files), 0
    for path in files:
        tell = None if progress is None else lambda sent, done=before: progress(done + sent, total)
        body = _Body(path, tell)
        answer = _call(session, "PUT", f"{draft.bucket}/{path.name}", data=body)
        told = _bare(answer.get("checksum", ""))
        if told != body.md5.hexdigest():
            raise DataError(f"{path.name} arrived damaged (md5 {told}, sent {body.md5.hexdigest()})")
        before += path.stat().st_size


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _bare(checksum: object) -> str:
    """A checksum without the name of its kind."""
    return str(checksum).removeprefix("md5:")


class _Body:
    """A file as the body of a request, read in parts, with the MD5 of what was sent.

    An attribute named `tell` would pass for the position in a file: requests calls it.
    """

    def __init__(self, path: Path, report: Callable[[int], None] | None) -> None:
        self.path, self._report = path, report
        self.md5 = hashlib.md5(usedforsecurity=False)

    def __len__(self) -> int:
        return self.path.stat().st_size

    def __iter__(self) -> Any:
        self.md5, sent = hashlib.md5(usedforsecurity=False), 0
        with self.path.open("rb") as file:
            while part := file.read(_CHUNK_BYTES):
                self.md5.update(part)
                yield part
                sent += len(part)
                if self._report:
                    self._report(sent)


def _call(session: requests.Session, method: str, url: str, **content: Any) -> dict[str, Any]:
    """One request; what went wrong is a sentence without the token."""
    try:
        answer = session.request(method, url, timeout=_TIMEOUT_S, allow_redirects=False, **content)
    except requests.RequestException as error:
        raise DataError(f"{url} cannot be reached ({type(error).__name__}); try again") from None
    if 200 <= answer.status_code < 300:
        try:
            return dict(answer.json()) if answer.content else {}
        except (TypeError, ValueError):
            raise DataError(f"{url} does not answer as Zenodo does; update cmrseg") from None
    if answer.status_code in _GONE:
        raise _GoneError(f"{url} is not there any more")
    reason = _REASONS.get(answer.status_code) or _told(answer)
    raise DataError(f"{url} refused {method} with status {answer.status_code}: {reason}")


def _told(answer: requests.Response) -> str:
    """What Zenodo says is wrong."""
    try:
        content = answer.json()
        fields = [f"{e.get('field')}: {e.get('message')}" for e in content.get("errors", [])]
        told = "; ".join([str(content.get("message", "")), *fields]).strip("; ")[:300]
    except (AttributeError, TypeError, ValueError):
        told = ""
    return told or answer.reason or "no reason given"
