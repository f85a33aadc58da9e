"""From image files to answers on their native grid; importing it imports no torch."""

from cmrseg.predict.network import Network, open_network
from cmrseg.predict.runs import predict
from cmrseg.predict.segment import segment_cine, segmenter, study_segmenter
from cmrseg.tasks.options import AS_PUBLISHED, Options, prediction_options
from cmrseg.tasks.prediction import PredictionRun, ask_about_all
from cmrseg.zoo.manifest import DEFAULT_MODEL

__all__ = [
    "AS_PUBLISHED",
    "DEFAULT_MODEL",
    "Network",
    "Options",
    "PredictionRun",
    "ask_about_all",
    "open_network",
    "predict",
    "prediction_options",
    "segment_cine",
    "segmenter",
    "study_segmenter",
]
