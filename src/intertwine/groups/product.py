"""Direct products of groups: an element is a tuple with one element of each factor.

``O(3) * SymmetricGroup(5)`` rotates positions and, independently, permutes items.
"""

import math
from dataclasses import dataclass
from functools import reduce
from operator import and_
from typing import Any, Literal, final

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from intertwine.errors import GroupError
from intertwine.groups.group import Element, Group, check_element_shape

__all__ = ["ProductGroup"]


@final
@dataclass(frozen=True, init=False)
class ProductGroup(Group):
    """The direct product of two or more groups; nested products are flattened.

    Each capability (linear part, translation, permutation) is answered by the one factor that has it.

    Example:
        >>> from intertwine.groups import O, SymmetricGroup
        >>> str(O(3) * SymmetricGroup(5))
        'O(3) x S_5'
    """

    factors: tuple[Group, ...]

    def __init__(self, *factors: Group) -> None:
        flat: list[Group] = []
        for factor in factors:
            flat += factor.factors if isinstance(factor, ProductGroup) else [factor]
        if len(flat) < 2 or not all(isinstance(factor, Group) for factor in flat):
            raise GroupError(
                "a product needs two or more groups",
                got=tuple(map(str, factors)),
                expected="ProductGroup(O(3), SymmetricGroup(5)), or O(3) * SymmetricGroup(5)",
            )
        object.__setattr__(self, "factors", tuple(flat))

    def __str__(self) -> str:
        return " x ".join(map(str, self.factors))

    @property
    def orthogonal(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Whether the linear parts of all factors are orthogonal."""
        return all(factor.orthogonal for factor in self.factors)

    @property
    def dim(self) -> int:
        """Return the sum over the factors."""
        return sum(factor.dim for factor in self.factors)

    @property
    def order(self) -> int | None:
        """Return the product over the factors, or None if one is infinite."""
        orders = [factor.order for factor in self.factors]
        return None if None in orders else math.prod(order for order in orders if order is not None)

    @property
    def bound(self) -> bool:
        """Whether every factor knows how many items it permutes."""
        return all(factor.bound for factor in self.factors)

    def bind(self, items: int) -> "ProductGroup":
        """Return the product whose unbound factors permute ``items`` items."""
        return ProductGroup(*(factor if factor.bound else factor.bind(items) for factor in self.factors))

    def identity(
        self, *batch: int, dtype: torch.dtype | None = None, device: torch.device | str | None = None
    ) -> tuple[Element, ...]:
        """Return the tuple of identities."""
        return tuple(factor.identity(*batch, dtype=dtype, device=device) for factor in self.factors)

    def compose(self, g: tuple[Element, ...], h: tuple[Element, ...]) -> tuple[Element, ...]:
        """Compose factor by factor."""
        pairs = zip(self.factors, self._checked(g), self._checked(h), strict=True)
        return tuple(factor.compose(left, right) for factor, left, right in pairs)

    def inverse(self, g: tuple[Element, ...]) -> tuple[Element, ...]:
        """Invert factor by factor."""
        return tuple(factor.inverse(part) for factor, part in self._pairs(g))

    def sample(
        self,
        *batch: int,
        rng: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> tuple[Element, ...]:
        """Draw the factors independently, in their order."""
        return tuple(factor.sample(*batch, rng=rng, dtype=dtype, device=device) for factor in self.factors)

    def contains(self, g: tuple[Element, ...], tolerance: float | None = None) -> Bool[Tensor, "*batch"]:
        """Tell whether every part is an element of its factor."""
        return reduce(and_, [factor.contains(part, tolerance) for factor, part in self._pairs(g)])

    def apply(self, g: tuple[Element, ...], x: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the tuple of natural actions on a tuple ``x`` with one part for each factor."""
        parts = zip(self._pairs(g), self._checked(x), strict=True)
        return tuple(factor.apply(part, data) for (factor, part), data in parts)

    def linear(self, g: tuple[Element, ...]) -> Float[Tensor, "*batch n n"] | None:
        """Return the linear part of the one factor that has one."""
        return self._capability("linear", g)

    def translation(self, g: tuple[Element, ...]) -> Float[Tensor, "*batch n"] | None:
        """Return the translation of the one factor that has one."""
        return self._capability("translation", g)

    def permutation(self, g: tuple[Element, ...]) -> Int64[Tensor, "*batch n"] | None:
        """Return the permutation of the one factor that has one."""
        return self._capability("permutation", g)

    def exp(self, coordinates: Float[Tensor, "*batch dim"]) -> tuple[Element, ...]:
        """Return the exponentials of the factors, whose coordinates follow one another."""
        check_element_shape(coordinates, (self.dim,), f"the Lie algebra of {self}")
        parts = coordinates.split([factor.dim for factor in self.factors], dim=-1)
        return tuple(factor.exp(part) for factor, part in zip(self.factors, parts, strict=True))

    def log(self, g: tuple[Element, ...]) -> Float[Tensor, "*batch dim"]:
        """Return the logarithms of the factors one after another; finite factors must be at the identity."""
        parts = [factor.log(part) for factor, part in self._pairs(g)]
        return torch.cat([part for part in parts if part.shape[-1]] or parts, dim=-1)

    def _capability(
        self, name: Literal["linear", "translation", "permutation"], g: tuple[Element, ...]
    ) -> Tensor | None:
        answers = [(factor, getattr(factor, name)(part)) for factor, part in self._pairs(g)]
        answers = [(factor, answer) for factor, answer in answers if answer is not None]
        if len(answers) > 1:
            raise GroupError(
                f"two factors of {self} have a {name} part, and data cannot tell which one acts on them",
                got=", ".join(str(factor) for factor, _ in answers),
                expected="at most one factor with this part",
            )
        return answers[0][1] if answers else None

    def _pairs(self, g: tuple[Element, ...]) -> list[tuple[Group, Element]]:
        return list(zip(self.factors, self._checked(g), strict=True))

    def _checked(self, g: tuple[Any, ...]) -> tuple[Any, ...]:
        if not isinstance(g, (tuple, list)) or len(g) != len(self.factors):
            raise GroupError(
                f"an element of {self} has one part for each factor",
                got=f"{type(g).__name__} of length {len(g)}" if hasattr(g, "__len__") else type(g).__name__,
                expected=f"a tuple of length {len(self.factors)}",
            )
        return tuple(g)
