"""The data of a recipe: files where they are named, simulations where they are not."""

from collections.abc import Sequence
from typing import Any, Literal

from lightning import LightningDataModule
from torch.utils.data import DataLoader

from intertwine.errors import DataError
from intertwine.systems.segnn.data.batch import ParticleBatch, SampleSet
from intertwine.systems.segnn.data.files import read_samples
from intertwine.systems.segnn.data.samples import Samples, fitted_time
from intertwine.systems.segnn.data.simulation import simulated_samples
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
            self.train_samples, self.validation_samples = self._training()
            self._ready = True
        if stage in (None, "test") and not self.test_samples:
            self.test_samples = self._test()

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

    def _training(self) -> tuple[Samples, Samples]:
        settings = self.recipe.data
        if settings.train is None:
            train = self._simulated("train", settings.train_samples)
        else:
            train = self._read(settings.train)
        if settings.validation is not None:
            held = self._read(settings.validation)
        elif settings.train is None:
            held = self._simulated("validation", settings.validation_samples)
        else:
            train, held = _hold_out(train, settings.validation_fraction)
        return train.part(stop=settings.train_samples), held.part(stop=settings.validation_samples)

    def _test(self) -> dict[str, Samples]:
        settings = self.recipe.data
        if not settings.test and settings.train is None:
            return {"test": self._simulated("test", settings.test_samples)}
        return {name: self._read(file).part(stop=settings.test_samples) for name, file in settings.test.items()}

    def _simulated(self, split: Literal["train", "validation", "test"], count: int | None) -> Samples:
        settings = self.recipe.data
        return simulated_samples(settings.simulation, split, count, settings.start_frame, settings.end_frame)

    def _read(self, file: str) -> Samples:
        settings = self.recipe.data
        return read_samples(find_data(file), settings.start_frame, settings.end_frame)


def _hold_out(samples: Samples, fraction: float) -> tuple[Samples, Samples]:
    """Split off the end of the samples."""
    if len(samples) < 2:
        raise DataError(
            f"{samples.where}: a split needs at least two samples",
            got=f"{len(samples)} sample",
            fix="give more training samples, or a validation file",
        )
    kept = len(samples) - min(max(round(fraction * len(samples)), 1), len(samples) - 1)
    return samples.part(stop=kept), samples.part(start=kept)


def _as_it_is(batch: ParticleBatch | Sequence[Any]) -> Any:
    """A `SampleSet` joins its items itself."""
    return batch
