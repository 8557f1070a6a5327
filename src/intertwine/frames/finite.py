"""The same elements for every cloud: a whole finite group, or a subset that a user gives."""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from intertwine.errors import GroupError, ShapeError
from intertwine.frames.frame import Frame, Frames, rounded_origin
from intertwine.frames.moments import about_origin, check_clouds
from intertwine.groups import SE, SO, E, FiniteGroup, Group, O, parse_group

__all__ = ["FiniteFrame", "matrices_of"]

_NEAR = 1e-5
"""How far matrices in single precision may be from elements of the group."""


def matrices_of(group: FiniteGroup) -> Float[Tensor, "order d d"]:
    """Return the elements of a finite group as matrices in float64: turns and flips of the plane, or permutations.

    Raises:
        GroupError: if the group is too large to be listed, or not bound.

    Example:
        >>> from intertwine.groups import CyclicGroup
        >>> matrices_of(CyclicGroup(4))[1].tolist()
        [[0.0, -1.0], [1.0, 0.0]]
    """
    listed = group.elements()
    matrices = group.linear(listed)
    if matrices is not None:
        return matrices.double()
    permutation = group.permutation(listed)
    if permutation is None:
        raise GroupError(f"{group} does not act on coordinates", got=str(group), expected="C_n, D_n or S_n")
    return torch.nn.functional.one_hot(permutation, permutation.shape[-1]).mT.double()


@final
@dataclass(frozen=True, eq=False)
class FiniteFrame(Frame):
    """Elements that do not depend on the cloud, for averages over a whole group, or over part of it.

    The whole of a finite group is its largest frame, and the average is the group average. With one element of each
    coset of a subgroup it is enough that the network itself has the symmetry of the subgroup: a network equivariant to
    rotations becomes equivariant to reflections with the identity and one mirror (``matrices``). Other subsets, such as
    one random element, are for comparison: their averages have no symmetry.

    Args:
        group: C_n or D_n, which turn the plane, or S_n, which permutes coordinates, or its name; with ``matrices`` any
            group of linear maps.
        matrices: elements ``(elements, d, d)``; all of a finite group where not given.
        centred: whether points are seen from their centroid; translations are then a symmetry too, though the group
            does not say so.

    Raises:
        GroupError: if a group is not finite and no matrices are given.
        ShapeError: if matrices are not square, or not elements of the group.

    Example:
        >>> FiniteFrame("D_4")(torch.randn(2, 5, 2)).linear.shape
        torch.Size([2, 8, 2, 2])
    """

    group: Group
    matrices: Float[Tensor, "elements d d"]
    centred: bool = False

    def __init__(
        self,
        group: str | Group,
        matrices: Float[Tensor, "elements d d"] | None = None,
        *,
        centred: bool = False,
    ) -> None:
        chosen = parse_group(group) if isinstance(group, str) else group
        if matrices is None:
            if not isinstance(chosen, FiniteGroup):
                raise GroupError(
                    f"{chosen} has infinitely many elements",
                    got=str(chosen),
                    expected="C_n, D_n or S_n",
                    fix="give some of its elements as matrices",
                )
            matrices = matrices_of(chosen)
        if matrices.ndim != 3 or matrices.shape[1] != matrices.shape[2] or not len(matrices):
            raise ShapeError("elements are square matrices", got=tuple(matrices.shape), expected="(elements, d, d)")
        if not _are_elements(matrices, chosen):
            raise ShapeError(f"a matrix is no element of {chosen}", got=matrices, expected=f"elements of {chosen}")
        object.__setattr__(self, "group", chosen)
        object.__setattr__(self, "matrices", matrices)
        object.__setattr__(self, "centred", centred)

    @property
    def dim(self) -> int:
        """Coordinates of a point."""
        return self.matrices.shape[-1]

    def __str__(self) -> str:
        return f"{len(self.matrices)} elements of {self.group}"

    def __call__(
        self,
        points: Float[Tensor, "batch points d"],
        mask: Bool[Tensor, "batch points"] | None = None,
        *,
        rng: torch.Generator | None = None,
    ) -> Frames:
        """Return the same elements for each cloud; see `Frame`."""
        check_clouds(points, mask, self.dim, str(self))
        origin, _ = about_origin(points.detach(), mask, centred=self.centred)
        translation, rest = rounded_origin(origin, points.dtype)
        batch, count = len(points), len(self.matrices)
        matrices = self.matrices.to(points).expand(batch, -1, -1, -1)
        return Frames(
            matrices,
            translation,
            points.new_full((batch, count), 1 / count),
            torch.ones(batch, dtype=torch.bool, device=points.device),
            inverse=torch.linalg.inv(self.matrices.double()).to(points).expand_as(matrices),
            rest=rest,
        )


def _are_elements(matrices: Float[Tensor, "elements d d"], group: Group) -> bool:
    """Whether matrices are of the group: those of it if it is finite, orthogonal, or at least invertible."""
    exact = matrices.double()
    if isinstance(group, FiniteGroup):
        known = matrices_of(group).to(exact.device)
        if known.shape[1:] != exact.shape[1:]:
            return False
        apart = (exact.unsqueeze(1) - known).abs().amax((2, 3)).amin(1)
        return bool((apart < _NEAR).all())
    if isinstance(group, O | SO | E | SE):
        gram = exact.mT @ exact
        orthogonal = (gram - torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)).abs().amax() < _NEAR
        return bool(orthogonal) and (isinstance(group, O | E) or bool((exact.det() > 0).all()))
    return bool((exact.det().abs() > _NEAR).all())
