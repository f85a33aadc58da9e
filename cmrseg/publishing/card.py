"""Card, train.toml and manifest entry of a published model, without names of patients or paths."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from cmrseg.io.checksum import sha256_of
from cmrseg.io.settings import read_json
from cmrseg.problems import DataError
from cmrseg.publishing.add import RESULTS, mean_dice
from cmrseg.zoo.manifest import Entry
from cmrseg.zoo.model_file import ModelSpec

# Half a unit of the last digit that a card shows, and what another processor may change.
DICE_TOLERANCE, OTHER_TOLERANCE = 0.002, 0.2
_INTENDED = "Short-axis cine MRI of the kind it was trained on. Look at the masks before you trust a number."
_LIMITS = "Scanners, sequences and patients unlike those of the training data were not seen."
_PATH = re.compile(r"(?<![\w:/.])~?(?:/[\w.+-]+){2,}|\b[A-Za-z]:\\\w|\bfile://", re.ASCII)
CURVES = "robustness.png"
_ROBUSTNESS = re.compile(r"<!-- robustness -->.*?<!-- /robustness -->", re.DOTALL)
_SCALARS = (
    "batch_size",
    "weight_decay",
    "ema_decay",
    "gradient_clip",
    "validate_every",
    "seed",
    "bf16",
    "licence",
    "start",
    "labels",
    "subset",
    "keep_structures",
    "weights",
    "structures",
)


@dataclass(frozen=True)
class About:
    """What only the person who publishes knows.

    Attributes
    ----------
    trained_on, citation
        Data, and whom to cite.
    creators
        As ``Family, Given``.
    intended_use, limits
        Paragraphs of the card.
    """

    trained_on: str
    citation: str
    creators: tuple[str, ...]
    intended_use: str = _INTENDED
    limits: str = _LIMITS


def make_card(spec: ModelSpec, about: About) -> str:
    """A card in Markdown with an empty results block, see `cmrseg.publishing.add.with_results`.

    Parameters
    ----------
    spec
        Of the model file.
    about
        What the file does not say.
    """
    base = spec.training.get("base")
    settings = ", ".join(f"{key} {value}" for key, value in asdict(spec.preprocessing).items())
    from_base = f" Fine-tuned from {base}, whose licence it carries." if base else ""
    train = f"cmrseg finetune --base {base}" if base else f"cmrseg train {spec.recipe} --config train.toml"
    train += " --data DATA --out RUN"
    sections = {
        "Licence": f"{spec.licence}.{from_base}",
        "Intended use": about.intended_use,
        "Data": f"{about.trained_on}.",
        "Preprocessing": f"{settings}. pixel_mm and size are in mm and pixels; the file itself holds them.",
        "Recipe": f"{spec.recipe}, architecture {spec.architecture}; every setting is in train.toml."
        f"\n\n    {train}",
        "Results": "Flips of the recipe averaged, largest component kept; errors are predicted minus true."
        "\n\n<!-- results -->\n<!-- /results -->",
        "Limits": about.limits,
        "How to use": f"    cmrseg predict DATA OUT --model {spec.name}.safetensors\n"
        f"    cmrseg finetune --data DATA --base {spec.name}.safetensors --out RUN",
        "Citation": f"{about.citation}",
    }
    head = (
        f"# {spec.name}\n\nSegments {', '.join(spec.labels[1:])} in short-axis cine MRI. "
        "**Research use only.** Not a medical device.\n"
    )
    return head + "".join(f"\n## {title}\n\n{text}\n" for title, text in sections.items())


def with_robustness(text: str, table: str) -> str:
    """A card with the curves and the table of `cmrseg evaluate robustness`.

    Parameters
    ----------
    text
        The card. What it said of robustness before is replaced; else a section is put before the limits.
    table
        Content of ``robustness.md``; the curves are in the file `CURVES` beside the card.
    """
    curves = f"![Dice over the level of every distortion]({CURVES})"
    block = f"<!-- robustness -->\n\n{curves}\n\n{table.strip()}\n\n<!-- /robustness -->"
    if _ROBUSTNESS.search(text):
        return _ROBUSTNESS.sub(lambda _: block, text)
    head, limits, tail = text.partition("\n## Limits\n")
    return f"{head}\n## Robustness\n\n{block}\n{limits}{tail}"


def robustness_table(folder: Path, model: Path) -> str:
    """What `cmrseg evaluate robustness` found, as a table for a card.

    Parameters
    ----------
    folder
        What the command wrote.
    model
        The file that it must have been run with.

    Raises
    ------
    DataError
        If it was run with another model, or files are missing.
    """
    try:
        measured = read_json(folder / "robustness.json", "measure it again")["model"]
        table = (folder / "robustness.md").read_text(encoding="utf-8")
    except (OSError, KeyError, TypeError, ValueError):
        measured, table = None, ""
    if measured != sha256_of([model]) or not (folder / "figures" / "robustness.png").exists():
        raise DataError(
            f"{folder} does not hold the robustness of {model}; make it with "
            f"`cmrseg evaluate robustness DATA --model {model} --out {folder}`"
        )
    return table


def make_toml(config: Mapping[str, Any]) -> str:
    """``train.toml`` of a training run.

    Parameters
    ----------
    config
        Contents of its ``config.json``; what the command was given (folders) is left out, and of a file of
        start weights or subsets only the name is kept.
    """
    values = {key: config[key] for key in _SCALARS if config.get(key) is not None}
    for key in ("start", "subset", "labels"):
        if isinstance(values.get(key), str):
            values[key] = PurePosixPath(values[key].replace("\\", "/")).name
    lines = [f"# cmrseg train {config['recipe']} --config train.toml --data DATA --out RUN"]
    lines += _assignments(values)
    for table in ("arguments", "preprocessing"):
        lines += ["", f"[{table}]", *_assignments(config[table])]
    for stage in config["schedule"]:
        lines += ["", "[[schedule]]", *_assignments(stage)]
    return "\n".join(lines) + "\n"


def make_entry(file: Path, spec: ModelSpec, about: About, summary: pd.DataFrame) -> Entry:
    """Manifest entry of a file that is not published yet.

    Parameters
    ----------
    file
        The very file that will be published.
    spec, about
        Its description.
    summary
        ``summary.csv`` of the evaluation on the test set.
    """
    return Entry(
        name=spec.name,
        file=file.name,
        sha256=sha256_of([file]),
        bytes=file.stat().st_size,
        architecture=spec.architecture,
        labels=spec.labels,
        trained_on=about.trained_on,
        licence=spec.licence,
        citation=about.citation,
        preprocessing=asdict(spec.preprocessing),
        recipe=spec.recipe,
        dice=mean_dice(summary),
    )


def differences(card: str, measured: Mapping[str, str]) -> list[str]:
    """Numbers of a card's results block that were not measured again.

    Parameters
    ----------
    card
        Markdown with a results block.
    measured
        Heading of a test set within the block -> table of `cmrseg.publishing.add.results_table`.

    Returns
    -------
    One phrase per number that differs by more than `DICE_TOLERANCE` (Dice) or `OTHER_TOLERANCE` (mm, g,
    points), per other number of volumes, and per row or test set that only one of both has.
    """
    block = RESULTS.search(card)
    parts = re.split(r"^### (.*)$", block[0] if block else "", flags=re.MULTILINE)
    tables = dict(zip(parts[1::2], parts[2::2], strict=True))
    found = [f"'{title}' was not measured" for title in tables if title not in measured]
    found += [f"the card has no results of '{title}'" for title in measured if title not in tables]
    for title in [title for title in measured if title in tables]:
        found += [f"{title}: {phrase}" for phrase in _changes(_rows(measured[title]), _rows(tables[title]))]
    return found


def _changes(ours: Mapping[str, tuple[str, ...]], theirs: Mapping[str, tuple[str, ...]]) -> list[str]:
    """What differs between the rows of two tables."""
    found = [
        f"{key}: only {'measured' if key in ours else 'in the card'}" for key in sorted({*ours} ^ {*theirs})
    ]
    for key in [key for key in ours if key in theirs]:
        for what, new, old in zip(("mean", "sd", "median", "n"), ours[key], theirs[key], strict=True):
            if not _same(what, key, new, old):
                found.append(f"{key} {what}: card {old}, measured {new}")
    return found


def refuse_private(texts: Mapping[str, str], subjects: Iterable[str]) -> None:
    """Complain of texts that name a subject of the test set or a path of this machine.

    Raises
    ------
    DataError
        With the file and the words. Names of one or two letters or digits are not looked for.
    """
    names = [re.escape(name) for name in subjects if len(name) > 2]
    name = re.compile(rf"(?<![\w.])(?:{'|'.join(names)})(?![\w.])") if names else None
    for file, text in texts.items():
        prose = RESULTS.sub("", text)
        if match := _PATH.search(prose):
            raise DataError(f"{file} would publish the path {match[0]}; take it out of what you wrote")
        if name and (match := name.search(prose)):
            raise DataError(f"{file} would publish {match[0]}, a subject of the test set; take it out")


def _assignments(values: Mapping[str, Any]) -> list[str]:
    """Lines of TOML; what is None is left out, for TOML has no word for it."""
    return [f"{key} = {_toml(value)}" for key, value in values.items() if value is not None]


def _toml(value: Any) -> str:
    """A plain value; JSON writes text, numbers and lists of them as TOML does."""
    return json.dumps(list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value)


def _rows(table: str) -> dict[str, tuple[str, ...]]:
    """Mean, sd, median and n by structure and metric."""
    cells = [[c.strip() for c in line.strip("| ").split("|")] for line in table.splitlines() if "|" in line]
    return {
        f"{c[0]} {c[1]}": tuple(c[2:6])
        for c in cells
        if len(c) == 7 and c[0] != "structure" and "-" not in c[0]
    }


def _same(what: str, key: str, new: str, old: str) -> bool:
    """Whether two numbers of a card are the same within the tolerance."""
    try:
        difference = abs(float(new) - float(old))
    except ValueError:
        return False
    if what == "n" or new == old or "nan" in (new, old):
        return new == old
    return difference <= (DICE_TOLERANCE if " dice" in key else OTHER_TOLERANCE)
