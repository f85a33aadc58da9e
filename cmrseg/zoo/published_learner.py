"""A model that is published as a fastai pickle: fetched, read without running it, kept as a model file."""

from __future__ import annotations

from pathlib import Path

from cmrseg.problems import DataError
from cmrseg.zoo.cache import pin_path
from cmrseg.zoo.entry import Entry, usable_path
from cmrseg.zoo.fetch import FetchOptions, alone_with, fetch, told_of_disk
from cmrseg.zoo.imported import ImportOptions, import_learner


def fetch_learner(entry: Entry, options: FetchOptions | None = None) -> Path:
    """The model file of a published learner; fetched and imported on the first call, by one process alone.

    Parameters
    ----------
    entry
        Of the manifest, of format ``fastai``.
    options
        As for `cmrseg.zoo.fetch.fetch`.

    Returns
    -------
    File in the cache, beside that of the learner.

    Raises
    ------
    DataError
        If it cannot be fetched, or holds no learner of this architecture.
    """
    options, out = options or FetchOptions(), usable_path(entry)
    if out.exists():
        return out
    file = fetch(entry, options)
    with told_of_disk(out), alone_with(out, options):
        if not out.exists():  # another process may have been faster
            _import(entry, file, out, options)
    return out


def _import(entry: Entry, file: Path, out: Path, options: FetchOptions) -> None:
    """Make the model file, as the manifest describes it."""
    told = ImportOptions(
        architecture=entry.architecture,
        labels=",".join(f"{name}={channel}" for channel, name in enumerate(entry.labels) if channel),
        size=entry.preprocessing.get("size"),
        recipe=entry.recipe,
        licence=entry.licence,
    )
    try:
        model = import_learner(file, out, told)
    except DataError as error:
        if entry.sha256 or entry.md5 or entry.doi:
            raise
        # A first copy that is no learner was not worth its pin: no other would ever be accepted.
        file.unlink(missing_ok=True)
        pin_path(entry).unlink(missing_ok=True)
        raise DataError(f"{error}; it is deleted, and the same command fetches it again") from None
    for sentence in model.notes:
        options.note(sentence)
    structures = ", ".join(model.spec.labels[1:])
    options.note(f"{entry.name} was read without running any of its code: {structures}; model file {out}")
