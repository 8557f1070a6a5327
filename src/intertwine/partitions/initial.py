"""Initial partitions: fine ones, made of the positions alone or of nothing, from which coarser ones are predicted.

All are over several clouds at once, parts never cross clouds, and numbers are from 0 without gaps. Those made of
distances between points do not change when a cloud moves rigidly: `voronoi_fps`, `kmeans` and `knn_patches`.

Source: Atzmon et al., Approximately Piecewise E(3) Equivariant Point Networks, ICLR 2024: Voronoi cells of farthest
points. The others are there to compare with.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from intertwine.errors import ConfigError
from intertwine.graphs import segment_mean
from intertwine.partitions.nearest import nearest_centres
from intertwine.partitions.partition import compact_ids
from intertwine.points import check_clouds, cloud_sizes, farthest_points, pad_clouds

__all__ = [
    "INITIAL",
    "default_parts",
    "drawn_parts",
    "given",
    "initial_partition",
    "kmeans",
    "knn_patches",
    "singletons",
    "uniform_random",
    "voronoi_fps",
    "whole",
]


def default_parts(sizes: Int64[Tensor, " clouds"]) -> Int64[Tensor, " clouds"]:
    """Return the number of parts of clouds where none is asked for: a quarter of the points, at most 1024."""
    return (sizes // 4).clamp(1, 1024).minimum(sizes)


def drawn_parts(sizes: Int64[Tensor, " clouds"], rng: torch.Generator) -> Int64[Tensor, " clouds"]:
    """Draw numbers of parts between an eighth and a half of the points: an augmentation of training."""
    share = torch.rand(len(sizes), generator=rng, device=rng.device, dtype=torch.float64).to(sizes.device)
    return ((0.125 + 0.375 * share) * sizes).long().clamp(min=1).minimum(sizes)


def voronoi_fps(
    points: Float[Tensor, "points d"],
    batch: Int64[Tensor, " points"] | None = None,
    parts: int | Int64[Tensor, " clouds"] | None = None,
    *,
    rng: torch.Generator | None = None,
) -> Int64[Tensor, " points"]:
    """Return the Voronoi cells of farthest points: each point is in the cell of the nearest of them.

    Parts are in the order in which their centres were taken; of equally near centres the first counts.

    Args:
        points, batch: points and the cloud of each; one cloud where not given.
        parts: number of cells, of each cloud the same or its own; `default_parts` where not given.
        rng: draws the first centre of each cloud; without, it is the first point.

    Raises:
        ShapeError: if there is not one cloud for each point.
        NumericsError: if a coordinate is not finite.
        ConfigError: if a number of parts is not at least 1.
    """
    batch, wanted = _checked(points, batch, parts)
    taken = farthest_points(points, wanted, batch, rng=rng)
    return compact_ids(nearest_centres(points, batch, points[taken.index], taken.batch)[:, 0])


@torch.no_grad()
def kmeans(
    points: Float[Tensor, "points d"],
    batch: Int64[Tensor, " points"] | None = None,
    parts: int | Int64[Tensor, " clouds"] | None = None,
    *,
    rng: torch.Generator | None = None,
    iterations: int = 10,
) -> Int64[Tensor, " points"]:
    """Return Voronoi cells of centres that farthest points start and the means of cells replace, some times.

    Args and errors are those of `voronoi_fps`.
    """
    cells = voronoi_fps(points, batch, parts, rng=rng)
    batch = torch.zeros_like(cells) if batch is None else batch
    for _ in range(iterations):
        count = int(cells.max()) + 1 if len(cells) else 0
        cloud = batch.new_zeros(count).index_put((cells,), batch)
        moved = compact_ids(nearest_centres(points, batch, segment_mean(points, cells, count), cloud)[:, 0])
        if torch.equal(moved, cells):
            break
        cells = moved
    return cells


@torch.no_grad()
def knn_patches(
    points: Float[Tensor, "points d"],
    batch: Int64[Tensor, " points"] | None = None,
    parts: int | Int64[Tensor, " clouds"] | None = None,
    *,
    rng: torch.Generator | None = None,
) -> Int64[Tensor, " points"]:
    """Return patches of equally many points: the first free point with its nearest free neighbours, again and again.

    Sizes of the patches of a cloud differ by one at most, the larger ones come first. Errors are those of
    `voronoi_fps`.

    Args:
        points, batch, parts: as in `voronoi_fps`.
        rng: draws the order in which points are tried as the first of a patch; without, it is that of the tensor.
    """
    batch, wanted = _checked(points, batch, parts)
    part = torch.zeros_like(batch)
    index, mask = pad_clouds(batch, len(wanted))
    for rows, inside, count in zip(index, mask, wanted.tolist(), strict=True):
        free = rows[inside]
        if rng is not None:
            free = free[torch.randperm(len(free), generator=rng, device=rng.device).to(free.device)]
        for number in range(count):
            size = -(-len(free) // (count - number))
            squared = (points[free] - points[free[0]]).square().sum(-1)
            squared[0] = -1.0  # a coincident point must not take the place of the first
            chosen = squared.topk(size, largest=False).indices
            part[free[chosen]] = number
            left = torch.ones_like(free, dtype=torch.bool)
            left[chosen] = False
            free = free[left]
    return compact_ids(part, batch)


def uniform_random(
    points: Float[Tensor, "points d"],
    batch: Int64[Tensor, " points"] | None = None,
    parts: int | Int64[Tensor, " clouds"] | None = None,
    *,
    rng: torch.Generator | None = None,
) -> Int64[Tensor, " points"]:
    """Return parts drawn for each point on its own, all with the same probability: Q_simple of the error bound.

    Args and errors are those of `voronoi_fps`; ``rng`` is needed.
    """
    batch, wanted = _checked(points, batch, parts)
    if rng is None:
        raise ConfigError("random parts need a generator", got="rng = None", expected="a torch.Generator")
    drawn = torch.rand(len(batch), generator=rng, device=rng.device, dtype=torch.float64).to(points.device)
    return compact_ids((drawn * wanted[batch]).long(), batch)


def singletons(
    points: Float[Tensor, "points d"],
    batch: Int64[Tensor, " points"] | None = None,
    parts: int | Int64[Tensor, " clouds"] | None = None,
    *,
    rng: torch.Generator | None = None,
) -> Int64[Tensor, " points"]:
    """Return the finest partition, each point a part: a subpartition of every other."""
    batch, _ = _checked(points, batch, parts)
    return compact_ids(torch.arange(len(batch), device=batch.device), batch)


def whole(
    points: Float[Tensor, "points d"],
    batch: Int64[Tensor, " points"] | None = None,
    parts: int | Int64[Tensor, " clouds"] | None = None,
    *,
    rng: torch.Generator | None = None,
) -> Int64[Tensor, " points"]:
    """Return the coarsest partition, each cloud a part: with it a network is equivariant to common motions only."""
    batch, _ = _checked(points, batch, parts)
    return compact_ids(batch)


def given(part: Int64[Tensor, " points"], batch: Int64[Tensor, " points"] | None = None) -> Int64[Tensor, " points"]:
    """Return a partition that is known, such as the true one, numbered as the others are and cut where clouds meet.

    Raises:
        ShapeError: if there is not one whole number for each point.
    """
    return compact_ids(part, torch.zeros_like(part) if batch is None else batch)


INITIAL: dict[str, Callable[..., Tensor]] = {
    "voronoi_fps": voronoi_fps,
    "kmeans": kmeans,
    "knn_patches": knn_patches,
    "uniform_random": uniform_random,
    "singletons": singletons,
    "whole": whole,
}
"""Partitions that `initial_partition` makes, by name; all take ``(points, batch, parts, rng=)``."""


def initial_partition(
    kind: str,
    points: Float[Tensor, "points d"],
    batch: Int64[Tensor, " points"] | None = None,
    parts: int | Int64[Tensor, " clouds"] | None = None,
    *,
    part: Int64[Tensor, " points"] | None = None,
    rng: torch.Generator | None = None,
) -> Int64[Tensor, " points"]:
    """Return a partition by its name: one of `INITIAL`, or ``given`` for the partition ``part``.

    Raises:
        ConfigError: if there is no partition of that name, or ``given`` has none.
    """
    if kind == "given" and part is not None:
        return given(part, batch)
    if kind not in INITIAL:
        raise ConfigError(
            "there is no such initial partition" if kind != "given" else "no partition is given",
            got=kind,
            expected=f"one of {', '.join(INITIAL)}, or given together with the partition",
        )
    return INITIAL[kind](points, batch, parts, rng=rng)


def _checked(
    points: Tensor, batch: Tensor | None, parts: int | Tensor | None
) -> tuple[Int64[Tensor, " points"], Int64[Tensor, " clouds"]]:
    """Return the cloud of each point and the number of parts of each cloud, no more than it has points."""
    batch = torch.zeros(len(points), dtype=torch.int64, device=points.device) if batch is None else batch
    check_clouds("points", points, batch)
    sizes = cloud_sizes(batch, parts.numel() if isinstance(parts, Tensor) and parts.ndim else None)
    if parts is None:
        return batch, default_parts(sizes)
    wanted = torch.as_tensor(parts, device=batch.device)
    fits = wanted.ndim == 0 or wanted.shape == sizes.shape
    if not fits or wanted.is_floating_point() or bool(((wanted < 1) & (sizes > 0)).any()):
        raise ConfigError(
            "the number of parts is not a whole number for each cloud",
            got=f"{wanted.tolist()} for {len(sizes)} clouds",
            expected="at least 1, for all clouds the same or one each",
        )
    return batch, wanted.expand_as(sizes).minimum(sizes)
