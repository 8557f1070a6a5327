"""Graphs of surfaces: the nearest neighbours of every atom, which atoms are free, and batches of them.

``species`` is the atomic number less one: the network knows all elements up to some number. An atom keeps its nearest
neighbours and all that are as far as the last of them: to choose among equals would make a graph depend on the order
and the orientation of its atoms. What the network predicts jumps where an atom enters or leaves such a list.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from intertwine.atoms import build_graph, naming
from intertwine.errors import DataError
from intertwine.graphs import AtomBatch, AtomGraph, TensorBatch, collate, edge_vectors
from intertwine.systems.equiformer.data.structures import Structure

__all__ = ["SurfaceBatch", "SurfaceGraph", "collate_surfaces", "make_graph", "nearest"]

_SAME_DISTANCE = 0.01
"""Neighbours whose distances differ by less than this (Å) are kept or left out together."""


@dataclass(frozen=True)
class SurfaceGraph:
    """A graph, and which of its atoms a relaxation moves."""

    atoms: AtomGraph
    free: Bool[Tensor, " atoms"]


@dataclass(frozen=True)
class SurfaceBatch(TensorBatch):
    """Several graphs as one without edges between them."""

    atoms: AtomBatch
    free: Bool[Tensor, " atoms"]

    @property
    def num_graphs(self) -> int:
        """The number of structures."""
        return self.atoms.num_graphs

    def inputs(self) -> dict[str, Tensor]:
        """Return the arguments of the network's ``forward``, by name."""
        return self.atoms.inputs()


def collate_surfaces(graphs: Sequence[SurfaceGraph]) -> SurfaceBatch:
    """Return the disjoint union of graphs, in their order; errors are those of `collate`."""
    return SurfaceBatch(collate([graph.atoms for graph in graphs]), torch.cat([graph.free for graph in graphs]))


def make_graph(structure: Structure, cutoff: float, max_neighbours: int | None, elements: int) -> SurfaceGraph:
    """Return the graph of a structure, in float64.

    Args:
        structure: atoms and labels.
        cutoff: radius (Å) of the search for neighbours.
        max_neighbours: how many of the nearest are kept; all if None.
        elements: the largest atomic number that the network knows.

    Raises:
        DataError: naming the structure, if it has another element, or no neighbour list.
    """
    unknown = sorted({int(z) for z in structure.numbers if z > elements})
    if unknown:
        raise DataError(
            f"{structure.where}: there are elements that the network does not know",
            got={"atomic numbers": unknown},
            expected=f"up to {elements}",
            fix="set model.elements, or leave the structure out",
        )
    with naming(structure.where):
        graph = build_graph(
            structure.positions,
            torch.tensor(structure.numbers - 1),
            cutoff,
            cell=structure.cell,
            pbc=structure.pbc,
            energy=structure.energy,
            forces=structure.forces,
        )
    if max_neighbours is not None:
        cell = graph.cell.unsqueeze(0)
        distances = edge_vectors(graph.positions, graph.edge_index, graph.cell_shifts, cell).norm(dim=-1)
        kept = nearest(distances, graph.edge_index[1], len(structure.numbers), max_neighbours)
        graph = replace(graph, edge_index=graph.edge_index[:, kept], cell_shifts=graph.cell_shifts[kept])
    return SurfaceGraph(graph, torch.from_numpy(structure.free))


def nearest(
    distances: Float[Tensor, " edges"], destination: Int64[Tensor, " edges"], count: int, keep: int
) -> Bool[Tensor, " edges"]:
    """Return which edges are among the ``keep`` shortest of their destination, or as long as the last of them.

    Args:
        distances: length of each edge, in Å.
        destination: the atom each edge goes to.
        count: number of atoms.
        keep: how many are kept.
    """
    by_length = distances.argsort()
    order = by_length[destination[by_length].argsort(stable=True)]
    sizes = torch.bincount(destination, minlength=count)
    starts = sizes.cumsum(0) - sizes
    # the distance up to which an atom keeps its edges; atoms with few edges keep them all
    limit = torch.full((count,), float("inf"), dtype=distances.dtype, device=distances.device)
    full = sizes > keep
    limit[full] = distances[order[starts[full] + keep - 1]] + _SAME_DISTANCE
    return distances <= limit[destination]
