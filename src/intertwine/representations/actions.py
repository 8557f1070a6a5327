"""How one group element transforms data: what `Symmetry` needs to know of an input or an output.

``representation.apply(group, g, x)`` transforms ``x`` by one element ``g`` (no batch axes on ``g``) and keeps
its shape. A representation uses what the group offers, its linear part, translation and permutation, and is
trivial where the group offers nothing: a `Point` under O(3) only rotates, a `Permuted` under SE(3) only
applies its inner action. Every representation is a homomorphism: applying ``h``, then ``g``, equals applying
``compose(g, h)``.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import final

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from intertwine.errors import RepresentationError, ShapeError, SymmetryError
from intertwine.groups import Element, Group
from intertwine.representations.irreps import Irreps
from intertwine.representations.layout import Layout, check_layout
from intertwine.representations.wigner import wigner_D_upto

__all__ = [
    "AlongAxis",
    "Blocks",
    "Cartesian",
    "Invariant",
    "IrrepsTensor",
    "NodeIndices",
    "Permuted",
    "Point",
    "Representation",
    "Vector",
    "act_on_block",
    "check_axes",
    "check_orthogonal",
    "linear_part",
]


class Representation(ABC):
    """An action of groups on tensors, as an immutable value."""

    @abstractmethod
    def apply(self, group: Group, g: Element, x: Shaped[Tensor, "*shape"]) -> Shaped[Tensor, "*shape"]:
        """Return ``x`` transformed by ``g``, with the shape, dtype and device of ``x``.

        Raises:
            ShapeError: if ``x`` does not have the axes that this representation acts on.
        """


@final
@dataclass(frozen=True)
class Invariant(Representation):
    """Data that no element changes: energies, species, labels."""

    def apply(self, group: Group, g: Element, x: Shaped[Tensor, "*shape"]) -> Shaped[Tensor, "*shape"]:
        """Return ``x``."""
        return x


@final
@dataclass(frozen=True)
class Cartesian(Representation):
    """Tensors on the last ``rank`` axes: every index is multiplied by the linear part of the element.

    ``Cartesian(2)`` is a stress tensor, ``S -> R S R^T``; ``Cartesian(0, pseudo=True)`` is a pseudoscalar.

    Args:
        rank: the number of axes, each as long as space has dimensions.
        pseudo: whether orientation-reversing elements multiply by a further -1.
    """

    rank: int
    pseudo: bool = False

    def __post_init__(self) -> None:
        if self.rank < 0:
            raise RepresentationError("a tensor has no negative rank", got=self.rank, expected=">= 0")

    def apply(self, group: Group, g: Element, x: Shaped[Tensor, "*shape"]) -> Shaped[Tensor, "*shape"]:
        """Return the transformed tensors."""
        matrix = linear_part(group, g, x)
        if matrix is None:
            return x
        check_axes(x, (len(matrix),) * self.rank, f"{self} under {group}")
        for axis in range(-self.rank, 0):
            x = (x.movedim(axis, -1) @ matrix.mT.to(x)).movedim(-1, axis)
        return x * _orientation(matrix).to(x) if self.pseudo else x


@final
@dataclass(frozen=True)
class Vector(Representation):
    """Vectors on the last axis, ``v -> R v``: displacements, forces, velocities.

    Args:
        pseudo: whether they are axial, ``v -> det(R) R v``, such as angular momenta and magnetic fields.
    """

    pseudo: bool = False

    def apply(self, group: Group, g: Element, x: Shaped[Tensor, "*shape"]) -> Shaped[Tensor, "*shape"]:
        """Return the transformed vectors."""
        return Cartesian(1, self.pseudo).apply(group, g, x)


@final
@dataclass(frozen=True)
class Point(Representation):
    """Positions on the last axis, ``r -> R r + t``."""

    def apply(self, group: Group, g: Element, x: Shaped[Tensor, "*shape"]) -> Shaped[Tensor, "*shape"]:
        """Return the moved points."""
        moved = Cartesian(1).apply(group, g, x)
        translation = group.translation(g)
        if translation is None:
            return moved
        check_axes(x, (len(translation),), f"{self} under {group}")
        return moved + translation.to(x)


@final
@dataclass(frozen=True)
class AlongAxis(Representation):
    """A representation of the last axis that acts on another one.

    ``AlongAxis(-2, Vector())`` are vectors whose channels lie on the last axis.

    Args:
        axis: where the components are.
        inner: how they transform.
    """

    axis: int
    inner: Representation

    def apply(self, group: Group, g: Element, x: Shaped[Tensor, "*shape"]) -> Shaped[Tensor, "*shape"]:
        """Return the data transformed along ``axis``."""
        if not -x.ndim <= self.axis < x.ndim:
            raise ShapeError(f"{self} under {group}", got=tuple(x.shape), expected=f"an axis {self.axis}")
        return self.inner.apply(group, g, x.movedim(self.axis, -1)).movedim(-1, self.axis)


@final
@dataclass(frozen=True)
class IrrepsTensor(Representation):
    """Features on the last axis that transform by irreps of O(3), ``x -> D(R) x``.

    Args:
        irreps: such as ``"16x0e + 8x1o"``.
        layout: order inside each block: ``"mul_ir"``, component fast (as in e3nn), or ``"ir_mul"``, channel
            fast.
    """

    irreps: Irreps
    layout: Layout = "mul_ir"

    def __init__(self, irreps: str | Irreps, layout: str = "mul_ir") -> None:
        object.__setattr__(self, "irreps", Irreps(irreps))
        object.__setattr__(self, "layout", check_layout(layout))

    def apply(self, group: Group, g: Element, x: Shaped[Tensor, "*shape"]) -> Shaped[Tensor, "*shape"]:
        """Return the transformed features.

        Raises:
            RepresentationError: if the linear part of the group is not orthogonal and three-dimensional.
        """
        check_axes(x, (self.irreps.dim,), str(self))
        rotation = linear_part(group, g, x)
        if rotation is None or not self.irreps.entries:
            return x
        check_orthogonal(self, group, rotation, 3)
        natural = wigner_D_upto(self.irreps.lmax, rotation)
        orientation = _orientation(rotation)
        blocks = []
        for entry, place in zip(self.irreps, self.irreps.slices(), strict=True):
            matrix = natural[entry.ir.l] if entry.ir.natural else orientation * natural[entry.ir.l]
            blocks.append(act_on_block(matrix.to(x), x[..., place], entry.mul, self.layout))
        return torch.cat(blocks, dim=-1)


@final
@dataclass(frozen=True)
class Permuted(Representation):
    """Items along ``axes`` that move to the places a permutation gives them; entries follow ``inner``.

    ``Permuted()`` is one value for each node, ``Permuted((0, 1))`` an adjacency matrix,
    ``Permuted((0,), Point())`` a cloud.

    Args:
        axes: the axes that count items; all are permuted alike.
        inner: how the entries transform; its axes are the last ones, not among ``axes``.
    """

    axes: tuple[int, ...] = (0,)
    inner: Representation = field(default_factory=Invariant)

    def __post_init__(self) -> None:
        object.__setattr__(self, "axes", tuple(self.axes))

    def apply(self, group: Group, g: Element, x: Shaped[Tensor, "*shape"]) -> Shaped[Tensor, "*shape"]:
        """Return the data with transformed entries in their new places."""
        x = self.inner.apply(group, g, x)
        permutation = group.permutation(g)
        if permutation is None:
            return x
        back = permutation.argsort().to(x.device)
        for axis in self.axes:
            if not -x.ndim <= axis < x.ndim or x.shape[axis] != len(back):
                raise ShapeError(
                    f"{self} under {group} permutes axis {axis}",
                    got=tuple(x.shape),
                    expected=f"{len(back)} items along axis {axis}",
                )
            x = x.index_select(axis, back)
        return x


@final
@dataclass(frozen=True)
class NodeIndices(Representation):
    """Integers that point to items, ``i -> p[i]``: ``edge_index``, batch pointers, bonds."""

    def apply(self, group: Group, g: Element, x: Int[Tensor, "*shape"]) -> Int[Tensor, "*shape"]:
        """Return the indices of the same items in their new places.

        Raises:
            SymmetryError: if an index is negative or points past the last item.
        """
        if x.is_floating_point() or x.is_complex() or x.dtype == torch.bool:
            raise ShapeError("node indices are integers", got=str(x.dtype), expected="torch.int64")
        permutation = group.permutation(g)
        if permutation is None:
            return x
        if x.numel() and not 0 <= int(x.min()) <= int(x.max()) < len(permutation):
            raise SymmetryError(
                f"node indices do not fit {group}",
                got={"smallest": int(x.min()), "largest": int(x.max())},
                expected=f"indices in 0..{len(permutation) - 1}",
                fix="bind the group to the number of nodes of the data",
            )
        return permutation.to(x)[x.long()]


@final
@dataclass(frozen=True)
class Blocks(Representation):
    """A last axis that concatenates parts with representations of their own.

    ``Blocks([(1, Invariant()), (3, Vector())])`` is a scalar followed by a vector.

    Args:
        blocks: for each part its length and its representation.
    """

    blocks: tuple[tuple[int, Representation], ...]

    def __init__(self, blocks: Sequence[tuple[int, Representation]]) -> None:
        object.__setattr__(self, "blocks", tuple((int(size), part) for size, part in blocks))
        if not self.blocks or any(size < 0 for size, _ in self.blocks):
            raise RepresentationError(
                "Blocks needs the length and the representation of one part or more",
                got=self.blocks,
                expected="such as [(1, Invariant()), (3, Vector())]",
            )

    def apply(self, group: Group, g: Element, x: Shaped[Tensor, "*shape"]) -> Shaped[Tensor, "*shape"]:
        """Return the parts, each transformed by its own representation."""
        sizes = [size for size, _ in self.blocks]
        check_axes(x, (sum(sizes),), str(self))
        parts = zip(self.blocks, x.split(sizes, dim=-1), strict=True)
        return torch.cat([part.apply(group, g, data) for (_, part), data in parts], dim=-1)


def linear_part(group: Group, g: Element, x: Tensor) -> Float[Tensor, "n n"] | None:
    """Return the linear part of one element on the device of ``x``, or None.

    It keeps the dtype of the element, so that what is computed from it is rounded to that of ``x`` only once.

    Raises:
        ShapeError: if ``g`` is a batch, or if ``x`` holds integers, which no rotation keeps.
    """
    matrix = group.linear(g)
    if matrix is None:
        return None
    if matrix.ndim != 2:
        raise ShapeError(
            f"a representation applies one element of {group} at a time",
            got={"batch of g": tuple(matrix.shape[:-2])},
            expected="an element without batch axes",
            fix="loop over the batch",
        )
    if not (x.is_floating_point() or x.is_complex()):
        raise ShapeError(f"{group} cannot rotate integers", got=str(x.dtype), expected="floating-point data")
    return matrix.to(x.device)


def _orientation(matrix: Tensor) -> Tensor:
    return torch.linalg.det(matrix).sign()


def act_on_block(matrix: Tensor, x: Tensor, mul: int, layout: str) -> Tensor:
    """Apply one irrep's matrix to each of ``mul`` copies of it on the last axis."""
    dim = len(matrix)
    if layout == "mul_ir":
        return (x.unflatten(-1, (mul, dim)) @ matrix.mT).flatten(-2)
    return (matrix @ x.unflatten(-1, (dim, mul))).flatten(-2)


def check_orthogonal(representation: Representation, group: Group, matrix: Tensor, n: int) -> None:
    """Raise RepresentationError unless the group acts by orthogonal matrices in ``n`` dimensions."""
    if len(matrix) != n or not group.orthogonal:
        raise RepresentationError(
            f"{representation} needs orthogonal {n} x {n} matrices",
            got=f"{group}, with {len(matrix)} x {len(matrix)} matrices",
            expected=f"O({n}), SO({n}), E({n}), SE({n}), a finite subgroup, or a product with one of them",
        )


def check_axes(x: Tensor, shape: tuple[int, ...], what: str) -> None:
    """Raise ShapeError unless the last axes of ``x`` have ``shape``."""
    if x.ndim < len(shape) or tuple(x.shape[x.ndim - len(shape) :]) != shape:
        raise ShapeError(
            f"the data do not fit {what}",
            got=tuple(x.shape),
            expected=f"(..., {', '.join(map(str, shape))})",
        )
