"""What a learner's records say beside the weights: classes, image size, normalisation, loss, augmentation."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cmrseg.labels import Label, get_scheme
from cmrseg.legacy.records import Record, brief, walk
from cmrseg.legacy.torch_file import TorchFile, tensor_view
from cmrseg.preprocess import IMAGENET_MEAN, IMAGENET_SD
from cmrseg.problems import DataError

PAPER_SIZE = 256
_TOLERANCE = 1e-3
_MAX_TEXT = 64
_NAMES: Mapping[str, Label] = {
    **dict.fromkeys(("background", "bg", "void", "none"), Label.BACKGROUND),
    **dict.fromkeys(("lv", "left_ventricle", "lv_cavity", "lvc", "cavity", "lv_bloodpool"), Label.LV),
    **dict.fromkeys(("myo", "myocardium", "lv_myocardium", "lvm", "lv_wall"), Label.MYO),
    **dict.fromkeys(("rv", "right_ventricle", "rv_cavity", "rvc", "rv_bloodpool"), Label.RV),
}
_LOSSES = {"Focal": "focal", "Dice": "DICE"}  # cross-entropy otherwise


@dataclass(frozen=True)
class Settings:
    """How a learner's network is used.

    Attributes
    ----------
    labels
        Names of the output channels, background first.
    size
        Image size in pixels.
    loss, augmentation
        As in a recipe's name.
    notes
        Sentences on what the file did not say.
    """

    labels: tuple[str, ...]
    size: int
    loss: str
    augmentation: str
    notes: tuple[str, ...]


def settings_of(
    learner: Record, content: TorchFile, classes: int, *, labels: str | None, size: int | None
) -> Settings:
    """Read the settings from a learner; what it does not say is as in the paper, with a note.

    Parameters
    ----------
    learner
        Its record.
    content
        Its file.
    classes
        Output channels.
    labels, size
        What the user named; these win.

    Raises
    ------
    DataError
        If the classes are not known or the images are normalised otherwise than by ImageNet's mean and sd.
    """
    notes: list[str] = []
    loss = attribute(learner, "loss_func")
    loss_name = loss.name.rpartition(".")[2] if isinstance(loss, Record) else ""
    flips = bool(_named(learner, "Flip"))
    found = Settings(
        labels=_labels(learner, content, classes, labels),
        size=size or _size(learner, notes),
        loss=next((name for part, name in _LOSSES.items() if part in loss_name), "CE"),
        augmentation="s2" if flips else "s1",
        notes=(),
    )
    _check_normalisation(learner, content, notes)
    return replace(found, notes=tuple(notes))


def attribute(record: Any, name: str) -> Any:
    """Attribute of a record, None where it has none."""
    return record.attribute(name) if isinstance(record, Record) else None


def mapping(value: Any) -> Mapping[str, Any]:
    """Items with text keys of a dictionary or of the record of an ordered one."""
    items = value.items if isinstance(value, Record) and value.name == "collections.OrderedDict" else value
    return {k: v for k, v in items.items() if isinstance(k, str)} if isinstance(items, dict) else {}


def _named(learner: Record, name: str) -> list[Record]:
    """Records of fastai's class of that name."""
    return [r for r in walk(learner) if r.name.startswith("fastai") and r.name.rpartition(".")[2] == name]


def _labels(learner: Record, content: TorchFile, classes: int, named: str | None) -> tuple[str, ...]:
    """Structure of every output channel."""
    if named is not None:
        scheme = get_scheme(named)
    else:
        codes = next((t for r in _named(learner, "AddMaskCodes") if (t := _texts(attribute(r, "codes")))), ())
        scheme = dict(enumerate(_NAMES.get(re.sub(r"\W+", "_", code.lower())) for code in codes))
        if None in scheme.values() or not scheme:
            said = (
                f"names its classes {', '.join(map(brief, codes))}" if codes else "does not name its classes"
            )
            raise DataError(
                f"{content.path} {said}; say with --labels what its {classes} channels are: LV=1,MYO=2"
            )
    if sorted(scheme) != list(range(classes)) or len(set(scheme.values())) != classes or scheme[0]:
        pairs = ", ".join(f"{label.name}={i}" for i, label in sorted(scheme.items()))
        raise DataError(
            f"{content.path} has {classes} output channels, the labels are {pairs}; "
            "give one label per channel, background 0, with --labels"
        )
    return tuple(scheme[i].name for i in range(classes))


def _texts(value: Any) -> tuple[str, ...]:
    """Texts of a list, a fastai L or a NumPy array."""
    if isinstance(value, Record) and value.name.endswith(".L"):
        value = attribute(value, "items") or (value.args[0] if value.args else ())
    if isinstance(value, Record) and "multiarray" in value.name:
        value = _array_texts(value.state)
    if not isinstance(value, list | tuple) or len(value) > len(_NAMES):
        return ()
    return tuple(v[:_MAX_TEXT] for v in value if isinstance(v, str))


def _array_texts(state: Any) -> list[str]:
    """Texts of a NumPy array's state: (version, shape, type, order, bytes or list)."""
    if not isinstance(state, tuple) or len(state) != 5:
        return []
    kind, data = state[2], state[4]
    if isinstance(data, list):
        return data
    if isinstance(data, Record) and data.name == "_codecs.encode" and data.args:
        data = data.args[0].encode("latin1", "replace") if isinstance(data.args[0], str) else b""
    width = kind.args[0] if isinstance(kind, Record) and kind.args else ""
    if not (isinstance(width, str) and re.fullmatch(r"U[1-9]\d?", width) and isinstance(data, bytes)):
        return []
    if len(data) % (4 * int(width[1:])):
        return []
    return [str(text) for text in np.frombuffer(data, f"<{width}")]


def _size(learner: Record, notes: list[str]) -> int:
    """Size of the images, if the learner resizes to one square."""
    resizes = _named(learner, "Resize")
    if other := {m for r in resizes if isinstance(m := attribute(r, "method"), str)} & {"crop", "squish"}:
        notes.append(
            f"the learner resizes by {other.pop()}; here the whole image keeps its shape and is padded to a "
            "square, so that hearts may have another size or shape than in its training"
        )
    sizes = {_square(attribute(r, "size")) for r in resizes} - {None}
    if len(sizes) == 1:
        return sizes.pop()
    notes.append(f"the file does not say its image size: {PAPER_SIZE} pixels as in the paper (--size)")
    return PAPER_SIZE


def _square(value: Any) -> int | None:
    """Side of a (side, side), which old and new versions wrap differently."""
    while isinstance(value, Record):
        value = value.args[0] if value.args else value.elements
        value = value[0] if isinstance(value, tuple) and len(value) == 1 else value
    if not isinstance(value, tuple | list) or len(value) != 2:
        return None
    height, width = value  # compared as numbers only: nested tuples that share parts take for ever
    return height if isinstance(height, int) and isinstance(width, int) and height == width else None


def _check_normalisation(learner: Record, content: TorchFile, notes: list[str]) -> None:
    """Refuse images that are normalised otherwise than ours will be."""
    transforms = _named(learner, "Normalize")
    if not transforms:
        notes.append("the file names no normalisation: ImageNet's mean and sd as in the paper")
    for transform in transforms:
        for name, expected in (("mean", IMAGENET_MEAN), ("std", IMAGENET_SD)):
            view = tensor_view(attribute(transform, name), f"{content.path}: {name} of the images")
            found = content.tensor(view).flatten().tolist() if view else []
            if len(found) != len(expected) or not np.allclose(found, expected, rtol=0, atol=_TOLERANCE):
                shown = ", ".join(f"{v:.3f}" for v in found[:3])
                raise DataError(
                    f"{content.path} normalises its images with a {name} of {shown or 'unknown values'}; "
                    f"only ImageNet's ({', '.join(map(str, expected))}) can be kept"
                )
