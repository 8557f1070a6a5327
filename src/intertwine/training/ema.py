"""Exponential moving average of the weights: what validates, tests and is saved as the model."""

from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor

__all__ = ["WeightAverage"]


class WeightAverage(Callback):
    """Keeps ``average <- decay average + (1 - decay) weights`` after every step.

    The decay of step ``n`` is ``min(decay, (1 + n) / (10 + n))``, so that the random initial weights are soon
    forgotten. Buffers that are not floating point are copied. While validating and testing the model has the
    average.

    Args:
        decay: the final decay, such as 0.999.
    """

    def __init__(self, decay: float) -> None:
        self.decay = decay
        self.steps = 0
        self.weights: dict[str, Tensor] = {}
        self._kept: dict[str, Tensor] | None = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start from the initial weights, on their device."""
        own: dict[str, Tensor] = pl_module.get_submodule("model").state_dict()
        self.weights = {
            name: self.weights.get(name, value).detach().to(value, copy=True) for name, value in own.items()
        }

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Average the new weights in."""
        if trainer.global_step == self.steps:  # the step was only accumulated
            return
        self.steps = trainer.global_step
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        with torch.no_grad():
            for name, value in pl_module.get_submodule("model").state_dict().items():
                average = self.weights[name]
                average.lerp_(value, 1 - decay) if average.is_floating_point() else average.copy_(value)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the average into the model."""
        self._enter(pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the weights back."""
        self._leave(pl_module)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the average into the model."""
        self._enter(pl_module)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the weights back."""
        self._leave(pl_module)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Put the weights back when validation was cut off."""
        self._leave(pl_module)

    def state_dict(self) -> dict[str, Any]:
        """Return the average and the number of steps in it."""
        return {"steps": self.steps, "weights": dict(self.weights)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a stored average."""
        self.steps, self.weights = state_dict["steps"], dict(state_dict["weights"])

    def _enter(self, pl_module: LightningModule) -> None:
        own = pl_module.get_submodule("model").state_dict()
        self._kept = {name: value.detach().clone() for name, value in own.items()}
        _copy_into(own, self.weights)

    def _leave(self, pl_module: LightningModule) -> None:
        if self._kept is not None:
            _copy_into(pl_module.get_submodule("model").state_dict(), self._kept)
            self._kept = None


@torch.no_grad()
def _copy_into(target: dict[str, Tensor], source: dict[str, Tensor]) -> None:
    for name, value in target.items():
        value.copy_(source[name])
