"""Checkpoints of a run in Lightning's terms: how one is written, and when."""

import math
import shutil
from pathlib import Path
from typing import Any

from lightning import LightningModule, Trainer
from lightning.fabric.plugins import CheckpointIO
from lightning.pytorch.callbacks import Checkpoint

from intertwine.errors import ConfigError
from intertwine.training.atomic import write_folder
from intertwine.training.checkpoint import load_checkpoint, save_checkpoint, writing
from intertwine.training.run import Run
from intertwine.training.words import nearest

__all__ = ["BestAndLast", "FolderCheckpointIO"]


class FolderCheckpointIO(CheckpointIO):
    """Lets Lightning write and read the folders of `intertwine.training.checkpoint`."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        """Write a checkpoint folder."""
        save_checkpoint(checkpoint, Path(path))

    def load_checkpoint(
        self, path: str | Path, map_location: Any | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint folder, onto the CPU."""
        return load_checkpoint(Path(path))

    def remove_checkpoint(self, path: str | Path) -> None:
        """Remove a checkpoint folder."""
        shutil.rmtree(path, ignore_errors=True)


class BestAndLast(Checkpoint):
    """Writes ``checkpoints/last`` after every epoch, ``checkpoints/best`` when the monitored value is lowest.

    The best one is written first: a run killed between the two repeats the epoch and comes to the same again.

    Args:
        run: where to write.
        monitor: the logged value.
    """

    def __init__(self, run: Run, monitor: str) -> None:
        self.run = run
        self.monitor = monitor
        self.best = math.inf
        self.best_epoch: int | None = None
        self._validated = False

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note that this epoch has a value to compare."""
        if self.monitor not in trainer.callback_metrics:
            known = sorted(trainer.callback_metrics)
            raise ConfigError(
                f"`training.monitor` names a value that is not logged: `{self.monitor}`",
                got=self.monitor,
                expected=", ".join(known),
                fix=nearest(self.monitor, known) or "choose one of them",
            )
        self._validated = True

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the checkpoints of this epoch."""
        improved = self._validated and float(trainer.callback_metrics[self.monitor]) < self.best
        self._validated = False
        if not improved:
            trainer.save_checkpoint(self.run.last)
            return
        self.best = float(trainer.callback_metrics[self.monitor])
        self.best_epoch = trainer.current_epoch
        trainer.save_checkpoint(self.run.best)
        if trainer.is_global_zero:
            with writing("the checkpoint", self.run.last):
                write_folder(self.run.last, lambda folder: _copy_files(self.run.best, folder))

    def state_dict(self) -> dict[str, Any]:
        """Return the lowest value and its epoch."""
        return {"best": self.best, "best_epoch": self.best_epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a stored state."""
        self.best, self.best_epoch = state_dict["best"], state_dict["best_epoch"]


def _copy_files(source: Path, target: Path) -> None:
    for file in source.iterdir():
        shutil.copyfile(file, target / file.name)
