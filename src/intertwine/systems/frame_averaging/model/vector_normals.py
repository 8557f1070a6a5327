"""What the networks of vector neurons for normals share: their law, edges of vectors, and their layers.

Source: Deng et al., Vector Neurons, ICCV 2021.
"""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from intertwine.groups import SE, E, SymmetricGroup
from intertwine.nn import VNMeanPool
from intertwine.nn.edge_conv import edge_features
from intertwine.nn.pointnet import rows_to_clouds
from intertwine.points import nearest_neighbours
from intertwine.representations import Permuted, Point, Vector
from intertwine.symmetry import Symmetry
from intertwine.systems.frame_averaging.model.framed import check_points, narrow
from intertwine.systems.frame_averaging.settings.normals import NormalsModelSettings
from intertwine.training.pretrained import Pretrained

__all__ = ["VectorNormals", "thirds"]


class VectorNormals(Pretrained, nn.Module, ABC):
    """Normals from vector neurons; it can be saved, loaded and called on batches of clouds.

    Law: normals turn with the cloud under E(3), or SE(3) with vector products, and are permuted with its points.

    Points that exist are rows of one tensor inside, so that norms learn from these alone.

    Args:
        settings: neighbours and width.
        rng: generator of the initial weights.
    """

    def __init__(self, settings: NormalsModelSettings, *, rng: torch.Generator | None = None) -> None:
        super().__init__()
        self.settings = settings
        self.pool = VNMeanPool()

    @property
    def symmetry(self) -> Symmetry:
        """S_n acts on the points, and E(3) on space; SE(3) with vector products, which reflections turn around."""
        space = SE(3) if self.settings.cross_products else E(3)
        return Symmetry(
            space * SymmetricGroup(None),
            inputs={"points": Permuted((1,), Point()), "mask": Permuted((1,))},
            output=Permuted((1,), Vector()),
        )

    def forward(
        self, points: Float[Tensor, "batch points 3"], mask: Bool[Tensor, "batch points"] | None = None
    ) -> Float[Tensor, "batch points 3"]:
        """Return unit normals; arguments and errors are those of `FramedNormals`."""
        check_points(points, mask)
        known = points if mask is None else torch.where(mask.unsqueeze(-1), points, 0.0)
        count = points.shape[1] if mask is None else mask.sum(1)[:, None, None].clamp(min=1)
        found = self.vectors(known - known.sum(1, keepdim=True) / count, mask)
        return rows_to_clouds(nn.functional.normalize(found, dim=-1), points, mask)

    @abstractmethod
    def vectors(
        self, points: Float[Tensor, "batch points 3"], mask: Bool[Tensor, "batch points"] | None
    ) -> Float[Tensor, "rows 3"]:
        """Return a vector at each point that exists, from points seen from the centroids of their clouds."""

    def vector_edges(
        self, features: Float[Tensor, "batch points 3 channels"], mask: Bool[Tensor, "batch points"] | None
    ) -> Float[Tensor, "rows k 3 more"]:
        """Return differences to the nearest neighbours beside the features of each point, and their vector products.

        Neighbours are those of the vectors as they are here: in features as in space rotations do not change them.
        """
        flat = features.flatten(2)
        neighbours = nearest_neighbours(flat.detach(), self.settings.neighbours, mask)
        parts = edge_features(flat, neighbours).unflatten(-1, (2, *features.shape[2:])).unbind(-3)
        if self.settings.cross_products:
            parts = (*parts, torch.linalg.cross(*parts, dim=-2))
        return rows_of(torch.cat(parts, dim=-1), mask)

    def pooled(
        self,
        rows: Float[Tensor, "rows 3 channels"],
        points: Float[Tensor, "batch points 3"],
        mask: Bool[Tensor, "batch points"] | None,
    ) -> Float[Tensor, "rows 3 channels"]:
        """Return the mean over each cloud, once for each of its points."""
        mean = self.pool(rows_to_clouds(rows, points, mask), mask)
        return rows_of(mean.unsqueeze(1).expand(-1, points.shape[1], -1, -1), mask)


def rows_of(values: Float[Tensor, "batch points ..."], mask: Bool[Tensor, "batch points"] | None) -> Tensor:
    """Return the values of the points that exist, one after another."""
    return values.flatten(0, 1) if mask is None else values[mask]


def thirds(widths: tuple[int, ...], narrower: int) -> tuple[int, ...]:
    """Return a third as many vectors as there are numbers in narrower layers, so that features are equally wide."""
    return tuple(max(width // 3, 1) for width in narrow(widths, narrower))
