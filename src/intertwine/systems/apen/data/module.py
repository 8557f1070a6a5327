"""The data of a recipe as loaders of batches."""

from collections.abc import Sequence
from typing import Any

from lightning import LightningDataModule
from torch.utils.data import DataLoader

from intertwine.errors import ConfigError, DataError
from intertwine.systems.apen.data.batch import CloudSet, DrawnClouds, PartBatch
from intertwine.systems.apen.data.motions import RandomMotions
from intertwine.systems.apen.data.sources import CloudSplit, read_split
from intertwine.systems.apen.settings import ApenRecipe
from intertwine.training.sampling import EpochSampler, make_loader

__all__ = ["ApenData", "make_data"]


def make_data(recipe: ApenRecipe) -> "ApenData":
    """Return the data of a recipe; files are read by ``setup``."""
    return ApenData(recipe)


class ApenData(LightningDataModule):
    """Training, validation and test clouds of a recipe.

    After ``setup`` there are ``train_clouds``, ``validation_clouds`` and ``test_sets`` (clouds by the name of the set).

    Args:
        recipe: the source of clouds, the split, batch sizes, seed.
    """

    train_clouds: CloudSet
    validation_clouds: CloudSet

    def __init__(self, recipe: ApenRecipe) -> None:
        super().__init__()
        self.recipe = recipe
        self.test_sets: dict[str, CloudSet] = {}
        self._split: CloudSplit | None = None

    def setup(self, stage: str | None = None) -> None:
        """Read all clouds, once.

        Raises:
            DataError: if a file is missing or damaged, has too few clouds, or lacks what is to be learnt.
            ConfigError: if the network has fewer classes than the clouds (not for the stage ``test``).
        """
        if self._split is None:
            self._split = read_split(self.recipe.data)
            self.train_clouds, self.validation_clouds = self._split.train, self._split.validation
            self.test_sets = {} if self._split.test is None else {"test": self._split.test}
        if stage != "test":
            self._check_classes()

    @property
    def class_names(self) -> tuple[str, ...]:
        """What the classes are called: those of points, or of clouds where the network classifies clouds."""
        if self._split is None:
            return ()
        segments = self.recipe.model.task == "segment"
        return self._split.point_classes if segments else self._split.cloud_classes

    def train_dataloader(self) -> DataLoader[PartBatch]:
        """Return shuffled training batches, whose points are drawn anew in each epoch."""
        data, training = self.recipe.data, self.recipe.training
        motions = None
        if data.augmentation != "none":
            motions = RandomMotions(data.augmentation == "piecewise", data.axis, data.shift)
        clouds = DrawnClouds(self.train_clouds, draws=data.draws, seed=self.recipe.seed, motions=motions)
        loader = make_loader(
            clouds, training.batch_size, collate=_as_it_is, seed=self.recipe.seed, workers=training.data_workers
        )
        if isinstance(loader.sampler, EpochSampler):
            clouds.sampler = loader.sampler
        return loader

    def val_dataloader(self) -> DataLoader[PartBatch]:
        """Return validation batches."""
        return self._loader(self.validation_clouds)

    def test_dataloader(self) -> list[DataLoader[PartBatch]]:
        """Return one loader per test set, in the order of ``test_sets``."""
        return [self._loader(clouds) for clouds in self.test_sets.values()]

    def _loader(self, clouds: CloudSet) -> DataLoader[PartBatch]:
        training = self.recipe.training
        return make_loader(clouds, training.evaluation_batch_size, collate=_as_it_is, workers=training.data_workers)

    def _check_classes(self) -> None:
        model, loss = self.recipe.model, self.recipe.loss
        if len(self.class_names) > model.classes:
            raise ConfigError(
                "the network has fewer classes than the data",
                got=f"model.classes = {model.classes}",
                expected=f"{len(self.class_names)}: {', '.join(self.class_names)}",
            )
        batch = self.train_clouds[0]
        known = batch.labels if model.task == "segment" else batch.subjects
        if known is None:
            where = "a label at each point" if model.task == "segment" else "files in one folder for each class"
            raise DataError(
                f"these clouds have no classes to {model.task}", got=self.train_clouds.names[0], expected=where
            )
        if batch.instances is None and (loss.votes or loss.instances) and model.network == "apen":
            raise DataError(
                "partitions are learnt from true parts, which these clouds do not have",
                got=self.train_clouds.names[0],
                expected="labels or instances; or loss.votes = 0 and loss.instances = 0",
            )


def _as_it_is(batch: PartBatch | Sequence[Any]) -> Any:
    """A set of clouds joins its items itself."""
    return batch
