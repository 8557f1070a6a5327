"""What a training shows: a bar with losses, speed and time left; plain lines off the terminal."""

import time
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from intertwine.training.clock import Clock

__all__ = ["TrainingProgress", "duration"]

_LINE_SECONDS = 10.0
_LONG_EPOCH_SECONDS = 60.0


class TrainingProgress(Callback):
    """Shows epoch, losses, speed and time left.

    Args:
        console: where; a terminal gets a live bar, anything else one line per epoch but not more than every
            10 s.
        clock: knows the time limit.
        epochs: how many there are.
    """

    def __init__(self, console: Console, clock: Clock, epochs: int) -> None:
        self.console = console
        self.clock = clock
        self.epochs = epochs
        self.bar: Progress | None = None
        self._loss = float("nan")
        self._validation: float | None = None
        self._began = self._shown = 0.0
        self._batches = self._first_epoch = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the bar."""
        self._began = time.perf_counter()
        self._first_epoch = trainer.current_epoch
        if trainer.is_global_zero and self.console.is_terminal:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(bar_width=24),
                TextColumn("{task.fields[text]}"),
            )
            self.bar = Progress(*columns, console=self.console, transient=True)
            self.bar.add_task("training", total=None, text="")
            self.bar.start()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move on by one batch."""
        self._batches += 1
        if self.bar is not None:
            self._loss = float(outputs["loss"])
            total = trainer.num_training_batches
            self.bar.update(
                self.bar.task_ids[0],
                description=f"epoch {trainer.current_epoch + 1}/{self.epochs}",
                completed=batch_idx + 1,
                total=total,
                text=self._text(trainer, (batch_idx + 1) / total),
            )
        elif trainer.is_global_zero and time.perf_counter() - self._last() > _LONG_EPOCH_SECONDS:
            self._loss = float(outputs["loss"])
            self._line(trainer, (batch_idx + 1) / trainer.num_training_batches)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take up the validation loss."""
        if "validation_loss" in trainer.callback_metrics:
            self._validation = float(trainer.callback_metrics["validation_loss"])

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the epoch's mean losses."""
        self._loss = float(trainer.callback_metrics.get("train_loss", self._loss))
        due = time.perf_counter() - self._last() > _LINE_SECONDS
        edge = trainer.current_epoch in (self._first_epoch, self.epochs - 1) or trainer.should_stop
        if self.bar is None and trainer.is_global_zero and (due or edge):
            self._line(trainer, 1.0)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the bar away."""
        self._stop()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Take the bar away, so that an error stands on its own."""
        self._stop()

    def seconds_left(self, epoch: float) -> float:
        """Return the estimate of the remaining seconds after ``epoch`` epochs, within the time limit."""
        done = epoch - self._first_epoch
        used = time.perf_counter() - self._began
        left = used / done * (self.epochs - epoch) if done > 0 else float("inf")
        return left if self.clock.limit is None else min(left, max(0.0, self.clock.limit - self.clock.seconds()))

    def _text(self, trainer: Trainer, part: float) -> str:
        used = max(time.perf_counter() - self._began, 1e-9)
        validation = "" if self._validation is None else f"  validation {self._validation:.4g}"
        left = duration(self.seconds_left(trainer.current_epoch + part))
        return f"loss {self._loss:.4g}{validation}  {self._batches / used:.3g} batches/s  {left} left"

    def _line(self, trainer: Trainer, part: float) -> None:
        self._shown = time.perf_counter()
        place = f"epoch {trainer.current_epoch + 1}/{self.epochs}"
        if part < 1:
            place += f" ({part:.0%})"
        self.console.print(f"{place}  {self._text(trainer, part)}", highlight=False, soft_wrap=True)

    def _last(self) -> float:
        return self._shown or self._began

    def _stop(self) -> None:
        if self.bar is not None:
            self.bar.stop()
            self.bar = None


def duration(seconds: float) -> str:
    """Return a time in words, such as ``3 min``, with one unit below an hour and two above."""
    if seconds == float("inf"):
        return "unknown time"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
