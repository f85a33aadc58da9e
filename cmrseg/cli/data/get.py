"""``cmrseg data get``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cmrseg.cli.console import note
from cmrseg.cli.zoo.get import fetching


def get(
    record: Annotated[
        str,
        typer.Argument(
            metavar="RECORD[/FILE]",
            help="DOI, number or page of a record of Zenodo or its sandbox, such as 10.5281/zenodo.7; the "
            "DOI of all versions leads to the newest.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the data.")],
    keep_archives: Annotated[
        bool, typer.Option("--keep-archives", help="Leave .zip and .tar archives as they are.")
    ] = False,
) -> None:
    """Fetch a data set from Zenodo: verified by its checksums, unpacked; a stopped download goes on."""
    from cmrseg.zoo.record_data import SOURCE, fetch_data
    from cmrseg.zoo.zenodo import parse_record

    name = parse_record(record)
    if name is None:
        raise ValueError(f"'{record}' names no record of Zenodo; give its DOI, such as 10.5281/zenodo.7")
    with fetching(name.doi) as options:
        data = fetch_data(name, out, unpacked=not keep_archives, options=options)
    for path in data.paths:
        note(f"{path}{'/' if path.is_dir() else ''}")
    note(f"where it came from, to be cited: {out / SOURCE}")
