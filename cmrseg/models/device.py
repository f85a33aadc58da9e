"""Where networks run, and how precisely."""

from __future__ import annotations

import torch


def default_device() -> torch.device:
    """The GPU when there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def has_fast_bf16(device: torch.device) -> bool:
    """Whether the processor computes bfloat16 natively; elsewhere it would be emulated slowly."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return device.type == "cpu" and supported is not None and supported()


def memory_format(dims: int) -> torch.memory_format:
    """Order of tensors in memory that convolutions over so many spatial dimensions are fastest with."""
    return torch.channels_last if dims == 2 else torch.channels_last_3d
