"""What a run leaves behind while it goes: history, checkpoint, the best model."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from fastai.callback.core import Callback
from torch import Tensor

from cmrseg.io.atomic import atomic_path, write_table
from cmrseg.problems import DataError
from cmrseg.training.callbacks import AverageWeights, DiceByStructure
from cmrseg.zoo.model_file import ModelSpec, save_model

CHECKPOINT = "checkpoint.pt"
BEST = "best.safetensors"
CHECKPOINT_EVERY_S = 20.0
HISTORY_COLUMNS = (
    "epoch", "images_seen", "stage", "lr", "train_loss", "valid_loss",
    "dice_LV", "dice_MYO", "dice_RV", "seconds",
)  # fmt: skip


def _ignore(*_: Any) -> None:
    """No listener."""


@dataclass(frozen=True)
class Listener:
    """Who is told how a run goes.

    Attributes
    ----------
    note
        Sentences that a user should read.
    read
        Studies done and in all, while images are read.
    start
        Images per epoch, epochs in all and epochs already done.
    batch
        Images of every training batch.
    epoch
        Row of the history after every validated epoch, with the mean scores per image beside it, see
        `cmrseg.training.callbacks.DiceByStructure.image_scores`.
    """

    note: Callable[[str], None] = _ignore
    read: Callable[[int, int], None] = _ignore
    start: Callable[[int, int, int], None] = _ignore
    batch: Callable[[int], None] = _ignore
    epoch: Callable[[dict[str, Any]], None] = _ignore


@dataclass
class RunState:
    """How far a run has come; all of it goes into the checkpoint."""

    epoch: int = 0
    images_seen: int = 0
    best_dice: float = -1.0
    best_epoch: int = 0
    rows: list[dict[str, Any]] = field(default_factory=list)


class RunLog(Callback):
    """Write history.csv after every epoch, the best model when validation Dice improves, and checkpoints.

    Parameters
    ----------
    out
        Folder of the run.
    spec
        Description of the model.
    state
        Of the run so far; updated.
    stage
        Number of the stage, from 1.
    first_epoch
        Epochs of the earlier stages.
    listener
        Told of every batch and every epoch.
    """

    order = 60
    remove_on_fetch = True

    def __init__(
        self, out: Path, spec: ModelSpec, state: RunState, *, stage: int, first_epoch: int, listener: Listener
    ) -> None:
        self.out, self.spec, self.state, self.stage = out, spec, state, stage
        self.first_epoch, self.listener = first_epoch, listener
        self.saved_at = time.monotonic()
        self._start_row()

    def _start_row(self) -> None:
        """Start the clock and the sums of the next row."""
        self.started, self.loss_sum, self.images = time.monotonic(), 0.0, 0

    def after_batch(self) -> None:
        """Add up the loss."""
        if self.training:
            self.loss_sum += self.loss.item() * len(self.yb[0])
            self.images += len(self.yb[0])
            self.listener.batch(len(self.yb[0]))

    def after_epoch(self) -> None:
        """Write down the epoch, and those since the last validation with it."""
        if not self.validate_every.is_due() or self.first_epoch + self.epoch < self.state.epoch:
            return  # not validated, or skipped while resuming
        state = self.state
        state.epoch, state.images_seen = self.first_epoch + self.epoch + 1, state.images_seen + self.images
        row = self._row()
        state.rows.append(row)
        self._keep_best(row)
        write_table(pd.DataFrame(state.rows, columns=list(HISTORY_COLUMNS)), self.out / "history.csv")
        if time.monotonic() - self.saved_at > CHECKPOINT_EVERY_S or self.epoch + 1 == self.n_epoch:
            save_checkpoint(self.learn, state, self.out)
            self.saved_at = time.monotonic()
        self._start_row()
        self.listener.epoch({**row, **self.dice_by_structure.image_scores(self.spec.labels)})

    def _row(self) -> dict[str, Any]:
        """The epoch as a row of the history."""
        counts: DiceByStructure = self.dice_by_structure
        dice = {f"dice_{name}": counts.dice(i) for i, name in enumerate(self.spec.labels) if i > 0}
        return {
            "epoch": self.state.epoch,
            "images_seen": self.state.images_seen,
            "stage": self.stage,
            "lr": float(self.opt.hypers[-1]["lr"]),
            "train_loss": self.loss_sum / max(self.images, 1),
            "valid_loss": float(self.recorder.loss.value),
            **dice,
            "seconds": round(time.monotonic() - self.started, 2),
        }

    def _keep_best(self, row: dict[str, Any]) -> None:
        """Save the weights when the mean Dice over structures is the best so far."""
        values = [v for k, v in row.items() if k.startswith("dice_")]
        mean = sum(values) / len(values)
        if mean > self.state.best_dice:
            self.state.best_dice, self.state.best_epoch = mean, self.state.epoch
            save_model(self.spec, validated_weights(self.learn), self.out / BEST)


def validated_weights(learn: Any) -> dict[str, Tensor]:
    """The weights that validation saw: the averaged ones where they are kept."""
    average = getattr(learn, "average_weights", None)
    return average.average if isinstance(average, AverageWeights) else learn.model.state_dict()


def save_checkpoint(learn: Any, state: RunState, out: Path) -> None:
    """Write everything that resuming needs, atomically; tensors and plain values only."""
    average = getattr(learn, "average_weights", None)
    content = {
        "model": learn.model.state_dict(),
        "optimizer": _plain_optimizer(learn.opt.state_dict()),
        "average": average.average if average else {},
        "average_steps": average.steps if average else 0,
        "run": vars(state),
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    with atomic_path(out / CHECKPOINT) as temporary:
        temporary.write_bytes(buffer.getbuffer())  # by Python, so that a full disk is an OSError


def load_checkpoint(out: Path, device: torch.device) -> dict[str, Any]:
    """Read a checkpoint to a device; only tensors and plain values are accepted.

    Raises
    ------
    DataError
        If it is damaged.
    """
    try:
        return torch.load(out / CHECKPOINT, map_location=device, weights_only=True)
    except Exception as error:  # torch raises many kinds for damaged files
        raise DataError(
            f"checkpoint {out / CHECKPOINT} is damaged ({str(error).splitlines()[0][:80]}); "
            "start again with another --out"
        ) from None


def _plain_optimizer(content: dict[str, Any]) -> dict[str, Any]:
    """fastai's optimizer state in plain lists and dicts; schedules leave NumPy numbers in it."""
    hypers = [
        {k: v.item() if isinstance(v, np.generic) else v for k, v in group.items()}
        for group in content["hypers"]
    ]
    return {"state": [dict(s) for s in content["state"]], "hypers": hypers}
