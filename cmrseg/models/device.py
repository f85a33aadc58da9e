"""Where networks run, and how precisely."""

from __future__ import annotations

import math
import sys
from pathlib import Path

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


def peak_memory_mb(device: torch.device | None = None) -> float:
    """Most memory that this process has had, in MB: of the GPU where there is one, else of the computer.

    Returns
    -------
    With torch and the data that a process holds; nan on Windows, which does not tell.
    """
    device = device or default_device()
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1024**2
    if sys.platform == "linux":  # getrusage tells that of the parent, too, where it was more
        told = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        return int(told.partition("VmHWM:")[2].split()[0]) / 1024
    if sys.platform == "win32":
        return math.nan
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2  # macOS: bytes
