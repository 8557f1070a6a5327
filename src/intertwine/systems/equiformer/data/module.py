"""Training, validation and test data of a recipe, from files or from surfaces made here.

Graphs are built when they are asked for, in float64, and kept if the recipe says so.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

import numpy as np
from lightning import LightningDataModule
from torch.utils.data import DataLoader, Dataset

from intertwine.atoms import fit_atomic_energies
from intertwine.errors import DataError
from intertwine.systems.equiformer.data.atoms_files import read_atoms_file
from intertwine.systems.equiformer.data.generated import make_surfaces
from intertwine.systems.equiformer.data.graphs import SurfaceBatch, SurfaceGraph, collate_surfaces, make_graph
from intertwine.systems.equiformer.data.lmdb_files import LmdbStructures
from intertwine.systems.equiformer.data.statistics import Statistics, measure
from intertwine.systems.equiformer.data.structures import Structure
from intertwine.systems.equiformer.settings import DataSettings, EquiformerRecipe, ModelSettings
from intertwine.training.datasets import find_data
from intertwine.training.sampling import make_loader, split

__all__ = ["GraphSet", "SurfaceData", "make_data", "read_structures"]


def make_data(recipe: EquiformerRecipe) -> "SurfaceData":
    """Return the data of a recipe; files are read by ``setup``."""
    return SurfaceData(recipe)


def read_structures(
    path: str | Path, settings: DataSettings | None = None, require: tuple[str, ...] = ()
) -> Sequence[Structure]:
    """Return the structures of an OC20 database, of a folder of them, or of a file that ASE reads.

    Args:
        path: what to read; databases end in ``.lmdb``.
        settings: names of the labels in ASE's files.
        require: ``energy`` and ``forces``, where every structure must have them; in a database the first is looked at.

    Raises:
        DataError: if it cannot be read, or a label is missing.
        MissingExtraError: if lmdb or ASE is not installed.
    """
    path, settings = Path(path), settings or DataSettings()
    if path.is_dir() or path.suffix == ".lmdb":
        structures = LmdbStructures(path)
        if not len(structures):
            raise DataError(f"{path} holds no structures", got="an empty database")
        first = structures[0]
        missing = [name for name in require if getattr(first, name) is None]
        if missing:
            raise DataError(
                f"{first.where}: there is no {' and no '.join(missing)}",
                got="a structure without labels, as in the published test sets",
                expected=" and ".join(require),
            )
        return structures
    return read_atoms_file(path, energy_key=settings.energy_key, forces_key=settings.forces_key, require=require)


@final
class GraphSet(Dataset[SurfaceGraph]):
    """The graphs of some structures, built when they are asked for.

    Args:
        structures: where they come from.
        model: cutoff, number of neighbours and elements.
        order: which structures, by number; all if None.
        keep: whether a graph is kept once it is built.
    """

    def __init__(
        self,
        structures: Sequence[Structure],
        model: ModelSettings,
        order: Sequence[int] | None = None,
        keep: bool = True,
    ) -> None:
        self.structures, self.model = structures, model
        self.order = list(range(len(structures))) if order is None else [int(place) for place in order]
        self.keep = keep
        self._kept: dict[int, SurfaceGraph] = {}

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, index: int) -> SurfaceGraph:
        place = self.order[index]
        found = self._kept.get(place)
        if found is None:
            settings = self.model
            structure = self.structures[place]
            found = make_graph(structure, settings.cutoff, settings.max_neighbours, settings.elements)
            if self.keep:
                self._kept[place] = found
        return found

    def structure(self, index: int) -> Structure:
        """Return the structure that a graph is made of."""
        return self.structures[self.order[index]]


@final
class SurfaceData(LightningDataModule):
    """Training, validation and test graphs of a recipe.

    After ``setup`` there are ``train_set``, ``validation_set``, ``test_sets`` (by name), ``references`` (eV by atomic
    number) and ``statistics``. The order of training batches is a function of the recipe's seed and the epoch.
    """

    def __init__(self, recipe: EquiformerRecipe) -> None:
        super().__init__()
        self.recipe = recipe
        self.test_sets: dict[str, GraphSet] = {}
        self.references: dict[int, float] = {}
        self._ready = False

    def setup(self, stage: str | None = None) -> None:
        """Read what a stage needs (``fit``, ``validate``, ``test``; None is all), once.

        Raises:
            DataError: if a file is missing or damaged, or lacks a label that the loss has a weight for.
        """
        if not self._ready:
            self._setup_training()
            self._ready = True
        if stage in (None, "test") and not self.test_sets:
            self._setup_test()

    def loader(self, graphs: GraphSet, *, shuffle: bool = False) -> DataLoader[SurfaceBatch]:
        """Return a loader of batches, in their own order or in one that seed and epoch decide."""
        training = self.recipe.training
        size = training.batch_size if shuffle else training.evaluation_batch_size
        seed = self.recipe.seed if shuffle else None
        return make_loader(graphs, size, collate=collate_surfaces, seed=seed, workers=training.data_workers)

    def train_dataloader(self) -> DataLoader[SurfaceBatch]:
        """Return shuffled training batches."""
        return self.loader(self.train_set, shuffle=True)

    def val_dataloader(self) -> DataLoader[SurfaceBatch]:
        """Return validation batches."""
        return self.loader(self.validation_set)

    def test_dataloader(self) -> list[DataLoader[SurfaceBatch]]:
        """Return one loader per test set, in the order of ``test_sets``."""
        return [self.loader(graphs) for graphs in self.test_sets.values()]

    def _setup_training(self) -> None:
        settings = self.recipe.data
        loss = self.recipe.loss
        require = tuple(n for n, w in (("energy", loss.energy), ("forces", loss.forces)) if w > 0)
        if settings.train is None:
            made = make_surfaces(settings.surfaces)
            self.train_set = self._set(made["train"], limit=settings.train_limit)
            self.validation_set = self._set(made["validation"], limit=settings.validation_limit)
        else:
            train = read_structures(find_data(settings.train), settings, require)
            if settings.validation is None:
                kept, held = split(len(train), settings.validation_fraction, settings.split_seed)
                self.validation_set = self._set(train, held, settings.validation_limit)
            else:
                kept = np.random.default_rng(settings.split_seed).permutation(len(train))
                held = read_structures(find_data(settings.validation), settings, require)
                self.validation_set = self._set(held, limit=settings.validation_limit)
            self.train_set = self._set(train, kept, settings.train_limit)
        some = range(min(len(self.train_set), settings.statistics_limit))
        if settings.references == "least_squares":
            self.references = fit_atomic_energies([self.train_set.structure(place) for place in some])
        self.statistics = self._measured(some)

    def _measured(self, some: range) -> Statistics:
        settings = self.recipe.data
        names = ("energy_mean", "energy_std", "force_std", "mean_neighbours", "mean_atoms")
        given = all(getattr(settings, name) is not None for name in names)
        graphs = [self.train_set[place] for place in (some[:1] if given else some)]
        return measure(graphs, self.references, settings)

    def _setup_test(self) -> None:
        settings = self.recipe.data
        if not settings.test and settings.train is None:
            self.test_sets = {"test": self._set(make_surfaces(settings.surfaces)["test"], limit=settings.test_limit)}
        for name, file in settings.test.items():
            structures = read_structures(find_data(file), settings, ("energy", "forces"))
            self.test_sets[name] = self._set(structures, limit=settings.test_limit)

    def _set(
        self, structures: Sequence[Structure], order: Sequence[int] | Any = None, limit: int | None = None
    ) -> GraphSet:
        order = range(len(structures)) if order is None else order
        return GraphSet(structures, self.recipe.model, order[:limit], self.recipe.data.in_memory)
