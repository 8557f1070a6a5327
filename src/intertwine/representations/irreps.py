"""Irreducible representations of O(3) and their direct sums, as immutable values with a text form.

``"16x0e + 8x1o"`` is 16 scalars and 8 polar vectors. The degree l fixes the dimension 2l + 1, the parity (``e`` or
``o``) the sign under inversion. Canonical order is 0e, 0o, 1o, 1e, 2e, 2o, ...: by degree, natural parity (-1)^l first.
The notation is that of e3nn 0.6.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import total_ordering
from typing import overload

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.errors import RepresentationError

__all__ = ["Irrep", "Irreps", "MulIrrep"]

_ENTRY = re.compile(r"^\s*(?:(\d+)\s*x)?\s*(\d+)\s*([eo])\s*$")
_PARITY = {"e": 1, "o": -1}


@total_ordering
@dataclass(frozen=True)
class Irrep:
    """One irrep of O(3): degree ``l`` and parity ``p`` (+1 even, -1 odd).

    Example:
        >>> Irrep.parse("2o").dim
        5
    """

    l: int  # noqa: E741 - the field's name for the degree
    p: int

    def __post_init__(self) -> None:
        if self.l < 0 or self.p not in (1, -1):
            raise RepresentationError(
                "an irrep needs a degree l >= 0 and a parity of +1 or -1", got={"l": self.l, "p": self.p}
            )

    @classmethod
    def parse(cls, text: "str | Irrep") -> "Irrep":
        """Read ``"1o"``.

        Raises:
            RepresentationError: if the text is not one irrep.
        """
        if isinstance(text, Irrep):
            return text
        match = _ENTRY.match(text)
        if match is None or match[1] is not None:
            raise _unreadable(text, "a degree and a parity, such as 1o")
        return cls(int(match[2]), _PARITY[match[3]])

    @property
    def dim(self) -> int:
        """The dimension 2l + 1."""
        return 2 * self.l + 1

    @property
    def natural(self) -> bool:
        """Whether the parity is (-1)^l, that of the spherical harmonics of a polar vector."""
        return self.p == (-1) ** self.l

    def __mul__(self, other: "Irrep") -> list["Irrep"]:
        """The irreps in the tensor product of two, each once (Clebsch-Gordan series)."""
        return [Irrep(l, self.p * other.p) for l in range(abs(self.l - other.l), self.l + other.l + 1)]  # noqa: E741

    def __lt__(self, other: "Irrep") -> bool:
        return (self.l, not self.natural) < (other.l, not other.natural)

    def __str__(self) -> str:
        return f"{self.l}{'e' if self.p == 1 else 'o'}"

    __repr__ = __str__


@dataclass(frozen=True, order=True)
class MulIrrep:
    """An irrep together with its multiplicity."""

    mul: int
    ir: Irrep

    @property
    def dim(self) -> int:
        """Multiplicity times the irrep's dimension."""
        return self.mul * self.ir.dim

    def __iter__(self) -> Iterator:
        return iter((self.mul, self.ir))

    def __str__(self) -> str:
        return f"{self.mul}x{self.ir}"

    __repr__ = __str__


class Irreps:
    """A direct sum of irreps of O(3), in a fixed order.

    Args:
        value: text such as ``"16x0e + 8x1o"``, another ``Irreps``, one ``Irrep``, or an iterable of irreps or of pairs
            ``(multiplicity, irrep)``.

    Raises:
        RepresentationError: if the value cannot be read.

    Example:
        >>> irreps = Irreps("16x0e + 8x1o")
        >>> irreps.dim, irreps.lmax, irreps.slices()[1]
        (40, 1, slice(16, 40, None))
    """

    __slots__ = ("entries",)
    entries: tuple[MulIrrep, ...]

    def __init__(self, value: "str | Irreps | Irrep | Iterable" = "") -> None:
        object.__setattr__(self, "entries", tuple(_entries(value)))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("Irreps are immutable")

    @classmethod
    def spherical_harmonics(cls, lmax: int, parity: int = -1) -> "Irreps":
        """The irreps of the spherical harmonics of degree 0 to ``lmax``; ``parity`` is that of the vector."""
        return cls([(1, Irrep(l, parity**l)) for l in range(lmax + 1)])  # noqa: E741

    @property
    def dim(self) -> int:
        """The total dimension."""
        return sum(entry.dim for entry in self.entries)

    @property
    def lmax(self) -> int:
        """The largest degree.

        Raises:
            RepresentationError: if there are no irreps.
        """
        if not self.entries:
            raise RepresentationError("empty irreps have no largest degree")
        return max(ir.l for _, ir in self.entries)

    @property
    def num_irreps(self) -> int:
        """The number of irreps, with multiplicity."""
        return sum(mul for mul, _ in self.entries)

    @property
    def irreps(self) -> list[Irrep]:
        """The irrep of every entry, in order, without multiplicity."""
        return [ir for _, ir in self.entries]

    def count(self, ir: "str | Irrep") -> int:
        """The total multiplicity of one irrep."""
        wanted = Irrep.parse(ir)
        return sum(mul for mul, other in self.entries if other == wanted)

    def slices(self) -> list[slice]:
        """The place of every entry on the feature axis (the same in both layouts)."""
        places, start = [], 0
        for entry in self.entries:
            places.append(slice(start, start + entry.dim))
            start += entry.dim
        return places

    def simplify(self) -> "Irreps":
        """Merge neighbours of the same irrep and drop empty entries, keeping the order."""
        merged: list[MulIrrep] = []
        for mul, ir in self.entries:
            if merged and merged[-1].ir == ir:
                merged[-1] = MulIrrep(merged[-1].mul + mul, ir)
            elif mul > 0:
                merged.append(MulIrrep(mul, ir))
        return Irreps(merged)

    def sort(self) -> tuple["Irreps", tuple[int, ...]]:
        """The entries in canonical order (stable), and for each old entry its new place."""
        order = sorted(range(len(self.entries)), key=lambda i: self.entries[i].ir)
        places = tuple(order.index(i) for i in range(len(order)))
        return Irreps([self.entries[i] for i in order]), places

    def regroup(self) -> "Irreps":
        """Sorted and simplified: one entry an irrep."""
        return self.sort()[0].simplify()

    def filter(self, keep: "str | Irreps | Iterable[Irrep] | None" = None, lmax: int | None = None) -> "Irreps":
        """The entries whose irrep is in ``keep`` and whose degree is at most ``lmax``."""
        allowed = None if keep is None else set(Irreps(keep).irreps)
        return Irreps(
            [
                entry
                for entry in self.entries
                if (allowed is None or entry.ir in allowed) and (lmax is None or entry.ir.l <= lmax)
            ]
        )

    def tensor_product(self, other: "str | Irreps") -> "Irreps":
        """The full tensor product, regrouped: every pair of irreps gives all its Clebsch-Gordan series."""
        return Irreps(
            [(m1 * m2, ir) for m1, a in self.entries for m2, b in Irreps(other).entries for ir in a * b]
        ).regroup()

    def random(
        self,
        *batch: int,
        rng: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        normalization: str = "component",
    ) -> Float[Tensor, "*batch dim"]:
        """Normal features: unit variance a component, or unit mean square norm an irrep (``"norm"``)."""
        x = torch.randn(*batch, self.dim, generator=rng, dtype=dtype)
        if normalization == "component":
            return x
        if normalization != "norm":
            raise RepresentationError(
                "unknown normalization of random features", got=normalization, expected="component or norm"
            )
        scale = [ir.dim**-0.5 for mul, ir in self.entries for _ in range(mul * ir.dim)]
        return x * torch.tensor(scale, dtype=x.dtype)

    def __add__(self, other: "str | Irreps") -> "Irreps":
        return Irreps(self.entries + Irreps(other).entries)

    def __mul__(self, times: int) -> "Irreps":
        return Irreps(self.entries * times)

    __rmul__ = __mul__

    def __iter__(self) -> Iterator[MulIrrep]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    @overload
    def __getitem__(self, index: int) -> MulIrrep: ...

    @overload
    def __getitem__(self, index: slice) -> "Irreps": ...

    def __getitem__(self, index: "int | slice") -> "MulIrrep | Irreps":
        return Irreps(self.entries[index]) if isinstance(index, slice) else self.entries[index]

    def __contains__(self, ir: "str | Irrep") -> bool:
        return self.count(ir) > 0

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str):
            return self.entries == Irreps(other).entries
        return isinstance(other, Irreps) and self.entries == other.entries

    def __hash__(self) -> int:
        return hash(self.entries)

    def __reduce__(self) -> tuple:
        return Irreps, (str(self),)

    def __str__(self) -> str:
        return " + ".join(map(str, self.entries))

    def __repr__(self) -> str:
        return f"Irreps({str(self)!r})"


def _entries(value: "str | Irreps | Irrep | Iterable") -> Iterator[MulIrrep]:
    if isinstance(value, Irreps):
        yield from value.entries
        return
    if isinstance(value, Irrep):
        yield MulIrrep(1, value)
        return
    if isinstance(value, str):
        for part in value.split("+") if value.strip() else ():
            match = _ENTRY.match(part)
            if match is None:
                raise _unreadable(value, "terms such as 16x0e or 1o, joined by +")
            yield MulIrrep(int(match[1] or 1), Irrep(int(match[2]), _PARITY[match[3]]))
        return
    for item in value:
        if isinstance(item, str | Irrep):
            yield MulIrrep(1, Irrep.parse(item))
            continue
        mul, ir = item
        if mul < 0:
            raise RepresentationError("a multiplicity cannot be negative", got=f"{mul}x{ir}")
        yield MulIrrep(int(mul), Irrep(*ir) if isinstance(ir, tuple) else Irrep.parse(ir))


def _unreadable(text: str, expected: str) -> RepresentationError:
    return RepresentationError(
        "irreps cannot be read",
        got=repr(text),
        expected=expected,
        fix="write multiplicity, x, degree, parity: 8x1o is eight polar vectors, 0e a scalar",
        code="E201",
    )
