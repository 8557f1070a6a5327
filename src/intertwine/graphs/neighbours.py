"""Neighbour lists of atoms in open, periodic and partly periodic space.

The search is done in float64 by the library ``vesin``, or without it by `neighbour_list_reference`; tests
hold the one against the other. The meaning of an edge and its shift is in `intertwine.graphs.edges`.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.graphs.edges import NeighbourList, assemble, checked_cell
from intertwine.graphs.reference import neighbour_list_reference

__all__ = ["neighbour_list"]


def neighbour_list(
    positions: Float[Tensor, "atoms 3"],
    cutoff: float,
    cell: Float[Tensor, "3 3"] | None = None,
    pbc: tuple[bool, bool, bool] = (False, False, False),
) -> NeighbourList:
    """Return all pairs of atoms nearer than ``cutoff``, through as many periodic images as it takes.

    Atoms may lie outside the cell. Lattice vectors of axes that are not periodic are ignored and may be zero.
    The list has no gradient: take vectors from it with `edge_vectors`.

    Args:
        positions: in Å.
        cutoff: in Å; pairs at exactly this distance are left out.
        cell: lattice vectors as rows, in Å; needed where an axis is periodic.
        pbc: which axes are periodic.

    Raises:
        DataError: if a number is not finite, the cutoff is not positive, the periodic lattice vectors are
            missing
            or do not span a volume, or two atoms are at one place.
        ShapeError: if the positions or the cell have another shape.
    """
    try:
        import vesin
    except ImportError:
        return neighbour_list_reference(positions, cutoff, cell, pbc)
    points, box, periodic = checked_cell(positions, cutoff, cell, pbc)
    search = vesin.NeighborList(cutoff=cutoff, full_list=True, n_threads=1)
    pairs, shifts, distances = search.compute(points.numpy(), box.numpy(), periodic, "PSd")
    destination, source = torch.from_numpy(pairs.astype("int64")).T
    return assemble(
        positions,
        destination,
        source,
        torch.from_numpy(shifts.astype("float64")),
        torch.from_numpy(distances),
    )
