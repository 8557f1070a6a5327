"""The data of the particles task: samples from files or simulations, and copies of them that are turned."""

from typing import Any

import numpy as np
import torch
from lightning import LightningDataModule
from torch.utils.data import DataLoader

from intertwine.groups import SO
from intertwine.particles import ParticleBatch, Samples, SampleSet
from intertwine.particles.splits import test_sets, training_sets
from intertwine.training.datasets import find_data
from intertwine.training.sampling import make_loader

__all__ = ["ParticleData", "aligned", "make_data", "turned"]


def make_data(recipe: Any) -> "ParticleData":
    """Return the data of a recipe; files are read, or simulations made, by ``setup``."""
    return ParticleData(recipe)


def turned(samples: Samples, seed: int = 0) -> tuple[Samples, torch.Tensor]:
    """Return samples that are turned, each by its own random rotation about the origin, and the rotations.

    Args:
        samples: to turn.
        seed: of the rotations; sets of one size are turned alike with the same seed.
    """
    rotations = SO(3).sample(len(samples), rng=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return samples.moved(rotations.numpy()), rotations


def aligned(samples: Samples) -> Samples:
    """Return samples that are turned so that their principal axes lie along the coordinates, the longest along z.

    Of the two directions of the first axes that is taken in which the momentum is positive; the last makes a rotation.
    """
    centred = samples.positions - samples.positions.mean(1, keepdims=True)
    _, axes = np.linalg.eigh(centred.swapaxes(1, 2) @ centred)
    momentum = np.einsum("sid,sdk->sk", samples.velocities, axes)
    axes = axes * np.where(momentum < 0, -1.0, 1.0)[:, None]
    axes[..., -1] *= np.linalg.det(axes)[:, None]
    return samples.moved(axes.swapaxes(1, 2))


class ParticleData(LightningDataModule):
    """Training, validation and test samples of a recipe.

    After ``setup`` there are ``train_samples``, ``validation_samples`` and ``test_samples`` (by name of the set).

    Args:
        recipe: with a section ``particles`` that has ``data``; batch sizes and seed.
    """

    train_samples: Samples
    validation_samples: Samples

    def __init__(self, recipe: Any) -> None:
        super().__init__()
        self.recipe = recipe
        self.test_samples: dict[str, Samples] = {}
        self._ready = False

    def setup(self, stage: str | None = None) -> None:
        """Read or simulate what a stage needs (``fit``, ``validate``, ``test``; None is all), once.

        Raises:
            DataError: if a file is damaged, or holds fewer samples than asked for.
        """
        task = self.recipe.particles
        pose = aligned if task.poses == "aligned" else _as_it_is
        if not self._ready:
            self.train_samples, self.validation_samples = map(pose, training_sets(task.data, find_data))
            self._ready = True
        if stage in (None, "test") and not self.test_samples:
            self.test_samples = {name: pose(samples) for name, samples in test_sets(task.data, find_data).items()}

    def loader(self, samples: Samples, *, shuffle: bool = False) -> DataLoader[ParticleBatch]:
        """Return a loader of batches, in their own order or in one that seed and epoch decide."""
        training = self.recipe.training
        size = training.batch_size if shuffle else training.evaluation_batch_size
        seed = self.recipe.seed if shuffle else None
        return make_loader(SampleSet(samples), size, collate=_as_it_is, seed=seed, workers=training.data_workers)

    def train_dataloader(self) -> DataLoader[ParticleBatch]:
        """Return shuffled training batches."""
        return self.loader(self.train_samples, shuffle=True)

    def val_dataloader(self) -> DataLoader[ParticleBatch]:
        """Return validation batches."""
        return self.loader(self.validation_samples)

    def test_dataloader(self) -> list[DataLoader[ParticleBatch]]:
        """Return one loader per test set, in the order of ``test_samples``."""
        return [self.loader(samples) for samples in self.test_samples.values()]


def _as_it_is(given: Any) -> Any:
    """Return what is given: a `SampleSet` joins its items itself."""
    return given
