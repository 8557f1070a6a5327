"""How data of each kind are brought into the frames of their clouds, and back.

An element (R, t) of a frame sends canonical coordinates y to x = R y + t. Data of a batch of clouds, ``(batch, ...,
d)``, become ``(batch, frames, ..., d)``; those of clouds in one tensor, ``(items, ..., d)`` with the cloud of each
item, become ``(items, frames, ..., d)``.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import final

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from intertwine.errors import RepresentationError, ShapeError
from intertwine.frames.frame import Frames
from intertwine.frames.stabiliser import kept_irreps, kept_matrices, kept_pseudoscalars, kept_vectors
from intertwine.representations import (
    Cartesian,
    Invariant,
    Irreps,
    IrrepsTensor,
    Point,
    Representation,
    Vector,
)
from intertwine.representations.wigner import wigner_D_upto

__all__ = ["Kind", "Typed", "kind_of", "typed_of"]


class Kind(ABC):
    """What data are: how a change of coordinates acts on their last axes."""

    @property
    @abstractmethod
    def representation(self) -> Representation:
        """The same as a representation, for the declaration of a symmetry."""

    @property
    def directed(self) -> bool:
        """Whether data have directions, and not only signs."""
        return True

    @property
    def axes(self) -> int:
        """Last axes that hold the components of one value: 1 of a vector, 0 of a scalar."""
        return 1

    @abstractmethod
    def into(self, x: Tensor, frames: Frames, index: Int64[Tensor, " items"] | None) -> Tensor:
        """Return data in the coordinates of each element, with an axis of frames after the first."""

    @abstractmethod
    def back(self, y: Tensor, frames: Frames, index: Int64[Tensor, " items"] | None) -> Tensor:
        """Return data (items or batch, frames, ...) in the coordinates of the input."""


def _matrices(matrices: Tensor, index: Tensor | None) -> Tensor:
    return matrices if index is None else matrices.index_select(0, index)


def _between(matrices: Float[Tensor, "rows frames m d"], x: Tensor) -> Tensor:
    """Return ``matrices`` times vectors ``(rows, frames, ..., d)``; the axis of frames of either may be 1."""
    middle = x.flatten(2, -2) if x.ndim > 3 else x.unsqueeze(2)
    # rotations are not rounded to the precision of an autocast
    with torch.autocast(x.device.type, enabled=False):
        done = middle.to(matrices.dtype) @ matrices.mT
    return done.reshape(done.shape[0], done.shape[1], *x.shape[2:-1], matrices.shape[-2])


def _oriented(x: Tensor, frames: Frames, index: Tensor | None) -> Tensor:
    """Return data with the sign that each element gives them."""
    signs = _matrices(frames.orientation, index)
    return x * signs.reshape(*signs.shape, *[1] * (x.ndim - 2))


def _check_vectors(x: Tensor, frames: Frames, index: Tensor | None, kind: Kind, axis: int = -1) -> None:
    d = frames.linear.shape[-1]
    rows = len(frames.linear) if index is None else len(index)
    if x.ndim < 1 - axis or x.shape[axis] != d or len(x) != rows or not x.is_floating_point():
        raise ShapeError(
            f"{kind} do not fit the clouds",
            got=f"{tuple(x.shape)} of {x.dtype}",
            expected=f"({rows}, ..., {', '.join([str(d)] * -axis)}) of real numbers",
        )


@final
@dataclass(frozen=True)
class _Scalars(Kind):
    pseudo: bool = False

    @property
    def representation(self) -> Representation:
        return Cartesian(0, pseudo=True) if self.pseudo else Invariant()

    @property
    def directed(self) -> bool:
        return False

    @property
    def axes(self) -> int:
        return 0

    def into(self, x: Tensor, frames: Frames, index: Tensor | None) -> Tensor:
        repeated = x.unsqueeze(1).expand(-1, frames.count, *[-1] * (x.ndim - 1))
        return self._signed(repeated, frames, index)

    def back(self, y: Tensor, frames: Frames, index: Tensor | None) -> Tensor:
        x = self._signed(y, frames, index)
        if not self.pseudo or frames.span is None:
            return x
        return x * _matrices(kept_pseudoscalars(frames.span), index).reshape(-1, *[1] * (x.ndim - 1))

    def _signed(self, x: Tensor, frames: Frames, index: Tensor | None) -> Tensor:
        return _oriented(x, frames, index) if self.pseudo else x

    def __str__(self) -> str:
        return "pseudoscalars" if self.pseudo else "scalars"


@final
@dataclass(frozen=True)
class _Vectors(Kind):
    moves: bool = False
    pseudo: bool = False

    @property
    def representation(self) -> Representation:
        return Point() if self.moves else Vector(pseudo=self.pseudo)

    def into(self, x: Tensor, frames: Frames, index: Tensor | None) -> Tensor:
        _check_vectors(x, frames, index, self)
        if self.moves:
            x = frames.seen_from_origin(x, index)
        return self._signed(_between(_matrices(frames.inverse_linear, index), x.unsqueeze(1)), frames, index)

    def back(self, y: Tensor, frames: Frames, index: Tensor | None) -> Tensor:
        _check_vectors(y, frames, index, self)
        x = self._signed(_between(_matrices(frames.linear, index), y), frames, index)
        if frames.span is not None:
            kept = kept_vectors(frames.span, pseudo=self.pseudo)
            x = _between(_matrices(kept, index).unsqueeze(1), x)
        return frames.put_back(x, index) if self.moves else x

    def _signed(self, x: Tensor, frames: Frames, index: Tensor | None) -> Tensor:
        return _oriented(x, frames, index) if self.pseudo else x

    def __str__(self) -> str:
        return "points" if self.moves else "pseudovectors" if self.pseudo else "vectors"


@final
@dataclass(frozen=True)
class _Matrices(Kind):
    @property
    def representation(self) -> Representation:
        return Cartesian(2)

    @property
    def axes(self) -> int:
        return 2

    def into(self, x: Tensor, frames: Frames, index: Tensor | None) -> Tensor:
        return self._changed(x.unsqueeze(1), x, _matrices(frames.inverse_linear, index), frames, index)

    def back(self, y: Tensor, frames: Frames, index: Tensor | None) -> Tensor:
        x = self._changed(y, y, _matrices(frames.linear, index), frames, index)
        if frames.span is None:
            return x
        return kept_matrices(_matrices(frames.span, index), x, orthogonal=frames.inverse is None)

    def _changed(self, x: Tensor, given: Tensor, change: Tensor, frames: Frames, index: Tensor | None) -> Tensor:
        _check_vectors(given, frames, index, self, axis=-2)
        half = _between(change, x)
        return _between(change, half.mT).mT

    def __str__(self) -> str:
        return "matrices"


@final
@dataclass(frozen=True)
class _Irreps(Kind):
    irreps: Irreps = field(default_factory=lambda: Irreps("0e"))

    @property
    def representation(self) -> Representation:
        return IrrepsTensor(self.irreps)

    @property
    def directed(self) -> bool:
        return self.irreps.lmax > 0

    def into(self, x: Tensor, frames: Frames, index: Tensor | None) -> Tensor:
        return self._changed(x.unsqueeze(1), frames.linear.mT, index)

    def back(self, y: Tensor, frames: Frames, index: Tensor | None) -> Tensor:
        x = self._changed(y, frames.linear, index)
        if frames.span is None:
            return x
        blocks = []
        for entry, place in zip(self.irreps, self.irreps.slices(), strict=True):
            kept = _matrices(kept_irreps(frames.span, entry.ir), index).unsqueeze(1)
            blocks.append(_between(kept, x[..., place].unflatten(-1, (entry.mul, entry.ir.dim))).flatten(-2))
        return torch.cat(blocks, dim=-1)

    def _changed(self, x: Tensor, rotation: Tensor, index: Tensor | None) -> Tensor:
        if x.shape[-1] != self.irreps.dim or rotation.shape[-1] != 3:
            raise ShapeError(
                f"features do not fit {self}", got=tuple(x.shape), expected=f"(..., {self.irreps.dim}) in space"
            )
        natural = wigner_D_upto(self.irreps.lmax, rotation)
        signs = torch.linalg.det(rotation).sign()[..., None, None]
        blocks = []
        for entry, place in zip(self.irreps, self.irreps.slices(), strict=True):
            change = natural[entry.ir.l] if entry.ir.natural else signs * natural[entry.ir.l]
            block = x[..., place].unflatten(-1, (entry.mul, entry.ir.dim))
            blocks.append(_between(_matrices(change, index), block).flatten(-2))
        return torch.cat(blocks, dim=-1)

    def __str__(self) -> str:
        return f"irreps {self.irreps}"


_KINDS: dict[str, Kind] = {
    "scalar": _Scalars(),
    "pseudoscalar": _Scalars(pseudo=True),
    "point": _Vectors(moves=True),
    "vector": _Vectors(),
    "pseudovector": _Vectors(pseudo=True),
    "matrix": _Matrices(),
}


def kind_of(text: str) -> Kind:
    """Return the kind that a name means: point, vector, pseudovector, scalar, pseudoscalar, matrix, or irreps.

    Raises:
        RepresentationError: if it is none of them.

    Example:
        >>> str(kind_of("8x0e + 4x1o"))
        'irreps 8x0e + 4x1o'
    """
    if text in _KINDS:
        return _KINDS[text]
    try:
        return _Irreps(Irreps(text))
    except RepresentationError as error:
        raise RepresentationError(
            f"there is no kind of data {text!r}",
            got=text,
            expected=f"{', '.join(_KINDS)}, or irreps such as '8x0e + 4x1o'",
        ) from error


@final
@dataclass(frozen=True)
class Typed:
    """A kind of data, and what has a row: ``points``, ``graphs`` or ``edges``; by their number where None."""

    kind: Kind
    rows: str | None = None

    def by_point(self, shape: Sequence[int], points: int) -> bool:
        """Return whether the values of a cloud, of this shape, have a row for each of its points.

        Where the text does not say it ("vector of points", "scalar of graphs"), a first axis of that length has them:
        what a cloud has as a whole and as many channels as it has points must be said to be "of graphs".

        Raises:
            ShapeError: if there should be such rows, and are none.
        """
        fits = len(shape) > self.kind.axes and shape[0] == points
        if self.rows == "points" and not fits:
            raise ShapeError(
                f"{self} do not fit the clouds", got=tuple(shape), expected=f"({points}, ...) for each cloud"
            )
        return fits and self.rows in (None, "points")

    def __str__(self) -> str:
        return str(self.kind) if self.rows is None else f"{self.kind} of {self.rows}"


def typed_of(text: str) -> Typed:
    """Return what a text such as ``vector`` or ``vector of graphs`` means.

    Raises:
        RepresentationError: if there is no such kind, or nothing that could have the rows.
    """
    name, of, rows = text.partition(" of ")
    if of and rows not in ("points", "graphs", "edges"):
        raise RepresentationError(
            f"{text!r} does not say what has a row", got=rows, expected="of points, of graphs or of edges"
        )
    return Typed(kind_of(name), rows or None)
