"""What watches a training: finite numbers, random states, the file of metrics, the number of processes."""

import csv
import io
import math
import os
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from intertwine.errors import NumericsError
from intertwine.reporting.files import write_text
from intertwine.training.checkpoint import writing
from intertwine.training.clock import Clock
from intertwine.training.run import Run
from intertwine.training.sampling import derived_seed, seed_everything

__all__ = ["EpochSeeds", "FiniteNumbers", "MetricsFile"]


class EpochSeeds(Callback):
    """Makes the randomness of an epoch (dropout, noise) a function of seed, epoch and process.

    So a resumed run draws the same numbers without any random state being stored.

    Args:
        seed: the recipe's.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Seed at the first batch of an epoch."""
        if batch_idx == 0:
            seed_everything(derived_seed(self.seed, "epoch", trainer.current_epoch, trainer.global_rank))


class FiniteNumbers(Callback):
    """Stops a run whose loss or gradients are not finite, before they reach the weights.

    Args:
        run: named in the error, for its last good checkpoint.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self._batch = 0

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Note the batch, for the error's text."""
        self._batch = batch_idx

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        """Look at the loss."""
        if not math.isfinite(loss.item()):
            raise self._error("the training loss", loss.item(), trainer)

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """Look at the gradients, before they are clipped."""
        gradients = [p.grad for p in pl_module.parameters() if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients).item() if gradients else 0.0
        if not math.isfinite(norm):
            names = [n for n, p in pl_module.get_submodule("model").named_parameters() if _broken(p.grad)]
            raise self._error(f"the gradient of {', '.join(names[:5]) or 'the parameters'}", norm, trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at the validation loss, before a checkpoint is written."""
        loss = float(trainer.callback_metrics.get("validation_loss", 0.0))
        if not math.isfinite(loss):
            raise self._error("the validation loss", loss, trainer)

    def _error(self, what: str, value: float, trainer: Trainer) -> NumericsError:
        last = f"`{self.run.last}` holds the last good state; " if self.run.last.exists() else ""
        return NumericsError(
            f"{what} is not finite in epoch {trainer.current_epoch + 1}, batch {self._batch + 1}",
            got=value,
            expected="a finite number",
            fix=f"{last}lower training.learning_rate, set training.gradient_clip, or look at the data",
        )


class MetricsFile(Callback):
    """Writes ``metrics.csv``: one row per epoch with everything that was logged.

    A resumed run drops the rows of epochs that it repeats.

    Args:
        run: where to write.
        clock: gives the column ``seconds``.
    """

    def __init__(self, run: Run, clock: Clock) -> None:
        self.path = run.folder / "metrics.csv"
        self.clock = clock
        self.rows: list[dict[str, Any]] = []
        self._written: list[str] | None = None
        self._run = run
        self._fresh: set[str] = set()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the rows of the epochs that are done."""
        if trainer.is_global_zero:
            done = trainer.current_epoch
            self.rows = [row for row in self._run.metrics() if int(row["epoch"] or 0) <= done]
        self._written = None

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note which values this epoch has measured anew."""
        self._fresh = {name for name in trainer.callback_metrics if name.startswith("validation_")}

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Add the row of this epoch."""
        measured = {
            name: float(value)
            for name, value in trainer.callback_metrics.items()
            if name in self._fresh or not name.startswith("validation_")
        }
        self._fresh = set()
        self.rows.append(
            {
                "epoch": trainer.current_epoch + 1,
                "step": trainer.global_step,
                "seconds": round(self.clock.seconds(), 3),
                "learning_rate": trainer.optimizers[0].param_groups[0]["lr"],
                **measured,
            }
        )
        if trainer.is_global_zero:
            with writing("the file of metrics", self.path):
                self._write()

    def _write(self) -> None:
        columns = list(dict.fromkeys(name for row in self.rows for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        if columns == self._written:
            writer.writerow(self.rows[-1])
            size = self.path.stat().st_size
            try:
                with self.path.open("a", encoding="utf-8") as file:
                    file.write(text.getvalue())
            except OSError:
                os.truncate(self.path, size)  # a part of a row would be read as a row
                raise
            return
        writer.writeheader()
        writer.writerows(self.rows)
        write_text(self.path, text.getvalue())
        self._written = columns


def _broken(gradient: Tensor | None) -> bool:
    return gradient is not None and not bool(torch.isfinite(gradient).all())
