"""What every neighbour search shares: the form of its answer, its checks, and the vectors of its edges.

An edge goes from a source atom to a destination atom, and its vector is the source seen from the destination,
``positions[source] + cell_shift @ cell - positions[destination]`` with the lattice vectors as the rows of
``cell``. Both directions of a pair are in a list; an atom is its own neighbour only through a periodic image.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from intertwine.errors import DataError, ShapeError

__all__ = ["NeighbourList", "assemble", "checked_cell", "edge_vectors"]

COINCIDENT = 1e-6
"""Two atoms nearer than this (Å) are at one place: no physical structure has them."""


class NeighbourList(NamedTuple):
    """Edges sorted by destination, then source, then cell shift."""

    edge_index: Int64[Tensor, "2 edges"]
    """Row 0 the source, row 1 the destination of each edge."""
    cell_shifts: Float[Tensor, "edges 3"]
    """How many lattice vectors the source is moved by, whole numbers in the dtype of the positions."""


def edge_vectors(
    positions: Float[Tensor, "atoms 3"],
    edge_index: Int64[Tensor, "2 edges"],
    cell_shifts: Float[Tensor, "edges 3"] | None = None,
    cell: Float[Tensor, "graphs 3 3"] | None = None,
    graph_index: Int64[Tensor, " atoms"] | None = None,
) -> Float[Tensor, "edges 3"]:
    """Return each edge's vector, the source seen from the destination, differentiable in positions and cell.

    Without shifts and cells all atoms are in open space; without ``graph_index`` there is one graph.
    """
    source, destination = edge_index
    vectors = positions[source] - positions[destination]
    if cell_shifts is None or cell is None:
        return vectors
    graph = graph_index[destination] if graph_index is not None else torch.zeros_like(destination)
    return vectors + torch.einsum("ea,eab->eb", cell_shifts, cell[graph])


def checked_cell(
    positions: Tensor, cutoff: float, cell: Tensor | None, pbc: tuple[bool, bool, bool]
) -> tuple[Tensor, Tensor, list[bool]]:
    """Return positions, a non-singular cell and the periodic axes, in float64 and on the CPU.

    Lattice vectors of open axes are replaced by unit vectors orthogonal to the periodic ones: no image is
    taken along them, and the heights of the cell are then those of the periodic lattice alone.
    """
    if positions.ndim != 2 or positions.shape[-1] != 3:
        raise ShapeError("positions have the wrong shape", got=tuple(positions.shape), expected="(atoms, 3)")
    if not (math.isfinite(cutoff) and cutoff > 0):
        raise DataError("the cutoff must be a positive length", got=f"cutoff = {cutoff}", expected="Å, above 0")
    points = positions.detach().to("cpu", torch.float64)
    if not points.isfinite().all():
        atoms = (~points.isfinite()).any(-1).nonzero().flatten().tolist()
        raise DataError("positions are not finite numbers", got={"atoms": _some(atoms)}, expected="finite Å")
    periodic = [bool(axis) for axis in pbc]
    if not any(periodic):
        return points, torch.eye(3, dtype=torch.float64), periodic
    if cell is None:
        raise DataError(
            "a periodic structure needs a cell",
            got={"pbc": tuple(periodic), "cell": None},
            fix="give the lattice vectors, or pbc=(False, False, False) for a molecule",
        )
    if cell.shape != (3, 3):
        raise ShapeError("the cell has the wrong shape", got=tuple(cell.shape), expected="(3, 3), rows are vectors")
    return points, _completed(cell.detach().to("cpu", torch.float64), periodic), periodic


def _completed(cell: Tensor, periodic: list[bool]) -> Tensor:
    rows = cell[torch.tensor(periodic)]
    lengths = rows.norm(dim=-1)
    singular = not rows.isfinite().all() or bool((lengths == 0).any())
    if not singular:
        spread = torch.linalg.svdvals(rows / lengths[:, None])
        singular = bool(spread[-1] < 1e-6)
    if singular:
        raise DataError(
            "the periodic lattice vectors do not span a cell (zero, parallel, coplanar or not finite)",
            got={"cell": cell.tolist(), "pbc": tuple(periodic)},
            expected="linearly independent lattice vectors on the periodic axes",
            fix="correct the lattice, or switch pbc off on the axes that are open",
        )
    box = cell.clone()
    missing = [axis for axis in range(3) if not periodic[axis]]
    if missing:
        orthogonal = torch.linalg.svd(rows, full_matrices=True).Vh[len(rows) :]
        box[missing] = orthogonal
    return box.contiguous()


def assemble(
    positions: Tensor, destination: Tensor, source: Tensor, shifts: Tensor, distances: Tensor
) -> NeighbourList:
    """Refuse coincident atoms, then sort the edges and give them the dtype and device of the positions."""
    if bool((distances < COINCIDENT).any()):
        worst = int(distances.argmin())
        pair = sorted((int(destination[worst]), int(source[worst])))
        raise DataError(
            "two atoms are at one place",
            got={"atoms": tuple(pair), "distance (Å)": f"{float(distances[worst]):.1e}"},
            expected=f"every pair further apart than {COINCIDENT} Å, periodic images included",
            fix="remove the duplicate atom, or correct the cell",
        )
    reach = int(shifts.abs().max()) if shifts.numel() else 0
    order = torch.argsort(destination * len(positions) + source)
    if reach:
        base = torch.tensor([(2 * reach + 1) ** 2, 2 * reach + 1, 1])
        by_shift = torch.argsort((shifts.to(torch.int64) * base).sum(-1))
        order = by_shift[torch.argsort((destination * len(positions) + source)[by_shift], stable=True)]
    return NeighbourList(
        torch.stack([source[order], destination[order]]).to(positions.device),
        shifts[order].to(positions),
    )


def _some(items: list[int], limit: int = 8) -> str:
    shown = ", ".join(map(str, items[:limit]))
    return shown if len(items) <= limit else f"{shown}, ... ({len(items)} in all)"
