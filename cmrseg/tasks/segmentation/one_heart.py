"""What is left of a mask when everything that is no part of the heart is removed."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Bool
from scipy import ndimage

from cmrseg.arrays import CineLabels
from cmrseg.labels import STRUCTURES, Label
from cmrseg.metrics.regions import slice_positions
from cmrseg.tasks.options import Pieces

FEWEST_FRAMES = 5  # of a cine whose neighbours in time are near
_MOST = 0.5  # of the frames
_ENCLOSED = 0.75  # of the outline of a cavity that is not the largest
_SIDE_PIECE = 0.1  # of the largest piece of the RV
_MOVED = 1.25  # diameters of the heart that breath-holds move a slice at most
REACH_PX = 2  # between RV and septum, which a mask may leave open
_NEIGHBOURS = np.ones((3, 3, 3))
_IN_SLICE = _NEIGHBOURS * [0, 1, 0]
Stack = Bool[np.ndarray, "x y z"]


def kept_pieces(mask: CineLabels, pieces: Pieces) -> CineLabels:
    """What stays of a mask ``(x, y, z, t)``: one heart, the largest piece of every structure, or all."""
    match pieces:
        case "heart":
            return one_heart(mask)
        case "largest":
            return largest_components(mask)
        case "all":
            return mask
    raise ValueError(f"pieces must be heart, largest or all, got '{pieces}'")


def one_heart(mask: CineLabels) -> CineLabels:
    """Keep one heart: the piece that holds the myocardium, the cavity in it and the RV beside it.

    * The heart is where most myocardium lies in most frames. LV and myocardium elsewhere (breast, stomach,
      aorta) go, however large they are.
    * A slice that the largest cavity does not reach may show one that myocardium encloses; beside the largest
      wall only what touches a cavity stays.
    * The RV touches the left heart; it may have further, small pieces towards the apex, on the same side.
    * In a cine, a slice that shows a heart in one frame and in neither of its neighbours in time shows none;
      where both neighbours have what a frame lacks, it is what they agree on.

    Nothing is assumed of where a heart lies in the image. A mask without myocardium keeps the largest piece
    of every structure.

    Parameters
    ----------
    mask
        `Label` ids, shape ``(x, y, z, t)``.

    Returns
    -------
    Mask of the same shape; what is no part of the heart became background.
    """
    box = bounding_box(np.any(mask > 0, axis=3))
    inside = mask[box]
    if not (inside == Label.MYO).any():
        return largest_components(mask)
    place = _heart_place(inside)
    frames = [_heart_of_frame(inside[..., t], place) for t in range(mask.shape[3])]
    kept = np.zeros_like(mask)
    kept[box] = _steady(np.stack(frames, axis=3))
    return kept


def largest_components(mask: CineLabels) -> CineLabels:
    """Keep the largest connected piece of every structure, frame by frame.

    Parameters
    ----------
    mask
        `Label` ids, shape ``(x, y, z, t)``.

    Returns
    -------
    Mask of the same shape; smaller pieces became background. Pieces connect within a slice and to the
    slices above and below, diagonals included.
    """
    kept = np.zeros_like(mask)
    for t in range(mask.shape[3]):
        for structure in STRUCTURES:
            found = mask[..., t] == structure
            box = bounding_box(found)
            pieces, n = ndimage.label(found[box], _NEIGHBOURS)
            if n:
                sizes = np.bincount(pieces.ravel())[1:]
                kept[..., t][box][pieces == 1 + sizes.argmax()] = structure
    return kept


def bounding_box(found: Bool[np.ndarray, "..."]) -> tuple[slice, ...]:
    """The part of an array outside of which there is nothing: empty slices where there is nothing at all."""
    box: tuple[slice, ...] = ()
    for axis in range(found.ndim):
        inside = np.flatnonzero(found.any(axis=tuple(a for a in range(found.ndim) if a != axis)))
        box += (slice(inside[0], inside[-1] + 1) if inside.size else slice(0),)
    return box


def _left_heart(labels: np.ndarray) -> np.ndarray:
    return (labels == Label.LV) | (labels == Label.MYO)


def _heart_place(mask: CineLabels) -> Stack:
    """Where the left heart lies in any frame: the piece with most myocardium in all frames together.

    Where no piece is in most frames every frame is judged by itself. Slices without it, as one that a
    breath-hold has moved, have their own piece with a cavity near it.
    """
    pieces, n = ndimage.label(_left_heart(mask).any(axis=3), _NEIGHBOURS)
    muscle = np.count_nonzero(mask == Label.MYO, axis=3)
    weights = np.bincount(pieces.ravel(), weights=muscle.ravel(), minlength=n + 1)
    weights[0] = 0
    main = weights.argmax()
    place = pieces == main
    if (_left_heart(mask) & place[..., None]).any(axis=(0, 1, 2)).mean() <= _MOST:
        return np.ones_like(place)
    centres = _centres(pieces, n)
    widest = np.count_nonzero(place, axis=(0, 1)).max()
    reach = _MOVED * 2 * math.sqrt(widest / math.pi)
    cavities = np.bincount(pieces[(mask == Label.LV).any(axis=3)], minlength=n + 1)
    near = (np.linalg.norm(centres - centres[main], axis=1) < reach) & (weights > 0) & (cavities > 0)
    for z in np.flatnonzero(~place.any(axis=(0, 1))):
        sizes = np.bincount(pieces[..., z].ravel(), minlength=n + 1) * near
        place[..., z] = (pieces[..., z] == sizes.argmax()) & (sizes.max() > 0)
    return place


def _heart_of_frame(frame: np.ndarray, place: Stack) -> np.ndarray:
    """The heart of one frame, ``(x, y, z)``."""
    left = _with_cavity(_one_piece_a_slice(frame * (_left_heart(frame) & place)))
    return np.where(_right_heart(frame == Label.RV, left), np.uint8(Label.RV), left)


def _one_piece_a_slice(left: np.ndarray) -> np.ndarray:
    """The piece with most myocardium, and others with a cavity in slices that do not show that one."""
    pieces, n = ndimage.label(left, _NEIGHBOURS)
    if n < 2:
        return left
    sizes = np.stack([np.bincount(pieces[..., z].ravel(), minlength=n + 1) for z in range(left.shape[2])])
    sizes[:, 0] = 0
    muscle = np.bincount(pieces[left == Label.MYO], minlength=n + 1)
    main = muscle.argmax()
    shows = np.where(sizes[:, main] > 0, main, np.where(sizes.any(axis=1), sizes.argmax(axis=1), main))
    cavities = np.bincount(pieces[left == Label.LV], minlength=n + 1)
    kept = np.isin(np.arange(n + 1), shows) & (muscle > 0) & (cavities > 0)
    kept[main] = True
    return left * kept[pieces]


def _with_cavity(left: np.ndarray) -> np.ndarray:
    """The largest cavity with the largest wall, and others of both that belong together within a slice."""
    cavity, wall = left == Label.LV, left == Label.MYO
    pieces, n = ndimage.label(cavity, _IN_SLICE)
    enclosed = _contact(pieces, n, wall) >= _ENCLOSED * _contact(pieces, n, ~cavity)
    largest = _largest(cavity)
    cavity &= largest | (enclosed[pieces] & ~largest.any(axis=(0, 1)))
    pieces, n = ndimage.label(wall, _IN_SLICE)
    wall &= _largest(wall) | (_contact(pieces, n, cavity) > 0)[pieces]
    return np.where(cavity | wall, left, 0)


def _largest(found: Stack) -> Stack:
    """The largest piece, across slices."""
    pieces, n = ndimage.label(found, _NEIGHBOURS)
    return pieces == 1 + np.bincount(pieces.ravel(), minlength=n + 1)[1:].argmax() if n > 1 else found


def _contact(pieces: np.ndarray, n: int, other: Stack) -> np.ndarray:
    """Edges of pixels between every piece, by its number, and others of its slice; the border is none."""
    edges = np.zeros(n + 1)
    for axis in (0, 1):
        for one, two in ((slice(1, None), slice(None, -1)), (slice(None, -1), slice(1, None))):
            here = (one,) if axis == 0 else (slice(None), one)
            there = (two,) if axis == 0 else (slice(None), two)
            edges += np.bincount(pieces[here][other[there]], minlength=n + 1)
    return edges


def _right_heart(right: Stack, left: np.ndarray) -> Stack:
    """The largest piece of RV that touches the left heart, and small others towards the apex on its side.

    Where breath-holds have moved slices so far that the left heart is in pieces, the RV may be, too.
    """
    pieces, n = ndimage.label(right, _NEIGHBOURS)
    near = ndimage.binary_dilation(left > 0, _IN_SLICE, iterations=REACH_PX)
    sizes = np.bincount(pieces.ravel(), minlength=n + 1).astype(float)
    sizes[0] = 0
    touching = np.bincount(pieces[near], minlength=n + 1) > 0
    touching[0] = False
    if not touching.any():
        return pieces == sizes.argmax() if n else right
    main = np.where(touching, sizes, 0).argmax()
    if n == 1:
        return right
    away = _centres(pieces, n) - ndimage.center_of_mass(left > 0)[:2]
    is_apart = ndimage.label(left, _NEIGHBOURS)[1] > 1
    apical = slice_positions(np.count_nonzero(left, axis=(0, 1))) >= 0.5
    at_apex = np.bincount(pieces[..., apical].ravel(), minlength=n + 1) == sizes
    small = at_apex & (sizes <= _SIDE_PIECE * sizes[main])
    kept = touching & (away @ away[main] > 0) & (is_apart | small)
    kept[main] = True
    return kept[pieces]


def _centres(pieces: np.ndarray, n: int) -> np.ndarray:
    """Place in the plane of every piece by its number, ``(n + 1, 2)``; 0 is none."""
    found = np.array(ndimage.center_of_mass(pieces > 0, pieces, np.arange(1, n + 1)))
    return np.vstack([[np.nan, np.nan], found[:, :2]])


def _steady(mask: CineLabels) -> CineLabels:
    """Slices that show a heart, or none, in one frame and not in those before and after it follow these."""
    if mask.shape[3] < FEWEST_FRAMES:
        return mask
    before, after = np.roll(mask, 1, axis=3), np.roll(mask, -1, axis=3)
    shown, earlier, later = (_left_heart(m).any(axis=(0, 1)) for m in (mask, before, after))
    lone, missed = shown & ~earlier & ~later, ~shown & earlier & later
    agreed = np.where(before == after, before, 0)
    return np.where(lone, 0, np.where(missed, agreed, mask)).astype(mask.dtype)
