"""``cmrseg zoo get``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from cmrseg.cli.console import note, progress_bar

if TYPE_CHECKING:
    from pathlib import Path

    from cmrseg.zoo.fetch import FetchOptions
    from cmrseg.zoo.hugging_face import Repository
    from cmrseg.zoo.resolved import ResolvedModel
    from cmrseg.zoo.zenodo import RecordName


def get(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME|RECORD[/FILE]|hf:OWNER/NAME...",
            help="Names of models, records of Zenodo (10.5281/zenodo.N) with the file of a model, or "
            "repositories of Hugging Face.",
        ),
    ],
    source: Annotated[
        str | None, typer.Option("--from", metavar="URL|FILE", help="Take the file from here instead.")
    ] = None,
    trust_first_use: Annotated[
        bool, typer.Option("--trust-first-use", help="Accept a file of which no checksum is known.")
    ] = False,
) -> None:
    """Fetch models to the cache and compare them with their checksums; a broken download goes on."""
    from cmrseg.problems import DataError
    from cmrseg.zoo.hugging_face import Repository, parse_repository
    from cmrseg.zoo.manifest import bring, get_entry, verify
    from cmrseg.zoo.zenodo import RecordName, parse_record

    if source and len(names) > 1:
        raise DataError("--from names the file of one model; give one name")
    records = {name: parse_record(name) or parse_repository(name) for name in names}
    if source and records[names[0]]:
        raise DataError("--from names the file of a model of the zoo; a record is where its file is")
    for entry in [records[name] or get_entry(name) for name in names]:
        if isinstance(entry, RecordName | Repository):
            _from_elsewhere(entry)
            continue
        if entry.where == "embedded":
            verify(entry)
            note(f"{entry.name} is part of this installation: {entry.path}")
            continue
        with fetching(entry.name, source=source, trust_first_use=trust_first_use) as options:
            path = bring(entry, options)
        note(f"{entry.name}: {path}")


def _from_elsewhere(place: RecordName | Repository) -> None:
    """Fetch a model that the manifest does not name."""
    from cmrseg.zoo.hugging_face import Repository, fetch_repository_model
    from cmrseg.zoo.record_model import fetch_record_model

    if isinstance(place, Repository):
        with fetching(str(place)) as options:
            paths: tuple[Path, ...] = (fetch_repository_model(place, options),)
    else:
        with fetching(place.doi) as options:
            paths = fetch_record_model(place, options)
    for path in paths:
        note(f"model: {path}, from now on --model {path.parent.name}")


def ready(model: str) -> ResolvedModel:
    """The model that a command was given; one of the zoo that is not on this machine is fetched first."""
    from cmrseg.zoo.manifest import read_manifest, resolve

    entry = read_manifest().get(model)
    if entry is None or entry.where != "remote":
        return resolve(model)
    with fetching(model) as options:
        return resolve(model, options=options)


@contextmanager
def fetching(
    name: str, *, source: str | None = None, trust_first_use: bool = False
) -> Iterator[FetchOptions]:
    """How a command fetches: with a line of what comes from where, and a bar in MB."""
    from cmrseg.zoo.fetch import FetchOptions

    with progress_bar(f"{name} (MB)") as tell:

        def progress(done: int, total: int | None) -> None:
            tell(done // 10**6, total and total // 10**6)

        yield FetchOptions(source=source, trust_first_use=trust_first_use, note=note, progress=progress)
