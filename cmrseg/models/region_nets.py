"""Networks that tell the region of a slice: the paper's seven around ImageNet features, as ``r18-region``.

References
----------
Mariscal-Harana et al., "Improved AI-based segmentation of apical and basal slices from clinical cine CMR"
(2023), approach 2 and table 2.
"""

from __future__ import annotations

from cmrseg.models.defaults import Stage, TrainDefaults
from cmrseg.models.pooled import register_pooled

SUFFIX = "region"
# AlexNet, DenseNet121, MobileNetV2, ResNet18, ShuffleNetV2, SqueezeNet, VGG-A with batch norm.
BACKBONES = ("alex", "dn121", "mnv2", "r18", "shuf", "sq11", "v11")
# Adam at 5e-4. The paper has 1,000 epochs; images are on the grid of the light U-Nets here.
DEFAULTS = TrainDefaults(
    base=(Stage(40, 5e-4),),
    transfer=(Stage(20, 5e-4),),
    transfer_augmentation="",
    batch_size=32,
    transfer_batch_size=32,
    weight_decay=0.0,
    ema_decay=0.0,
    gradient_clip=0.0,
    size=160,
    pixel_mm=1.5,
)

register_pooled(SUFFIX, task="region", backbones=BACKBONES, defaults=DEFAULTS)
