"""Upload files to Zenodo through its deposit API."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

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
LICENCES = {  # as cards name them -> as Zenodo does
    "CC0": "cc-zero",
    "CC0 1.0": "cc-zero",
    "CC BY 4.0": "cc-by-4.0",
    "CC BY-SA 4.0": "cc-by-sa-4.0",
    "CC BY-NC 4.0": "cc-by-nc-4.0",
    "CC BY-ND 4.0": "cc-by-nd-4.0",
    "CC BY-NC-SA 4.0": "cc-by-nc-sa-4.0",
    "CC BY-NC-ND 4.0": "cc-by-nc-nd-4.0",
    "MIT": "mit",
    "Apache-2.0": "apache-2.0",
    "BSD-3-Clause": "bsd-3-clause",
}
Progress = Callable[[int, int], None]  # (bytes sent, bytes in all)


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


def zenodo_metadata(
    *, title: str, description: str, creators: Sequence[str], licence: str, keywords: Sequence[str] = ()
) -> dict[str, Any]:
    """Metadata of a record as Zenodo wants them.

    Parameters
    ----------
    title, description
        Of the record; the description is HTML.
    creators
        As ``Family, Given``.
    licence
        One of `LICENCES`.
    keywords
        For the search.

    Raises
    ------
    ValueError
        If there is no creator, or a name or the licence is not as Zenodo wants it.
    """
    if not creators:
        raise ValueError("creators must name at least one person, as 'Family, Given'; got none")
    for name in creators:
        if not all(part.strip() for part in name.partition(",")):
            raise ValueError(f"a creator must be named as 'Family, Given', got {name!r}")
    if licence not in LICENCES:
        raise ValueError(f"the licence {licence!r} is unknown; choose one of {', '.join(LICENCES)}")
    return {
        "title": title,
        "upload_type": "other",
        "description": description,
        "creators": [{"name": name} for name in creators],
        "access_right": "open",
        "license": LICENCES[licence],
        "keywords": list(keywords),
    }


def upload(
    files: Sequence[Path],
    metadata: Mapping[str, Any],
    *,
    token: str,
    api: str = ZENODO,
    publish: bool = False,
    progress: Progress | None = None,
) -> Deposit:
    """Make a record, send it files, and publish it when asked to.

    Parameters
    ----------
    files
        What to upload; their checksums are compared with those that Zenodo reports.
    metadata
        From `zenodo_metadata`.
    token
        Access token; it is sent in a header and never shown.
    api
        `ZENODO` or `SANDBOX`.
    publish
        Publish at once; otherwise a draft is left to be looked at.
    progress
        Told of the bytes that were sent.

    Raises
    ------
    DataError
        If Zenodo cannot be reached or refuses; a draft that was begun is named, so that it can be deleted.

    References
    ----------
    developers.zenodo.org
    """
    if is_offline():
        raise DataError("CMRSEG_OFFLINE is set, so nothing is sent to Zenodo; unset it to upload")
    with requests.Session() as session:
        session.auth = _Bearer(token)
        draft, bucket = _begin(session, api, metadata)
        try:
            _send(session, bucket, files, progress)
            if publish:
                _call(session, "POST", f"{api}/deposit/depositions/{draft.id}/actions/publish")
        except DataError as error:
            raise DataError(
                f"{error}; the draft {draft.page} is there, delete it or finish it by hand"
            ) from None
    return replace(draft, published=publish)


class _Bearer(requests.auth.AuthBase):
    """The token in the header of a request; unlike a header of the session, no .netrc replaces it."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def _begin(session: requests.Session, api: str, metadata: Mapping[str, Any]) -> tuple[Deposit, str]:
    """A new draft, and where its files go."""
    url = f"{api}/deposit/depositions"
    answer = _call(session, "POST", url, json={"metadata": dict(metadata)})
    try:
        number, bucket = int(answer["id"]), str(answer["links"]["bucket"])
        doi = str(answer["metadata"]["prereserve_doi"]["doi"])
        page = str(answer["links"].get("html", f"{url}/{number}"))
    except (KeyError, TypeError, AttributeError, ValueError):
        raise DataError(f"{url} does not answer as Zenodo does; update cmrseg") from None
    if urlsplit(bucket)[:2] != urlsplit(api)[:2]:  # the token goes to nobody else
        raise DataError(f"{url} wants the files at another host, {urlsplit(bucket).netloc}; nothing was sent")
    return Deposit(number, doi, page, published=False), bucket


def _send(session: requests.Session, bucket: str, files: Sequence[Path], progress: Progress | None) -> None:
    """Send the files one after the other."""
    total, before = sum(path.stat().st_size for path in files), 0
    for path in files:
        tell = None if progress is None else lambda sent, done=before: progress(done + sent, total)
        body = _Body(path, tell)
        answer = _call(session, "PUT", f"{bucket}/{path.name}", data=body)
        told = str(answer.get("checksum", "")).removeprefix("md5:")
        if told != body.md5.hexdigest():
            raise DataError(f"{path.name} arrived damaged (md5 {told}, sent {body.md5.hexdigest()})")
        before += path.stat().st_size


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
    reason = _REASONS.get(answer.status_code) or _told(answer)
    raise DataError(f"{url.split('?')[0]} refused {method} with status {answer.status_code}: {reason}")


def _told(answer: requests.Response) -> str:
    """What Zenodo says is wrong."""
    try:
        content = answer.json()
        fields = [f"{e.get('field')}: {e.get('message')}" for e in content.get("errors", [])]
        told = "; ".join([str(content.get("message", "")), *fields]).strip("; ")[:300]
    except (AttributeError, TypeError, ValueError):
        told = ""
    return told or answer.reason or "no reason given"
