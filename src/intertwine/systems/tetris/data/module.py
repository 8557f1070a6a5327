"""The point sets of a recipe: the eight shapes in fixed orientations, or files, split and turned into graphs."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from lightning import LightningDataModule
from torch.utils.data import DataLoader

from intertwine.errors import ConfigError, DataError
from intertwine.groups import SO
from intertwine.systems.tetris.data.batch import PointBatch, PointGraph, collate_points
from intertwine.systems.tetris.data.files import read_point_sets
from intertwine.systems.tetris.data.sets import PointSet, make_graphs
from intertwine.systems.tetris.data.shapes import shape_sets
from intertwine.systems.tetris.model import ClassTable
from intertwine.systems.tetris.settings import TetrisRecipe
from intertwine.training.datasets import find_data
from intertwine.training.sampling import generator, make_loader

__all__ = ["PointData", "make_data"]


def make_data(recipe: TetrisRecipe) -> "PointData":
    """Return the data of a recipe; files are read by ``setup``."""
    return PointData(recipe)


class PointData(LightningDataModule):
    """Training, validation and test sets of a recipe.

    After ``setup`` there are ``train_graphs``, ``validation_graphs``, ``test_graphs`` (by name of the test set),
    ``table`` (the classes) and ``point_types``.

    Args:
        recipe: names of files and labels, cutoff, batch sizes, seed.
    """

    table: ClassTable
    point_types: tuple[str, ...]

    def __init__(self, recipe: TetrisRecipe) -> None:
        super().__init__()
        self.recipe = recipe
        self.train_graphs: list[PointGraph] = []
        self.validation_graphs: list[PointGraph] = []
        self.test_graphs: dict[str, list[PointGraph]] = {}

    def setup(self, stage: str | None = None) -> None:
        """Read what a stage needs (``fit``, ``validate``, ``test``; None is all), once.

        Raises:
            DataError: if a file is damaged, or has classes or types that the training sets lack.
            ConfigError: if a class named in the recipe does not exist.
        """
        if not self.train_graphs:
            self._setup_training()
        if stage in (None, "test") and not self.test_graphs:
            settings = self.recipe.data
            for name, file in settings.test.items():
                self.test_graphs[name] = self._graphs(self._read(file))
            if not settings.test and settings.train is None:
                self.test_graphs["turned"] = self._turned("test")

    def train_dataloader(self) -> DataLoader[PointBatch]:
        """Return shuffled batches, or the batch of all training sets as often as an epoch has steps."""
        training, data = self.recipe.training, self.recipe.data
        if len(self.train_graphs) <= training.batch_size:
            whole = collate_points(self.train_graphs)
            return make_loader([whole] * data.steps_per_epoch, 1, collate=_first, seed=self.recipe.seed)
        if data.steps_per_epoch > 1:
            raise ConfigError(
                "an epoch has as many steps as there are batches",
                got={"data.steps_per_epoch": data.steps_per_epoch, "training sets": len(self.train_graphs)},
                expected="1, or a training.batch_size that holds all training sets",
            )
        return self._loader(self.train_graphs, training.batch_size, self.recipe.seed)

    def val_dataloader(self) -> DataLoader[PointBatch]:
        """Return validation batches."""
        return self._loader(self.validation_graphs, self.recipe.training.evaluation_batch_size)

    def test_dataloader(self) -> list[DataLoader[PointBatch]]:
        """Return one loader for each test set, in the order of ``test_graphs``."""
        size = self.recipe.training.evaluation_batch_size
        return [self._loader(graphs, size) for graphs in self.test_graphs.values()]

    def _loader(self, graphs: Sequence[PointGraph], size: int, seed: int | None = None) -> DataLoader[PointBatch]:
        workers = self.recipe.training.data_workers
        return make_loader(graphs, size, collate=collate_points, seed=seed, workers=workers)

    def _setup_training(self) -> None:
        settings = self.recipe.data
        sets = shape_sets() if settings.train is None else self._read(settings.train)
        found = tuple(dict.fromkeys(str(points.label) for points in sets))
        if len(found) < 2:
            raise DataError(
                f"{settings.train} holds one class only", got=", ".join(found), expected="point sets of two or more"
            )
        self.table = ClassTable(settings.classes or found, settings.mirror_pairs)
        self.point_types = tuple(sorted({kind for points in sets for kind in points.types}))
        graphs = self._graphs(sets)
        if settings.validation is not None:
            self.validation_graphs = self._graphs(self._read(settings.validation))
        elif settings.train is None:
            self.validation_graphs = self._turned("validation")
        else:
            graphs, self.validation_graphs = self._split(graphs)
        self.train_graphs = graphs

    def _split(self, graphs: list[PointGraph]) -> tuple[list[PointGraph], list[PointGraph]]:
        """Hold out a part of every class, so that small sets keep all classes on both sides."""
        settings = self.recipe.data
        order = torch.randperm(len(graphs), generator=generator(settings.split_seed, "split")).tolist()
        train, held = [], []
        for place in range(len(self.table.names)):
            members = [graphs[i] for i in order if int(graphs[i].label) == place]  # type: ignore[arg-type]
            count = round(settings.validation_fraction * len(members))
            train += members[count:]
            held += members[:count]
        if not train or not held:
            raise DataError(
                "too few training sets to hold some out for validation",
                got={"sets": len(graphs), "data.validation_fraction": settings.validation_fraction},
                expected="several sets of each class",
                fix="give a file of validation sets with data.validation, or more sets",
            )
        return train, held

    def _turned(self, purpose: str) -> list[PointGraph]:
        """The eight shapes, each in some random orientations."""
        settings = self.recipe.data
        graphs = self._graphs(shape_sets()) * settings.turns
        rotations = SO(3).sample(len(graphs), rng=generator(settings.split_seed, purpose), dtype=torch.float64)
        return [
            replace(graph, positions=graph.positions @ rotation.mT)
            for graph, rotation in zip(graphs, rotations, strict=True)
        ]

    def _read(self, file: str) -> list[PointSet]:
        return read_point_sets(find_data(file), self.recipe.data.label_key)

    def _graphs(self, sets: Sequence[PointSet]) -> list[PointGraph]:
        return make_graphs(sets, self.point_types, self.recipe.model.cutoff, self.table.names)


def _first(items: list[PointBatch]) -> PointBatch:
    return items[0]
