"""What the images were like that a model was trained on, and how another study differs from them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from types import MappingProxyType

import numpy as np
from scipy import ndimage

from cmrseg.cine import Cine
from cmrseg.data.catalog import Catalog, VolumeRef, load_volume_image, load_volume_mask
from cmrseg.io.atomic import write_text
from cmrseg.labels import Label
from cmrseg.metrics.plausibility import heart_box, noise_level, tissue_contrast
from cmrseg.metrics.volumes import ed_es_frames, pixel_curve
from cmrseg.problems import DataError

FEATURES: Mapping[str, tuple[str, str]] = MappingProxyType(  # name -> what it is called, unit
    {
        "pixel_mm": ("pixels", "mm"),
        "slice_mm": ("slice distance", "mm"),
        "slices": ("number of slices", ""),
        "matrix": ("image matrix", "pixels"),
        "heart_mm": ("diameter of the LV with its wall", "mm"),
        "contrast": ("myocardium darker than blood by", "%"),
        "contrast_to_noise": ("blood-myocardium contrast over noise", ""),
        "grey_distance": ("distance of the grey values from the training mean", "% of the range"),
    }
)
_DARK, _BRIGHT = 0.5, 99.5  # percentiles of a study, as models scale their grey values
_EVERY = 4  # pixels between those that the percentiles are taken of: they need not all
_LEVELS = np.linspace(0.05, 0.95, 19)


@dataclass(frozen=True)
class TrainingDomain:
    """What the images of a training set were like.

    Attributes
    ----------
    data
        Which images, for a person.
    studies
        Number of studies that were measured.
    ranges
        Smallest and largest value of each of `FEATURES`; those that nothing is known of are missing.
    grey
        Quantiles (5, 10 ... 95 %) of the scaled grey values around the heart, mean over the studies.
    field_strengths_t, manufacturers
        Of the scanners; empty where they are not known.
    """

    data: str
    studies: int
    ranges: Mapping[str, tuple[float, float]]
    grey: tuple[float, ...]
    field_strengths_t: tuple[float, ...] = ()
    manufacturers: tuple[str, ...] = ()


def study_features(image: Cine, mask: Cine, frames: Sequence[int]) -> tuple[dict[str, float], np.ndarray]:
    """What a study is like, in the heart's box at some frames.

    Parameters
    ----------
    image, mask
        Intensities and `Label` ids on one grid, shape ``(x, y, z, t)``.
    frames
        End-diastole first, end-systole.

    Returns
    -------
    `FEATURES` without ``grey_distance``, nan where unknown; and the quantiles of the scaled grey values in
    the smallest box around the heart, shape ``(19,)``.
    """
    box, frames = heart_box(mask.array), list(frames)
    labels, grey = mask.array[box][..., frames], _scaled(image.array, box, frames)
    wall = np.isin(labels, (Label.LV, Label.MYO))
    pixel = float(np.sqrt(np.prod(image.spacing[:2])))
    contrast = tissue_contrast(grey, labels)
    noise = noise_level(grey, wall & _away_from_edges(labels))
    blood = np.median(grey[labels == Label.LV]) if (labels == Label.LV).any() else np.nan
    found = {
        "pixel_mm": pixel,
        "slice_mm": float(image.spacing[2]),
        "slices": float(image.array.shape[2]),
        "matrix": float(max(image.array.shape[:2])),
        "heart_mm": 2 * float(np.sqrt(wall[..., 0].sum(axis=(0, 1)).max() / np.pi)) * pixel,
        "contrast": 100 * contrast,
        "contrast_to_noise": contrast * float(blood) / max(noise, 1e-6),
    }
    return found, np.quantile(grey, _LEVELS)


def grey_distance(grey: np.ndarray, domain: TrainingDomain) -> float:
    """Mean distance of grey-value quantiles from those of the training, in % of the range of a study."""
    return 100 * float(np.abs(grey - np.array(domain.grey)).mean())


def measure_domain(
    catalog: Catalog,
    *,
    data: str,
    field_strengths_t: Sequence[float] = (),
    manufacturers: Sequence[str] = (),
) -> TrainingDomain:
    """Measure the images that a model was trained on, under their contours.

    Parameters
    ----------
    catalog
        Training images, of which those with masks are used; see `Catalog.select`.
    data
        Which images, for a person.
    field_strengths_t, manufacturers
        Of the scanners, where they are known.

    Raises
    ------
    DataError
        If there is no mask with LV and myocardium, or a file cannot be read.
    """
    found = [study_features(*study) for study in _contoured(catalog)]
    if not found:
        raise DataError(f"no masks with LV and myocardium in {catalog.root}; training images are needed")
    mean_grey = np.mean([grey for _, grey in found], axis=0)
    domain = TrainingDomain(data, len(found), {}, tuple(mean_grey.round(4).tolist()))
    rows = [{**values, "grey_distance": grey_distance(grey, domain)} for values, grey in found]
    values = {name: np.array([row[name] for row in rows]) for name in FEATURES}
    values["grey_distance"] = np.append(values["grey_distance"], 0.0)  # nothing is too close to the mean
    ranges = {
        name: (_rounded(np.nanmin(v)), _rounded(np.nanmax(v)))
        for name, v in values.items()
        if not np.isnan(v).all()
    }
    scanners = tuple(field_strengths_t), tuple(manufacturers)
    return TrainingDomain(data, len(found), ranges, domain.grey, *scanners)


def domain_path(model: Path) -> Path:
    """Where the domain of a model lies: beside its file."""
    return model.with_name(f"{model.stem}_domain.json")


def read_domain(model: Path) -> TrainingDomain | None:
    """The domain of a model.

    Parameters
    ----------
    model
        Model file; see `cmrseg.zoo.manifest.model_path`.

    Returns
    -------
    Domain, or None where none was written.

    Raises
    ------
    DataError
        If the file is damaged.
    """
    path = domain_path(model)
    if not path.exists():
        return None
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        values["ranges"] = {name: (float(low), float(high)) for name, (low, high) in values["ranges"].items()}
        lists = {name: tuple(values[name]) for name in ("grey", "field_strengths_t", "manufacturers")}
        return TrainingDomain(**{**values, **lists})
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path} is damaged ({error}); delete it or measure the training data again"
        ) from None


def write_domain(domain: TrainingDomain, model: Path) -> Path:
    """Write a domain beside its model file."""
    return write_text(json.dumps(asdict(domain), indent=2) + "\n", domain_path(model))


def _contoured(catalog: Catalog) -> Iterator[tuple[Cine, Cine, tuple[int, ...]]]:
    """Image, mask and ED and ES of every subject; frames in files of their own are joined."""
    for _, group in groupby(catalog.with_masks().studies(), key=lambda study: study[0].subject):
        parts = [_load(study) for study in group]
        same = [part for part in parts if part[0].array.shape[:3] == parts[0][0].array.shape[:3]]
        image, mask = (
            Cine(np.concatenate([part[i].array for part in same], axis=3), same[0][i].spacing) for i in (0, 1)
        )
        if {Label.LV, Label.MYO} <= set(np.unique(mask.array)):
            yield image, mask, ed_es_frames(pixel_curve(mask.array, Label.LV))


def _load(study: tuple[VolumeRef, ...]) -> tuple[Cine, Cine]:
    """Images and masks of the frames of a study that were contoured."""
    mask = load_volume_mask(*study)
    drawn = mask.array.any(axis=(0, 1, 2))
    return tuple(  # type: ignore[return-value]
        Cine(cine.array[..., drawn], cine.spacing) for cine in (load_volume_image(*study), mask)
    )


def _scaled(image: np.ndarray, box: tuple[slice, slice], frames: list[int]) -> np.ndarray:
    """Grey values of a part of a study, from 0 (dark) to 1 (bright blood and fat)."""
    low, high = np.percentile(image[::_EVERY, ::_EVERY], [_DARK, _BRIGHT])
    part = image[box][..., frames].astype(np.float32)
    return np.clip((part - low) / max(high - low, 1e-6), 0, 1)


def _away_from_edges(labels: np.ndarray) -> np.ndarray:
    """Pixels whose neighbours in the plane are of the same structure."""
    size = (3, 3, 1, 1)
    return ndimage.maximum_filter(labels, size) == ndimage.minimum_filter(labels, size)


def _rounded(value: float) -> float:
    """A number with four digits."""
    return float(f"{value:.4g}")
