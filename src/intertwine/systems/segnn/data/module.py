"""The data of a recipe: files where they are named, simulations where they are not."""

from collections.abc import Sequence
from typing import Any

from lightning import LightningDataModule
from torch.utils.data import DataLoader

from intertwine.particles.baselines import fitted_time
from intertwine.particles.batch import ParticleBatch, SampleSet
from intertwine.particles.samples import Samples
from intertwine.particles.splits import test_sets, training_sets
from intertwine.systems.segnn.settings import SegnnRecipe
from intertwine.training.datasets import find_data
from intertwine.training.sampling import make_loader

__all__ = ["ParticleData", "make_data"]


def make_data(recipe: SegnnRecipe) -> "ParticleData":
    """Return the data of a recipe; files are read, or simulations made, by ``setup``."""
    return ParticleData(recipe)


class ParticleData(LightningDataModule):
    """Training, validation and test samples of a recipe.

    After ``setup`` there are ``train_samples``, ``validation_samples``, ``test_samples`` (by name of the set) and
    ``fitted_time``, the time over which a straight line fits the training samples best.

    Args:
        recipe: names of files or the simulation, frames, batch sizes, seed.
    """

    train_samples: Samples
    validation_samples: Samples

    def __init__(self, recipe: SegnnRecipe) -> None:
        super().__init__()
        self.recipe = recipe
        self.test_samples: dict[str, Samples] = {}
        self._ready = False

    def setup(self, stage: str | None = None) -> None:
        """Read or simulate what a stage needs (``fit``, ``validate``, ``test``; None is all), once.

        Raises:
            DataError: if a file is damaged, or holds fewer samples than asked for.
        """
        if not self._ready:
            self.train_samples, self.validation_samples = training_sets(self.recipe.data, find_data)
            self._ready = True
        if stage in (None, "test") and not self.test_samples:
            self.test_samples = test_sets(self.recipe.data, find_data)

    @property
    def fitted_time(self) -> float:
        """Time over which a straight line fits the training samples best."""
        return fitted_time(self.train_samples)

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


def _as_it_is(batch: ParticleBatch | Sequence[Any]) -> Any:
    """A `SampleSet` joins its items itself."""
    return batch
