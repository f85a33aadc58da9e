"""Transfer learning and a pretrained model zoo for short-axis cardiac cine MRI.

``import cmrseg`` is quick: every name is looked up when it is first used.

Examples
--------
>>> import cmrseg
>>> cines = cmrseg.read_dicom(cmrseg.synthetic_dicom())  # or your own folder
>>> mask = cmrseg.segment(*cines.values())
>>> 20 < cmrseg.ejection_fraction(mask) < 90
True
"""

from importlib import import_module

__version__ = "0.1.0"

# What a person calls -> where it stands.
_PLACES = {
    **dict.fromkeys(
        ("read_cine", "read_mask", "read_dicom", "segment", "segment_all", "evaluate", "train"), "face.work"
    ),
    **dict.fromkeys(
        ("volumes", "summary", "ejection_fraction", "indices", "dice", "hausdorff"), "face.numbers"
    ),
    **dict.fromkeys(("synthetic_cine", "synthetic_data", "synthetic_dicom"), "face.synthetic"),
    "Cine": "cine",
    "DataError": "problems",
    "Label": "labels",
    "TrainOptions": "training.options",
    "curate": "workflows.curate",
    "finetune": "workflows.train",
    "load_model": "zoo.manifest",
    "read_catalog": "data.catalog",
    "save_mask": "io.images",
    "zoo": "",
}  # fmt: skip
__all__ = ["__version__", *sorted(_PLACES)]


def __getattr__(name: str) -> object:
    """A public name, imported when it is first asked for."""
    if name not in _PLACES:
        raise AttributeError(f"module 'cmrseg' has no attribute '{name}'; it has {', '.join(__all__)}")
    place = _PLACES[name]
    found = getattr(import_module(f"cmrseg.{place}"), name) if place else import_module(f"cmrseg.{name}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """Names for completion."""
    return sorted({*globals(), *__all__})
