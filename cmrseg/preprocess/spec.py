"""What a model expects of its input; it is part of the model file."""

from __future__ import annotations

from dataclasses import dataclass

DIVISOR = 32  # a ResNet U-Net halves five times
PIXEL_MM = (0.05, 10.0)  # from the hearts of mice to sketches of whole chests
MOST_SIZE = 2048  # pixels
MOST_NEIGHBOURS = 63  # slices; no stack of a heart has as many
MOST_ENLARGED = 25  # pixels of a model in one of the image
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_SD = (0.229, 0.224, 0.225)
RESIZE = ("pixel_mm", "longer_side")
NEIGHBOURS_IN = ("space", "time")
GREY = ("percentiles", "slice_percentiles", "png")


@dataclass(frozen=True)
class Preprocessing:
    """What a model expects of its input.

    Attributes
    ----------
    pixel_mm
        In-plane pixel size that images are resampled to; None keeps the pixels of the file.
    size
        Height and width of the training images in pixels.
    neighbours
        Odd number of neighbouring slices given as channels; 1 is the slice alone.
    neighbours_in
        ``space`` gives the slices beside it in the stack, the ends repeated; ``time`` the same slice at the
        frames before and after, the first of which follows the last.
    rgb
        Repeat a single slice three times and use ImageNet's mean and sd (the paper's convention); otherwise
        every image is brought to zero mean and unit sd.
    low_percentile, high_percentile
        Grey values of the study that become 0 and 1.
    resize
        ``pixel_mm`` brings pixels to one size in mm. ``longer_side`` brings the longer side of an image to
        ``size`` pixels, whatever they measure, and pads the shorter one with zeros to a square: the paper's
        way, and that of fastai's ``Resize(size, method="pad", pad_mode="zeros")``.
    grey
        ``percentiles`` scales the whole study, ``slice_percentiles`` every slice by itself. ``png`` is the
        way of the paper's images: whole numbers from 0 to 255 are divided by 255, and of anything else each
        slice is stretched from its smallest to its largest value over these numbers first, as med2image
        writes PNG files.

    References
    ----------
    Ankenbrand et al. 2021, scripts at github.com/chfc-cmi/cmr-seg-tl.
    """

    pixel_mm: float | None = 1.5
    size: int = 160
    neighbours: int = 1
    rgb: bool = False
    low_percentile: float = 0.5
    high_percentile: float = 99.5
    resize: str = "pixel_mm"
    grey: str = "percentiles"
    neighbours_in: str = "space"

    def __post_init__(self) -> None:
        low, high = PIXEL_MM
        if self.pixel_mm is not None and not low <= self.pixel_mm <= high:
            raise ValueError(f"pixel_mm must be positive, from {low} to {high:g} (mm), got {self.pixel_mm}")
        if not DIVISOR <= self.size <= MOST_SIZE or self.size % DIVISOR:
            raise ValueError(
                f"size must be a multiple of {DIVISOR} up to {MOST_SIZE} (pixels), got {self.size}"
            )
        if not 1 <= self.neighbours <= MOST_NEIGHBOURS or self.neighbours % 2 == 0:
            raise ValueError(
                f"neighbours must be an odd number of slices up to {MOST_NEIGHBOURS}, got {self.neighbours}"
            )
        if not 0 <= self.low_percentile < self.high_percentile <= 100:
            raise ValueError(
                "low_percentile must be below high_percentile, both from 0 to 100, got "
                f"{self.low_percentile} and {self.high_percentile}"
            )
        self._check_modes()
        if self.rgb and self.neighbours not in (1, 3):
            raise ValueError(
                f"rgb input has 3 channels; neighbours must be 1 or 3 slices, got {self.neighbours}"
            )

    def _check_modes(self) -> None:
        for name, known in (("resize", RESIZE), ("grey", GREY), ("neighbours_in", NEIGHBOURS_IN)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, got '{getattr(self, name)}'")
        if self.resize == "longer_side" and self.pixel_mm is not None:
            raise ValueError(
                f"an image whose longer side becomes {self.size} pixels has no pixel_mm of its own, "
                f"got {self.pixel_mm}; leave one of the two out"
            )

    @property
    def channels(self) -> int:
        """Input channels of the network."""
        return 3 if self.rgb else self.neighbours
