"""Faults of the truth: contours and masks that do not lie where a heart can have them.

The limits were chosen so that no image of 132 subjects of ACDC, M&Ms and Sunnybrook is complained about
that shows nothing wrong, open rings at the base and tiny cavities at the apex included.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from jaxtyping import Float, UInt8
from scipy import ndimage
from skimage.morphology import convex_hull_image

from cmrseg.data.catalog import VolumeRef, load_volume_image, load_volume_mask
from cmrseg.io.outlines import Polygon, polygon_area, rasterise
from cmrseg.labels import Label
from cmrseg.metrics.contrast import MIN_CONTRAST, blood_contrast
from cmrseg.parallel import map_studies
from cmrseg.problems import DataError, Problem

MAX_OUTSIDE = 0.05  # of the endocardial area; 0.20 to 0.62 in the displaced contours of SCD0000501
MAX_CENTRE_DISTANCE = 0.7  # epicardial radii; 0.62 at a tiny apical cavity of ACDC
MAX_OUTSIDE_HULL = 0.1  # of the LV; at most 0.025 in good masks, 0.47 to 0.76 in those of SCD0000501
DISPLACED = "truth displaced"
KEPT = "evaluated all the same"


@dataclass(frozen=True)
class Nesting:
    """How the endocardium of an image lies in its epicardium.

    Attributes
    ----------
    outside
        Share of the endocardial area outside of the epicardium.
    centre_distance
        Distance of the centroids, in radii of the epicardium.
    wall_px
        Mean wall thickness in pixels: the difference of the radii of circles of equal area.
    """

    outside: float
    centre_distance: float
    wall_px: float

    @property
    def is_sound(self) -> bool:
        """Whether both can be contours of one heart."""
        is_inside = self.outside <= MAX_OUTSIDE and self.centre_distance <= MAX_CENTRE_DISTANCE
        return is_inside and self.wall_px > 0

    def __str__(self) -> str:
        return (
            f"{100 * self.outside:.0f} % of the endocardial area outside of the epicardium, centroids "
            f"{self.centre_distance:.2f} epicardial radii apart, mean wall {self.wall_px:.1f} pixels"
        )


def nesting(endocardium: Polygon, epicardium: Polygon) -> Nesting:
    """Measure how two contours of one image lie in each other.

    Parameters
    ----------
    endocardium, epicardium
        Points ``(x, y)`` in pixels, shape ``(n, 2)``.

    Returns
    -------
    See `Nesting`; the areas are counted in pixels.
    """
    points = np.concatenate([endocardium, epicardium])
    low = np.floor(points.min(axis=0)) - 1
    width, height = (np.ceil(points.max(axis=0)) - low + 2).astype(int).tolist()
    inner, outer = (rasterise(polygon - low, (width, height)) for polygon in (endocardium, epicardium))
    inner_radius, outer_radius = (np.sqrt(polygon_area(p) / np.pi) for p in (endocardium, epicardium))
    apart = np.linalg.norm(_centre(inner) - _centre(outer))
    outside = int(np.count_nonzero(inner & ~outer)) / max(int(np.count_nonzero(inner)), 1)
    return Nesting(float(outside), float(apart / outer_radius), float(outer_radius - inner_radius))


def truth_problems(
    truth: UInt8[np.ndarray, "x y z"],
    image: Float[np.ndarray, "x y z"] | None = None,
    *,
    subject: str = "",
    name: str = "",
    slices: Sequence[int] | None = None,
) -> list[Problem]:
    """What a mask must be wrong about, because the LV is not in its myocardium or neither is on the heart.

    Parameters
    ----------
    truth
        `Label` ids, shape ``(x, y, z)``.
    image
        Intensities of the same shape: a mask that is displaced as a whole has the same grey values in LV and
        myocardium. Without them only LV against myocardium is checked.
    subject, name, slices
        For the problems: the subject, the image, and the numbers of the slices (from 0 by default).

    Returns
    -------
    No, one or two problems; the mask may be used all the same.
    """
    numbers = range(truth.shape[2]) if slices is None else slices
    found = []
    if bad := _beside_muscle(truth):
        told = ", ".join(f"{numbers[z]} ({100 * share:.0f} %)" for z, share in bad.items())
        found.append(f"LV not enclosed by the myocardium: share of the LV outside, by slice: {told}")
    contrast = np.nan if image is None else blood_contrast(truth, image)
    if contrast < MIN_CONTRAST:
        found.append(
            f"LV and myocardium of the mask have the same grey values (contrast {contrast:.2f} of 1, "
            f"expected above {MIN_CONTRAST}): the mask may be displaced against the image, "
            "or another patient's"
        )
    return [Problem(subject, DISPLACED, KEPT, name, info) for info in found]


def check_truth(refs: Sequence[VolumeRef], *, jobs: int = 1) -> list[Problem]:
    """`truth_problems` of the volumes of a data set.

    Parameters
    ----------
    refs
        True volumes with masks; frames of one file follow each other.
    jobs
        Number of processes.

    Returns
    -------
    Problems in the order of the volumes. Files that cannot be read are the business of who evaluates them.
    """
    studies = [
        tuple(group) for _, group in groupby(refs, key=lambda ref: (ref.subject, ref.masks, ref.images))
    ]
    done = map_studies(_check_study, studies, what="the check of a study's masks", jobs=jobs)
    return [problem for found in done for problem in found]


def _check_study(refs: Sequence[VolumeRef]) -> list[Problem]:
    """Problems of the volumes that share their files."""
    try:
        truth, image = load_volume_mask(*refs).array, load_volume_image(*refs).array
        volumes = zip(refs, np.moveaxis(truth, 3, 0), np.moveaxis(image, 3, 0), strict=True)
        return [p for ref, mask, grey in volumes for p in _check_volume(ref, mask, grey)]
    except (DataError, ValueError):
        return []


def _check_volume(ref: VolumeRef, truth: np.ndarray, image: np.ndarray) -> list[Problem]:
    """Problems of one volume, named."""
    name = ref.image.name if ref.is_stack else f"{ref.image.name} and its stack"
    return truth_problems(truth, image, subject=ref.subject, name=name, slices=ref.slices)


def _beside_muscle(truth: np.ndarray) -> dict[int, float]:
    """Slices whose LV lies beside its muscle, and to what share.

    The first and the last slice may have half a ring; alone they do not count.
    """
    shown = np.flatnonzero((truth == Label.LV).any(axis=(0, 1)))
    shares = {int(z): _outside_hull(truth[..., z]) for z in shown}
    bad = {z: share for z, share in shares.items() if share > MAX_OUTSIDE_HULL}
    ends = {shown[0], shown[-1]} if len(shown) > 2 else set()
    return bad if bad.keys() - ends else {}


def _outside_hull(labels: np.ndarray) -> float:
    """Share of the LV of an image outside of the convex hull of its myocardium; 0 where either is absent.

    The hull closes the open rings of the base; what is left outside is an LV that lies beside its muscle.
    """
    lv, myo = labels == Label.LV, labels == Label.MYO
    around = ndimage.binary_dilation(lv) & ~lv
    if not lv.any() or not myo.any() or myo[around].all():
        return 0.0
    return float(np.count_nonzero(lv & ~convex_hull_image(myo)) / np.count_nonzero(lv))


def _centre(mask: np.ndarray) -> np.ndarray:
    """Centroid of a mask in pixels."""
    return np.array(ndimage.center_of_mass(mask))
