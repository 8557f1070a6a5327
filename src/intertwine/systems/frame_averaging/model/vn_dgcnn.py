"""A DGCNN of vector neurons for normals: edge convolutions whose features are vectors, equivariant in every layer.

Source: Deng et al., Vector Neurons, ICCV 2021, with the layers of the DGCNN beside it: a third as many vectors as that
has numbers. Means over neighbours and points, as published; its map of the input and its dropout are left out.
"""

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.nn import VNLinear, vector_block
from intertwine.nn.pointnet import rows_to_clouds
from intertwine.systems.frame_averaging.model.vector_normals import VectorNormals, thirds
from intertwine.systems.frame_averaging.settings.normals import NormalsModelSettings

__all__ = ["VNDGCNNNormals"]


class VNDGCNNNormals(VectorNormals):
    """A `VectorNormals` with the layers of a DGCNN: neighbours of points, then of features.

    Args:
        settings: neighbours and width.
        rng: generator of the initial weights.
    """

    def __init__(self, settings: NormalsModelSettings, *, rng: torch.Generator | None = None) -> None:
        super().__init__(settings)
        width, pooled, hidden, last = thirds((64, 1024, 256, 128), settings.narrower)
        ends = 3 if settings.cross_products else 2
        self.convolutions = nn.ModuleList(
            nn.Sequential(*(vector_block(a, b, rng=rng) for a, b in pairwise(sizes)))
            for sizes in ((ends, width, width), (ends * width, width, width), (ends * width, width))
        )
        self.wide = vector_block(3 * width, pooled, rng=rng)
        sizes = (pooled + 3 * width, hidden, hidden, last)
        self.head = nn.Sequential(*(vector_block(a, b, rng=rng) for a, b in pairwise(sizes)))
        self.last = VNLinear(last, 1, rng=rng)

    def vectors(self, points: Tensor, mask: Tensor | None) -> Float[Tensor, "rows 3"]:
        """Return a vector at each point that exists."""
        clouds, found = points.unsqueeze(-1), []
        for convolution in self.convolutions:
            found.append(self.pool(convolution(self.vector_edges(clouds, mask))))
            clouds = rows_to_clouds(found[-1], points, mask)
        features = torch.cat(found, dim=-1)
        seen = torch.cat([self.pooled(self.wide(features), points, mask), features], dim=-1)
        return self.last(self.head(seen)).squeeze(-1)
