"""What a person may say of a training run, spelled once for all commands that train."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from cmrseg.labels import parse_structures
from cmrseg.training.options import TrainOptions

_OPTIONS: dict[str, Any] = {
    "file": Annotated[Path | None, typer.Option("--config", help="train.toml with further settings.")],
    "labels": Annotated[
        str | None,
        typer.Option(
            help="Label scheme of the masks: acdc, mnms, cmr-seg-tl, or LV=1,MYO=2,RV=3; "
            "one for each of several data sets: acdc+mnms."
        ),
    ],
    "augmentation": Annotated[
        str | None,
        typer.Option(help="s1, s2, s3, s4 or s5; by default s4 for light nets, else the base model's."),
    ],
    "architecture": Annotated[
        str | None,
        typer.Option(help="light3d goes on from a light2d model with whole stacks; else the base model's."),
    ],
    "drop": Annotated[
        bool, typer.Option("--drop", help="Drop structures of the base model that the data do not contour.")
    ],
    "imagenet": Annotated[
        Path | None, typer.Option(help="File of ImageNet weights (torchvision keys) to start from.")
    ],
    "random": Annotated[
        bool, typer.Option("--random", help="Start from random instead of ImageNet weights.")
    ],
    "epochs": Annotated[int | None, typer.Option(min=1, help="Epochs in all, shared among the stages.")],
    "lr": Annotated[float | None, typer.Option(help="Largest learning rate, of every stage.")],
    "batch_size": Annotated[int | None, typer.Option(min=1, help="Images per batch.")],
    "neighbours": Annotated[
        int | None, typer.Option(help="Neighbouring slices given as channels (light2d; odd).")
    ],
    "neighbours_in": Annotated[
        str | None,
        typer.Option(
            help="space (slices of the stack) or time (the frames before and after: 3 unless --neighbours)."
        ),
    ],
    "seed": Annotated[int | None, typer.Option(help="Of weights, order, augmentation and random splits.")],
    "subset": Annotated[
        str | None,
        typer.Option(metavar="FILE:NAME", help="Train on a subset of the training images: subsets.tsv:v3."),
    ],
    "weights": Annotated[
        str | None,
        typer.Option(
            help="What becomes the model: the best epoch (of the validation Dice, our choice), the last "
            "(the paper's), or in finetune the blend of base and best epoch that validates best."
        ),
    ],
    "structures": Annotated[
        str | None,
        typer.Option(metavar="LV,MYO", help="Use these contours only; the others become background."),
    ],
    "shares": Annotated[
        str | None,
        typer.Option(
            metavar="2,1", help="How often each of several data sets is drawn; by default as it is."
        ),
    ],
    "region_sampling": Annotated[
        float | None,
        typer.Option(
            metavar="RATIO",
            help="Draw slices of base and apex more often than the middle: 4 (low) or 20 (high).",
        ),
    ],
    "region": Annotated[
        str | None,
        typer.Option(help="Train and validate with the slices of one region alone: base, middle or apex."),
    ],
    "class_weights": Annotated[
        str | None,
        typer.Option(
            metavar="NAME=WEIGHT,...",
            help="Weights of classes in the loss: BACKGROUND=0.1,LV=0.3,MYO=0.3,RV=0.3; by default alike.",
        ),
    ],
    "checkpointing": Annotated[
        bool,
        typer.Option("--checkpointing", help="Less memory for more time: features are computed twice."),
    ],
}
_FLAGS = ("drop", "random", "checkpointing")
Command = Callable[..., None]


def takes_training_options(*names: str) -> Callable[[Command], Command]:
    """Give a command some options of a training; it gets them in its parameter ``options``.

    Parameters
    ----------
    names
        Of the options, in the order of the help.
    """

    def decorate(command: Command) -> Command:
        signature = inspect.signature(command, eval_str=True)
        own = [p.replace(kind=p.KEYWORD_ONLY) for p in signature.parameters.values() if p.name != "options"]
        more = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=False if name in _FLAGS else None,
                annotation=_OPTIONS[name],
            )
            for name in names
        ]

        @wraps(command)
        def run(**given: Any) -> None:
            said = {name: given.pop(name) for name in names}
            command(**given, options=_options(**said))

        run.__signature__ = signature.replace(parameters=[*own, *more])  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in (*own, *more)}
        return run

    return decorate


def _options(
    *,
    imagenet: Path | None = None,
    random: bool = False,
    drop: bool = False,
    structures: str | None = None,
    shares: str | None = None,
    class_weights: str | None = None,
    checkpointing: bool = False,
    **same: Any,
) -> TrainOptions:
    """The options from what was typed."""
    if random and imagenet:
        raise ValueError("name either --imagenet or --random, not both")
    return TrainOptions(
        start="random" if random else str(imagenet) if imagenet else None,
        keep_structures=False if drop else None,
        structures=parse_structures(structures) if structures else None,
        shares=_numbers(shares) if shares else None,
        class_weights=_weights(class_weights) if class_weights else None,
        checkpointing=checkpointing or None,
        **same,
    )


def _numbers(text: str) -> tuple[float, ...]:
    """Numbers with commas between them."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(
            f"--shares must be numbers with commas between them, such as 2,1; got {text}"
        ) from None


def _weights(text: str) -> dict[str, float]:
    """Numbers by the names of classes."""
    try:
        parts = [part.partition("=") for part in text.split(",")]
        return {name.strip().upper(): float(weight) for name, _, weight in parts}
    except ValueError:
        raise ValueError(
            f"--class-weights must be names with numbers, such as BACKGROUND=0.1,LV=0.3,RV=0.3; got {text}"
        ) from None
