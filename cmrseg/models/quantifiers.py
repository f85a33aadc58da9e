"""Networks that give the indices of the left ventricle and the phase of an image, by the paper's names.

``dn121-2D`` gives the 11 indices, ``dn121-2D-Joint`` the phase beside them, ``dn121-2D-Class`` the phase.
With ``-SR`` a mask is learnt beside them, which regularises.

References
----------
Gessert and Schlaefer, STACOM (2019), 2.1 and 2.2.
"""

from __future__ import annotations

from cmrseg.labels import Label
from cmrseg.models.defaults import Stage, TrainDefaults
from cmrseg.models.pooled import register_pooled

# 150 epochs of 10 images of every patient at 1e-4; here an epoch shows every image once.
DEFAULTS = TrainDefaults(
    base=(Stage(150, 1e-4),),
    transfer=(Stage(50, 1e-4),),
    transfer_augmentation="",
    batch_size=8,
    transfer_batch_size=8,
    weight_decay=0.0,
    ema_decay=0.0,
    gradient_clip=0.0,
    size=224,
    pixel_mm=1.0,
    grey="slice_percentiles",
    low_percentile=1.0,
    high_percentile=99.0,
)
BACKBONES = (
    "dn121", "dn161", "dn169", "rx101", "sern101", "sern152", "serx101", "se154", "r18", "sq11", "mnv2",
)  # fmt: skip
_TASKS = {"2D": "quantification", "2D-Joint": "quantification-joint", "2D-Class": "phase"}

for _suffix, _task in _TASKS.items():
    register_pooled(_suffix, task=_task, backbones=BACKBONES, defaults=DEFAULTS)
    register_pooled(
        f"{_suffix}-SR", task=_task, backbones=BACKBONES, defaults=DEFAULTS, mask_classes=len(Label)
    )
