"""The learning rate: linear warm-up, then annealing by epoch, by stalling validation, or by time.

The rate of a step is a function of the step, the time used and the plateau's state, so a resumed run goes on
exactly.
"""

import math
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from intertwine.training.clock import Clock
from intertwine.training.settings import TrainingSettings

__all__ = ["Schedule", "annealing"]


def annealing(settings: TrainingSettings, fraction: float) -> float:
    """Return the factor on the learning rate after a fraction of the annealing, from 1 to the final fraction.

    ``cosine`` and ``time_cosine`` follow half a cosine, ``linear`` a line; the others stay at 1.
    """
    x = min(max(fraction, 0.0), 1.0)
    final = settings.final_learning_rate_fraction
    if settings.schedule in ("cosine", "time_cosine"):
        return final + (1 - final) * (1 + math.cos(math.pi * x)) / 2
    return 1 - (1 - final) * x if settings.schedule == "linear" else 1.0


class Schedule(Callback):
    """Sets the learning rate of every group before each step, as a factor on the group's own.

    Args:
        settings: warm-up and annealing.
        clock: tells the fraction of ``max_minutes`` that is used.
    """

    def __init__(self, settings: TrainingSettings, clock: Clock) -> None:
        self.settings = settings
        self.clock = clock
        self.plateau = 1.0
        self.best = math.inf
        self.stalled = 0

    def factor(self, epoch: float, step_of_epoch: float) -> float:
        """Return the factor on the learning rate of the step that begins after ``epoch`` epochs.

        Args:
            epoch: epochs done, with the fraction of the running one.
            step_of_epoch: one step as a fraction of an epoch.
        """
        settings = self.settings
        warm = 1.0
        if settings.warmup_epochs > 0:
            risen = min(1.0, (epoch + step_of_epoch) / settings.warmup_epochs)
            warm = settings.warmup_start + (1 - settings.warmup_start) * risen
        if settings.schedule == "time_cosine":
            return warm * annealing(settings, self.clock.fraction())
        length = max(settings.epochs - settings.warmup_epochs, step_of_epoch)
        return warm * self.plateau * annealing(settings, (epoch - settings.warmup_epochs) / length)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Set the learning rates of this step."""
        step = 1 / trainer.num_training_batches
        factor = self.factor(trainer.current_epoch + batch_idx * step, step)
        if self.settings.schedule == "time_cosine":
            factor = trainer.strategy.broadcast(factor)  # clocks of processes differ
        for optimizer in trainer.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * factor

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Lower the learning rate when validation has stalled for longer than the patience."""
        if self.settings.schedule != "plateau" or self.settings.monitor not in trainer.callback_metrics:
            return
        value = float(trainer.callback_metrics[self.settings.monitor])
        self.stalled = 0 if value < self.best else self.stalled + 1
        self.best = min(self.best, value)
        if self.stalled > self.settings.plateau_patience:
            self.stalled = 0
            self.plateau = max(self.plateau * self.settings.plateau_factor, self.settings.final_learning_rate_fraction)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the plateau."""
        return {"plateau": self.plateau, "best": self.best, "stalled": self.stalled}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a stored state."""
        self.plateau, self.best, self.stalled = (state_dict[k] for k in ("plateau", "best", "stalled"))
