"""The time a run has used, over all its parts, and its end: by time or by epochs, and always validated."""

import time
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

__all__ = ["Clock"]


class Clock(Callback):
    """Counts the seconds of training, resumed parts included, and stops cleanly at the limit.

    Args:
        max_minutes: the limit, or None.
    """

    def __init__(self, max_minutes: float | None) -> None:
        self.limit = None if max_minutes is None else 60 * max_minutes
        self.before = 0.0
        self.started: float | None = None

    def seconds(self) -> float:
        """Return the seconds used so far."""
        return self.before + (0.0 if self.started is None else time.perf_counter() - self.started)

    def fraction(self) -> float:
        """Return the used fraction of the limit; 0 without one."""
        return 0.0 if self.limit is None else self.seconds() / self.limit

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start to count."""
        self.started = time.perf_counter()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let the last epoch be validated, whatever the interval: its weights are what annealing was for."""
        if trainer.current_epoch + 1 == trainer.max_epochs:
            trainer.check_val_every_n_epoch = 1

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Ask the trainer to validate and stop once the limit is reached."""
        if self.limit is None:
            return
        over = self.fraction() >= 1
        if trainer.world_size > 1:
            over = trainer.strategy.reduce_boolean_decision(over, all=False)
        if over:
            trainer.should_stop = True
            trainer.check_val_every_n_epoch = 1

    def state_dict(self) -> dict[str, Any]:
        """Return the seconds used."""
        return {"seconds": self.seconds()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on counting from a stored time."""
        self.before = state_dict["seconds"]
