"""Edge convolutions for normals: DGCNN, averaged over frames or alone.

Sizes as in Puny et al., ICLR 2022, whose published code also holds a norm of 64 channels (128 weights) that it never
uses: 1 439 881 of its 1 440 009 weights with frames, 1 436 809 of 1 436 937 without.
"""

from collections.abc import Sequence
from typing import cast

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from intertwine.nn import affine_map
from intertwine.nn.edge_conv import EdgeConv
from intertwine.nn.normed_linear import normed_linear
from intertwine.nn.pointnet import rows_to_clouds
from intertwine.points import nearest_neighbours
from intertwine.systems.frame_averaging.model.framed import FramedNormals, narrow
from intertwine.systems.frame_averaging.settings.normals import NormalsModelSettings

__all__ = ["DGCNN", "DGCNNNormals"]

_SLOPE = 0.2


class DGCNNNormals(FramedNormals):
    """A DGCNN averaged over frames, or alone; it can be saved, loaded and called on batches of clouds.

    Neighbours of points are those of all frames, and are found once.

    Args:
        settings: frames, neighbours, pooling and width.
        rng: generator of the initial weights.
    """

    def __init__(self, settings: NormalsModelSettings, *, rng: torch.Generator | None = None) -> None:
        super().__init__(DGCNN(settings, rng=rng), settings.frame, {"neighbours": "scalar"}, rng=rng)
        self.settings = settings

    def invariants(self, points: Tensor, mask: Tensor | None) -> dict[str, Tensor]:
        """Return the neighbours of each point."""
        return {"neighbours": nearest_neighbours(points.detach(), self.settings.neighbours, mask)}


class DGCNN(nn.Module):
    """Three edge convolutions on neighbours of points, then of features, and a head that sees pooled features too.

    Args:
        settings: neighbours, pooling and width.
        rng: generator of the initial weights.
    """

    def __init__(self, settings: NormalsModelSettings, *, rng: torch.Generator | None = None) -> None:
        super().__init__()
        self.settings = settings
        width, pooled, hidden, last = narrow((64, 1024, 256, 128), settings.narrower)
        self.transform = _EdgeTransformNet(settings.narrower, rng=rng)
        self.convolutions = nn.ModuleList(
            EdgeConv(channels, widths, pool=settings.pool, slope=_SLOPE, rng=rng)
            for channels, widths in ((3, (width, width)), (width, (width, width)), (width, (width,)))
        )
        self.pooled = _NormedMap(3 * width + (3 if settings.skip_input else 0), pooled, rng=rng)
        self.head = nn.ModuleList(
            _NormedMap(a, b, rng=rng) for a, b in ((pooled + 3 * width, hidden), (hidden, hidden), (hidden, last))
        )
        self.dropout = nn.Dropout(settings.dropout)
        self.last = affine_map(last, 3, bias=False, rng=rng)

    def forward(
        self,
        points: Float[Tensor, "batch points 3"],
        neighbours: Int64[Tensor, "batch points k"],
        mask: Bool[Tensor, "batch points"] | None = None,
    ) -> Float[Tensor, "batch points 3"]:
        """Return a vector at each point.

        Args:
            points: clouds.
            neighbours: of the points, which only the map of the input sees; those of features are found here.
            mask: which points a cloud has; norms learn from these alone.
        """
        k = self.settings.neighbours
        if mask is not None:
            points = torch.where(mask.unsqueeze(-1), points, 0.0)
        features = points @ self.transform(points, neighbours, mask)
        found: list[Tensor] = []
        for convolution in self.convolutions:
            features = convolution(features, nearest_neighbours(features.detach(), k, mask), mask)
            found.append(features)
        seen = torch.cat([points, *found] if self.settings.skip_input else found, dim=-1)
        pooled = _pool_points(self.pooled(seen, mask), mask, self.settings.pool)
        hidden = torch.cat([pooled.unsqueeze(1).expand(-1, points.shape[1], -1), *found], dim=-1)
        # a second dropout stands after the last map with frames, and before it without, as published
        dropped = {0, 2 if self.settings.skip_input else 1}
        for number, step in enumerate(self.head):
            hidden = step(hidden, mask)
            hidden = self.dropout(hidden) if number in dropped else hidden
        return 2 * torch.sigmoid(self.last(hidden)) - 1


class _NormedMap(nn.Module):
    """A linear map without bias, batch normalisation and leaky ReLU on the last axis; zeros where a mask has none."""

    def __init__(self, inputs: int, outputs: int, *, rng: torch.Generator | None = None) -> None:
        super().__init__()
        self.map = affine_map(inputs, outputs, bias=False, rng=rng)
        self.norm = nn.BatchNorm1d(outputs)

    def forward(
        self, features: Float[Tensor, "*batch in"], mask: Bool[Tensor, "*batch"] | None = None
    ) -> Float[Tensor, "*batch out"]:
        given = features.flatten(0, -2) if mask is None else features[mask]
        rows = normed_linear([given], [self.map.weight], self.norm, slope=_SLOPE)
        return rows.unflatten(0, features.shape[:-1]) if mask is None else rows_to_clouds(rows, features, mask)


class _EdgeTransformNet(nn.Module):
    """A 3 x 3 matrix for each cloud, found by edge convolutions; the identity at first."""

    def __init__(self, narrower: int, *, rng: torch.Generator | None = None) -> None:
        super().__init__()
        first, second, pooled, *hidden = narrow((64, 128, 1024, 512, 256), narrower)
        self.edges = EdgeConv(3, (first, second), slope=_SLOPE, rng=rng)
        self.pooled = _NormedMap(second, pooled, rng=rng)
        sizes: Sequence[int] = (pooled, *hidden)
        self.hidden = nn.Sequential(*(_NormedMap(a, b, rng=rng) for a, b in zip(sizes, hidden, strict=False)))
        self.last = affine_map(hidden[-1], 9, rng=rng)
        with torch.no_grad():
            self.last.weight.zero_()
            cast("Tensor", self.last.bias).copy_(torch.eye(3).flatten())

    def forward(self, points: Tensor, neighbours: Tensor, mask: Tensor | None) -> Float[Tensor, "batch 3 3"]:
        pooled = _pool_points(self.pooled(self.edges(points, neighbours, mask), mask), mask, "max")
        return self.last(self.hidden(pooled)).unflatten(-1, (3, 3))


def _pool_points(features: Tensor, mask: Tensor | None, pool: str) -> Float[Tensor, "batch channels"]:
    if mask is None:
        return features.amax(1) if pool == "max" else features.mean(1)
    present = mask.unsqueeze(-1)
    if pool == "max":
        return torch.where(present.any(1), features.masked_fill(~present, -torch.inf).amax(1), 0.0)
    return torch.where(present, features, 0.0).sum(1) / present.sum(1).clamp(min=1)
