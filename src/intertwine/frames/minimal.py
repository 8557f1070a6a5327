"""Minimal frames: one element for each cloud, from a canonical form by QR in the order of the points.

Source: Lin, Helwig, Gui and Ji, Equivariance via Minimal Frame Averaging for More Symmetries and Efficiency, ICML 2024.
"""

from dataclasses import dataclass
from typing import Literal, final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from intertwine.errors import GroupError
from intertwine.frames.frame import Frame, Frames, check_choice, rounded_origin
from intertwine.frames.gram_schmidt import complete_axes, independent_axes, projection, turn_last
from intertwine.frames.moments import about_origin, check_clouds
from intertwine.frames.ordering import canonical_order
from intertwine.groups import (
    GL,
    SE,
    SL,
    SO,
    SU,
    Affine,
    E,
    GLPlus,
    Group,
    O,
    ProductGroup,
    U,
    complex_to_real,
    parse_group,
)

__all__ = ["MinimalFrame"]

_INDEPENDENT = {torch.float64: 1e-7, torch.float32: 1e-4}
"""Share of the farthest point that must be new in a point to count as independent of those before it."""

_TIED = {torch.float64: 1e-10, torch.float32: 1e-5}
"""Share of the largest inner product below which inner products of two points count as equal."""

_NAMES = "O(d), SO(d), E(d), SE(d), U(d), SU(d), GL(d), GL+(d), SL(d) or Affine(d)"


@final
@dataclass(frozen=True)
class MinimalFrame(Frame):
    """The one element that carries the canonical form of a cloud to the cloud.

    The first linearly independent points, in the order in which they are given, are the columns of a matrix B = Q R
    with a positive diagonal of R, and Q is the element: seen from it, the first of these points lies on the first
    half-axis, the second in the first half-plane, and so on. E, SE and Affine see points from the centroid, the
    others from the origin. SO, SE and SU turn the last axis so that the determinant is one, for which d - 1
    independent points are enough; U and SU do the same with complex coordinates, held as (re, im, re, im, ...).
    For GL, GL+, SL and Affine the element is B itself, with its last column scaled for GL+ and SL.

    **The element depends on the order of the points**: a backbone that does not mind this order, such as PointNet or
    a graph network, loses that symmetry. ``order="canonical"`` sorts the points by their Gram matrix first (see
    `intertwine.frames.ordering`), for O, SO, E and SE: the frame is then the same in any order, and the average over
    it of a network equivariant to permutations has both symmetries. Where points are tied for a place of which the
    frame makes use, as in symmetric solids, the order given decides and ``valid`` is False.

    Like every choice of one element the frame jumps: where points become dependent, and where their order changes.

    Few points: with rank r below d, the axes beyond r mean nothing for O, E and U (and for SO, SE and SU where r is
    below d - 1); `Frames.span` then projects vectors on what the points span, which is their average over all
    choices, and invariants do not depend on the choice. So it is for coplanar and collinear clouds; coincident points,
    a single point and a cloud without points have rank zero. GL, GL+, SL and Affine have no such average: below rank d
    the element is the identity, and ``valid`` is False.

    Args:
        group: one of the groups above, or its name.
        order: of the points, ``given`` or ``canonical``.
        tolerance: share of the farthest point that counts as nothing; 1e-7 in float64 and 1e-4 in float32 where not
            given. Ties of order are found with a tolerance of their own.
        differentiate: whether gradients flow through the element and the centroid; constants otherwise.

    Raises:
        GroupError: for another group, or a canonical order with a group that keeps no distances.
        ConfigError: for another order.

    Example:
        >>> frames = MinimalFrame("O(2)")(torch.tensor([[[0.0, 2.0], [1.0, 1.0]]]))
        >>> frames.linear
        tensor([[[[0., 1.],
                  [1., 0.]]]])
    """

    group: Group
    order: Literal["given", "canonical"] = "given"
    tolerance: float | None = None
    differentiate: bool = False

    def __init__(
        self,
        group: str | Group = "E(3)",
        *,
        order: Literal["given", "canonical"] = "given",
        tolerance: float | None = None,
        differentiate: bool = False,
    ) -> None:
        check_choice("order", order, ("given", "canonical"))
        chosen = parse_group(group) if isinstance(group, str) else group
        allowed = E | SE | O | SO if order == "canonical" else E | SE | O | SO | U | SU | GL | GLPlus | SL | Affine
        if not isinstance(chosen, allowed):
            raise GroupError(
                "there are no minimal frames of this group" + (" in canonical order" * (order == "canonical")),
                got=str(chosen),
                expected="O(d), SO(d), E(d) or SE(d)" if order == "canonical" else _NAMES,
                fix='for S_n x O(d) write MinimalFrame("O(d)", order="canonical")'
                if isinstance(chosen, ProductGroup)
                else None,
            )
        settings = {"group": chosen, "order": order, "tolerance": tolerance, "differentiate": differentiate}
        for name, value in settings.items():
            object.__setattr__(self, name, value)

    @property
    def dim(self) -> int:
        """Coordinates of a point, as real numbers."""
        n: int = self.group.n  # pyright: ignore[reportAttributeAccessIssue] - all these groups have it
        return 2 * n if isinstance(self.group, U | SU) else n

    def __str__(self) -> str:
        return f"minimal frames of {self.group}"

    def __call__(
        self,
        points: Float[Tensor, "batch points d"],
        mask: Bool[Tensor, "batch points"] | None = None,
        *,
        rng: torch.Generator | None = None,
    ) -> Frames:
        """Return the frames of a batch of clouds; see `Frame`."""
        check_clouds(points, mask, self.dim, str(self))
        used = points if self.differentiate else points.detach()
        origin, seen = about_origin(used, mask, centred=isinstance(self.group, E | SE | Affine))
        tolerance = _INDEPENDENT.get(points.dtype, 1e-2) if self.tolerance is None else self.tolerance
        unique = None
        if self.order == "canonical":
            order = canonical_order(seen.detach(), mask, _TIED.get(points.dtype, 1e-2))
            seen = seen.gather(1, order.places.unsqueeze(-1).expand_as(seen))
            mask = None if mask is None else mask.gather(1, order.places)
            unique = order.unique
        if isinstance(self.group, GL | GLPlus | SL | Affine):
            frames = self._linear(seen, mask, tolerance, origin)
        else:
            frames = self._orthogonal(seen, mask, tolerance, origin, unique)
        return _rounded(frames, points.dtype)

    def _orthogonal(
        self, seen: Tensor, mask: Tensor | None, tolerance: float, origin: Tensor, unique: Tensor | None
    ) -> Frames:
        is_complex = isinstance(self.group, U | SU)
        special = isinstance(self.group, SO | SE | SU)
        if is_complex:
            seen = torch.view_as_complex(seen.unflatten(-1, (-1, 2)).contiguous())
        axes, places, found = independent_axes(seen, mask, tolerance)
        rank = found.sum(-1)
        valid = torch.ones_like(rank, dtype=torch.bool)
        if unique is not None and unique.shape[1]:
            valid = (unique.gather(1, places) | ~found).all(-1)
        linear = complete_axes(axes, found)
        known = found
        if special:
            linear = turn_last(linear)
            known = found | (rank >= found.shape[1] - 1).unsqueeze(-1)
        span = projection(linear, known)
        if is_complex:
            linear, span, rank = complex_to_real(linear), complex_to_real(span), 2 * rank
        return Frames(linear.unsqueeze(1), origin, _ones(linear), valid, rank=rank, span=span)

    def _linear(self, seen: Tensor, mask: Tensor | None, tolerance: float, origin: Tensor) -> Frames:
        _, places, found = independent_axes(seen, mask, tolerance)
        valid = found.all(-1)
        rows = torch.arange(len(seen), device=seen.device).unsqueeze(-1)
        identity = torch.eye(self.dim, dtype=seen.dtype, device=seen.device)
        columns = seen[rows, places].mT if seen.shape[1] else identity.expand(len(seen), -1, -1)
        linear = torch.where(valid[:, None, None], columns, identity)
        if isinstance(self.group, GLPlus | SL):
            determinant = torch.linalg.det(linear)
            factor = 1 / determinant if isinstance(self.group, SL) else determinant.sign()
            linear = torch.cat([linear[..., :-1], linear[..., -1:] * factor[:, None, None]], dim=-1)
        inverse = torch.linalg.inv(linear)
        return Frames(
            linear.unsqueeze(1), origin, _ones(linear), valid, inverse=inverse.unsqueeze(1), rank=found.sum(-1)
        )


def _ones(linear: Tensor) -> Tensor:
    return linear.new_ones(len(linear), 1)


def _rounded(frames: Frames, dtype: torch.dtype) -> Frames:
    """Return frames computed in float64 in the precision of the points."""
    translation, rest = rounded_origin(frames.translation, dtype)
    return Frames(
        frames.linear.to(dtype),
        translation,
        frames.weights.to(dtype),
        frames.valid,
        inverse=None if frames.inverse is None else frames.inverse.to(dtype),
        rank=frames.rank,
        span=None if frames.span is None else frames.span.to(dtype),
        rest=rest,
    )
