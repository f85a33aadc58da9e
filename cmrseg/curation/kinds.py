"""Kinds of problems that curation logs, and how the published log spells them."""

from __future__ import annotations

COLLISION = "collision"
ORIENTATION = "orientation"
ROTATION = "rotation"
IMAGE_SIZE = "image size"
PIXEL_SPACING = "pixel spacing"
SHIFT = "in-plane shift"
MISSING_FRAME = "missing frame"
EXTRA_FRAME = "extra frame"
TRIGGER_TIME = "trigger time"
CYCLE = "cardiac cycle"
SPACING_MISSING = "slice spacing: missing"
SPACING_INTERSPERSED = "slice spacing: interspersed"
SPACING_OUTLIER = "slice spacing: outlier"
SPACING_TOP = "slice spacing: top"
SPACING_BOTTOM = "slice spacing: bottom"
SPACING_SPECIAL = "slice spacing: special"
SPACING_METADATA = "slice spacing: metadata"
TOO_LARGE = "image size >256"
REPEATED = "repeated measurement"
UNREADABLE = "unreadable"
FAILED = "failed"

# Of doi:10.5281/zenodo.3876351, conversion.log; our other kinds were not logged there.
PUBLISHED = {
    COLLISION: "collission",
    **{
        kind: kind
        for kind in (
            ORIENTATION,
            ROTATION,
            IMAGE_SIZE,
            PIXEL_SPACING,
            MISSING_FRAME,
            SPACING_MISSING,
            SPACING_INTERSPERSED,
            SPACING_OUTLIER,
            SPACING_TOP,
            SPACING_BOTTOM,
            SPACING_SPECIAL,
            SPACING_METADATA,
            TOO_LARGE,
        )
    },
}
