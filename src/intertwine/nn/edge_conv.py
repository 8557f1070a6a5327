"""Edge convolution: features of a point from those of its neighbours and their differences to its own.

Source: Wang et al., Dynamic Graph CNN for Learning on Point Clouds, ACM TOG 2019. The first map of an edge,
``W [x_j - x_i, x_i]``, is the sum of a map of x_j and one of x_i, so it is computed once a point and not once an edge.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, cast

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from intertwine.errors import ConfigError, ShapeError
from intertwine.groups import SymmetricGroup
from intertwine.nn.normed_linear import normed_linear
from intertwine.nn.perceptron import affine_map
from intertwine.nn.pointnet import rows_to_clouds
from intertwine.representations import Permuted
from intertwine.symmetry import Symmetry

__all__ = ["EdgeConv", "edge_features", "pool_edges"]


class EdgeConv(nn.Module):
    """Linear maps of edges without bias, each with batch normalisation and leaky ReLU, pooled over neighbours.

    Law: permuted with the points, whose neighbours are given as numbers and permuted with them.

    Args:
        channels: features of a point.
        widths: of the maps.
        pool: maximum or mean over the neighbours.
        slope: of the activation below zero.
        rng: generator of the initial weights.

    Example:
        >>> layer = EdgeConv(3, (8, 16))
        >>> layer(torch.randn(2, 10, 3), torch.zeros(2, 10, 4, dtype=torch.int64)).shape
        torch.Size([2, 10, 16])
    """

    symmetry = Symmetry(SymmetricGroup(None), inputs={"features": Permuted((1,))}, output=Permuted((1,)))

    def __init__(
        self,
        channels: int,
        widths: Sequence[int],
        *,
        pool: Literal["max", "mean"] = "max",
        slope: float = 0.2,
        rng: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if pool not in ("max", "mean") or not widths:
            raise ConfigError(
                "an edge convolution has maps and a pooling",
                got={"pool": pool, "widths": widths},
                expected="max or mean",
            )
        self.channels, self.slope = channels, slope
        self.pool: Literal["max", "mean"] = pool
        sizes = (2 * channels, *widths)
        self.maps = nn.ModuleList(affine_map(a, b, bias=False, rng=rng) for a, b in pairwise(sizes))
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for width in widths)

    def forward(
        self,
        features: Float[Tensor, "batch points channels"],
        neighbours: Int64[Tensor, "batch points k"],
        mask: Bool[Tensor, "batch points"] | None = None,
    ) -> Float[Tensor, "batch points out"]:
        """Return the pooled features of each point, zero where a cloud has none.

        Args:
            features: of the points; finite, also where a cloud has none.
            neighbours: numbers of the points at the other ends of the edges.
            mask: which points a cloud has: norms learn from the edges of these alone.

        Raises:
            ShapeError: if the numbers or the mask do not belong to the features.
        """
        fits = neighbours.shape[:2] == features.shape[:2] and (mask is None or mask.shape == features.shape[:2])
        if features.shape[-1] != self.channels or not fits:
            raise ShapeError(
                "an edge convolution needs the neighbours of each point",
                got={
                    "features": tuple(features.shape),
                    "neighbours": tuple(neighbours.shape),
                    "mask": None if mask is None else tuple(mask.shape),
                },
                expected=f"(batch, points, {self.channels}), (batch, points, k), and a mask (batch, points) or none",
            )
        maps, norms = cast("list[nn.Linear]", self.maps), cast("list[nn.BatchNorm1d]", self.norms)
        of_difference, of_own = maps[0].weight.split(self.channels, dim=1)
        near = _gather(nn.functional.linear(features, of_difference), neighbours)
        own = nn.functional.linear(features, of_own - of_difference)
        edges = near + own.unsqueeze(2)
        if mask is not None:
            edges = edges[mask].unsqueeze(0)
        rows = edges.flatten(0, 2)
        rows = nn.functional.leaky_relu(norms[0](rows), self.slope)
        for step, norm in list(zip(maps, norms, strict=True))[1:]:
            rows = normed_linear([rows], [step.weight], norm, slope=self.slope)
        pooled = pool_edges(rows.unflatten(0, edges.shape[:3]), self.pool)
        return pooled if mask is None else rows_to_clouds(pooled[0], features, mask)


def edge_features(
    features: Float[Tensor, "batch points channels"], neighbours: Int64[Tensor, "batch points k"]
) -> Float[Tensor, "batch points k twice"]:
    """Return ``[x_j - x_i, x_i]`` for each neighbour j of each point i: what an edge convolution acts on."""
    own = features.unsqueeze(2).expand(-1, -1, neighbours.shape[2], -1)
    return torch.cat([_gather(features, neighbours) - own, own], dim=-1)


def pool_edges(
    edges: Float[Tensor, "batch points k channels"], pool: Literal["max", "mean"]
) -> Float[Tensor, "batch points channels"]:
    """Return the maximum or the mean over the neighbours."""
    return edges.amax(2) if pool == "max" else edges.mean(2)


def _gather(features: Tensor, neighbours: Tensor) -> Float[Tensor, "batch points k channels"]:
    batch, points, _ = features.shape
    if neighbours.numel() and not 0 <= int(neighbours.min()) <= int(neighbours.max()) < points:
        raise ShapeError(
            "neighbours are points of the same cloud",
            got=f"numbers from {int(neighbours.min())} to {int(neighbours.max())}",
            expected=f"0 to {points - 1}",
        )
    first = torch.arange(batch, device=features.device) * points
    index = (neighbours + first[:, None, None]).flatten()
    return features.flatten(0, 1).index_select(0, index).unflatten(0, neighbours.shape)
