"""Data of an interatomic potential: reading, splitting, graphs, and the numbers that normalise a model.

Graphs are built once, in float64, and kept in memory.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from lightning import LightningDataModule
from torch.utils.data import DataLoader

from intertwine.atoms import (
    Structure,
    fit_atomic_energies,
    make_graphs,
    read_isolated_atoms,
    read_structures,
    symbols_of,
)
from intertwine.errors import DataError, DataWarning
from intertwine.graphs import AtomBatch, AtomGraph, collate
from intertwine.systems.potential.settings import PotentialRecipe
from intertwine.training.datasets import find_data
from intertwine.training.sampling import make_loader, split

__all__ = [
    "PotentialData",
    "Statistics",
    "make_data",
    "measure",
]


@dataclass(frozen=True)
class Statistics:
    """What normalises a model.

    Args:
        shift: mean over structures of (E - sum of atomic energies) / number of atoms, in eV.
        scale: root mean square of the force components, in eV/Å.
        mean_neighbours: mean number of neighbours of an atom.
    """

    shift: float
    scale: float
    mean_neighbours: float


def make_data(recipe: PotentialRecipe) -> "PotentialData":
    """Return the data of a recipe; files are read by ``setup``."""
    return PotentialData(recipe)


class PotentialData(LightningDataModule):
    """Training, validation and test graphs of a recipe.

    After ``setup`` there are ``train_graphs``, ``validation_graphs``, ``test_graphs`` (by name of the set),
    ``atomic_energies`` (eV by atomic number), ``species`` (atomic numbers), ``atomic_energies_from`` (where
    they come from, in words) and ``statistics``. The order of training batches is a function of the recipe's
    seed and the epoch.

    Args:
        recipe: names of files and labels, cutoff, batch sizes, seed.
        keep_isolated_atoms: train also on the single atoms that the training file may hold; otherwise they
            only give
            the atomic energies.
    """

    def __init__(self, recipe: PotentialRecipe, *, keep_isolated_atoms: bool = False) -> None:
        super().__init__()
        self.recipe = recipe
        self.keep_isolated_atoms = keep_isolated_atoms
        self.test_graphs: dict[str, list[AtomGraph]] = {}
        self._ready = False

    def setup(self, stage: str | None = None) -> None:
        """Read what a stage needs (``fit``, ``validate``, ``test``; None is all), once.

        Raises:
            DataError: if a file is damaged, or has elements that the training data lack.
        """
        if not self._ready:
            self._setup_training()
            self._ready = True
        if stage in (None, "test") and not self.test_graphs:
            self._setup_test()

    @property
    def species(self) -> tuple[int, ...]:
        """Atomic numbers in the training data, sorted."""
        return tuple(self.atomic_energies)

    @property
    def shift(self) -> float:
        """Mean energy (eV) of an atom above that of the isolated one, over the training structures."""
        return self.statistics.shift

    @property
    def scale(self) -> float:
        """Root mean square (eV/Å) of the training forces."""
        return self.statistics.scale

    @property
    def mean_neighbours(self) -> float:
        """Mean number of neighbours of an atom in the training structures."""
        return self.statistics.mean_neighbours

    def loader(self, graphs: Sequence[AtomGraph], *, shuffle: bool = False) -> DataLoader[AtomBatch]:
        """Return a loader of batches, in their own order or in one that seed and epoch decide."""
        training = self.recipe.training
        size = training.batch_size if shuffle else training.evaluation_batch_size
        seed = self.recipe.seed if shuffle else None
        return make_loader(graphs, size, collate=collate, seed=seed, workers=training.data_workers)

    def train_dataloader(self) -> DataLoader[AtomBatch]:
        """Return shuffled training batches."""
        return self.loader(self.train_graphs, shuffle=True)

    def val_dataloader(self) -> DataLoader[AtomBatch]:
        """Return validation batches."""
        return self.loader(self.validation_graphs)

    def test_dataloader(self) -> list[DataLoader[AtomBatch]]:
        """Return one loader per test set, in the order of ``test_graphs``."""
        return [self.loader(graphs) for graphs in self.test_graphs.values()]

    def _setup_training(self) -> None:
        settings = self.recipe.data
        found = self._read(settings.train, self._required())
        isolated = [s for s in found if _is_isolated(s)]
        kept = [s for s in found if self.keep_isolated_atoms or not _is_isolated(s)]
        if not kept:
            raise DataError(
                f"{settings.train} holds isolated atoms only",
                got=f"{len(isolated)} frames of one atom",
                expected="structures of several atoms",
            )
        _warn_of_duplicates(kept)
        if settings.validation is None:
            train, validation = split(len(kept), settings.validation_fraction, settings.split_seed)
            self._train = [kept[i] for i in train[: settings.train_limit]]
            held = [kept[i] for i in validation]
        else:
            self._train = kept[: settings.train_limit]
            held = self._read(settings.validation, self._required())
            _warn_of_leaks(self._train, held, "validation")
        self.atomic_energies = self._atomic_energies(isolated)
        self.train_graphs = make_graphs(self._train, self.species, self.recipe.model.cutoff)
        self.validation_graphs = make_graphs(held, self.species, self.recipe.model.cutoff)
        self.statistics = measure(self.train_graphs, self.species, self.atomic_energies)

    def _setup_test(self) -> None:
        for name, file in self.recipe.data.test.items():
            structures = self._read(file, require=("energy",))
            _warn_of_leaks(self._train, structures, f"test set `{name}`")
            self.test_graphs[name] = make_graphs(structures, self.species, self.recipe.model.cutoff)

    def _required(self) -> tuple[str, ...]:
        """The labels that the loss has a weight for; the energy always, because it normalises the model."""
        loss = self.recipe.loss
        return ("energy", *(name for name in ("forces", "stress") if getattr(loss, name) > 0))

    def _read(self, file: str, require: tuple[str, ...]) -> list[Structure]:
        settings = self.recipe.data
        return read_structures(
            find_data(file),
            energy_key=settings.energy_key,
            forces_key=settings.forces_key,
            stress_key=settings.stress_key,
            require=require,
        )

    def _atomic_energies(self, isolated: list[Structure]) -> dict[int, float]:
        elements = sorted({int(z) for s in self._train for z in s.numbers})
        if self.recipe.data.isolated_atoms is not None:
            self.atomic_energies_from = "a file of isolated atoms"
            path = find_data(self.recipe.data.isolated_atoms)
            known = read_isolated_atoms(path, self.recipe.data.energy_key)
        elif isolated:
            self.atomic_energies_from = "isolated atoms in the training file"
            known = {int(s.numbers[0]): float(s.energy) for s in isolated}  # type: ignore[arg-type]
        else:
            self.atomic_energies_from = "least squares over the training structures"
            known = fit_atomic_energies(self._train, advice="give `isolated_atoms`")
        missing = [z for z in elements if z not in known]
        if missing:
            raise DataError(
                "there is no isolated atom of some elements",
                got={"missing": symbols_of(missing), "known": symbols_of(known)},
                expected=f"one of each of {symbols_of(elements)}",
                fix="add them, or leave `isolated_atoms` empty to fit the energies",
            )
        return {z: known[z] for z in elements}


def measure(graphs: Sequence[AtomGraph], species: Sequence[int], atomic_energies: Mapping[int, float]) -> Statistics:
    """Return the statistics of labelled graphs.

    Without forces the scale is 1 eV/Å.

    Raises:
        DataError: if all forces are zero, which leaves nothing to scale by.
    """
    table = torch.tensor([atomic_energies[z] for z in species], dtype=torch.float64)
    energies = [(g, g.energy) for g in graphs if g.energy is not None]
    bindings = [float(energy - table[g.species].sum()) / len(g.species) for g, energy in energies]
    forces = [g.forces for g in graphs if g.forces is not None]
    scale = float(torch.cat(forces).square().mean().sqrt()) if forces else 1.0
    if scale == 0:
        raise DataError("all forces of the training structures are zero", expected="structures away from equilibrium")
    edges, atoms = sum(g.edge_index.shape[1] for g in graphs), sum(len(g.species) for g in graphs)
    return Statistics(float(np.mean(bindings)), scale, edges / atoms)


def _is_isolated(structure: Structure) -> bool:
    return len(structure.numbers) == 1 and not any(structure.pbc)


def _key(structure: Structure) -> tuple[bytes, ...]:
    """Return what two structures share when all their numbers agree to 10⁻⁶ Å."""
    cell = structure.cell * np.array(structure.pbc)[:, None]
    arrays = (np.round(structure.positions, 6) + 0.0, np.round(cell, 6) + 0.0)
    return (structure.numbers.tobytes(), *(array.tobytes() for array in arrays))


def _warn_of_duplicates(structures: Sequence[Structure]) -> None:
    first: dict[tuple[bytes, ...], Structure] = {}
    again = []
    for structure in structures:
        earlier = first.setdefault(_key(structure), structure)
        if earlier is not structure:
            again.append((structure, earlier))
    if again:
        warnings.warn(
            f"{len(again)} structures are in the training file twice, for example {again[0][0].where} and "
            f"{again[0][1].where}; they may be trained on and validated with at once",
            DataWarning,
            stacklevel=2,
        )


def _warn_of_leaks(train: Sequence[Structure], other: Sequence[Structure], name: str) -> None:
    known = {_key(s): s for s in train}
    shared = [(s, known[key]) for s in other if (key := _key(s)) in known]
    if shared:
        warnings.warn(
            f"{len(shared)} of {len(other)} structures of the {name} are also trained on, for example "
            f"{shared[0][0].where} is {shared[0][1].where}; its errors will look too small",
            DataWarning,
            stacklevel=2,
        )
