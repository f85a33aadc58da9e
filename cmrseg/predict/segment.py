"""A model that gives masks as a function of a cine."""

from __future__ import annotations

from collections.abc import Callable

from cmrseg.cine import Cine
from cmrseg.parallel import Progress
from cmrseg.predict.network import Network, open_network
from cmrseg.problems import DataError
from cmrseg.tasks import get_task
from cmrseg.tasks.options import Options
from cmrseg.tasks.segmentation.from_network import Segmentation, segment
from cmrseg.zoo.model_file import Model
from cmrseg.zoo.resolved import ModelName

AnyModel = Network | Model | ModelName


def segmenter(model: AnyModel, options: Options | None = None) -> Callable[..., Cine]:
    """A model as a function from cine to mask.

    Parameters
    ----------
    model
        From `open_network` or `cmrseg.zoo.load_model`, or what `open_network` takes.
    options
        How masks are made.

    Returns
    -------
    Function from intensities ``(x, y, z, t)`` to a mask in `Label` ids on the same grid. A second argument,
    if given, is told of the parts of the cine that are done, and of how many there are.

    Raises
    ------
    DataError
        If the model gives no masks.
    """
    made = _bound(model, options, agreement=False)
    return lambda cine, progress=None: made(cine, progress).mask


def study_segmenter(model: AnyModel, options: Options | None = None) -> Callable[..., Segmentation]:
    """As `segmenter`, but with the mask comes how far the flips of an image agree on it."""
    return _bound(model, options, agreement=True)


def segment_cine(cine: Cine, model: AnyModel, options: Options | None = None) -> Cine:
    """Segment all slices and frames of a cine.

    Parameters
    ----------
    cine
        Intensities, shape ``(x, y, z, t)``.
    model, options
        As for `segmenter`.

    Returns
    -------
    Mask in `Label` ids on the same grid, ``uint8``.
    """
    return segmenter(model, options)(cine)


def _bound(model: AnyModel, options: Options | None, *, agreement: bool) -> Callable[..., Segmentation]:
    """A model and its options as a function of a cine and of who is told of the progress."""
    options = options or Options()
    network = model if isinstance(model, Network) else open_network(model, options)
    if get_task(network.spec.task).gives != "masks":
        raise DataError(f"{network.spec.name} gives no masks (its task is {network.spec.task})")

    def made(cine: Cine, progress: Progress | None = None) -> Segmentation:
        return segment(cine, network, options, progress, agreement=agreement)

    return made
