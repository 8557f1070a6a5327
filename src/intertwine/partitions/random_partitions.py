"""Random partitions: how likely they mix true parts, in closed form and by sampling, and how uncertain they are.

A distribution Q of partitions is a matrix whose rows, one a point, hold the probabilities of its parts; points draw
independently. Two numbers bound the error of equivariance of what is averaged over parts:

    lambda(Q)  the probability that a drawn partition is no subpartition of the true one;
    delta(Q)   the probability that it is not the most probable one, 1 - prod_i max_j Q_ij.

Source: Atzmon et al., Approximately Piecewise E(3) Equivariant Point Networks, ICLR 2024, equations 2 and 3; lambda by
the test of subpartitions, which does not punish finer ones, and delta in the form above, are this library's.
"""

import math
from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from intertwine.errors import ConfigError, ShapeError
from intertwine.graphs import segment_mean, segment_sum

__all__ = [
    "draw_blocks",
    "draw_labels",
    "mean_uncertainty",
    "mixing_probability",
    "mixing_share",
    "stirling2",
    "uncertainty",
]

_ENTRIES = 2**22
"""Labels that are looked at at once."""


@cache
def _stirling_rows(n: int) -> tuple[tuple[int, ...], ...]:
    rows: list[tuple[int, ...]] = [(1,)]
    for i in range(1, n + 1):
        above = rows[-1]
        # an item joins one of k blocks, or begins the k-th
        rows.append(tuple((k * above[k] if k < i else 0) + (above[k - 1] if k else 0) for k in range(i + 1)))
    return tuple(rows)


def stirling2(n: int, k: int) -> int:
    """Return the number of partitions of ``n`` items into exactly ``k`` parts that are not empty."""
    return _stirling_rows(n)[n][k] if 0 <= k <= n else 0


def mixing_probability(sizes: Sequence[int], parts: int, model: Literal["blocks", "labels"] = "blocks") -> float:
    """Return lambda of a partition drawn without looking at the points.

    Args:
        sizes: number of points of each true part.
        parts: parts of the drawn partition.
        model: ``blocks`` draws uniformly among the partitions with exactly ``parts`` parts; ``labels`` draws one of
            ``parts`` labels for each point.

    Raises:
        ConfigError: if a size is less than 1, or there is no such partition.

    Example:
        >>> mixing_probability([3, 3], 5)
        0.6
    """
    points = sum(sizes)
    if not sizes or min(sizes) < 1 or parts < 1 or (model == "blocks" and parts > points):
        raise ConfigError(
            "there is no such partition",
            got={"sizes": list(sizes), "parts": parts},
            expected="sizes and parts of at least 1, and no more blocks than points",
        )
    # ways[k]: to split each true part on its own, into k parts together
    ways = [1]
    for size in sizes:
        joined = [0] * (len(ways) + size)
        for used, count in enumerate(ways):
            for k in range(1, size + 1):
                joined[used + k] += count * stirling2(size, k)
        ways = joined
    if model == "blocks":
        kept = Fraction(ways[parts] if parts < len(ways) else 0, stirling2(points, parts))
    else:
        kept = Fraction(sum(count * math.perm(parts, used) for used, count in enumerate(ways)), parts**points)
    return float(1 - kept)


def draw_labels(
    probabilities: Float[Tensor, "points parts"], draws: int, rng: torch.Generator
) -> Int64[Tensor, "draws points"]:
    """Draw partitions from a matrix Q: for each point one of the parts, independently.

    Raises:
        ShapeError: if it is no matrix, or a row does not hold probabilities.
    """
    rows = probabilities.sum(-1) if probabilities.ndim == 2 else probabilities.new_zeros(1)
    if not bool(((rows - 1).abs() < 1e-3).all()) or bool((probabilities < 0).any()):
        raise ShapeError(
            "partitions are drawn from a matrix whose rows are probabilities",
            got=f"{tuple(probabilities.shape)}, rows add up to {rows.min():g} to {rows.max():g}" if len(rows) else "[]",
            expected="(points, parts), each row at least 0 and adding up to 1",
        )
    drawn = torch.multinomial(probabilities.to(rng.device), draws, replacement=True, generator=rng)
    return drawn.T.to(probabilities.device)


def draw_blocks(points: int, parts: int, draws: int, rng: torch.Generator) -> Int64[Tensor, "draws points"]:
    """Draw uniformly among the partitions with exactly ``parts`` parts that are not empty.

    Raises:
        ConfigError: if there are none.
    """
    if not 1 <= parts <= points:
        raise ConfigError("there is no such partition", got=parts, expected=f"1 to {points} parts of {points} points")
    rows = _stirling_rows(points)
    begins = torch.zeros(points, draws, dtype=torch.bool, device=rng.device)
    left = torch.full((draws,), parts, device=rng.device)
    for i in range(points, 0, -1):
        # the last of i points in k parts is alone in S(i-1, k-1) of S(i, k) cases; it then began a part
        of = [float(Fraction(rows[i - 1][k - 1], rows[i][k])) if 1 <= k <= i else 0.0 for k in range(parts + 1)]
        alone = torch.tensor(of, dtype=torch.float64, device=rng.device)[left]
        begins[i - 1] = torch.rand(draws, generator=rng, dtype=torch.float64, device=rng.device) < alone
        left = left - begins[i - 1].long()
    labels, used = torch.zeros(points, draws, dtype=torch.int64, device=rng.device), torch.zeros_like(left)
    for i in range(points):
        joined = (torch.rand(draws, generator=rng, dtype=torch.float64, device=rng.device) * used).long()
        labels[i] = torch.where(begins[i], used, joined)
        used = used + begins[i].long()
    return labels.T


def mixing_share(drawn: Int64[Tensor, "draws points"], truth: Int64[Tensor, " points"]) -> float:
    """Return the share of drawn partitions that are no subpartition of the true one: an estimate of lambda.

    Raises:
        ShapeError: if they are not of the same points, or there is no draw.
    """
    if drawn.ndim != 2 or drawn.shape[1:] != truth.shape or not len(drawn):
        raise ShapeError(
            "the share is over partitions of the same points as the true one",
            got={"drawn": tuple(drawn.shape), "truth": tuple(truth.shape)},
            expected="(draws, points), at least one draw, and (points,)",
        )
    truth = torch.unique(truth, return_inverse=True)[1]
    true_parts = int(truth.max()) + 1 if len(truth) else 1
    mixed = 0
    for some in drawn.split(max(_ENTRIES // max(len(truth), 1), 1)):
        pairs = (some * true_parts + truth).sort(1).values
        labels = pairs // true_parts
        # a part that is mixed has two pairs that follow one another and differ
        mixed += int(((pairs[:, 1:] != pairs[:, :-1]) & (labels[:, 1:] == labels[:, :-1])).any(1).sum())
    return mixed / len(drawn)


def uncertainty(
    top: Float[Tensor, " points"], batch: Int64[Tensor, " points"] | None = None, clouds: int | None = None
) -> Float[Tensor, " clouds"]:
    """Return delta of each cloud, ``1 - prod_i top_i``: the probability that a draw differs from the most probable.

    Args:
        top: largest probability of each point, ``Q.amax(-1)``.
        batch: cloud of each point; one cloud where not given.
        clouds: number of clouds; a cloud without points has no uncertainty.
    """
    batch, clouds = _of_clouds(top, batch, clouds)
    # through logarithms: a product of thousands of numbers near 1 would lose what makes them differ from 1
    return -torch.expm1(segment_sum(top.double().log(), batch, clouds))


def mean_uncertainty(
    top: Float[Tensor, " points"], batch: Int64[Tensor, " points"] | None = None, clouds: int | None = None
) -> Float[Tensor, " clouds"]:
    """Return the mean over the points of each cloud of ``1 - top_i``; arguments are those of `uncertainty`."""
    batch, clouds = _of_clouds(top, batch, clouds)
    return segment_mean(1 - top.double(), batch, clouds)


def _of_clouds(top: Tensor, batch: Tensor | None, clouds: int | None) -> tuple[Tensor, int]:
    if batch is None:
        return torch.zeros(len(top), dtype=torch.int64, device=top.device), clouds or 1
    return batch, clouds if clouds is not None else (int(batch.max()) + 1 if len(batch) else 0)
