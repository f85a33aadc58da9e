"""What a run leaves behind while it goes: history, checkpoint, the best model."""

from __future__ import annotations

import io
import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from fastai.callback.core import Callback
from torch import Tensor

from cmrseg.io.atomic import atomic_path, write_table
from cmrseg.models.device import peak_memory_mb
from cmrseg.problems import DataError, first_line
from cmrseg.tasks import Task, get_task
from cmrseg.training.callbacks import AverageWeights
from cmrseg.training.ranks import ranks
from cmrseg.zoo.model_file import ModelSpec, save_model

CHECKPOINT = "checkpoint.pt"
BEST = "best.safetensors"
BY_DATA = "history_by_data.csv"  # where there are several data sets
CHECKPOINT_EVERY_S = 20.0
_COLUMNS = ("epoch", "images_seen", "stage", "lr", "train_loss", "valid_loss")  # then scores and costs


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
        Row of the history after every validated epoch, with the details of the task's validator beside it.
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
    best_score: float = -math.inf
    best_epoch: int = 0
    rows: list[dict[str, Any]] = field(default_factory=list)
    by_data: list[dict[str, Any]] = field(default_factory=list)


def history_columns(task: Task) -> list[str]:
    """Columns of ``history.csv``."""
    return [*_COLUMNS, *task.columns, "seconds", "memory_mb"]


class RunLog(Callback):
    """Write history.csv after every epoch, the best model when its score improves, and checkpoints.

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
        self.first_epoch, self.listener, self.task = first_epoch, listener, get_task(spec.task)
        self.saved_at = time.monotonic()
        self._start_row()

    def _start_row(self) -> None:
        """Start the clock and the sums of the next row."""
        self.started, self.loss_sum, self.images = time.monotonic(), 0.0, 0

    def after_batch(self) -> None:
        """Add up the loss."""
        if self.training:
            images = len(self.yb[0]) * ranks()
            self.loss_sum += self.loss.item() * images
            self.images += images
            self.listener.batch(images)

    def after_epoch(self) -> None:
        """Write down the epoch, and those since the last validation with it."""
        if not self.validate_every.is_due() or self.first_epoch + self.epoch < self.state.epoch:
            return  # not validated, or skipped while resuming
        state = self.state
        state.epoch, state.images_seen = self.first_epoch + self.epoch + 1, state.images_seen + self.images
        row, by_data = self._row(), self._rows_by_data()
        state.rows.append(row)
        state.by_data += by_data
        self._keep_best(by_data or [row])
        write_table(pd.DataFrame(state.rows, columns=history_columns(self.task)), self.out / "history.csv")
        if by_data:
            write_table(pd.DataFrame(state.by_data), self.out / BY_DATA)
        if time.monotonic() - self.saved_at > CHECKPOINT_EVERY_S or self.epoch + 1 == self.n_epoch:
            save_checkpoint(self.learn, state, self.out)
            self.saved_at = time.monotonic()
        self._start_row()
        self.listener.epoch({**row, **self.validator.details()})

    def _row(self) -> dict[str, Any]:
        """The epoch as a row of the history."""
        return {
            "epoch": self.state.epoch,
            "images_seen": self.state.images_seen,
            "stage": self.stage,
            "lr": float(self.opt.hypers[-1]["lr"]),
            "train_loss": self.loss_sum / max(self.images, 1),
            "valid_loss": float(self.recorder.loss.value),
            **self.validator.scores(),
            "seconds": round(time.monotonic() - self.started, 2),
            "memory_mb": round(peak_memory_mb(self.dls.device), 1),
        }

    def _rows_by_data(self) -> list[dict[str, Any]]:
        """The scores of the epoch in every one of several data sets; they lie one after the other."""
        return [{"epoch": self.state.epoch, **row} for row in scores_by_data(self.learn)]

    def _keep_best(self, rows: list[dict[str, Any]]) -> None:
        """Save the weights when the score of the task, averaged over data sets, is the best so far."""
        score = mean_score(self.task, rows)
        if score > self.state.best_score:
            self.state.best_score, self.state.best_epoch = score, self.state.epoch
            save_model(self.spec, validated_weights(self.learn), self.out / BEST)


def scores_by_data(learn: Any) -> list[dict[str, Any]]:
    """Scores of the last validation in each of several data sets, whose images lie one after the other."""
    rows, first = [], 0
    for name, images in Counter(learn.dls.valid.dataset.data.data_sets).items():
        scores = learn.validator.scores(slice(first, first + images))
        rows.append({"data": name, "images": images, **scores})
        first += images
    return rows


def validation_score(learn: Any, task: Task) -> float:
    """What chooses between weights: the task's score of the last validation, averaged over data sets."""
    return mean_score(task, scores_by_data(learn) or [learn.validator.scores()])


def mean_score(task: Task, rows: Sequence[dict[str, Any]]) -> float:
    """The score of a task, averaged over rows of scores."""
    return sum(map(task.score, rows)) / len(rows)


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
            f"checkpoint {out / CHECKPOINT} is damaged ({first_line(error, 80)}); "
            "start again with another --out"
        ) from None


def _plain_optimizer(content: dict[str, Any]) -> dict[str, Any]:
    """fastai's optimizer state in plain lists and dicts; schedules leave NumPy numbers in it."""
    hypers = [
        {k: v.item() if isinstance(v, np.generic) else v for k, v in group.items()}
        for group in content["hypers"]
    ]
    return {"state": [dict(s) for s in content["state"]], "hypers": hypers}
