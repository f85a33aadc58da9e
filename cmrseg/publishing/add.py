"""Put a trained model into the zoo of this installation: weights, manifest entry, results in its card."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

import pandas as pd

from cmrseg.io.atomic import write_text
from cmrseg.io.checksum import sha256_of
from cmrseg.io.tables import read_table
from cmrseg.metrics.registry import CARD, METRICS, shown_in
from cmrseg.problems import DataError
from cmrseg.zoo.domain import read_domain, with_domain
from cmrseg.zoo.manifest import FOLDER, Entry, read_manifest
from cmrseg.zoo.model_file import read_model, save_model

RESULTS = re.compile(r"(<!-- results -->\n).*?(<!-- /results -->)", re.DOTALL)


def add_model(  # noqa: PLR0913 (what a manifest entry says)
    file: Path,
    card: Path,
    evaluations: Mapping[str, Path],
    *,
    trained_on: str,
    citation: str,
    pixel_mm: float | None = None,
    folder: Path = FOLDER,
) -> Entry:
    """Embed a model: half-precision weights with their checksum, and its card with measured results.

    Parameters
    ----------
    file
        Model file of a training run.
    card
        Markdown with a block between ``<!-- results -->`` and ``<!-- /results -->``, which is replaced.
    evaluations
        What was evaluated -> folder that `cmrseg evaluate masks` wrote.
    trained_on, citation
        Data, and whom to cite, for the manifest.
    pixel_mm
        Pixel size to predict at, when the validation subjects favour another than that of the training.
    folder
        The zoo; the package's own by default.

    Returns
    -------
    The new entry of the manifest.

    Raises
    ------
    DataError
        If the card has no results block or an evaluation has no summary.
    """
    model = read_model(file)
    spec = with_domain(model.spec, read_domain(file))
    if pixel_mm is not None:
        spec = replace(spec, preprocessing=replace(spec.preprocessing, pixel_mm=pixel_mm))
    summaries = {name: _read_summary(path) for name, path in evaluations.items()}
    text = with_results(card.read_text(encoding="utf-8"), summaries, card)
    name = spec.name
    path = folder / "embedded" / f"{name}.safetensors"
    save_model(spec, model.net.state_dict(), path, half=True)
    entry = Entry(
        name=name,
        file=path.name,
        sha256=sha256_of([path]),
        bytes=path.stat().st_size,
        architecture=spec.architecture,
        labels=spec.labels,
        trained_on=trained_on,
        licence=spec.licence,
        citation=citation,
        preprocessing=asdict(spec.preprocessing),
        recipe=spec.recipe,
        dice=mean_dice(next(iter(summaries.values()))) if summaries else {},
    )
    write_text(text, card)
    write_text(text, folder / "embedded" / f"{name}.md")
    _list(entry, folder)
    return entry


def _list(entry: Entry, folder: Path) -> None:
    """Put an entry into the manifest, in place of an earlier one of its name."""
    entries = {**read_manifest(folder), entry.name: entry}
    write_text(
        json.dumps({"models": [asdict(e) for e in entries.values()]}, indent=2) + "\n",
        folder / "manifest.json",
    )


def _read_summary(folder: Path) -> pd.DataFrame:
    path = folder / "summary.csv"
    if not path.exists():
        raise DataError(f"{path} does not exist; run `cmrseg evaluate masks` with --out {folder} first")
    return read_table(path)


def with_results(text: str, summaries: Mapping[str, pd.DataFrame], card: Path) -> str:
    """A card with its results block filled.

    Parameters
    ----------
    text
        The card, Markdown.
    summaries
        Heading -> ``summary.csv`` of an evaluation.
    card
        Its file, for the message.

    Raises
    ------
    DataError
        If there is no results block.
    """
    if not RESULTS.search(text):
        raise DataError(
            f"{card} has no block between <!-- results --> and <!-- /results --> to put results into"
        )
    tables = "\n".join(f"### {name}\n\n{results_table(summary)}\n" for name, summary in summaries.items())
    return RESULTS.sub(lambda match: f"{match[1]}\n{tables}\n{match[2]}", text)


def results_table(summary: pd.DataFrame) -> str:
    """Mean, sd, median and n over all volumes as a Markdown table."""
    rows = summary[(summary["group"] == "all") & summary["metric"].isin(shown_in(CARD)) & (summary["n"] > 0)]
    lines = ["| structure | metric | mean | sd | median | n | unit |", "|---|---|---|---|---|---|---|"]
    for row in rows.itertuples():
        digits = METRICS[row.metric].digits
        numbers = " | ".join(f"{value:.{digits}f}" for value in (row.mean, row.sd, row.median))
        lines.append(f"| {row.structure} | {row.metric} | {numbers} | {row.n} | {row.unit} |")
    return "\n".join(lines)


def mean_dice(summary: pd.DataFrame) -> dict[str, float]:
    """Mean volume Dice by structure."""
    rows = summary[(summary["group"] == "all") & (summary["metric"] == "dice")]
    return {row.structure: round(float(row.mean), 4) for row in rows.itertuples()}
