"""``cmrseg zoo list``."""

from __future__ import annotations

from cmrseg.cli.console import note, show_table


def list_models() -> None:
    """All models of the zoo."""
    from cmrseg.zoo.manifest import read_manifest

    entries = read_manifest().values()
    columns = ("name", "labels", "Dice", "size", "where", "licence", "trained on")
    rows = [
        (
            entry.name,
            " ".join(label for label in entry.labels if label != "BACKGROUND"),
            " ".join(f"{value:.2f}" for value in entry.dice.values()) or "–",
            entry.size,
            entry.where,
            entry.licence,
            entry.trained_on,
        )
        for entry in entries
    ]
    show_table("model zoo", columns, rows)
    note("`cmrseg zoo show NAME` shows a card, `cmrseg zoo get NAME` fetches a remote model")
