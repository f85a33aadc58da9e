"""Segmentation: a class for every pixel, background and structures of the heart.

Loss and scores, the way from a network's probabilities to a mask on the grid of the cine, and what becomes of
the masks of a data set.
"""

from cmrseg.tasks.segmentation.task import SegmentationTask

__all__ = ["SegmentationTask"]
