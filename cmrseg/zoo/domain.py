"""What the images were like that a model was trained on, and how another study differs from them.

It lies in the description of the model file, so that it goes wherever the model goes. Beside it, as
``<model>_domain.json`` with the checksum of the model, a person can read it, and older models have it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from pathlib import Path
from types import MappingProxyType

import numpy as np
from scipy import ndimage

from cmrseg.cine import Cine
from cmrseg.data.catalog import Catalog, VolumeRef, load_volume_image, load_volume_mask
from cmrseg.io.atomic import write_text
from cmrseg.io.checksum import sha256_of
from cmrseg.io.settings import read_json, record, told_of
from cmrseg.labels import Label
from cmrseg.metrics.plausibility import heart_box, noise_level, tissue_contrast
from cmrseg.metrics.volumes import ed_es_frames, pixel_curve
from cmrseg.problems import DataError
from cmrseg.zoo.model_file import ModelSpec
from cmrseg.zoo.resolved import ResolvedModel

DOMAIN = "domain"  # in `ModelSpec.training`
_MODEL = "model_sha256"
_REMEDY = "it is damaged: delete it or measure the training data again"
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
Features = tuple[dict[str, float], np.ndarray]  # of a study, and its grey values


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


def study_features(image: Cine, mask: Cine, frames: Sequence[int]) -> Features:
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
        If there is no mask with LV that can be read.
    """
    found = subject_features(catalog).values()
    if not found:
        raise DataError(f"no masks with LV in {catalog.root}; training images are needed")
    return domain_of(found, data=data, field_strengths_t=field_strengths_t, manufacturers=manufacturers)


def subject_features(catalog: Catalog) -> dict[str, Features]:
    """`study_features` of every subject whose masks show an LV."""
    measured = _contoured(catalog)
    return {name: study_features(image, mask, frames) for name, image, mask, frames in measured}


def domain_of(
    found: Collection[Features],
    *,
    data: str,
    field_strengths_t: Sequence[float] = (),
    manufacturers: Sequence[str] = (),
) -> TrainingDomain:
    """The domain of subjects that were measured, at least one; the others as for `measure_domain`."""
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


def read_domain(model: Path | ResolvedModel) -> TrainingDomain | None:
    """The domain of a model.

    Parameters
    ----------
    model
        Model file, or a model from `cmrseg.zoo.manifest.resolve`.

    Returns
    -------
    Domain, or None where none is known.

    Raises
    ------
    DataError
        If it is damaged, or the file beside the model was written for another model.
    """
    model = model if isinstance(model, ResolvedModel) else ResolvedModel.of_file(model)
    told = model.spec.training.get(DOMAIN)
    if told is not None:
        with told_of(model.path, "its training domain is damaged: copy the model again"):
            return record(TrainingDomain, told)
    path = domain_path(model.path)
    if not path.exists():
        return None
    values = read_json(path, _REMEDY)
    expected = values.pop(_MODEL, None)
    if expected is not None and expected != model.sha256:
        raise DataError(f"{path} is of another model than {model.path.name}; delete it or copy both again")
    with told_of(path, _REMEDY):
        return record(TrainingDomain, values)


def write_domain(domain: TrainingDomain, model: Path) -> Path:
    """Write a domain beside its model file, with the checksum of the model."""
    values = {**asdict(domain), _MODEL: sha256_of([model])}
    return write_text(json.dumps(values, indent=2) + "\n", domain_path(model))


def with_domain(spec: ModelSpec, domain: TrainingDomain | None) -> ModelSpec:
    """The description of a model with what it was trained on, where that is known."""
    if domain is None:
        return spec
    return replace(spec, training={**spec.training, DOMAIN: asdict(domain)})


def _contoured(catalog: Catalog) -> Iterator[tuple[str, Cine, Cine, tuple[int, ...]]]:
    """Name, image, mask and ED and ES of every subject; frames in files of their own are joined."""
    for subject, group in groupby(catalog.with_masks().studies(), key=lambda study: study[0].subject):
        parts = []
        for study in group:
            with suppress(DataError):  # training has told it and left it out
                parts.append(_load(study))
        if not parts:
            continue
        same = [part for part in parts if part[0].array.shape[:3] == parts[0][0].array.shape[:3]]
        image, mask = (
            Cine(np.concatenate([part[i].array for part in same], axis=3), same[0][i].spacing) for i in (0, 1)
        )
        if (mask.array == Label.LV).any():
            # Contours of a person, of a few frames.
            yield subject, image, mask, ed_es_frames(pixel_curve(mask.array, Label.LV), smooth=False)


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
