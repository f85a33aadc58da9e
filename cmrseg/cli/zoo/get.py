"""``cmrseg zoo get``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from cmrseg.cli.console import note, progress_bar

if TYPE_CHECKING:
    from cmrseg.zoo.fetch import FetchOptions


def get(
    names: Annotated[list[str], typer.Argument(help="Names of models.")],
    source: Annotated[
        str | None, typer.Option("--from", metavar="URL|FILE", help="Take the file from here instead.")
    ] = None,
    trust_first_use: Annotated[
        bool, typer.Option("--trust-first-use", help="Accept a file of which no checksum is known.")
    ] = False,
) -> None:
    """Fetch models to the cache and compare them with their checksums; a broken download goes on."""
    from cmrseg.problems import DataError
    from cmrseg.zoo.fetch import fetch
    from cmrseg.zoo.manifest import get_entry, verify

    if source and len(names) > 1:
        raise DataError("--from names the file of one model; give one name")
    for entry in [get_entry(name) for name in names]:
        if entry.where == "embedded":
            verify(entry)
            note(f"{entry.name} is part of this installation: {entry.path}")
            continue
        with fetching(entry.name, source=source, trust_first_use=trust_first_use) as options:
            path = fetch(entry, options)
        note(f"{entry.name}: {path}")


def ready(model: str) -> str:
    """The model that a command was given; one of the zoo that is not on this machine is fetched first."""
    from cmrseg.zoo.manifest import model_path, read_manifest

    entry = read_manifest().get(model)
    if entry is not None and entry.where == "remote":
        with fetching(model) as options:
            model_path(model, options=options)
    return model


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
