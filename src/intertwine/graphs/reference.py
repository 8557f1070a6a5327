"""The neighbour list by its definition: every pair of atoms in every periodic image that can be in reach.

Plain torch, O(N²) per image; the oracle of the fast path in `intertwine.graphs.neighbours`, and its stand-in
where the library ``vesin`` is not installed.
"""

import itertools

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.graphs.edges import NeighbourList, assemble, checked_cell

__all__ = ["neighbour_list_reference"]


def neighbour_list_reference(
    positions: Float[Tensor, "atoms 3"],
    cutoff: float,
    cell: Float[Tensor, "3 3"] | None = None,
    pbc: tuple[bool, bool, bool] = (False, False, False),
) -> NeighbourList:
    """Return the same `NeighbourList` as `neighbour_list`, by comparing all pairs in all images.

    Positions are first wrapped into the cell, so that the number of images depends on the cutoff alone:
    along an axis of height h (distance between its two faces), ``ceil(cutoff / h)`` cells to either side
    hold all partners.
    """
    points, box, periodic = checked_cell(positions, cutoff, cell, pbc)
    inverse = torch.linalg.inv(box)
    wraps = torch.floor(points @ inverse) * torch.tensor(periodic, dtype=points.dtype)
    wrapped = points - wraps @ box
    reach = [
        int(torch.ceil(cutoff * column.norm())) if along else 0
        for column, along in zip(inverse.T, periodic, strict=True)
    ]
    found = []
    for image in itertools.product(*(range(-n, n + 1) for n in reach)):
        shift = torch.tensor(image, dtype=points.dtype)
        distance = (wrapped[None, :] + shift @ box - wrapped[:, None]).norm(dim=-1)
        near = distance < cutoff
        if not any(image):
            near.fill_diagonal_(False)
        destination, source = near.nonzero(as_tuple=True)
        shifts = shift - wraps[source] + wraps[destination]
        found.append((destination, source, shifts, distance[destination, source]))
    return assemble(positions, *(torch.cat(parts) for parts in zip(*found, strict=True)))
