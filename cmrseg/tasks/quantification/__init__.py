"""Quantification: 11 indices of the left ventricle and the phase of the cycle, straight from an image.

What a data set says of them (measured on its masks, or a table), loss and scores, and the way from a cine to
a table.

References
----------
Gessert and Schlaefer, STACOM (2019); Xue et al., Med Image Anal 43:54 (2018),
doi:10.1016/j.media.2017.09.005.
"""

from cmrseg.tasks.quantification.task import Quantification

__all__ = ["Quantification"]
