"""Minimal frames of the Lorentz groups O(1,m) and SO(1,m): axes orthonormal in the metric diag(1, -1, ..., -1).

Source: Lin, Helwig, Gui and Ji, Equivariance via Minimal Frame Averaging for More Symmetries and Efficiency, ICML 2024.
"""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from intertwine.errors import GroupError
from intertwine.frames.frame import Frame, Frames
from intertwine.frames.moments import about_origin, check_clouds
from intertwine.groups import Group, Lorentz, ProperLorentz, minkowski_metric, parse_group

__all__ = ["LorentzFrame"]

_NULL = {torch.float64: 1e-8, torch.float32: 1e-4}
"""Share of the largest product of two vectors below which a vector is null."""


@final
@dataclass(frozen=True)
class LorentzFrame(Frame):
    """One element for each cloud of vectors (t, x), from Gram-Schmidt in the metric, in the order of the vectors.

    Each axis is what is new in the first vector of which what is new is not null, that is, not light-like; it is
    divided by the root of its size in the metric. Where only null vectors are left, as among photons from the start,
    the axis is the sum of the first two whose product is not zero. The time-like axis is moved to the first column;
    for SO(1,m) the axis found last is turned so that the determinant is one. `Frames.inverse` is ``eta Q^T eta``.

    **The element depends on the order of the vectors**, as that of `MinimalFrame` does: sort them by an invariant
    (mass, or product with the total momentum) where the order means nothing.

    Few vectors: where they span less than space and time, other axes mean nothing and `Frames.span` projects vectors
    on what is spanned. One case has no frame: vectors whose span contains a null vector orthogonal to all of it, such
    as a single photon or parallel ones, which arbitrarily strong boosts keep up to scale. ``valid`` is False for it.
    Coincident vectors and a cloud without vectors have a frame, of rank one and zero.

    Args:
        group: O(1,m) or SO(1,m), or its name, such as "O(1,3)".
        tolerance: product, as a share of the largest between two vectors of the cloud, that counts as zero; 1e-8 in
            float64 and 1e-4 in float32 where not given.
        differentiate: whether gradients flow through the element; it is a constant otherwise.

    Raises:
        GroupError: for another group.

    Example:
        >>> frames = LorentzFrame("O(1,1)")(torch.tensor([[[5.0, 3.0], [0.0, 1.0]]]))
        >>> frames.linear
        tensor([[[[1.2500, 0.7500],
                  [0.7500, 1.2500]]]])
    """

    group: Group
    tolerance: float | None = None
    differentiate: bool = False

    def __init__(
        self, group: str | Group = "O(1,3)", *, tolerance: float | None = None, differentiate: bool = False
    ) -> None:
        chosen = parse_group(group) if isinstance(group, str) else group
        if not isinstance(chosen, Lorentz | ProperLorentz):
            raise GroupError("there are no Lorentz frames of this group", got=str(chosen), expected="O(1,m) or SO(1,m)")
        object.__setattr__(self, "group", chosen)
        object.__setattr__(self, "tolerance", tolerance)
        object.__setattr__(self, "differentiate", differentiate)

    @property
    def dim(self) -> int:
        """Coordinates of a vector, time included."""
        return self.group.n  # pyright: ignore[reportAttributeAccessIssue] - both groups have it

    def __str__(self) -> str:
        return f"minimal frames of {self.group}"

    def __call__(
        self,
        points: Float[Tensor, "batch points d"],
        mask: Bool[Tensor, "batch points"] | None = None,
        *,
        rng: torch.Generator | None = None,
    ) -> Frames:
        """Return the frames of a batch of clouds of vectors; see `Frame`."""
        check_clouds(points, mask, self.dim, str(self))
        origin, seen = about_origin(points if self.differentiate else points.detach(), mask, centred=False)
        if not seen.shape[1]:
            seen = seen.new_zeros(len(seen), 1, self.dim)
        eta = minkowski_metric(self.dim, seen.dtype, seen.device)
        tolerance = _NULL.get(points.dtype, 1e-2) if self.tolerance is None else self.tolerance
        axes, signs, found, complete = _axes(seen, eta, tolerance, torch.finfo(points.dtype).eps)
        if isinstance(self.group, ProperLorentz):
            orientation = torch.linalg.det(_ordered(axes, signs).detach()).sign()
            axes = torch.cat([axes[..., :-1], axes[..., -1:] * orientation[:, None, None]], dim=-1)
        rank = found.sum(-1)
        known = found | (rank >= self.dim - 1).unsqueeze(-1) if isinstance(self.group, ProperLorentz) else found
        kept = torch.where(known.unsqueeze(-2), axes, 0.0)
        span = (kept * signs.unsqueeze(-2)) @ kept.mT * eta
        identity = torch.eye(self.dim, dtype=seen.dtype, device=seen.device)
        span = torch.where(known.all(-1)[:, None, None], identity, span)
        linear = _ordered(axes, signs)
        inverse = eta.unsqueeze(-1) * linear.mT * eta
        return Frames(
            linear.unsqueeze(1).to(points.dtype),
            origin.to(points.dtype),
            points.new_ones(len(points), 1),
            complete,
            inverse=inverse.unsqueeze(1).to(points.dtype),
            rank=rank,
            span=span.to(points.dtype),
        )


def _axes(
    seen: Float[Tensor, "batch points d"], eta: Float[Tensor, " d"], tolerance: float, epsilon: float
) -> tuple[Float[Tensor, "batch d d"], Float[Tensor, "batch d"], Bool[Tensor, "batch d"], Bool[Tensor, " batch"]]:
    """Return axes in the order found, their signs in the metric, which come from vectors, and whether none is missed.

    What is new in a vector counts as null below ``tolerance`` of the largest product, which no boost changes, and below
    what rounding leaves of a null vector of its length.
    """
    d = seen.shape[-1]
    rest = seen.detach()
    smallest = tolerance * ((rest * eta) @ rest.mT).abs().amax((-2, -1))
    rounding = 64 * epsilon * rest.square().sum(-1)
    basis = _basis(d, seen).expand(len(seen), -1, -1)
    rows = torch.arange(len(seen), device=seen.device)
    exists = torch.ones(len(seen), dtype=torch.bool, device=seen.device)
    axes: list[Tensor] = []
    signs: list[Tensor] = []
    found: list[Tensor] = []
    for _ in range(d):
        vector, is_new = _first_new(seen, rest, eta, smallest, rounding)
        exists = exists & is_new
        free = _without(basis, axes, signs, eta)
        widest = ((free.square() * eta).sum(-1).abs() / basis.square().sum(-1).square()).argmax(-1)
        chosen = basis[rows, widest]
        axis, sign = _next_axis(torch.where(exists.unsqueeze(-1), vector, chosen), axes, signs, eta)
        axes.append(axis)
        signs.append(sign)
        found.append(exists)
        fixed = axis.detach().unsqueeze(1)
        removed = rest - sign[:, None, None] * (rest * eta * fixed).sum(-1, keepdim=True) * fixed
        rest = torch.where(exists[:, None, None], removed, rest)
    left = rest.square().sum(-1) > rounding.amax(-1, keepdim=True)
    there = torch.stack(found, dim=-1)
    complete = there.all(-1) | ~left.any(-1)
    return torch.stack(axes, dim=-1), torch.stack(signs, dim=-1), there, complete


def _first_new(
    seen: Tensor, rest: Tensor, eta: Tensor, smallest: Tensor, rounding: Tensor
) -> tuple[Float[Tensor, "batch d"], Bool[Tensor, " batch"]]:
    """Return the first vector that is not null beyond the axes, or the sum of the first two null ones that is not."""
    rows = torch.arange(len(rest), device=rest.device)
    single = (rest.square() * eta).sum(-1).abs() > torch.maximum(smallest.unsqueeze(-1), rounding)
    vector, exists = seen[rows, single.int().argmax(-1)], single.any(-1)
    if not torch.compiler.is_compiling() and bool(exists.all()):
        return vector, exists
    bound = torch.maximum(smallest[:, None, None], (rounding.unsqueeze(-1) * rounding.unsqueeze(-2)).sqrt())
    pair = (((rest * eta) @ rest.mT).abs() > bound).triu(1).flatten(1)
    place = pair.int().argmax(-1)
    count = rest.shape[1]
    both = seen[rows, place // count] + seen[rows, place % count]
    return torch.where(exists.unsqueeze(-1), vector, both), exists | pair.any(-1)


def _next_axis(vector: Tensor, axes: list[Tensor], signs: list[Tensor], eta: Tensor) -> tuple[Tensor, Tensor]:
    rest = _without(vector, axes, signs, eta)
    rest = _without(rest, axes, signs, eta)
    size = (rest.square() * eta).sum(-1)
    sign = torch.where(size.detach() < 0, -1.0, 1.0).to(size)
    length = torch.where(size == 0, 1.0, size.abs()).sqrt()
    return rest / length.unsqueeze(-1), sign


def _without(vectors: Tensor, axes: list[Tensor], signs: list[Tensor], eta: Tensor) -> Tensor:
    """Return vectors, one or several of each cloud, without their parts along the axes of that cloud."""
    for axis, sign in zip(axes, signs, strict=True):
        along = axis if vectors.ndim == 2 else axis.unsqueeze(1)
        factor = sign.reshape(-1, *[1] * (along.ndim - 1))
        vectors = vectors - factor * (vectors * eta * along).sum(-1, keepdim=True) * along
    return vectors


def _basis(d: int, like: Tensor) -> Float[Tensor, "vectors d"]:
    """Return the coordinate axes and the sums of two: one of them is not null beyond any axes."""
    identity = torch.eye(d, dtype=like.dtype, device=like.device)
    first, second = torch.triu_indices(d, d, 1, device=like.device)
    return torch.cat([identity, identity[first] + identity[second]])


def _ordered(axes: Float[Tensor, "batch d d"], signs: Float[Tensor, "batch d"]) -> Float[Tensor, "batch d d"]:
    """Return the axes with the time-like one first."""
    order = (-signs).argsort(dim=-1, stable=True)
    return axes.gather(-1, order.unsqueeze(-2).expand_as(axes))
