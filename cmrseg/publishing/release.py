"""Publish a trained model: measured with the very file that others get, then sent to Zenodo."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from cmrseg.data.catalog import Catalog, read_catalog
from cmrseg.evaluation.masks import evaluate_masks
from cmrseg.io.atomic import atomic_path, write_table, write_text
from cmrseg.io.in_use import works_in
from cmrseg.io.settings import read_json
from cmrseg.parallel import Progress
from cmrseg.predict import predict
from cmrseg.problems import DataError
from cmrseg.publishing.add import results_table, with_results
from cmrseg.publishing.card import (
    CURVES,
    About,
    differences,
    make_card,
    make_entry,
    make_toml,
    refuse_private,
    robustness_table,
    with_robustness,
)
from cmrseg.publishing.deposit import TOKENS, ZENODO, Account, Deposit, upload
from cmrseg.publishing.deposit_metadata import zenodo_metadata
from cmrseg.training.config import read_config, train_config
from cmrseg.training.options import TrainOptions
from cmrseg.zoo.domain import read_domain, with_domain
from cmrseg.zoo.manifest import Entry, read_entry, read_manifest
from cmrseg.zoo.model_file import ModelSpec, read_model, save_model


@dataclass(frozen=True)
class Release:
    """A model that is ready to be published.

    Attributes
    ----------
    folder
        Holds the files.
    entry
        Of the manifest; with a DOI once there is a record.
    files
        Weights, card, train.toml and curves of robustness, which are uploaded.
    metadata
        For Zenodo.
    notes
        What a user should know.
    """

    folder: Path
    entry: Entry
    files: tuple[Path, ...]
    metadata: Mapping[str, Any]
    notes: list[str] = field(default_factory=list)


@works_in("out", "zoo publish")
def prepare_release(  # noqa: PLR0913 (all but the first three are options)
    file: Path,
    out: Path,
    tests: Mapping[str, Path],
    *,
    about: About,
    splits: Sequence[str] = (),
    labels: str | None = None,
    robustness: Path | None = None,
    full: bool = False,
    update_results: bool = False,
    progress: Progress | None = None,
) -> Release:
    """Write weights, card, train.toml, manifest entry and evaluation of a model.

    Parameters
    ----------
    file
        ``model.safetensors`` of a training run, with its ``config.json`` beside it.
    out
        Gets the files. A card that is there is kept; all its results must be those that are measured now.
    tests
        Heading above the results -> data set with masks; the manifest entry takes the Dice of the first.
    about
        What the model file does not say.
    splits, labels
        As for `cmrseg.data.catalog.read_catalog`.
    robustness
        Folder of `cmrseg evaluate robustness` with this model; its curves and table go into the card.
    full
        Keep single precision; otherwise weights are stored in half precision.
    update_results
        Rewrite the results of a card that is there.
    progress
        Told after every study.

    Raises
    ------
    DataError
        If the model, its configuration or the test set cannot be used, the card's numbers are not reproduced,
        or a text would name a path or a subject.
    ValueError
        If a creator or the licence is not as Zenodo wants it.
    """
    model = read_model(file)
    spec = with_domain(model.spec, read_domain(file))
    spec = replace(spec, training=_public(spec.training))
    metadata, toml = _metadata(spec, about), _train_toml(file.with_name("config.json"))
    catalogs = {title: _with_masks(test, splits, labels) for title, test in tests.items()}
    card = out / "card.md"
    text = card.read_text(encoding="utf-8") if card.exists() else make_card(spec, about)
    if robustness is not None:
        text = with_robustness(text, robustness_table(robustness, file))
    said = json.dumps([about.trained_on, about.citation, *tests], ensure_ascii=False)
    _refuse_private({"card.md": text, "train.toml": toml, "manifest_entry.json": said}, catalogs)
    _writable(out)
    weights = save_model(spec, model.net.state_dict(), out / f"{spec.name}.safetensors", half=not full)
    notes: list[str] = []
    summaries = {title: _measure(weights, c, notes, progress) for title, c in catalogs.items()}
    if card.exists() and not update_results:
        _check_card(card, text, summaries)
    else:
        text = with_results(text, summaries, card)
    files = [weights, write_text(text, card), write_text(toml, out / "train.toml")]
    if robustness is not None:
        files.append(_copy(robustness / "figures" / "robustness.png", out / CURVES))
    entry = _with_doi(make_entry(weights, spec, about, next(iter(summaries.values()))), out)
    table = pd.concat(summaries, names=["test"]).reset_index("test")  # metrics.csv would name subjects
    write_table(table, out / "evaluation" / "summary.csv")
    _write_entry(entry, out)
    return Release(out, entry, tuple(files), metadata, list(dict.fromkeys(notes)))


def find_account(api: str = ZENODO) -> Account:
    """Where to upload, with the token of the environment.

    Raises
    ------
    DataError
        If there is none.
    """
    token = os.environ.get(TOKENS[api], "").strip()
    if not token:
        raise DataError(
            f"{TOKENS[api]} is not set; put a token with deposit:write and deposit:actions into it"
        )
    return Account(token, api)


def upload_release(
    release: Release, *, api: str = ZENODO, publish: bool = False, progress: Progress | None = None
) -> Deposit:
    """Send a release to Zenodo and write its DOI into the manifest entry.

    The number of the draft is kept in ``zenodo.json``, so that a later call goes on with it.

    Parameters
    ----------
    release
        From `prepare_release`.
    api
        `ZENODO` or `cmrseg.publishing.deposit.SANDBOX`; says in which variable the token is.
    publish
        Publish at once, which cannot be undone; otherwise a draft is left.
    progress
        Told of the bytes sent.

    Raises
    ------
    DataError
        If there is no token, or Zenodo cannot be reached or refuses.
    """
    memory = release.folder / "zenodo.json"
    deposit = upload(
        release.files, release.metadata, find_account(api), memory, publish=publish, progress=progress
    )
    _write_entry(replace(release.entry, doi=deposit.doi), release.folder)
    return deposit


def _public(training: Mapping[str, Any]) -> dict[str, Any]:
    """What a file says of its training, without values that are paths."""
    return {k: v for k, v in training.items() if not (isinstance(v, str) and ("/" in v or "\\" in v))}


def _metadata(spec: ModelSpec, about: About) -> dict[str, Any]:
    """For Zenodo; a model keeps the licence of its base."""
    base = read_manifest().get(str(spec.training.get("base")))
    if base and base.licence != spec.licence:
        raise DataError(
            f"{spec.name} is fine-tuned from {base.name} and must carry its licence {base.licence}"
        )
    return zenodo_metadata(
        title=f"{spec.name}: a cmrseg model for cardiac cine MRI",
        description=f"<p>{escape(about.intended_use)}</p><p>Trained on: {escape(about.trained_on)}</p>",
        creators=about.creators,
        licence=spec.licence,
        keywords=("cardiac MRI", "segmentation", "cmrseg"),
    )


def _train_toml(path: Path) -> str:
    """train.toml of a run, read back to see that it trains the same."""
    if not path.exists():
        raise DataError(f"{path} does not exist; publish a model from the folder of its training run")
    config, _ = read_config(path)
    toml = make_toml(json.loads(config.to_json()))
    with TemporaryDirectory() as folder:
        file = write_text(toml, Path(folder) / "train.toml")
        again = train_config(config.recipe, TrainOptions(file=file))
    ours, theirs = (json.loads(c.to_json()) for c in (config, again))
    files = ("start", "subset", "labels")  # of a file only the name is published
    if wrong := [key for key in ours if key not in files and ours[key] != theirs[key]]:
        raise DataError(f"{path}: {', '.join(wrong)} cannot be written to train.toml")
    return toml


def _with_masks(test: Path, splits: Sequence[str], labels: str | None) -> Catalog:
    """The test set; every image needs its mask."""
    catalog = read_catalog(test, labels=labels, splits=splits)
    if not any(volume.has_masks for volume in catalog.volumes()):
        raise DataError(f"the test set {test} has no masks; name a data set with masks")
    return catalog


def _refuse_private(texts: Mapping[str, str], catalogs: Mapping[str, Catalog]) -> None:
    """Complain of texts that name a path or a subject of a test set."""
    refuse_private(texts, {subject for catalog in catalogs.values() for subject in catalog.table["subject"]})


def _copy(source: Path, target: Path) -> Path:
    with atomic_path(target) as temporary:
        shutil.copyfile(source, temporary)
    return target


def _writable(out: Path) -> None:
    """Complain before anything is computed."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=out):
            pass
    except OSError as error:
        raise DataError(f"{out} cannot be written ({error.strerror}); name another --out") from None


def _measure(weights: Path, catalog: Catalog, notes: list[str], progress: Progress | None) -> pd.DataFrame:
    """Evaluation of the published file; what a user should know is added to the notes."""
    with TemporaryDirectory() as folder:
        run = predict(catalog, Path(folder), model=weights, progress=progress)
        result = evaluate_masks(Path(folder), catalog)
    if problems := [*run.problems, *result.problems]:
        first = problems[0]
        raise DataError(
            f"{len(problems)} images of {catalog.root} cannot be used, the first of {first.study} "
            f"({first.problem}: {first.extra_info}); mend or remove them"
        )
    notes += [*run.notes, *result.notes]
    return result.summary


def _check_card(card: Path, text: str, summaries: Mapping[str, pd.DataFrame]) -> None:
    """The numbers of a card must be those that were measured."""
    if wrong := differences(text, {title: results_table(table) for title, table in summaries.items()}):
        more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        raise DataError(
            f"{card} does not say what was measured ({'; '.join(wrong[:5])}{more}); rewrite its results with "
            "--update-results"
        )


def _with_doi(entry: Entry, out: Path) -> Entry:
    """The DOI of an earlier upload stays with the same weights."""
    path = out / "manifest_entry.json"
    if not path.exists():
        return entry
    earlier = read_entry(read_json(path, "it is damaged: delete it"), str(path))
    return replace(entry, doi=earlier.doi) if earlier.sha256 == entry.sha256 else entry


def _write_entry(entry: Entry, out: Path) -> None:
    """manifest_entry.json, valid by the schema."""
    path = out / "manifest_entry.json"
    values = json.loads(json.dumps(asdict(entry)))
    read_entry(values, path.name)
    write_text(json.dumps(values, indent=2) + "\n", path)
