"""From image files to masks on their native grid; importing it imports no torch."""

from cmrseg.predict.cleaning import largest_components
from cmrseg.predict.network import Network, open_network
from cmrseg.predict.options import Options, Progress
from cmrseg.predict.runs import (
    PredictionRun,
    Segment,
    Study,
    mask_paths,
    predict,
    segment_catalog,
)
from cmrseg.predict.segment import Segmentation, segment_cine, segmenter, study_segmenter
from cmrseg.zoo.manifest import DEFAULT_MODEL

__all__ = [
    "DEFAULT_MODEL",
    "Network",
    "Options",
    "PredictionRun",
    "Progress",
    "Segment",
    "Segmentation",
    "Study",
    "largest_components",
    "mask_paths",
    "open_network",
    "predict",
    "segment_catalog",
    "segment_cine",
    "segmenter",
    "study_segmenter",
]
