"""Gaussian components of several clouds: their parameters, the shares that points have in them, and merging.

All components of a mixture have the covariance ``sigma² I``. Points and components of all clouds lie one after another;
a point has shares in a few components near it (`candidates`), which are all of its cloud where those are few.
"""

import math
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int64, Real
from torch import Tensor

from intertwine.errors import ShapeError
from intertwine.graphs import segment_sum
from intertwine.partitions.nearest import nearest_centres
from intertwine.points import cloud_sizes, pad_clouds

__all__ = ["Components", "candidates", "close_pairs", "drop_light", "expectation", "merge", "renumber"]

_ENTRIES = 2**21
"""Distances that are held at once."""


@final
@dataclass(frozen=True)
class Components:
    """Parameters of the mixtures of several clouds.

    Args:
        means: centre of each component.
        weights: of each component, adding up to one in each cloud.
        cloud: cloud of each component, in ascending order.
    """

    means: Float[Tensor, "components d"]
    weights: Float[Tensor, " components"]
    cloud: Int64[Tensor, " components"]

    def __post_init__(self) -> None:
        count = self.means.shape[:1]
        if self.means.ndim != 2 or self.weights.shape != count or self.cloud.shape != count:
            raise ShapeError(
                "components need a mean, a weight and a cloud each",
                got={name: tuple(getattr(self, name).shape) for name in ("means", "weights", "cloud")},
                expected="(components, d), (components,) and (components,)",
            )

    @classmethod
    def of_parts(
        cls,
        votes: Float[Tensor, "votes d"],
        part: Int64[Tensor, " votes"],
        batch: Int64[Tensor, " votes"],
        counts: Real[Tensor, " votes"] | None = None,
    ) -> "Components":
        """Return one component for each part: the mean of its votes, and its share of them.

        Args:
            votes, batch: points and the cloud of each.
            part: their parts, numbered from 0 without gaps, clouds after one another, as `compact_ids` does it.
            counts: how many points each vote stands for; one where not given.
        """
        counts = torch.ones_like(votes[:, 0]) if counts is None else counts
        parts = int(part.max()) + 1 if len(part) else 0
        size = segment_sum(counts, part, parts)
        cloud = batch.new_zeros(parts).index_put((part,), batch)
        means = segment_sum(votes * counts.unsqueeze(1), part, parts) / size.unsqueeze(1)
        return cls(means, size / segment_sum(counts, batch, int(batch.max()) + 1 if parts else 0)[cloud], cloud)

    def __len__(self) -> int:
        return len(self.weights)

    def normalised(self) -> "Components":
        """Return them with weights that add up to one in each cloud."""
        total = segment_sum(self.weights, self.cloud, int(self.cloud.max()) + 1 if len(self) else 0)
        return Components(self.means, self.weights / total[self.cloud], self.cloud)

    def take(self, index: Tensor) -> "Components":
        """Return some of them, chosen by their places or by a mask."""
        return Components(self.means[index], self.weights[index], self.cloud[index])


def candidates(
    votes: Float[Tensor, "votes d"], batch: Int64[Tensor, " votes"], components: Components, nearest: int
) -> Int64[Tensor, "votes candidates"]:
    """Return the components that each vote may have a share in; places that are left hold -1.

    Args:
        votes, batch: points and the cloud of each.
        components: of the same clouds.
        nearest: how many of the nearest to keep; all, where a cloud has no more than twice as many.
    """
    clouds = int(batch.max()) + 1 if len(batch) else 0
    sizes = cloud_sizes(components.cloud, clouds)
    few = sizes <= 2 * nearest
    index, mask = pad_clouds(components.cloud, clouds)
    width = max(int(sizes[few].max()) if bool(few.any()) else 1, 1 if bool(few.all()) else nearest)
    found = batch.new_full((len(votes), width), -1)
    rows = few[batch]
    every = torch.where(mask, index, -1)[:, :width]
    found[rows, : every.shape[1]] = every[batch[rows]]
    if not bool(rows.all()):
        many = ~few[components.cloud]
        place = many.nonzero().flatten()
        near = nearest_centres(votes[~rows], batch[~rows], components.means[many], components.cloud[many], nearest)
        found[~rows, :nearest] = place[near]
    return found


def renumber(index: Int64[Tensor, "votes candidates"], place: Int64[Tensor, " components"]) -> Tensor:
    """Return candidates by their new places: none (-1) for those that are gone, each once for those that merged."""
    moved = torch.where(index >= 0, place[index.clamp(min=0)], -1).sort(1).values
    moved[:, 1:].masked_fill_(moved[:, 1:] == moved[:, :-1], -1)
    return moved


def expectation(
    votes: Float[Tensor, "votes d"], components: Components, index: Int64[Tensor, "votes candidates"], sigma: float
) -> tuple[Float[Tensor, "votes candidates"], Float[Tensor, " votes"]]:
    """Return the share of each vote in its candidates, which adds up to one, and the logarithm of its density.

    Both may be differentiated by votes, means and weights. In logarithms, so that nothing underflows.
    """
    place = index.clamp(min=0).flatten()
    # index_select is several times faster than indexing with a matrix
    means = components.means.index_select(0, place).unflatten(0, index.shape)
    weights = components.weights.log().index_select(0, place).view(index.shape)
    score = weights - (votes.unsqueeze(1) - means).square().sum(-1) / (2 * sigma**2)
    score = torch.where(index >= 0, score, float("-inf"))
    density = torch.logsumexp(score, -1)
    return torch.exp(score - density.unsqueeze(1)), density - votes.shape[1] / 2 * math.log(2 * math.pi * sigma**2)


def drop_light(
    components: Components, least: Float[Tensor, " clouds"]
) -> tuple[Components, Int64[Tensor, " components"]]:
    """Leave out components whose weight is below what their cloud asks for, but never all of a cloud.

    Returns what is left, and the new place of each component, -1 for those that are left out.
    """
    heaviest = components.weights.new_zeros(len(least)).scatter_reduce(0, components.cloud, components.weights, "amax")
    kept = components.weights >= torch.minimum(least, heaviest)[components.cloud]
    place = torch.where(kept, kept.cumsum(0) - 1, -1)
    return (components if bool(kept.all()) else components.take(kept).normalised()), place


def close_pairs(components: Components, reach: float) -> Int64[Tensor, "2 pairs"]:
    """Return the pairs of components of one cloud whose means are closer than a distance, each pair once."""
    index, mask = pad_clouds(components.cloud)
    width = index.shape[1]
    if not width:
        return index.new_zeros(2, 0)
    pairs = []
    some = max(_ENTRIES // width**2, 1)
    for rows, inside in zip(index.split(some), mask.split(some), strict=True):
        means = components.means[rows]
        near = torch.cdist(means, means, compute_mode="donot_use_mm_for_euclid_dist") < reach
        cloud, first, second = near.nonzero().unbind(1)
        kept = (first < second) & inside[cloud, first] & inside[cloud, second]
        pairs.append(torch.stack([rows[cloud, first], rows[cloud, second]])[:, kept])
    return torch.cat(pairs, 1)


def merge(components: Components, pairs: Int64[Tensor, "2 pairs"]) -> tuple[Components, Int64[Tensor, " components"]]:
    """Join components that pairs connect, directly or by others: means are averaged by weight, weights added up.

    The order of pairs and of components has no influence on which are joined. Returns the components that result, and
    the new place of each old one.
    """
    group = torch.arange(len(components), device=pairs.device)
    while True:
        # union-find for all at once: every pair takes the lower number, and numbers are followed to their own
        lower = group[pairs].amin(0)
        joined = group.scatter_reduce(0, group[pairs[0]], lower, "amin").scatter_reduce(
            0, group[pairs[1]], lower, "amin"
        )
        joined = joined[joined]
        if torch.equal(joined, group):
            break
        group = joined
    group = torch.unique(group, return_inverse=True)[1]
    count = int(group.max()) + 1 if len(group) else 0
    weights = segment_sum(components.weights, group, count)
    means = segment_sum(components.means * components.weights.unsqueeze(1), group, count) / weights.unsqueeze(1)
    cloud = components.cloud.new_zeros(count).index_put((group,), components.cloud)
    # a component that is joined with none keeps its mean to the last bit
    alone = torch.bincount(group, minlength=count)[group] == 1
    means = means.index_put((group[alone],), components.means[alone])
    return Components(means, weights, cloud), group
