"""Weighted frames: averages over them do not jump, as averages over every unweighted frame of few elements must.

Source: Dym, Lawrence and Siegel, Equivariant Frames and the Impossibility of Continuous Canonicalization, ICML 2024.
"""

import itertools
import math
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from intertwine.errors import ConfigError, GroupError
from intertwine.frames.eigen import symmetric_eigh
from intertwine.frames.frame import Frame, Frames, rounded_origin
from intertwine.frames.gram_schmidt import complete_axes, gram_schmidt, projection, turn_last
from intertwine.frames.moments import about_origin, check_clouds
from intertwine.frames.spectrum import spanned_dimensions
from intertwine.groups import SE, SO, E, Group, O, parse_group

__all__ = ["WeightedFrame"]

_LARGEST_LISTED = 2_000_000
"""Tuples of points of one cloud that may be listed."""
_LARGEST_DRAWN = 40_000_000
"""Pairs of points of one cloud among which may be drawn."""

_PARALLEL = 1e-14
"""Squared sine of the angle between two vectors below which rounding decides their area."""


@final
@dataclass(frozen=True)
class WeightedFrame(Frame):
    """Axes from every ordered tuple of d - 1 points, weighted by the volume that the tuple spans.

    Points are seen from the centroid (E, SE) or from the origin (O, SO). Each tuple is orthonormalised in its order
    and completed by one axis: with determinant +1 for SO and SE, and both ways, with half the weight each, for O and
    E. In the plane the tuples are single points: each is turned to the first axis, with its distance as weight. The
    weights vary continuously and vanish where axes would jump, so that averages of continuous networks are continuous
    wherever the points span d - 1 dimensions. Every cloud has such a frame: cubes, discs and spheres too.

    Points that span only r < d - 1 dimensions give no volume. Their frames come from tuples of r points in the same
    way; the other axes mean nothing, and `Frames.span` projects vectors on what the points span. Frames may jump
    where a cloud loses dimensions in this way. A single point, coincident points and a cloud without points have
    rank zero: the axes are those of the coordinates, and vectors are projected to zero.

    There are n! / (n - d + 1)! tuples of n points. With ``tuples`` that many are drawn, with replacement and with
    probabilities as their weights, one from each equal share of the total: the average is unbiased, and the symmetry
    holds in expectation. A cloud, or the longest of a batch, with no more tuples than this is averaged over all.

    Args:
        group: E(d), SE(d), O(d) or SO(d), or its name.
        tuples: how many to draw; all where not given, which suits some dozen points.
        differentiate: whether gradients flow through axes, weights and centroid; frames are constants otherwise.
            Weights of drawn tuples are constants in any case.

    Raises:
        GroupError: for another group.
        ConfigError: if ``tuples`` is not positive, or a cloud has more tuples than can be listed.

    Example:
        >>> frames = WeightedFrame("SO(2)")(torch.tensor([[[3.0, 0.0], [0.0, 1.0]]]))
        >>> frames.weights
        tensor([[0.7500, 0.2500]])
    """

    group: Group
    tuples: int | None = None
    differentiate: bool = False

    def __init__(self, group: str | Group = "E(3)", *, tuples: int | None = None, differentiate: bool = False) -> None:
        chosen = parse_group(group) if isinstance(group, str) else group
        if not isinstance(chosen, E | SE | O | SO):
            raise GroupError(
                "there are no weighted frames of this group", got=str(chosen), expected="E(d), SE(d), O(d) or SO(d)"
            )
        if tuples is not None and tuples < 1:
            raise ConfigError("a weighted frame needs tuples of points", got=tuples, expected="at least 1, or None")
        object.__setattr__(self, "group", chosen)
        object.__setattr__(self, "tuples", tuples)
        object.__setattr__(self, "differentiate", differentiate)

    @property
    def dim(self) -> int:
        """Coordinates of a point."""
        return self.group.n  # pyright: ignore[reportAttributeAccessIssue] - all four groups have it

    def __str__(self) -> str:
        return f"weighted frames of {self.group}"

    def __call__(
        self,
        points: Float[Tensor, "batch points d"],
        mask: Bool[Tensor, "batch points"] | None = None,
        *,
        rng: torch.Generator | None = None,
    ) -> Frames:
        """Return the frames of a batch of clouds; see `Frame`. ``rng`` draws tuples."""
        check_clouds(points, mask, self.dim, str(self))
        used = points if self.differentiate else points.detach()
        origin, seen = about_origin(used, mask, centred=isinstance(self.group, E | SE))
        rank = spanned_dimensions(seen, used, mask)
        size = self.dim - 1
        seen = _at_least(seen, size)
        number = math.perm(seen.shape[1], size)
        drawn = self.tuples is not None and self.tuples < number
        self._check_number(number, _LARGEST_LISTED if size > 2 or not drawn else _LARGEST_DRAWN, seen.shape[1])
        if self.tuples is not None and drawn:
            index = _drawn_tuples(seen.detach(), rank, self.tuples, rng)
            weights = seen.new_full(index.shape[:2], 1 / self.tuples)
        else:
            index = _tuples(seen.shape[1], size, seen.device)
            volumes = _volumes(seen, index, rank)
            total = volumes.sum(-1, keepdim=True)
            weights = volumes / torch.where(total > 0, total, 1.0)
            index = index.expand(len(seen), -1, -1)
        axes, found = _axes(seen, index, rank)
        linear = turn_last(complete_axes(axes, found))
        if isinstance(self.group, E | O):
            mirrored = torch.cat([linear[..., :-1], -linear[..., -1:]], dim=-1)
            linear, weights = torch.cat([linear, mirrored], dim=1), torch.cat([weights, weights], dim=1) / 2
        translation, rest = rounded_origin(origin, points.dtype)
        return Frames(
            linear.to(points.dtype),
            translation,
            weights.to(points.dtype),
            torch.ones(len(points), dtype=torch.bool, device=points.device),
            rank=rank,
            span=_span(seen, rank).to(points.dtype),
            rest=rest,
        )

    def _check_number(self, number: int, largest: int, points: int) -> None:
        if number > largest:
            raise ConfigError(
                f"{self} of {points} points have too many tuples to list",
                got=f"{number} tuples of {self.dim - 1} points",
                expected=f"at most {largest}",
                fix="take fewer points (farthest-point samples, for example), or principal axes: PCAFrame",
            )


def _at_least(seen: Tensor, points: int) -> Tensor:
    """Return clouds with zeros appended up to a number of points; tuples with one of them have no volume."""
    missing = points - seen.shape[1]
    return torch.nn.functional.pad(seen, (0, 0, 0, missing)) if missing > 0 else seen


def _tuples(points: int, size: int, device: torch.device) -> Int64[Tensor, "tuples size"]:
    """Return all ordered tuples of different points, in lexicographic order."""
    number = torch.arange(math.perm(points, size), device=device)
    columns: list[Tensor] = []
    for place in range(size):
        # the digit of the number counts the points that are still free
        chosen = number // math.perm(points - place - 1, size - place - 1) % (points - place)
        for earlier in torch.stack(columns).sort(0).values if columns else ():
            chosen = chosen + (chosen >= earlier)
        columns.append(chosen)
    return torch.stack(columns, dim=-1) if columns else number.new_zeros(len(number), 0)


def _volumes(
    seen: Float[Tensor, "batch points d"], index: Int64[Tensor, "tuples size"], rank: Int64[Tensor, " batch"]
) -> Float[Tensor, "batch tuples"]:
    """Return the volume of each tuple, or of its first ``rank`` points in clouds of lower rank."""
    size = index.shape[1]
    volumes = _volumes_of(seen, index)
    if not torch.compiler.is_compiling() and bool((rank >= size).all()):
        return volumes
    for lower in range(size):
        volumes = torch.where((rank == lower).unsqueeze(-1), _volumes_of(seen, index[:, :lower]), volumes)
    return volumes


def _volumes_of(seen: Tensor, index: Int64[Tensor, "tuples size"]) -> Float[Tensor, "batch tuples"]:
    size = index.shape[1]
    if size == 0:
        return seen.new_ones(len(seen), len(index))
    if size == 1:
        return _root(seen.square().sum(-1))[:, index[:, 0]]
    if size == 2:
        return _areas(seen)[:, index[:, 0], index[:, 1]]
    return gram_schmidt(seen[:, index])[1].prod(-1)


def _areas(seen: Tensor) -> Float[Tensor, "batch points points"]:
    """Return the areas of the parallelograms of all pairs, from their projections on the coordinate planes."""
    square = seen.new_zeros(len(seen), seen.shape[1], seen.shape[1])
    for a, b in itertools.combinations(range(seen.shape[-1]), 2):
        half = seen[:, :, None, a] * seen[:, None, :, b]
        square = square + (half - half.mT).square()
    return _root(square)


def _root(square: Tensor) -> Tensor:
    """Return square roots whose derivative at zero is zero."""
    positive = square > 0
    return torch.where(positive, torch.where(positive, square, 1.0).sqrt(), 0.0)


def _drawn_tuples(
    seen: Float[Tensor, "batch points d"], rank: Int64[Tensor, " batch"], number: int, rng: torch.Generator | None
) -> Int64[Tensor, "batch number size"]:
    """Draw tuples with probabilities as their volumes: pairs by their first point, then their second."""
    size = seen.shape[-1] - 1
    if size > 2:
        index = _tuples(seen.shape[1], size, seen.device)
        return index[_draw(_volumes(seen, index, rank), number, rng)]
    lengths = _root(seen.square().sum(-1))
    lengths = torch.where((rank == 0).unsqueeze(-1), 1.0, lengths)
    if size == 1:
        return _draw(lengths, number, rng).unsqueeze(-1)
    # with the Gram matrix areas cost little; what cancels there, between parallel vectors, has no share
    whole = (lengths.unsqueeze(-1) * lengths.unsqueeze(-2)).square()
    square = whole - (seen @ seen.mT).square()
    areas = square.masked_fill_(square <= _PARALLEL * whole, 0.0).sqrt_()
    volumes = torch.where((rank < 2)[:, None, None], lengths.unsqueeze(-1), areas)
    first = _draw(volumes.sum(-1), number, rng)
    rows = torch.arange(len(seen), device=seen.device).unsqueeze(-1)
    second = _draw(volumes[rows, first].flatten(0, 1), 1, rng).view_as(first)
    return torch.stack([first, second], dim=-1)


def _draw(
    weights: Float[Tensor, "batch tuples"], number: int, rng: torch.Generator | None
) -> Int64[Tensor, "batch number"]:
    """Draw entries with probabilities as their weights, one from each of ``number`` equal shares of the total."""
    cumulative = weights.cumsum(-1)
    total = cumulative[:, -1:]
    device = rng.device if rng is not None else weights.device
    uniform = torch.rand(len(weights), number, generator=rng, dtype=weights.dtype, device=device).to(weights.device)
    shares = (torch.arange(number, device=weights.device) + uniform) / number * total
    below = torch.nextafter(total, torch.zeros_like(total))
    return torch.searchsorted(cumulative, torch.minimum(shares, below), right=True)


def _axes(
    seen: Tensor, index: Int64[Tensor, "batch tuples size"], rank: Int64[Tensor, " batch"]
) -> tuple[Float[Tensor, "batch tuples d size"], Bool[Tensor, "batch tuples size"]]:
    """Return the axes of each tuple, and which of them there are."""
    rows = torch.arange(len(seen), device=seen.device)[:, None, None]
    axes, lengths = gram_schmidt(seen[rows, index])
    within = torch.arange(index.shape[-1], device=seen.device) < rank[:, None, None]
    return axes, within & (axes.detach().abs().sum(-2) > 0) & (lengths.detach() > 0)


def _span(seen: Tensor, rank: Int64[Tensor, " batch"]) -> Float[Tensor, "batch d d"]:
    """Return projections on what the points span; the identity where only one axis is missing, which is known."""
    d = seen.shape[-1]
    _, axes = symmetric_eigh(seen.mT @ seen)
    place = torch.arange(d, device=seen.device)
    found = (place >= d - rank.unsqueeze(-1)) | (rank >= d - 1).unsqueeze(-1)
    return projection(axes, found)
