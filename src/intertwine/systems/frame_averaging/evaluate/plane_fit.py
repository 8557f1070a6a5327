"""The classical estimate of normals: the direction in which the nearest points spread least."""

from jaxtyping import Float
from torch import Tensor

from intertwine.frames.eigen import symmetric_eigh
from intertwine.points import nearest_neighbours

__all__ = ["plane_fit_normals"]


def plane_fit_normals(points: Float[Tensor, "batch points 3"], k: int = 20) -> Float[Tensor, "batch points 3"]:
    """Return the unit normals of planes fitted to the nearest points; nothing is learned.

    Args:
        points: clouds.
        k: points of each plane, itself included.

    Raises:
        ShapeError: if a cloud has fewer points.
    """
    neighbours = nearest_neighbours(points, k)
    patches = points.gather(1, neighbours.flatten(1).unsqueeze(-1).expand(-1, -1, 3)).unflatten(1, (-1, k)).double()
    centred = patches - patches.mean(2, keepdim=True)
    _, axes = symmetric_eigh(centred.mT @ centred)
    return axes[..., 0].to(points.dtype)
