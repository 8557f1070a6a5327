"""Irreps of SO(2) and O(2): frequencies of the plane, ``"4x0 + 2x1 + 1x3"``.

Frequency 0 is one number. Frequency m > 0 is a pair ``(a, b)`` that turns by m times the angle,
``[[cos m t, -sin m t], [sin m t, cos m t]]``: it transforms like ``(cos m phi, sin m phi)`` of a direction
phi, for m = 1 like a vector (x, y). Under the mirror ``y -> -y`` every b changes sign, and so does ``0-``,
the pseudoscalar; ``0`` does not. A frequency m > 0 needs no such sign: the other choice is the same irrep in
another basis.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, final

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from intertwine.errors import RepresentationError, ShapeError
from intertwine.groups import Element, Group
from intertwine.representations.actions import (
    Representation,
    act_on_block,
    check_axes,
    check_orthogonal,
    linear_part,
)
from intertwine.representations.layout import check_layout

__all__ = ["SO2Entry", "SO2Irreps", "SO2IrrepsTensor"]

_ENTRY = re.compile(r"(?:(\d+)\s*x\s*)?(\d+)(-?)")


@final
@dataclass(frozen=True)
class SO2Entry:
    """``mul`` copies of the irrep of frequency ``m``; ``pseudo`` marks the sign change of 0-."""

    mul: int
    m: int
    pseudo: bool = False

    def __post_init__(self) -> None:
        if self.mul < 0 or self.m < 0 or (self.pseudo and self.m > 0):
            raise RepresentationError(
                "an irrep of the plane has a frequency m >= 0, and only m = 0 can be pseudo",
                got={"mul": self.mul, "m": self.m, "pseudo": self.pseudo},
            )

    @property
    def irrep_dim(self) -> int:
        """1 for frequency 0, else 2."""
        return 1 if self.m == 0 else 2

    @property
    def dim(self) -> int:
        """The length on the feature axis, over all copies."""
        return self.mul * self.irrep_dim

    def __str__(self) -> str:
        return f"{self.mul}x{self.m}{'-' if self.pseudo else ''}"


@final
@dataclass(frozen=True, init=False, repr=False)
class SO2Irreps:
    """A direct sum of irreps of the plane, in a fixed order.

    Args:
        value: text such as ``"4x0 + 2x1"``, another ``SO2Irreps``, or an iterable of entries or ``(mul, m)``.

    Raises:
        RepresentationError: if the value cannot be read.

    Example:
        >>> irreps = SO2Irreps("4x0 + 2x1 + 1x3")
        >>> irreps.dim, irreps.mmax, str(irreps)
        (10, 3, '4x0 + 2x1 + 1x3')
    """

    entries: tuple[SO2Entry, ...]

    def __init__(self, value: "str | SO2Irreps | Iterable[SO2Entry | tuple[int, int]]" = "") -> None:
        if isinstance(value, SO2Irreps):
            entries = value.entries
        elif isinstance(value, str):
            entries = tuple(_parse(term, value) for term in value.split("+")) if value.strip() else ()
        else:
            entries = tuple(entry if isinstance(entry, SO2Entry) else SO2Entry(*entry) for entry in value)
        object.__setattr__(self, "entries", entries)

    @property
    def dim(self) -> int:
        """The total dimension."""
        return sum(entry.dim for entry in self.entries)

    @property
    def mmax(self) -> int:
        """The largest frequency, 0 if there are no irreps."""
        return max((entry.m for entry in self.entries), default=0)

    def slices(self) -> list[slice]:
        """Return the place of every entry on the feature axis (the same in both layouts)."""
        places, start = [], 0
        for entry in self.entries:
            places.append(slice(start, start + entry.dim))
            start += entry.dim
        return places

    def blocks(self, rotation: Float[Tensor, "*batch 2 2"]) -> list[Float[Tensor, "*batch d d"]]:
        """Return for every entry the matrix of one copy, for any orthogonal 2 x 2 matrix.

        Powers of ``cos t + i sin t`` are multiplied out, so that quarter turns stay exact.

        Raises:
            ShapeError: if ``rotation`` does not end in (2, 2).
        """
        if rotation.shape[-2:] != (2, 2):
            raise ShapeError("irreps of the plane need its matrices", got=tuple(rotation.shape), expected="(..., 2, 2)")
        cos, sin = rotation[..., 0, 0], rotation[..., 1, 0]
        orientation = torch.linalg.det(rotation).sign()
        one = torch.ones_like(cos)
        powers = [(one, torch.zeros_like(sin))]
        for _ in range(self.mmax):
            a, b = powers[-1]
            powers.append((a * cos - b * sin, a * sin + b * cos))
        blocks = []
        for entry in self.entries:
            if entry.m == 0:
                blocks.append((orientation if entry.pseudo else one)[..., None, None])
                continue
            a, b = powers[entry.m]
            columns = [torch.stack([a, b], dim=-1), torch.stack([-b, a], dim=-1) * orientation.unsqueeze(-1)]
            blocks.append(torch.stack(columns, dim=-1))
        return blocks

    def matrix(self, rotation: Float[Tensor, "*batch 2 2"]) -> Float[Tensor, "*batch dim dim"]:
        """Return the block-diagonal matrix that acts on features in the layout ``mul_ir``."""
        matrix = rotation.new_zeros(*rotation.shape[:-2], self.dim, self.dim)
        start = 0
        for entry, block in zip(self.entries, self.blocks(rotation), strict=True):
            for _ in range(entry.mul):
                stop = start + entry.irrep_dim
                matrix[..., start:stop, start:stop] = block
                start = stop
        return matrix

    def __add__(self, other: "str | SO2Irreps") -> "SO2Irreps":
        return SO2Irreps(self.entries + SO2Irreps(other).entries)

    def __iter__(self) -> Iterator[SO2Entry]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __str__(self) -> str:
        return " + ".join(map(str, self.entries))

    def __repr__(self) -> str:
        return f"SO2Irreps({str(self)!r})"


@final
@dataclass(frozen=True)
class SO2IrrepsTensor(Representation):
    """Features on the last axis that transform by irreps of the plane.

    Args:
        irreps: such as ``"4x0 + 2x1"``.
        layout: order inside each block: ``"mul_ir"``, component fast, or ``"ir_mul"``, channel fast.
    """

    irreps: SO2Irreps
    layout: Literal["mul_ir", "ir_mul"] = "mul_ir"

    def __init__(self, irreps: str | SO2Irreps, layout: Literal["mul_ir", "ir_mul"] = "mul_ir") -> None:
        check_layout(layout)
        object.__setattr__(self, "irreps", SO2Irreps(irreps))
        object.__setattr__(self, "layout", layout)

    def apply(self, group: Group, g: Element, x: Shaped[Tensor, "*shape"]) -> Shaped[Tensor, "*shape"]:
        """Return the transformed features.

        Raises:
            RepresentationError: if the linear part of the group is not orthogonal and two-dimensional.
        """
        check_axes(x, (self.irreps.dim,), str(self))
        rotation = linear_part(group, g, x)
        if rotation is None or not self.irreps.entries:
            return x
        check_orthogonal(self, group, rotation, 2)
        parts = zip(self.irreps, self.irreps.slices(), self.irreps.blocks(rotation), strict=True)
        return torch.cat(
            [act_on_block(block.to(x), x[..., place], entry.mul, self.layout) for entry, place, block in parts],
            dim=-1,
        )


def _parse(term: str, text: str) -> SO2Entry:
    match = _ENTRY.fullmatch(term.strip())
    if match is None or (match[3] and int(match[2]) > 0):
        raise RepresentationError(
            "irreps of the plane cannot be read",
            got=repr(text),
            expected="terms such as 4x0, 2x0- or 1x3, joined by +",
            fix="write multiplicity, x, frequency; a minus sign after 0 marks a pseudoscalar",
            code="E201",
        )
    return SO2Entry(int(match[1] or 1), int(match[2]), bool(match[3]))
