"""What files of a source are called in all that is written, and the one table that leads back to them.

A path may hold the name of a patient in any spelling, so tables and reports call files by running numbers.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from cmrseg.io.atomic import atomic_path, write_text
from cmrseg.io.dicom import DicomImage
from cmrseg.io.tables import guarded, read_table

PRIVATE = "private"  # folder in the target
FILES = "files.tsv"
_COLUMNS = ("study", "file", "path")
PEOPLE = "people.tsv"
PEOPLE_COLUMNS = ("study", "sex", "age_years")
_README = (
    "files.tsv tells which file of the source is meant where a table beside this folder names a number,\n"
    "people.tsv sex and age of the patients. Paths may hold names of patients, and an age may lead to one:\n"
    "do not share this folder. Without it the results stay valid.\n"
)
_NUMBER = "file "
Row = tuple[str, str, str]


def numbered(images: Sequence[DicomImage], *, tell: bool = False) -> list[DicomImage]:
    """Images of one examination under numbers of their files, in the order of the paths.

    Parameters
    ----------
    images
        All images of an examination.
    tell
        Whether files are called by their paths instead.
    """
    files = sorted({(image.name, image.path) for image in images})
    labels = {path: name if tell else f"{_NUMBER}{n}" for n, (name, path) in enumerate(files, start=1)}
    return [replace(image, label=labels[image.path]) for image in images]


def write_files(rows: Sequence[Row], target: Path, *, kept: Collection[str]) -> Path:
    """Write the private table, which only its user may read.

    Parameters
    ----------
    rows
        Study, label and path of every file of this run.
    target
        Folder of the run.
    kept
        Studies of earlier runs whose rows stay.
    """
    return _write(FILES, _COLUMNS, [tuple(map(_writable, row)) for row in rows], target, kept=kept)


def write_people(rows: Sequence[tuple[str, str, float]], target: Path, *, kept: Collection[str]) -> Path:
    """Write sex and age (years) of the patients of studies, which only their user may read.

    Parameters
    ----------
    rows
        Study, sex and age of every study of this run.
    target, kept
        As for `write_files`.
    """
    texts = [(study, sex, f"{age:.2f}") for study, sex, age in rows]
    return _write(PEOPLE, PEOPLE_COLUMNS, texts, target, kept=kept)


def _write(
    name: str, columns: Sequence[str], rows: Sequence[tuple], target: Path, *, kept: Collection[str]
) -> Path:
    """Write a private table, with the rows of an earlier one that stay."""
    folder = target / PRIVATE
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)  # where it was there, or was made under another mask
    earlier = read_private(target, name, columns)
    table = pd.concat([earlier[earlier["study"].isin(kept)], pd.DataFrame(rows, columns=list(columns))])
    with atomic_path(folder / name) as temporary:
        temporary.touch(mode=0o600)
        guarded(table.sort_values("study", kind="stable")).to_csv(temporary, sep="\t", index=False)
    write_text(_README, folder / "README.txt")
    return folder / name


def is_number(label: str) -> bool:
    """Whether a file is called by its number, not by its path."""
    return label.removeprefix(_NUMBER).isdigit() and label.startswith(_NUMBER)


def source_paths(target: Path, study: str) -> dict[str, str]:
    """Path in the source by the label of a file; empty where the private table is not there."""
    table = read_private(target, FILES, _COLUMNS)
    rows = table[table["study"] == study]
    return dict(zip(rows["file"], rows["path"], strict=True))


def read_private(target: Path, name: str, columns: Sequence[str]) -> pd.DataFrame:
    """A private table of an earlier run, all text; without rows where there is none that can be read."""
    try:
        table = read_table(target / PRIVATE / name, str, keep_default_na=False)
        return table[list(columns)]
    except (ValueError, KeyError):
        return pd.DataFrame(columns=list(columns), dtype=str)


def _writable(text: str) -> str:
    """A path as UTF-8, whatever bytes the file system holds."""
    return text.encode(errors="backslashreplace").decode()
