"""``cmrseg zoo publish``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from cmrseg.cli.console import note, progress_bar


def publish(
    model: Annotated[Path, typer.Argument(help="model.safetensors of a training run.")],
    out: Annotated[Path, typer.Option(help="Folder for weights, card, train.toml and manifest entry.")],
    test: Annotated[
        list[str],
        typer.Option(
            metavar="[TITLE=]DATA",
            help="Data set with masks that the card's numbers are measured on, with the heading of its "
            "results; may be repeated.",
        ),
    ],
    trained_on: Annotated[str, typer.Option(help="Training data.")],
    citation: Annotated[str, typer.Option(help="Whom to cite.")],
    creator: Annotated[list[str] | None, typer.Option(help="'Family, Given'; may be repeated.")] = None,
    intended_use: Annotated[str | None, typer.Option(help="Paragraph of the card.")] = None,
    limits: Annotated[str | None, typer.Option(help="Paragraph of the card.")] = None,
    split: Annotated[str, typer.Option(help="Only these splits, such as test.")] = "",
    labels: Annotated[str | None, typer.Option(help="Label scheme, where the layout does not tell.")] = None,
    robustness: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Of `cmrseg evaluate robustness`: curves and table for the card."),
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Keep single precision.")] = False,
    update_results: Annotated[
        bool, typer.Option("--update-results", help="Rewrite the results of a card that is there.")
    ] = False,
    upload: Annotated[bool, typer.Option("--upload", help="Send it to Zenodo as a draft.")] = False,
    publish_now: Annotated[
        bool, typer.Option("--publish", help="Send it and publish it, which cannot be undone.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Publish without asking.")] = False,
    sandbox: Annotated[bool, typer.Option("--sandbox", help="Zenodo's playground instead.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be sent; send nothing.")
    ] = False,
) -> None:
    """Measure a model, write its card, and send both to Zenodo (token in ZENODO_TOKEN)."""
    from cmrseg.publishing.card import About
    from cmrseg.publishing.deposit import SANDBOX, ZENODO
    from cmrseg.publishing.release import find_account, prepare_release, upload_release

    api = SANDBOX if sandbox else ZENODO
    sends = (upload or publish_now) and not dry_run
    if sends:
        find_account(api)  # before minutes of prediction
    texts = {"intended_use": intended_use, "limits": limits}
    given = {key: value for key, value in texts.items() if value is not None}
    about = About(trained_on, citation, tuple(creator or ()), **given)
    with progress_bar("segmenting") as progress:
        release = prepare_release(
            model,
            out,
            _tests(test),
            about=about,
            splits=tuple(s for s in split.split(",") if s),
            labels=labels,
            robustness=robustness,
            full=full,
            update_results=update_results,
            progress=progress,
        )
    for sentence in release.notes:
        note(sentence)
    note(f"{out} holds the card and {release.entry.file} ({release.entry.size}), measured as it is")
    if dry_run:
        files = ", ".join(f"{path.name} ({path.stat().st_size / 1e6:.1f} MB)" for path in release.files)
        note(f"would be sent to {api}: {files}")
        note(json.dumps(release.metadata, indent=2, ensure_ascii=False))
    if not sends:
        return
    if publish_now and not yes:
        typer.confirm(f"publish {release.entry.name} for good", abort=True)
    with progress_bar("sending (bytes)") as progress:
        deposit = upload_release(release, api=api, publish=publish_now, progress=progress)
    note(f"{'published' if deposit.published else 'draft'}: {deposit.page}, doi:{deposit.doi}")


def _tests(given: list[str]) -> dict[str, Path]:
    """Test sets by their headings."""
    pairs = [("", text) if Path(text).exists() else text.rpartition("=")[::2] for text in given]
    tests = {title or "Test set": Path(folder) for title, folder in pairs}
    if len(tests) < len(given):
        raise ValueError("every --test needs a heading of its own, as in --test 'ACDC test patients=DATA'")
    return tests
