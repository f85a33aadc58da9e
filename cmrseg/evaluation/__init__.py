"""What predictions are worth: masks against masks, pixel counts against volumes, confusion counts.

`masks` compares volumes with volumes, `ef` per-image pixel counts with true volumes, and `confusion` scores
published tables; `summary` holds the table that all of them end in.
"""

from cmrseg.evaluation.mask_tables import Evaluation, VolumeScores
from cmrseg.evaluation.masks import evaluate_masks
from cmrseg.evaluation.summary import METRIC_COLUMNS, SUMMARY_COLUMNS, summarise

__all__ = [
    "METRIC_COLUMNS",
    "SUMMARY_COLUMNS",
    "Evaluation",
    "VolumeScores",
    "evaluate_masks",
    "summarise",
]
