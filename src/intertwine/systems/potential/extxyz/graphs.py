"""From structures to graphs: neighbours are found, and elements numbered as a model numbers them."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from intertwine.errors import DataError
from intertwine.graphs import AtomGraph
from intertwine.systems.potential.extxyz.structures import Structure

__all__ = ["make_graphs", "species_of", "symbols_of"]


def make_graphs(structures: Iterable[Structure], species: Sequence[int], cutoff: float) -> list[AtomGraph]:
    """Return the graphs of structures in float64, with elements numbered by their place in ``species``.

    Raises:
        DataError: naming the structure, if it has an element that is not in ``species``, or no neighbour
            list.
    """

    def tensor(value: Any) -> Tensor | None:
        return None if value is None else torch.tensor(value, dtype=torch.float64)

    graphs = []
    for structure in structures:
        try:
            graph = AtomGraph.build(
                torch.tensor(structure.positions, dtype=torch.float64),
                species_of(structure.numbers, species),
                cutoff,
                cell=tensor(structure.cell),
                pbc=structure.pbc,
                energy=tensor(structure.energy),
                forces=tensor(structure.forces),
                stress=tensor(structure.stress),
            )
        except DataError as error:
            raise DataError(
                f"{structure.where}: {error.message}", got=error.got, expected=error.expected, fix=error.fix
            ) from error
        graphs.append(graph)
    return graphs


def species_of(numbers: np.ndarray, species: Sequence[int]) -> Int64[Tensor, " atoms"]:
    """Return the place in ``species`` of each atomic number.

    Raises:
        DataError: naming the elements that are not there, and those that are.
    """
    place = np.full(256, -1)
    place[list(species)] = np.arange(len(species))
    index = place[numbers]
    if (index < 0).any():
        raise DataError(
            "there are elements that the model does not know",
            got=symbols_of(numbers[index < 0]),
            expected=f"only {symbols_of(species)}",
            fix="train on data with these elements, or leave the structure out",
        )
    return torch.from_numpy(index)


def symbols_of(numbers: Iterable[int]) -> str:
    """Return the different elements of some atomic numbers, as text."""
    from ase.data import chemical_symbols

    return ", ".join(chemical_symbols[z] for z in sorted({int(z) for z in numbers}))
