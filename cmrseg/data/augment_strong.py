"""Strong augmentation ``s3``: other scanners, orientations and pixel sizes from one data set.

One batch is warped by a single ``grid_sample`` (affine and elastic together), then its grey values are
changed image by image. It is fast enough for two CPU cores and runs wherever the tensors are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from cmrseg.data.breath_holds import Draw, drop_slices, slice_shifts
from cmrseg.partial_labels import join_codes, split_codes


@dataclass(frozen=True)
class StrongAugment:
    """Ranges and probabilities of ``s3``; every range is sampled anew for every image.

    The defaults cover any orientation in the plane, pixels that are wrongly assumed to be 0.7 to 1.4 times
    their size, and the grey values of other scanners; they were set once, not searched. Breath-holds
    displace a slice of a stack by up to 6 mm, pixels being 1.5 mm.
    """

    crop_px: int | None = 160
    reverse_probability: float = 0.5
    rotation_max_degrees: float = 180.0
    flip_probability: float = 0.5
    scale_min_ratio: float = 0.7
    scale_max_ratio: float = 1.4
    stretch_max_ratio: float = 1.15
    shift_max_px: float = 24.0
    elastic_probability: float = 0.3
    elastic_max_px: float = 4.0
    elastic_knots: int = 6
    gamma_probability: float = 0.5
    gamma_max_ratio: float = 1.7
    contrast_probability: float = 0.4
    contrast_max_ratio: float = 1.4
    brightness_max_fraction: float = 0.15
    bias_probability: float = 0.4
    bias_max_log_gain: float = 0.5
    bias_knots: int = 4
    blur_probability: float = 0.25
    blur_max_sigma_px: float = 1.2
    noise_probability: float = 0.4
    noise_max_sd_fraction: float = 0.08
    breath_hold_probability: float = 0.4
    breath_hold_max_px: float = 4.0
    dropped_slice_probability: float = 0.2


def augment_strong(
    images: Tensor, masks: Tensor, spec: StrongAugment | None = None, generator: Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Warp a batch of images with their masks, then change the grey values of the images.

    Parameters
    ----------
    images
        Shape ``(b, c, h, w)``, grey values in [0, 1]; the channels of one image, neighbours or the slices of
        a stack, share every change.
    masks
        Label ids, integers of shape ``(b, h, w)``, or ``(b, c, h, w)`` of every slice of a stack.
    spec
        Ranges and probabilities; the defaults when None.
    generator
        Source of random numbers; torch's global one when None.

    Returns
    -------
    Images ``(b, c, crop_px, crop_px)`` in [0, 1] and masks ``(b, crop_px, crop_px)`` (of stacks with their
    slices), of the dtypes given; ``h`` and ``w`` are kept when ``crop_px`` is None.

    Raises
    ------
    ValueError
        If the shapes do not belong together.
    """
    spec = StrongAugment() if spec is None else spec
    images, masks, dtype = images.as_subclass(Tensor), masks.as_subclass(Tensor), images.dtype
    if images.ndim != 4 or masks.shape not in (images[:, 0].shape, images.shape):
        raise ValueError(
            "images must be (b, c, h, w) and masks (b, h, w) or (b, c, h, w), "
            f"got {tuple(images.shape)} and {tuple(masks.shape)}"
        )
    images = images.float()  # positions in pixels do not fit into half precision
    draw = _drawer(images, generator)
    if masks.ndim == 4:
        images, masks = drop_slices(images, masks, probability=spec.dropped_slice_probability, draw=draw)
    images, masks = reverse_slices(images, masks, spec, draw)
    plain, codes = split_codes(masks.reshape(-1, *masks.shape[-2:]))
    grid = random_grid(images.shape, spec, draw)
    grid = _of_every_slice(grid, images.shape, spec, draw) if masks.ndim == 4 else grid
    images, plain = warp(images, plain.view(masks.shape), grid)
    warped = join_codes(plain.reshape(-1, *plain.shape[-2:]), codes).view(plain.shape)
    return change_grey_values(images, spec, draw).to(dtype), warped


def reverse_slices(images: Tensor, masks: Tensor, spec: StrongAugment, draw: Draw) -> tuple[Tensor, Tensor]:
    """Swap the slices above and below: some data sets go from base to apex, others from apex to base.

    Parameters
    ----------
    images
        Shape ``(b, c, h, w)``, neighbouring slices, or those of a stack, as channels.
    masks
        Of the slice in the middle ``(b, h, w)``, or of every slice ``(b, c, h, w)``.
    spec
        Probability.
    draw
        Source of uniform random numbers.

    Returns
    -------
    Images and masks of the same shapes.
    """
    chosen = draw(len(images), 1, 1, 1) < spec.reverse_probability
    if masks.ndim == 4:
        masks = torch.where(chosen, masks.flip(1), masks)
    return torch.where(chosen, images.flip(1), images), masks


def random_grid(shape: tuple[int, ...], spec: StrongAugment, draw: Draw) -> Tensor:
    """Sampling positions of a random flip, scaling, rotation, shift and elastic deformation.

    Parameters
    ----------
    shape
        ``(b, c, h, w)`` of the images.
    spec
        Ranges and probabilities.
    draw
        Source of uniform random numbers.

    Returns
    -------
    Positions ``(x, y)`` in units of ``grid_sample``, shape ``(b, h_out, w_out, 2)``.
    """
    b, _, h, w = shape
    out_h, out_w = (spec.crop_px, spec.crop_px) if spec.crop_px else (h, w)
    y, x = torch.meshgrid(_centred(out_h), _centred(out_w), indexing="ij")
    points = torch.stack([x, y], dim=-1).reshape(1, -1, 2).to(draw(1))
    moved = points @ _matrices(b, spec, draw).transpose(1, 2)
    moved = moved + _signed(draw(b, 1, 2)) * spec.shift_max_px
    moved = moved.view(b, out_h, out_w, 2) + _elastic(b, (out_h, out_w), spec, draw)
    return moved * moved.new_tensor([2 / w, 2 / h])


def warp(images: Tensor, masks: Tensor, grid: Tensor) -> tuple[Tensor, Tensor]:
    """Sample images linearly and masks by the most likely label; black and background lie outside.

    Parameters
    ----------
    images
        Shape ``(b, c, h, w)``.
    masks
        Label ids, shape ``(b, h, w)`` or, of every slice of a stack, ``(b, c, h, w)``.
    grid
        Positions in units of ``grid_sample``, shape ``(b, h_out, w_out, 2)``, of stacks
        ``(b, c, h_out, w_out, 2)``.

    Returns
    -------
    Images ``(b, c, h_out, w_out)`` and masks ``(b, h_out, w_out)`` or ``(b, c, h_out, w_out)``.
    """
    if masks.ndim == 4:
        slices = (images.flatten(0, 1)[:, None], masks.flatten(0, 1), grid.flatten(0, 1))
        return tuple(each.view(*masks.shape[:2], *each.shape[-2:]) for each in warp(*slices))  # type: ignore[return-value]
    structures = F.one_hot(masks.long())[..., 1:].permute(0, 3, 1, 2).to(images)
    both = torch.cat([images, structures], dim=1)
    both = F.grid_sample(both, grid.to(images), mode="bilinear", padding_mode="zeros", align_corners=False)
    images, structures = both[:, : images.shape[1]], both[:, images.shape[1] :]
    background = 1 - structures.sum(dim=1, keepdim=True)
    return images, torch.cat([background, structures], dim=1).argmax(dim=1).to(masks.dtype)


def change_grey_values(images: Tensor, spec: StrongAugment, draw: Draw) -> Tensor:
    """Bias field, gamma, contrast and brightness, blur and noise, each on a random part of the batch.

    Parameters
    ----------
    images
        Shape ``(b, c, h, w)``, grey values in [0, 1].
    spec
        Ranges and probabilities.
    draw
        Source of uniform random numbers.

    Returns
    -------
    Images of the same shape, in [0, 1].
    """
    steps = (
        (spec.bias_probability, _bias),
        (spec.gamma_probability, _gamma),
        (spec.contrast_probability, _contrast),
        (spec.blur_probability, _blur),
        (spec.noise_probability, _noise),
    )
    for probability, step in steps:
        chosen = draw(len(images), 1, 1, 1) < probability
        images = torch.where(chosen, step(images, spec, draw).clamp(0, 1), images)
    return images


def _drawer(images: Tensor, generator: Generator | None) -> Draw:
    """Uniform random numbers for these images, drawn where the generator lives."""
    device = images.device if generator is None else generator.device
    return lambda *shape: torch.rand(shape, generator=generator, device=device).to(images)


def _of_every_slice(grid: Tensor, shape: tuple[int, ...], spec: StrongAugment, draw: Draw) -> Tensor:
    """The one grid of a stack for each of its slices, displaced by its breath-hold."""
    b, slices, h, w = shape
    shifts = slice_shifts(
        b, slices, probability=spec.breath_hold_probability, max_px=spec.breath_hold_max_px, draw=draw
    )
    return grid[:, None] + (shifts * shifts.new_tensor([2 / w, 2 / h]))[:, :, None, None]


def _signed(uniform: Tensor) -> Tensor:
    return 2 * uniform - 1


def _centred(n: int) -> Tensor:
    """Pixel centres around the middle of the image, in pixels."""
    return torch.arange(n) - (n - 1) / 2


def _matrices(b: int, spec: StrongAugment, draw: Draw) -> Tensor:
    """Flip, scaling and rotation, output to input pixels, shape ``(b, 2, 2)``."""
    angle = _signed(draw(b)) * math.radians(spec.rotation_max_degrees)
    low, high = math.log(spec.scale_min_ratio), math.log(spec.scale_max_ratio)
    zoom = low + (high - low) * draw(b)
    stretch = _signed(draw(b)) * math.log(spec.stretch_max_ratio) / 2
    flip = torch.where(draw(b) < spec.flip_probability, -1.0, 1.0)
    along, across = flip * torch.exp(-zoom + stretch), torch.exp(-zoom - stretch)
    cos, sin = angle.cos(), angle.sin()
    rows = torch.stack([along * cos, -across * sin, along * sin, across * cos])
    return rows.T.reshape(b, 2, 2)


def _elastic(b: int, size: tuple[int, int], spec: StrongAugment, draw: Draw) -> Tensor:
    """Smooth displacements in pixels, zero for the images that are spared, shape ``(b, h, w, 2)``."""
    chosen = draw(b, 1, 1, 1) < spec.elastic_probability
    reach = chosen * draw(b, 1, 1, 1) * spec.elastic_max_px
    knots = _signed(draw(b, 2, spec.elastic_knots, spec.elastic_knots)) * reach
    return F.interpolate(knots, size=size, mode="bicubic", align_corners=True).permute(0, 2, 3, 1)


def _bias(images: Tensor, spec: StrongAugment, draw: Draw) -> Tensor:
    """Multiply by a smooth positive field, as a receive coil does."""
    knots = _signed(draw(len(images), 1, spec.bias_knots, spec.bias_knots)) * spec.bias_max_log_gain
    field = F.interpolate(knots, size=images.shape[-2:], mode="bicubic", align_corners=True)
    return images * field.exp()


def _gamma(images: Tensor, spec: StrongAugment, draw: Draw) -> Tensor:
    exponent = torch.exp(_signed(draw(len(images), 1, 1, 1)) * math.log(spec.gamma_max_ratio))
    return images.clamp(min=1e-6) ** exponent


def _contrast(images: Tensor, spec: StrongAugment, draw: Draw) -> Tensor:
    """Stretch around the mean and shift; what leaves [0, 1] is clipped, as in an 8-bit export."""
    ratio = torch.exp(_signed(draw(len(images), 1, 1, 1)) * math.log(spec.contrast_max_ratio))
    offset = _signed(draw(len(images), 1, 1, 1)) * spec.brightness_max_fraction
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return (images - mean) * ratio + mean + offset


def _blur(images: Tensor, spec: StrongAugment, draw: Draw) -> Tensor:
    """Separable Gaussian blur, a width for every image."""
    b, c, h, w = images.shape
    sigma = (draw(b, 1) * spec.blur_max_sigma_px).clamp(min=0.05)
    radius = math.ceil(2.5 * spec.blur_max_sigma_px)
    offsets = torch.arange(-radius, radius + 1).to(images)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = (kernel / kernel.sum(dim=1, keepdim=True)).repeat_interleave(c, dim=0)[:, None]
    flat = F.pad(images.reshape(1, b * c, h, w), (radius,) * 4, mode="replicate")
    flat = F.conv2d(flat, kernel[:, :, None, :], groups=b * c)
    return F.conv2d(flat, kernel[:, :, :, None], groups=b * c).view(b, c, h, w)


def _noise(images: Tensor, spec: StrongAugment, draw: Draw) -> Tensor:
    """Add noise of zero mean, nearly Gaussian: the sum of three uniform numbers has unit variance at +-3."""
    sd = draw(len(images), 1, 1, 1) * spec.noise_max_sd_fraction
    return images + sd * _signed(draw(3, *images.shape)).sum(dim=0)
