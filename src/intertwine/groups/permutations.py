"""The symmetric group S_n: ``int64`` permutations ``(..., n)``, where ``p[i]`` is the new place of item i.

Moving the items of ``x`` gives ``y`` with ``y[p[i]] = x[i]``, and an index that pointed to item i then points
to ``p[i]``.
"""

import itertools
import math
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Bool, Int64, Shaped
from torch import Tensor

from intertwine.errors import GroupError, ShapeError
from intertwine.groups.group import FiniteGroup, check_element_shape, check_size

__all__ = ["SymmetricGroup"]


@final
@dataclass(frozen=True)
class SymmetricGroup(FiniteGroup):
    """All permutations of n items; ``SymmetricGroup(None)`` is "of any number of items", to be bound later.

    Example:
        >>> SymmetricGroup(3).apply(torch.tensor([1, 2, 0]), torch.tensor([10, 20, 30]))
        tensor([30, 10, 20])
    """

    n: int | None = None

    def __post_init__(self) -> None:
        if self.n is not None:
            check_size(self.n, "SymmetricGroup", smallest=0)

    def __str__(self) -> str:
        return f"S_{'n' if self.n is None else self.n}"

    @property
    def order(self) -> int | None:
        """Return n!, or None while n is not bound."""
        return None if self.n is None else math.factorial(self.n)

    @property
    def bound(self) -> bool:
        """Whether the number of items is fixed."""
        return self.n is not None

    def bind(self, items: int) -> "SymmetricGroup":
        """Return the group of permutations of ``items`` items.

        Raises:
            GroupError: if the group is already bound to another number.
        """
        if self.n not in (None, items):
            raise GroupError(f"{self} does not act on {items} items", got={"items": items}, expected=f"{self.n} items")
        return SymmetricGroup(items)

    def identity(
        self, *batch: int, dtype: torch.dtype | None = None, device: torch.device | str | None = None
    ) -> Int64[Tensor, "*batch n"]:
        """Return permutations that leave every item in its place."""
        return torch.arange(self._bound_size(), device=device).repeat(*batch, 1)

    def compose(self, g: Int64[Tensor, "*g n"], h: Int64[Tensor, "*h n"]) -> Int64[Tensor, "*gh n"]:
        """Return ``i -> g[h[i]]``."""
        g, h = torch.broadcast_tensors(self._checked(g), self._checked(h))
        return g.gather(-1, h)

    def inverse(self, g: Int64[Tensor, "*batch n"]) -> Int64[Tensor, "*batch n"]:
        """Return the permutation that puts every item back."""
        return self._checked(g).argsort(-1)

    def sample(
        self,
        *batch: int,
        rng: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> Int64[Tensor, "*batch n"]:
        """Draw permutations, each with the same probability."""
        drawn_on = rng.device if rng else device
        keys = torch.rand(*batch, self._bound_size(), generator=rng, dtype=torch.float64, device=drawn_on)
        return keys.argsort(-1).to(device)

    def contains(self, g: Int64[Tensor, "*batch n"], tolerance: float | None = None) -> Bool[Tensor, "*batch"]:
        """Tell whether every place is taken once; ``tolerance`` is ignored."""
        self._checked(g)
        return (g.sort(-1).values == torch.arange(g.shape[-1], device=g.device)).all(-1)

    def apply(self, g: Int64[Tensor, "*g n"], x: Shaped[Tensor, "*x n"]) -> Shaped[Tensor, "*gx n"]:
        """Return ``y`` with ``y[..., g[i]] = x[..., i]``, the entries in their new places."""
        check_element_shape(x, (self._checked(g).shape[-1],), f"the space on which {self} acts")
        back, x = torch.broadcast_tensors(g.argsort(-1), x)
        return x.gather(-1, back)

    def permutation(self, g: Int64[Tensor, "*batch n"]) -> Int64[Tensor, "*batch n"]:
        """Return ``g`` itself."""
        return self._checked(g)

    def _enumerate(self) -> Int64[Tensor, "order n"]:
        listed = list(itertools.permutations(range(self._bound_size())))
        return torch.tensor(listed, dtype=torch.int64).view(len(listed), self._bound_size())

    def _bound_size(self) -> int:
        if self.n is None:
            raise GroupError(
                "the number of permuted items is not known yet",
                got="S_n",
                expected="a bound group such as S_5",
                fix="call bind(items) first",
            )
        return self.n

    def _checked(self, g: Tensor) -> Tensor:
        if not isinstance(g, Tensor) or g.dtype != torch.int64 or g.ndim == 0:
            got = f"{g.dtype} {tuple(g.shape)}" if isinstance(g, Tensor) else type(g).__name__
            raise ShapeError(f"this is not a batch of elements of {self}", got=got, expected="int64 (..., n)")
        if self.n is not None:
            check_element_shape(g, (self.n,), str(self))
        return g
