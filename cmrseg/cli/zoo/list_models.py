"""``cmrseg zoo list``."""

from __future__ import annotations

from cmrseg.cli.console import show_table


def list_models() -> None:
    """All models of the zoo."""
    from cmrseg.zoo.manifest import read_manifest

    rows = [
        (
            e.name,
            ", ".join(f"{name} {value:.3f}" for name, value in e.dice.items()),
            e.trained_on,
            e.licence,
            f"{e.bytes / 1e6:.1f} MB",
            "embedded",
        )
        for e in read_manifest().values()
    ]
    show_table("model zoo", ("name", "Dice", "trained on", "licence", "size", "where"), rows)
