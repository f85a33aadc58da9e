"""One training by several processes, each with its part of every batch: as many GPUs, one process for each.

A launcher starts them and tells each its number: ``accelerate launch`` or ``torchrun``. All hold the same
weights all the time, so that the first one alone writes, and the configuration stays that of one process.

Notes
-----
Gradients are averaged here rather than by a wrapper around the network, whose other names of the weights
would reach checkpoints, averages and model files.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from fastai.callback.core import Callback
from fastai.data.core import TfmdDL
from torch import Tensor, distributed

from cmrseg.problems import DataError
from cmrseg.training.callbacks import seed_everything

_RANK, _RANKS, _LOCAL = "RANK", "WORLD_SIZE", "LOCAL_RANK"  # set by launchers


def rank() -> int:
    """Number of this process, from 0."""
    return int(os.environ.get(_RANK, 0))


def ranks() -> int:
    """How many processes train together."""
    return int(os.environ.get(_RANKS, 1))


@contextmanager
def together(out: Path, state: Sequence[str]) -> Iterator[Path]:
    """Train with the other processes, where a launcher has started some.

    Parameters
    ----------
    out
        Folder of the run.
    state
        Names of the files in it that a run goes on from.

    Yields
    ------
    Where this process writes: ``out`` for the first one, for others a folder that is thrown away, with the
    same run to go on with.
    """
    if ranks() == 1:
        yield out
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get(_LOCAL, 0)))
    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        with TemporaryDirectory() as scratch:
            here = Path(scratch) / "run" if rank() else out
            for path in (out / name for name in state if rank()):
                if path.exists():
                    here.mkdir(exist_ok=True)
                    shutil.copyfile(path, here / path.name)
            distributed.barrier()  # before the first one goes on from its state
            yield here
    finally:
        distributed.destroy_process_group()


def part_of_batch(size: int) -> int:
    """Images of a batch that every process has.

    Raises
    ------
    DataError
        If they cannot be shared evenly.
    """
    if size % ranks():
        raise DataError(
            f"a batch of {size} images cannot be shared by {ranks()} processes; choose another --batch-size"
        )
    return size // ranks()


def shared(loader: type[TfmdDL]) -> type[TfmdDL]:
    """A kind of loader that gives every process other items, of an order that all draw by the same seed."""
    return type(f"Shared{loader.__name__}", (_Share, loader), {}) if ranks() > 1 else loader


class _Share:
    """The items of one process."""

    def get_idxs(self) -> list[int]:
        """Every n-th index of n processes; from here on the processes draw random numbers of their own."""
        idxs: list[int] = list(super().get_idxs())  # type: ignore[misc]
        seed_everything(random.getrandbits(32) + rank())
        return idxs[: len(idxs) // ranks() * ranks()][rank() :: ranks()]

    def __len__(self: Any) -> int:
        items = self.n // ranks()
        return items // self.bs if self.drop_last else -(-items // self.bs)


class SharedSteps(Callback):
    """Make the same step in every process: mean gradients, and mean statistics of batch normalisation."""

    order = -10  # before gradients are clipped and weights averaged
    run_valid = False

    def before_step(self) -> None:
        """Average gradients."""
        _average([p.grad for p in self.model.parameters() if p.grad is not None])

    def after_batch(self) -> None:
        """Average what batch normalisation has counted."""
        _average([buffer for buffer in self.model.buffers() if buffer.is_floating_point()])


@torch.no_grad()
def _average(tensors: list[Tensor]) -> None:
    """Replace tensors by their means over the processes, in one message."""
    if not tensors:
        return
    joined = torch.cat([tensor.flatten() for tensor in tensors])
    distributed.all_reduce(joined)
    joined /= ranks()
    for tensor, mean in zip(tensors, joined.split([t.numel() for t in tensors]), strict=True):
        tensor.copy_(mean.view_as(tensor))
