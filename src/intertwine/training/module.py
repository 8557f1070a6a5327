"""The base of every system's LightningModule: a model, its loss, its optimiser.

A system subclasses `TrainingModule` and writes ``loss``; schedules, averaging of weights, checkpoints and
time limits are callbacks of `intertwine.training.trainer`, so a subclass never handles them.
"""

from typing import Any

import torch
from lightning import LightningModule
from torch import Tensor, nn
from torchmetrics import MetricCollection

from intertwine.training.settings import TrainingSettings

__all__ = ["TrainingModule", "move_batch"]


class TrainingModule(LightningModule):
    """Trains ``model`` with the loss that the subclass defines.

    Hooks for a subclass: `loss` (required), `parameter_groups`, `metrics`, `validation`, `batch_size`.
    Gradients are enabled while validating and testing, because models whose forces are derivatives need
    autograd there as well. Logged names are ``train_loss``, ``validation_loss`` and ``<split>_<name>`` for
    further values and metrics.

    Args:
        model: the network, whose weights are what a run saves; it has ``save_pretrained`` (see `Pretrained`).
        settings: how to optimise it.
    """

    def __init__(self, model: nn.Module, settings: TrainingSettings) -> None:
        super().__init__()
        self.model = model
        self.settings = settings
        found = {split: self.metrics() for split in ("validation", "test")}
        sets = {split: m.clone(prefix=f"{split}_") for split, m in found.items() if m is not None}
        self.metric_sets = nn.ModuleDict(sets)

    def loss(self, batch: Any) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the scalar to minimise, and further values to log by name (means over the batch)."""
        raise NotImplementedError(f"{type(self).__name__} must define loss(batch)")

    def metrics(self) -> MetricCollection | None:
        """Return the metrics of the field, without state; called once for each split."""
        return None

    def validation(self, batch: Any, metrics: MetricCollection | None) -> tuple[Tensor, dict[str, Tensor]]:
        """Return loss and logs of a validation or test batch, and update ``metrics`` with it."""
        return self.loss(batch)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return the optimiser's groups; a group may set its own ``lr`` and ``weight_decay``."""
        return [{"params": [p for p in self.model.parameters() if p.requires_grad]}]

    def batch_size(self, batch: Any) -> int:
        """Return how many items a batch holds, the weight of its values in the mean over an epoch."""
        if hasattr(batch, "num_graphs"):
            return int(batch.num_graphs)
        while not isinstance(batch, Tensor):
            batch = next(iter(batch.values() if isinstance(batch, dict) else batch))
        return len(batch)

    def share(self, count: Tensor | int) -> float:
        """Return the factor that turns a mean over this process's items into its part of the mean over all.

        Gradients of several processes are averaged, which weighs processes equally; a mean over ``count`` items (atoms,
        say, of which processes have unequal numbers) times this factor then gives the gradient of the joint batch.
        """
        if self._trainer is None or self.trainer.world_size == 1:
            return 1.0
        counts = torch.as_tensor(float(count), dtype=torch.float64, device=self.device)
        return float(counts / self.trainer.strategy.reduce(counts.clone(), reduce_op="mean"))

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Compute and log the loss of a batch."""
        loss, logs = self.loss(batch)
        self._log("train", loss, logs, batch)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Compute and log loss and metrics of a validation batch."""
        self._evaluate("validation", batch)

    def test_step(self, batch: Any, batch_idx: int) -> None:
        """Compute and log loss and metrics of a test batch."""
        self._evaluate("test", batch)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return Adam or AdamW over the groups; their learning rates are set by the schedule's callback."""
        settings = self.settings
        kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[settings.optimizer]
        groups = [{"lr": settings.learning_rate, **group} for group in self.parameter_groups()]
        for group in groups:
            group["initial_lr"] = group["lr"]
        return kind(
            groups,
            lr=settings.learning_rate,
            betas=settings.betas,
            amsgrad=settings.amsgrad,
            weight_decay=settings.weight_decay,
        )

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Move a batch to the device, its floating point tensors to the dtype of the weights."""
        return move_batch(batch, device, next(self.model.parameters()).dtype)

    def _evaluate(self, split: str, batch: Any) -> None:
        metrics = dict(self.metric_sets.items()).get(split)
        with torch.enable_grad():
            loss, logs = self.validation(batch, metrics)  # type: ignore[arg-type]
        self._log(split, loss, logs, batch)
        if metrics is not None:
            self.log_dict(metrics, on_step=False, on_epoch=True, batch_size=self.batch_size(batch))  # type: ignore[arg-type]

    def _log(self, split: str, loss: Tensor, logs: dict[str, Tensor], batch: Any) -> None:
        values = {f"{split}_{name}": value.detach() for name, value in {"loss": loss, **logs}.items()}
        self.log_dict(
            values,
            on_step=False,
            on_epoch=True,
            sync_dist=True,
            batch_size=self.batch_size(batch),
            logger=False,
        )


def move_batch(batch: Any, device: torch.device, dtype: torch.dtype) -> Any:
    """Return a batch on a device, with floating point tensors in ``dtype`` and others as they are.

    Tensors, mappings, lists and tuples are walked; anything else must have ``to``, taking a device and then
    a dtype.
    """
    if isinstance(batch, Tensor):
        return batch.to(device=device, dtype=dtype if batch.is_floating_point() else None)
    if isinstance(batch, dict):
        return {key: move_batch(value, device, dtype) for key, value in batch.items()}
    if isinstance(batch, (list, tuple)):
        items = [move_batch(value, device, dtype) for value in batch]
        return type(batch)(*items) if hasattr(batch, "_fields") else type(batch)(items)
    return batch.to(device).to(dtype) if hasattr(batch, "to") else batch
