"""A PointNet of vector neurons for normals: equivariant in every layer, the alternative to averaging over frames.

Source: Deng et al., Vector Neurons, ICCV 2021. A third as many vectors as the PointNet has numbers, so that features
are equally wide; features of a point begin with the edges to its neighbours, for one vector alone has one direction.
"""

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.nn import VNLinear, vector_block
from intertwine.systems.frame_averaging.model.pointnet import HEAD, TRUNK
from intertwine.systems.frame_averaging.model.vector_normals import VectorNormals, thirds
from intertwine.systems.frame_averaging.settings.normals import NormalsModelSettings

__all__ = ["VNPointNetNormals"]


class VNPointNetNormals(VectorNormals):
    """A `VectorNormals` with the layers of a PointNet.

    Args:
        settings: neighbours and width.
        rng: generator of the initial weights.
    """

    def __init__(self, settings: NormalsModelSettings, *, rng: torch.Generator | None = None) -> None:
        super().__init__(settings)
        trunk, head = thirds(TRUNK, settings.narrower), thirds(HEAD, settings.narrower)
        self.edges = vector_block(3 if settings.cross_products else 2, trunk[0], rng=rng)
        self.trunk = nn.ModuleList(vector_block(a, b, rng=rng) for a, b in pairwise(trunk[:-1]))
        self.wide = vector_block(trunk[-2], trunk[-1], active=False, rng=rng)
        sizes = (2 * trunk[-1] + sum(trunk[:-1]), *head)
        self.head = nn.Sequential(*(vector_block(a, b, rng=rng) for a, b in pairwise(sizes)))
        self.last = VNLinear(head[-1], 1, rng=rng)

    def vectors(self, points: Tensor, mask: Tensor | None) -> Float[Tensor, "rows 3"]:
        """Return a vector at each point that exists."""
        features = [self.pool(self.edges(self.vector_edges(points.unsqueeze(-1), mask)))]
        for step in self.trunk:
            features.append(step(features[-1]))
        wide = self.wide(features[-1])
        seen = torch.cat([self.pooled(wide, points, mask), *features, wide], dim=-1)
        return self.last(self.head(seen)).squeeze(-1)
