"""A PointNet of vector neurons for normals: equivariant in every layer, the alternative to averaging over frames.

Source: Deng et al., Vector Neurons, ICCV 2021. A third as many vectors as the PointNet has numbers, so that features
are equally wide; features of a point begin with the edges to its neighbours, for one vector alone has one direction.
"""

from itertools import pairwise

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from intertwine.groups import SE, E, SymmetricGroup
from intertwine.nn import VNBatchNorm, VNLeakyReLU, VNLinear, VNMeanPool
from intertwine.nn.edge_conv import edge_features
from intertwine.nn.pointnet import rows_to_clouds
from intertwine.points import nearest_neighbours
from intertwine.representations import Permuted, Point, Vector
from intertwine.symmetry import Symmetry
from intertwine.systems.frame_averaging.model.framed import check_points, narrow
from intertwine.systems.frame_averaging.model.pointnet import HEAD, TRUNK
from intertwine.systems.frame_averaging.settings.normals import NormalsModelSettings
from intertwine.training.pretrained import Pretrained

__all__ = ["VNPointNetNormals"]


class VNPointNetNormals(Pretrained, nn.Module):
    """Normals from vector neurons; it can be saved, loaded and called on batches of clouds.

    Law: normals turn with the cloud under E(3), or SE(3) with vector products, and are permuted with its points.

    Args:
        settings: neighbours and width.
        rng: generator of the initial weights.
    """

    def __init__(self, settings: NormalsModelSettings, *, rng: torch.Generator | None = None) -> None:
        super().__init__()
        self.settings = settings
        trunk = tuple(max(width // 3, 1) for width in narrow(TRUNK, settings.narrower))
        head = tuple(max(width // 3, 1) for width in narrow(HEAD, settings.narrower))
        self.edges = _block(3 if settings.cross_products else 2, trunk[0], rng=rng)
        self.trunk = nn.ModuleList(_block(a, b, rng=rng) for a, b in pairwise(trunk[:-1]))
        self.wide = _block(trunk[-2], trunk[-1], active=False, rng=rng)
        self.pool = VNMeanPool()
        sizes = (2 * trunk[-1] + sum(trunk[:-1]), *head)
        self.head = nn.Sequential(*(_block(a, b, rng=rng) for a, b in pairwise(sizes)))
        self.last = VNLinear(head[-1], 1, rng=rng)

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
        neighbours = nearest_neighbours(points.detach(), self.settings.neighbours, mask)
        known = points if mask is None else torch.where(mask.unsqueeze(-1), points, 0.0)
        count = points.shape[1] if mask is None else mask.sum(1)[:, None, None].clamp(min=1)
        centred = known - known.sum(1, keepdim=True) / count
        edges = edge_features(centred, neighbours).unflatten(-1, (2, 3)).mT
        if self.settings.cross_products:
            across = torch.linalg.cross(edges[..., 0], edges[..., 1])
            edges = torch.cat([edges, across.unsqueeze(-1)], dim=-1)
        # norms learn from points that exist alone
        edges = edges.flatten(0, 1) if mask is None else edges[mask]
        features = [self.pool(self.edges(edges))]
        for step in self.trunk:
            features.append(step(features[-1]))
        wide = self.wide(features[-1])
        pooled = self.pool(rows_to_clouds(wide, points, mask), mask)
        pooled = pooled.unsqueeze(1).expand(-1, points.shape[1], -1, -1)
        pooled = pooled.flatten(0, 1) if mask is None else pooled[mask]
        found = self.last(self.head(torch.cat([pooled, *features, wide], dim=-1))).squeeze(-1)
        return rows_to_clouds(nn.functional.normalize(found, dim=-1), points, mask)


def _block(inputs: int, outputs: int, *, active: bool = True, rng: torch.Generator | None = None) -> nn.Sequential:
    layers: list[nn.Module] = [VNLinear(inputs, outputs, rng=rng), VNBatchNorm(outputs)]
    return nn.Sequential(*layers, *([VNLeakyReLU(outputs, rng=rng)] if active else []))
