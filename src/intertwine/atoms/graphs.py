"""From structures to graphs in float64: neighbours are found, and errors name the structure."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor

from intertwine.atoms.elements import species_of
from intertwine.atoms.structures import Structure
from intertwine.errors import DataError
from intertwine.graphs import AtomGraph

__all__ = ["build_graph", "make_graphs", "naming"]


def make_graphs(structures: Iterable[Structure], species: Sequence[int], cutoff: float) -> list[AtomGraph]:
    """Return the graphs of structures, with elements numbered by their place in ``species``.

    Raises:
        DataError: naming the structure, if it has an element that is not in ``species``, or no neighbour
            list.
    """
    graphs = []
    for structure in structures:
        with naming(structure.where):
            graph = build_graph(
                structure.positions,
                species_of(structure.numbers, species),
                cutoff,
                cell=structure.cell,
                pbc=structure.pbc,
                energy=structure.energy,
                forces=structure.forces,
                stress=structure.stress,
            )
        graphs.append(graph)
    return graphs


def build_graph(
    positions: Any,
    species: Int64[Tensor, " atoms"],
    cutoff: float,
    *,
    cell: Any = None,
    pbc: tuple[bool, bool, bool] = (False, False, False),
    **labels: Any,
) -> AtomGraph:
    """Return the graph of arrays, as `AtomGraph.build` does of tensors.

    Args:
        positions: (atoms, 3), in Å.
        species: what the network numbers the atoms by.
        cutoff: radius (Å) of the search for neighbours.
        cell: lattice vectors as rows, (3, 3).
        pbc: which axes are periodic.
        labels: ``energy`` (eV), ``forces`` (eV/Å) and ``stress`` (eV/Å³); None is one that is not known.
    """

    def tensor(value: Any) -> Tensor | None:
        return None if value is None else torch.tensor(value, dtype=torch.float64)

    return AtomGraph.build(
        torch.tensor(positions, dtype=torch.float64),
        species,
        cutoff,
        cell=tensor(cell),
        pbc=pbc,
        **{name: tensor(value) for name, value in labels.items()},
    )


@contextmanager
def naming(where: str) -> Iterator[None]:
    """Put the place of a structure before the message of every `DataError` that is raised inside."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{where}: {error.message}", got=error.got, expected=error.expected, fix=error.fix) from error
