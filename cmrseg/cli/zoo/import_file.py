"""``cmrseg zoo import``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cmrseg.cli.console import note


def import_file(
    file: Annotated[
        Path,
        typer.Argument(
            help="Archive of `cmrseg zoo export` (.zip), a model file (.safetensors), a regional model "
            "(.json), or what fastai's "
            "`Learner.export` wrote (.pkl)."
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="Model file to write; FILE with .safetensors by default.")
    ] = None,
    arch: Annotated[
        str | None, typer.Option(help="r18, r34, r50 or v16; recognised from the tensors by default.")
    ] = None,
    labels: Annotated[
        str | None, typer.Option(help="What the output channels are, if the file does not say: LV=1,MYO=2.")
    ] = None,
    size: Annotated[
        int | None, typer.Option(help="Size of the training images, if the file does not say (256).")
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="Recipe name for the model, such as r34_CE_p5_s2.")
    ] = None,
    licence: Annotated[str, typer.Option(help="Licence of the weights.")] = "unstated",
) -> None:
    """Take in an archive of models, or turn a fastai learner into a model without running its code.

    The options are for learners.
    """
    if file.suffix.lower() in (".zip", ".safetensors", ".json"):
        from cmrseg.zoo import archive

        is_zip = file.suffix.lower() == ".zip"
        for path in archive.import_archive(file) if is_zip else [archive.import_file(file)]:
            note(f"model: {path}, from now on --model {path.parent.name}")
        return
    from cmrseg.recipe import Recipe
    from cmrseg.zoo.imported import ImportOptions, import_learner

    options = ImportOptions(
        architecture=arch,
        labels=labels,
        size=size,
        recipe=None if recipe is None else str(Recipe.parse(recipe)),
        licence=licence,
    )
    model = import_learner(file, out or file.with_suffix(".safetensors"), options)
    for sentence in model.notes:
        note(sentence)
    spec = model.spec
    note(f"{spec.architecture} with {', '.join(spec.labels)}, {spec.preprocessing.size} pixels, RGB")
    note(f"model: {model.path}")
