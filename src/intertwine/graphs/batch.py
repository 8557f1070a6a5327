"""One structure as a graph of atoms, and several of them as one disjoint graph.

Lengths are in Å, energies in eV, forces in eV/Å, stress in eV/Å³ with the sign of ASE (positive under
tension). ``species`` holds indices into a model's list of elements, not atomic numbers.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from intertwine.errors import DataError, ShapeError
from intertwine.graphs.neighbours import neighbour_list
from intertwine.graphs.tensors import TensorBatch

__all__ = ["AtomBatch", "AtomGraph", "collate"]


@dataclass(frozen=True)
class AtomGraph:
    """One structure: atoms, edges, and the labels that are known."""

    positions: Float[Tensor, "atoms 3"]
    species: Int64[Tensor, " atoms"]
    edge_index: Int64[Tensor, "2 edges"]
    cell_shifts: Float[Tensor, "edges 3"]
    cell: Float[Tensor, "3 3"]
    energy: Float[Tensor, ""] | None = None
    forces: Float[Tensor, "atoms 3"] | None = None
    stress: Float[Tensor, "3 3"] | None = None

    @classmethod
    def build(
        cls,
        positions: Float[Tensor, "atoms 3"],
        species: Int64[Tensor, " atoms"],
        cutoff: float,
        *,
        cell: Float[Tensor, "3 3"] | None = None,
        pbc: tuple[bool, bool, bool] = (False, False, False),
        **labels: Tensor | None,
    ) -> "AtomGraph":
        """Find the neighbours and return the graph; ``labels`` are ``energy``, ``forces`` and ``stress``.

        The cell of a graph that is periodic along no axis is stored as zeros.
        """
        if species.shape != positions.shape[:1]:
            raise ShapeError(
                "a graph needs one species per atom",
                got={"positions": tuple(positions.shape), "species": tuple(species.shape)},
                expected="(atoms, 3) and (atoms,)",
            )
        edges = neighbour_list(positions, cutoff, cell, pbc)
        box = cell.to(positions) if cell is not None and any(pbc) else positions.new_zeros(3, 3)
        return cls(positions, species, edges.edge_index, edges.cell_shifts, box, **labels)


@dataclass(frozen=True)
class AtomBatch(TensorBatch):
    """Several structures as one graph without edges between them; what a model's ``forward`` takes.

    The energies keep their dtype when the batch moves: a total energy of 10⁴ eV in float32 is rounded by a whole meV.
    """

    fixed_dtype: ClassVar[frozenset[str]] = frozenset({"energy"})

    positions: Float[Tensor, "atoms 3"]
    species: Int64[Tensor, " atoms"]
    edge_index: Int64[Tensor, "2 edges"]
    cell_shifts: Float[Tensor, "edges 3"]
    cell: Float[Tensor, "graphs 3 3"]
    graph_index: Int64[Tensor, " atoms"]
    energy: Float[Tensor, " graphs"] | None = None
    forces: Float[Tensor, "atoms 3"] | None = None
    stress: Float[Tensor, "graphs 3 3"] | None = None

    @property
    def num_graphs(self) -> int:
        """The number of structures."""
        return self.cell.shape[0]

    @property
    def num_atoms(self) -> Int64[Tensor, " graphs"]:
        """The number of atoms of each structure."""
        return torch.bincount(self.graph_index, minlength=self.num_graphs)

    def inputs(self) -> dict[str, Tensor]:
        """Return the arguments of ``forward``, by name."""
        names = ("positions", "species", "edge_index", "graph_index", "cell", "cell_shifts")
        return {name: getattr(self, name) for name in names}


def collate(graphs: list[AtomGraph]) -> AtomBatch:
    """Return the disjoint union of graphs, in their order, with atom numbers shifted.

    Raises:
        DataError: if there is no graph, or some have a label that others lack: the missing ones would count
            as zero.
    """
    if not graphs:
        raise DataError("a batch needs at least one graph", got="an empty list")
    sizes = torch.tensor([len(graph.positions) for graph in graphs])
    starts = sizes.cumsum(0) - sizes
    labels = {}
    for name in ("energy", "forces", "stress"):
        known = [getattr(graph, name) is not None for graph in graphs]
        if any(known) and not all(known):
            raise DataError(
                f"only some structures of a batch have `{name}`",
                got={"with": sum(known), "without": len(known) - sum(known)},
                expected="a label for all structures of a batch, or for none",
                fix="put structures with and without it into different data sets",
            )
        if all(known):
            join = torch.cat if name == "forces" else torch.stack
            labels[name] = join([getattr(graph, name) for graph in graphs])
    return AtomBatch(
        positions=torch.cat([graph.positions for graph in graphs]),
        species=torch.cat([graph.species for graph in graphs]),
        edge_index=torch.cat(
            [graph.edge_index + start for graph, start in zip(graphs, starts.tolist(), strict=True)], dim=1
        ),
        cell_shifts=torch.cat([graph.cell_shifts for graph in graphs]),
        cell=torch.stack([graph.cell for graph in graphs]),
        graph_index=torch.repeat_interleave(torch.arange(len(graphs)), sizes),
        **labels,
    )
