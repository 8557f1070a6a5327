"""The contract of a group: a value that draws, composes, inverts and applies its elements.

An element is a tensor whose leading axes are a batch, or a tuple of elements for a product group.
``compose(g, h)`` is "first h, then g" and broadcasts over batches. Three capabilities tell representations
what an element does to data: its ``linear`` part, its ``translation`` and its ``permutation``; None means
that the group has no such part.
"""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, TypeAlias

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from intertwine.errors import GroupError, ShapeError

__all__ = ["Element", "FiniteGroup", "Group", "check_element_shape", "check_size", "standard_normal"]

Element: TypeAlias = Any
"""A tensor, or a tuple of elements for a product group; the class of the group says of what shape."""

_LARGEST_LISTED_ORDER = 50_000


class Group(ABC):
    """A group, as an immutable value: two groups are equal when they are the same group.

    ``str(group)`` is a name such as ``"SO(3)"`` that `intertwine.groups.parse_group` reads back.
    """

    orthogonal: ClassVar[bool] = True
    """Whether ``linear(g)``, where there is one, is an orthogonal matrix."""

    @property
    @abstractmethod
    def dim(self) -> int:
        """Dimension of the Lie algebra; 0 for a finite group."""

    @property
    def order(self) -> int | None:
        """Number of elements, or None when there are infinitely many."""
        return None

    @property
    def bound(self) -> bool:
        """Whether the number of items that the group permutes, if any, is fixed."""
        return True

    def bind(self, items: int) -> "Group":
        """Return this group for ``items`` permuted items; a group that permutes nothing returns itself."""
        return self

    @abstractmethod
    def identity(
        self, *batch: int, dtype: torch.dtype | None = None, device: torch.device | str | None = None
    ) -> Element:
        """Return the neutral element, repeated over ``batch``; ``dtype`` is ignored by integer elements."""

    @abstractmethod
    def compose(self, g: Element, h: Element) -> Element:
        """Return the element that acts as ``h`` first and ``g`` second."""

    @abstractmethod
    def inverse(self, g: Element) -> Element:
        """Return the element that undoes ``g``."""

    @abstractmethod
    def sample(
        self,
        *batch: int,
        rng: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> Element:
        """Draw independent elements: from the Haar measure where the group is compact.

        The draw depends on ``rng`` alone, not on ``dtype`` or ``device``: it is made in float64 on the device
        of the generator, then converted. Without ``rng`` torch's own generator is used.
        """

    @abstractmethod
    def contains(self, g: Element, tolerance: float | None = None) -> Bool[Tensor, "*batch"]:
        """Tell for each entry of the batch whether it is an element, reals up to ``tolerance``.

        Raises:
            ShapeError: if the trailing axes are not those of an element.
        """

    @abstractmethod
    def apply(self, g: Element, x: Any) -> Any:
        """Return the natural action of ``g`` on ``x``; the batch axes of both broadcast."""

    def linear(self, g: Element) -> Float[Tensor, "*batch n n"] | None:
        """Return the linear part of ``g`` as matrices, or None if the group has none."""
        return None

    def translation(self, g: Element) -> Float[Tensor, "*batch n"] | None:
        """Return the translation of ``g`` (it acts after the linear part), or None if there is none."""
        return None

    def permutation(self, g: Element) -> Int64[Tensor, "*batch n"] | None:
        """Return the new place of each item, or None if the group permutes nothing."""
        return None

    def hat(self, coordinates: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch m m"]:
        """Return the matrices of the Lie algebra with these coordinates."""
        raise self._without("matrices of a Lie algebra")

    def vee(self, algebra: Float[Tensor, "*batch m m"]) -> Float[Tensor, "*batch dim"]:
        """Return the coordinates of matrices of the Lie algebra; the inverse of ``hat``."""
        raise self._without("matrices of a Lie algebra")

    def exp(self, coordinates: Float[Tensor, "*batch dim"]) -> Element:
        """Return the element that the one-parameter group of ``coordinates`` reaches at time one."""
        raise self._without("an exponential map")

    def log(self, g: Element) -> Float[Tensor, "*batch dim"]:
        """Return the coordinates of smallest norm whose exponential is ``g``."""
        raise self._without("a logarithm")

    def __mul__(self, other: "Group") -> "Group":
        from intertwine.groups.product import ProductGroup

        return ProductGroup(self, other) if isinstance(other, Group) else NotImplemented

    def _without(self, what: str) -> GroupError:
        return GroupError(
            f"{self} does not offer {what}",
            got=str(self),
            expected="O(n), SO(n), E(n), SE(n), or a product of them with finite groups",
        )


class FiniteGroup(Group):
    """A group with finitely many elements, held as integers; a Lie group of dimension 0."""

    @property
    def dim(self) -> int:
        """Return 0: the Lie algebra of a finite group has no directions."""
        return 0

    @abstractmethod
    def _enumerate(self) -> Int64[Tensor, "order *element"]:
        """Return all elements, the identity first."""

    def elements(self, device: torch.device | str | None = None) -> Int64[Tensor, "order *element"]:
        """Return every element once, the identity first.

        Raises:
            GroupError: if there are more than 50 000 elements, or the number of items is not bound.
        """
        if self.order is None or self.order > _LARGEST_LISTED_ORDER:
            raise GroupError(
                f"{self} cannot be listed",
                got={"order": self.order},
                expected=f"a bound group of at most {_LARGEST_LISTED_ORDER} elements",
                fix="use sample(...), or call bind(items) first",
            )
        return self._enumerate().to(device)

    def index(self, g: Int64[Tensor, "*batch_element"]) -> Int64[Tensor, "*batch"]:
        """Return the place of each element in ``elements()``.

        Raises:
            GroupError: if an entry is not an element.
        """
        if not self.contains(g).all():
            raise GroupError(f"this is not a batch of elements of {self}", got=str(g), expected="elements only")
        listed = self.elements(g.device)
        if listed.ndim == 1:
            return g
        base = int(listed.max()) + 1 if listed.numel() else 1
        weights = base ** torch.arange(listed.shape[-1], device=g.device)
        keys, places = (listed * weights).sum(-1).sort()
        return places[torch.searchsorted(keys, (g * weights).sum(-1))]

    def multiplication_table(self) -> Int64[Tensor, "order order"]:
        """Return ``table[i, j]``, the place in ``elements()`` of element i after element j."""
        listed = self.elements()
        return self.index(self.compose(listed.unsqueeze(1), listed.unsqueeze(0)))

    def exp(self, coordinates: Float[Tensor, "*batch 0"]) -> Element:
        """Return the identity, the only element that a Lie algebra of dimension 0 reaches."""
        check_element_shape(coordinates, (0,), f"the Lie algebra of {self}")
        return self.identity(*coordinates.shape[:-1], device=coordinates.device)

    def log(self, g: Element) -> Float[Tensor, "*batch 0"]:
        """Return the empty coordinates of the identity.

        Raises:
            GroupError: if an element is not the identity.
        """
        if (g != self.identity(device=g.device)).any():
            raise GroupError(f"only the identity of {self} has a logarithm", got=str(g), expected="the identity")
        batch = g.shape[: g.ndim - self.identity().ndim]
        return torch.zeros(*batch, 0, device=g.device)


def check_size(n: int, name: str, smallest: int = 1) -> None:
    """Raise GroupError unless ``n`` is an integer of at least ``smallest``."""
    if not isinstance(n, int) or isinstance(n, bool) or n < smallest:
        raise GroupError(f"{name} needs a size", got=repr(n), expected=f"an integer n >= {smallest}")


def check_element_shape(g: Tensor, shape: tuple[int, ...], what: str) -> None:
    """Raise ShapeError unless ``g`` is a tensor whose last axes have ``shape``."""
    if not isinstance(g, Tensor) or tuple(g.shape[g.ndim - len(shape) :]) != shape or g.ndim < len(shape):
        got = tuple(g.shape) if isinstance(g, Tensor) else type(g).__name__
        expected = f"a tensor of shape (..., {', '.join(map(str, shape))})" if shape else "a tensor"
        raise ShapeError(f"this is not a batch of elements of {what}", got=got, expected=expected)


def standard_normal(
    *shape: int, rng: torch.Generator | None, device: torch.device | str | None
) -> Float[Tensor, "*shape"]:
    """Draw float64 normal numbers on the device of the generator and move them to ``device``."""
    drawn = torch.randn(shape, generator=rng, dtype=torch.float64, device=rng.device if rng else device)
    return drawn.to(device)
