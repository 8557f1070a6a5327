"""The data of the normals task: points drawn anew from meshes in each epoch, in batches of clouds."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from intertwine.errors import DataError
from intertwine.graphs import TensorBatch
from intertwine.groups import SO
from intertwine.points import Mesh, normalise, pad_meshes, sample_surface
from intertwine.systems.frame_averaging.data.surfaces import read_surfaces, split_families
from intertwine.systems.frame_averaging.settings.normals import NormalsDataSettings
from intertwine.training.sampling import EpochSampler, generator, make_loader, split

__all__ = ["MeshClouds", "NormalsBatch", "NormalsData", "make_data", "turned"]


@dataclass(frozen=True)
class NormalsBatch(TensorBatch):
    """Clouds with the normals of the surfaces that they were drawn from."""

    points: Float[Tensor, "batch points 3"]
    normals: Float[Tensor, "batch points 3"]

    @property
    def num_graphs(self) -> int:
        """The number of clouds."""
        return len(self.points)

    def inputs(self) -> dict[str, Tensor]:
        """Return the arguments of ``forward``, by name."""
        return {"points": self.points}


def make_data(recipe: Any) -> "NormalsData":
    """Return the data of a recipe; meshes are read by ``setup``."""
    return NormalsData(recipe)


def turned(batch: NormalsBatch, rotations: Float[Tensor, "batch 3 3"]) -> NormalsBatch:
    """Return a batch whose clouds are turned about the origin, normals and all."""
    back = rotations.to(batch.points).mT
    return replace(batch, points=batch.points @ back, normals=batch.normals @ back)


class MeshClouds(Dataset[NormalsBatch]):
    """Meshes as a data set of clouds: points, scale and pose of an item follow from seed, epoch and number alone.

    Args:
        meshes: surfaces to draw from.
        settings: points of a cloud, their size, and how training clouds are scaled and turned.
        seed: of all draws.
        purpose: tells the draws of one set from those of another with the same seed.
        training: whether clouds are scaled and, in the regime SO(3), turned, and drawn anew in each epoch.
    """

    def __init__(
        self, meshes: Sequence[Mesh], settings: NormalsDataSettings, *, seed: int, purpose: str, training: bool = False
    ) -> None:
        self.meshes, self.settings = list(meshes), settings
        self.seed, self.purpose, self.training = seed, purpose, training
        self.sampler: EpochSampler | None = None

    def __len__(self) -> int:
        return len(self.meshes)

    def __getitem__(self, index: int) -> NormalsBatch:
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> NormalsBatch:
        clouds = [self._draw(index) for index in indices]
        points, normals = (torch.cat(parts) for parts in zip(*clouds, strict=True))
        found = normalise(points, self.settings.size).points
        if not self.training:
            return NormalsBatch(found.float(), normals.float())
        rng = generator(self.seed, self.purpose, "pose", self._epoch, *indices)
        low, high = self.settings.scale_range
        scales = low + (high - low) * torch.rand(len(indices), 1, 1, generator=rng, dtype=found.dtype)
        batch = NormalsBatch(found * scales, normals)
        if self.settings.regime == "SO(3)":
            batch = turned(batch, SO(3).sample(len(indices), rng=rng, dtype=found.dtype))
        return batch.to(torch.float32)

    @property
    def _epoch(self) -> int:
        return self.sampler.epoch if self.sampler is not None and self.training else 0

    def _draw(self, index: int) -> tuple[Tensor, Tensor]:
        rng = generator(self.seed, self.purpose, "points", self._epoch, index)
        vertices, faces = pad_meshes([self.meshes[index]], torch.float64)
        try:
            drawn = sample_surface(vertices, faces, self.settings.points, rng)
        except DataError as error:
            raise DataError(f"{self.meshes[index].name}: {error.message}", got=error.got, fix=error.fix) from error
        return drawn.points, drawn.normals


class NormalsData(LightningDataModule):
    """Training, validation and test clouds of a recipe.

    After ``setup`` there are ``train_clouds``, ``validation_clouds`` and ``test_clouds`` (by name of the set).

    Args:
        recipe: with a section ``normals`` that has ``data``; batch sizes and seed.
    """

    train_clouds: MeshClouds
    validation_clouds: MeshClouds

    def __init__(self, recipe: Any) -> None:
        super().__init__()
        self.recipe = recipe
        self.test_clouds: dict[str, MeshClouds] = {}
        self._ready = False

    def setup(self, stage: str | None = None) -> None:
        """Read the meshes, once.

        Raises:
            DataError: if a file is missing or damaged, or there are too few meshes.
        """
        if self._ready:
            return
        settings, seed = self.recipe.normals.data, self.recipe.seed
        train = read_surfaces(settings.train, settings.train_names)
        tests = {name: read_surfaces(path, settings.test_names.get(name)) for name, path in settings.test.items()}
        if not tests:
            train, tests["test"] = split_families(train, settings.test_per_family)
        chosen = _spread(train.meshes, settings.train_meshes)
        held = chosen
        if settings.validation_fraction > 0:
            kept, out = split(len(chosen), settings.validation_fraction, seed)
            held, chosen = [chosen[i] for i in out], [chosen[i] for i in kept]
        self.train_clouds = MeshClouds(chosen, settings, seed=seed, purpose="train", training=True)
        self.validation_clouds = MeshClouds(held, settings, seed=seed, purpose="validation")
        # all runs are measured on the same points, whatever their seed
        self.test_clouds = {
            name: MeshClouds(_spread(found.meshes, settings.test_meshes), settings, seed=0, purpose=name)
            for name, found in tests.items()
        }
        self._ready = True

    def loader(self, clouds: MeshClouds, *, shuffle: bool = False) -> DataLoader[NormalsBatch]:
        """Return a loader of batches, in their own order or in one that seed and epoch decide."""
        training = self.recipe.training
        size = training.batch_size if shuffle else training.evaluation_batch_size
        seed = self.recipe.seed if shuffle else None
        loader = make_loader(clouds, size, collate=_as_it_is, seed=seed, workers=training.data_workers)
        if isinstance(loader.sampler, EpochSampler):
            clouds.sampler = loader.sampler
        return loader

    def train_dataloader(self) -> DataLoader[NormalsBatch]:
        """Return shuffled training batches."""
        return self.loader(self.train_clouds, shuffle=True)

    def val_dataloader(self) -> DataLoader[NormalsBatch]:
        """Return validation batches."""
        return self.loader(self.validation_clouds)

    def test_dataloader(self) -> list[DataLoader[NormalsBatch]]:
        """Return one loader per test set, in the order of ``test_clouds``."""
        return [self.loader(clouds) for clouds in self.test_clouds.values()]


def _spread(meshes: Sequence[Mesh], count: int | None) -> list[Mesh]:
    """Return so many meshes, spread evenly over all."""
    if count is None:
        return list(meshes)
    if count > len(meshes):
        raise DataError("there are not so many meshes", got=f"{len(meshes)} meshes", expected=f"at least {count}")
    return [meshes[(i * len(meshes)) // count] for i in range(count)]


def _as_it_is(given: Any) -> Any:
    """Return what is given: `MeshClouds` joins its items itself."""
    return given
