"""PointNet as parts: maps that all points share, features pooled over a cloud, and a head that sees both.

Source: Qi et al., PointNet, CVPR 2017; widths and order as in Puny et al., Frame Averaging, ICLR 2022, appendix. Points
of all clouds are rows of one tensor, cloud after cloud, and ``sizes`` says how many each has.

The wide pooled features never exist for all points: they enter the head through a linear map, and between the two
stands only a normalisation, so that this part of the head is one narrow map of what the features were made of, and what
is pooled is a maximum of a linear map. ``fused=False`` computes the same as it is written in the papers.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from intertwine.errors import ConfigError, ShapeError
from intertwine.groups import SymmetricGroup
from intertwine.nn.batch_moments import batch_moments
from intertwine.nn.blocks import Buffers, spread
from intertwine.nn.fused_pointnet import Step, fused_pointnet
from intertwine.nn.normed_linear import norm_scale, normed_linear, normed_linear_reference, update_running
from intertwine.nn.perceptron import affine_map
from intertwine.nn.pooled_linear import cloud_maxima, pooled_linear
from intertwine.representations import Permuted
from intertwine.symmetry import Symmetry

__all__ = ["PointNet", "PooledHead", "PooledLinear", "SharedMLP", "cloud_rows", "rows_to_clouds"]


class SharedMLP(nn.Module):
    """Linear maps with batch normalisation and leaky ReLU, of each point alone.

    Args:
        widths: from input to output.
        slope: of the activation below zero.
        last_active: whether the last map has an activation too; it has a norm in any case.
        fused: whether to compute in blocks, see `intertwine.nn.normed_linear`.
        rng: generator of the initial weights.
    """

    def __init__(
        self,
        widths: Sequence[int],
        *,
        slope: float = 0.0,
        last_active: bool = True,
        fused: bool = True,
        rng: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.maps = nn.ModuleList(affine_map(a, b, rng=rng) for a, b in pairwise(widths))
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for width in widths[1:])
        self.slopes = (*[slope] * (len(widths) - 2), slope if last_active else 1.0)[: len(widths) - 1]
        self.fused = fused

    @property
    def layers(self) -> list[tuple[nn.Linear, nn.BatchNorm1d]]:
        """The maps and the norms after them."""
        maps, norms = cast("list[nn.Linear]", self.maps), cast("list[nn.BatchNorm1d]", self.norms)
        return list(zip(maps, norms, strict=True))

    def forward(self, rows: Float[Tensor, "rows in"]) -> list[Float[Tensor, "rows _"]]:
        """Return the features after each of the maps."""
        compute = normed_linear if self.fused else normed_linear_reference
        features: list[Tensor] = []
        for (step, norm), slope in zip(self.layers, self.slopes, strict=True):
            rows = compute([rows], [step.weight], norm, bias=step.bias, slope=slope)
            features.append(rows)
        return features


class PooledLinear(nn.Module):
    """A linear map, batch normalisation and the maximum over the points of each cloud.

    Args:
        inputs, outputs: widths.
        fused: whether to leave out the map of all points.
        rng: generator of the initial weights.
    """

    def __init__(self, inputs: int, outputs: int, *, fused: bool = True, rng: torch.Generator | None = None) -> None:
        super().__init__()
        self.map = affine_map(inputs, outputs, rng=rng)
        self.norm = nn.BatchNorm1d(outputs)
        self.fused = fused

    def forward(self, rows: Float[Tensor, "rows in"], sizes: Sequence[int]) -> Float[Tensor, "clouds out"]:
        """Return what is largest in each cloud."""
        if not self.fused:
            return cloud_maxima(self.norm(self.map(rows)), sizes)
        return pooled_linear(rows, *self.affine(rows), sizes)

    def affine(self, rows: Float[Tensor, "rows in"]) -> tuple[Float[Tensor, "out in"], Float[Tensor, " out"]]:
        """Return weight and bias of the map with its normalisation, whose statistics are those of the images of rows.

        While the norm learns, they follow from mean and covariance of the rows, and update the running ones.
        """
        weight = self.map.weight
        if not self.norm.training:
            scale, offset = norm_scale(self.norm, self.norm.running_mean, self.norm.running_var)
            return weight * scale.unsqueeze(1), offset + scale * self.map.bias
        if len(rows) < 2:
            raise ShapeError("a batch normalisation cannot learn from fewer than two rows", got=len(rows))
        mean, covariance = batch_moments(rows)
        centre = weight @ mean
        variance = ((weight @ covariance) * weight).sum(1)
        scale, offset = norm_scale(self.norm, centre, variance)
        update_running(self.norm, centre + self.map.bias, variance, len(rows))
        # the bias moves with the mean: its gradient is zero, and it stays a part of the graph
        return weight * scale.unsqueeze(1), offset + 0 * self.map.bias


class PooledHead(nn.Module):
    """A wide map of the last features, pooled, and a perceptron of each point that sees pooled and point features.

    Args:
        features: widths of the features of a point; the last are those that the wide map takes.
        pooled: width of the wide map.
        hidden: widths of the perceptron, which has norms and ReLU.
        outputs: width of its last map, which has none.
        fused: whether to fold the wide map into the perceptron.
        rng: generator of the initial weights.
    """

    def __init__(
        self,
        features: Sequence[int],
        pooled: int,
        hidden: Sequence[int],
        outputs: int,
        *,
        fused: bool = True,
        rng: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.features, self.pooled, self.fused = tuple(features), pooled, fused
        self.wide = PooledLinear(features[-1], pooled, fused=fused, rng=rng)
        self.first = affine_map(2 * pooled + sum(features), hidden[0], rng=rng)
        self.norm = nn.BatchNorm1d(hidden[0])
        self.rest = SharedMLP(hidden, fused=fused, rng=rng)
        self.last = affine_map(hidden[-1], outputs, rng=rng)

    def forward(self, features: Sequence[Float[Tensor, "rows _"]], sizes: Sequence[int]) -> Float[Tensor, "rows out"]:
        """Return one output a point."""
        first = self._folded(features, sizes) if self.fused else self._written_out(features, sizes)
        hidden = [first, *self.rest(first)]
        return self.last(hidden[-1])

    def _folded(self, features: Sequence[Tensor], sizes: Sequence[int]) -> Tensor:
        of_pooled, *of_features, of_wide = self.first.weight.split([self.pooled, *self.features, self.pooled], dim=1)
        weight, bias = self.wide.affine(features[-1])
        pooled = pooled_linear(features[-1], weight, bias, sizes)
        of_features[-1] = of_features[-1] + of_wide @ weight
        shift = nn.functional.linear(pooled, of_pooled) + of_wide @ bias
        return normed_linear(features, of_features, self.norm, bias=self.first.bias, shift=shift, sizes=sizes)

    def _written_out(self, features: Sequence[Tensor], sizes: Sequence[int]) -> Tensor:
        wide = self.wide.norm(self.wide.map(features[-1]))
        joined = torch.cat([spread(cloud_maxima(wide, sizes), sizes), *features, wide], dim=1)
        return torch.relu(self.norm(self.first(joined)))


class PointNet(nn.Module):
    """A number of values for each point of a cloud, from the point and all others.

    Law: outputs are permuted with the points. Nothing is assumed of coordinates: wrapped in `FrameAverage` it has any
    symmetry of space.

    Args:
        inputs: numbers of a point.
        trunk: widths of the shared maps; the last has no activation and is pooled.
        head: widths of the head.
        outputs: numbers for each point.
        fused: whether to leave out the widest tensors; the numbers are the same.
        rng: generator of the initial weights.

    Raises:
        ConfigError: if there are fewer than two widths of the trunk, or none of the head.

    Example:
        >>> PointNet()(torch.randn(2, 50, 3)).shape
        torch.Size([2, 50, 3])
    """

    symmetry = Symmetry(
        SymmetricGroup(None), inputs={"points": Permuted((1,)), "mask": Permuted((1,))}, output=Permuted((1,))
    )

    def __init__(
        self,
        inputs: int = 3,
        trunk: Sequence[int] = (64, 128, 128, 512, 2048),
        head: Sequence[int] = (256, 256, 128),
        outputs: int = 3,
        *,
        fused: bool = True,
        rng: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if len(trunk) < 2 or not head:
            raise ConfigError(
                "a PointNet has shared maps, a pooled one and a head",
                got={"trunk": tuple(trunk), "head": tuple(head)},
                expected="two widths or more, and one or more",
            )
        self.trunk = SharedMLP((inputs, *trunk[:-1]), fused=fused, rng=rng)
        self.head = PooledHead(trunk[:-1], trunk[-1], head, outputs, fused=fused, rng=rng)
        self.fused = fused
        self._memory = Buffers()

    def forward(
        self, points: Float[Tensor, "batch points in"], mask: Bool[Tensor, "batch points"] | None = None
    ) -> Float[Tensor, "batch points out"]:
        """Return the values of each point, zero where a cloud has none."""
        rows, sizes = cloud_rows(points, mask)
        values = self._learn(rows, sizes) if self.fused and self._norms_learn() else self.head(self.trunk(rows), sizes)
        return rows_to_clouds(values, points, mask)

    def _norms_learn(self) -> bool:
        """Return whether all norms are plain ones that learn: frozen ones must not see the statistics of a batch."""
        norms = [part for part in self.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
        return all(type(norm) is nn.BatchNorm1d and norm.training for norm in norms)

    def _learn(self, rows: Tensor, sizes: tuple[int, ...]) -> Tensor:
        """Return the values of all points while norms learn from them."""
        if len(rows) < 2:
            raise ShapeError("a batch normalisation cannot learn from fewer than two rows", got=len(rows))
        head = self.head
        pairs = [*self.trunk.layers, (head.wide.map, head.wide.norm), (head.first, head.norm), *head.rest.layers]
        layers = [(linear.weight, norm.weight, norm.bias) for linear, norm in pairs]
        with torch.autocast(rows.device.type, enabled=False):
            step = Step(sizes, len(self.trunk.maps), tuple(norm.eps for _, norm in pairs), self._memory)
            features = fused_pointnet(rows.to(head.first.weight.dtype), step, layers)
            for (mean, variance), (linear, norm) in zip(step.statistics, pairs, strict=True):
                update_running(norm, mean + linear.bias.detach(), variance, len(rows))
            # the norms take biases out again: their gradients are zero, and they stay in the graph
            unused = sum(0 * linear.bias.sum() for linear, _ in pairs)
            return nn.functional.linear(features, head.last.weight, head.last.bias + unused)


def cloud_rows(
    points: Float[Tensor, "batch points channels"], mask: Bool[Tensor, "batch points"] | None = None
) -> tuple[Float[Tensor, "rows channels"], tuple[int, ...]]:
    """Return the points of all clouds as rows, and how many each cloud has.

    Raises:
        ShapeError: if the points are not a batch of clouds, or the mask does not fit them.
    """
    if points.ndim != 3 or (mask is not None and mask.shape != points.shape[:2]):
        raise ShapeError(
            "clouds come in batches",
            got={"points": tuple(points.shape), "mask": None if mask is None else tuple(mask.shape)},
            expected="(batch, points, channels) and (batch, points)",
        )
    if mask is None:
        return points.flatten(0, 1), (points.shape[1],) * len(points)
    return points[mask], tuple(mask.sum(1).tolist())


def rows_to_clouds(
    rows: Float[Tensor, "rows ..."],
    points: Float[Tensor, "batch points _"],
    mask: Bool[Tensor, "batch points"] | None = None,
) -> Float[Tensor, "batch points ..."]:
    """Return rows in the places of the points they belong to, and zeros in others."""
    if mask is None:
        return rows.unflatten(0, points.shape[:2])
    return rows.new_zeros(*points.shape[:2], *rows.shape[1:]).index_put((mask,), rows)
