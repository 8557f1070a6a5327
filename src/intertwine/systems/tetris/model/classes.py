"""Classes of shapes and their mirror images: how the scores of classes follow a reflection.

Invariant scores cannot tell two mirror images apart. So a pair of them shares an even scalar e and an odd one o, and
scores (o e, -o e): a rotation changes nothing, a reflection swaps the two.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Shaped
from torch import Tensor

from intertwine.errors import ConfigError
from intertwine.groups import Element, Group
from intertwine.representations import Representation
from intertwine.representations.actions import check_axes, linear_part

__all__ = ["ClassTable", "MirroredClasses"]


@final
@dataclass(frozen=True)
class MirroredClasses(Representation):
    """Scores of classes on the last axis: elements that reverse orientation swap those of mirror images.

    Args:
        mirror: for each class the place of its mirror image, which is its own place for most.
    """

    mirror: tuple[int, ...]

    def __post_init__(self) -> None:
        places = range(len(self.mirror))
        if sorted(self.mirror) != list(places) or any(self.mirror[self.mirror[i]] != i for i in places):
            raise ConfigError(
                "the mirror image of a mirror image is the class itself",
                got=self.mirror,
                expected="for each class one place, such as (1, 0, 2)",
            )

    def apply(self, group: Group, g: Element, x: Shaped[Tensor, "*shape"]) -> Shaped[Tensor, "*shape"]:
        """Return the scores, those of mirror images swapped where the element reverses orientation."""
        matrix = linear_part(group, g, x)
        if matrix is None or torch.linalg.det(matrix) > 0:
            return x
        check_axes(x, (len(self.mirror),), str(self))
        return x[..., torch.tensor(self.mirror, device=x.device)]


@dataclass(frozen=True)
class ClassTable:
    """The classes of a classifier by name, and which of them are mirror images.

    Args:
        names: in the order of the outputs.
        pairs: names of mirror images.

    Raises:
        ConfigError: if there are fewer than two classes, a name occurs twice, or a pair is not one of two classes.
    """

    names: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if len(self.names) < 2 or len(set(self.names)) != len(self.names):
            raise ConfigError(
                "a classifier needs at least two classes, each of its own name", got=", ".join(self.names) or "none"
            )
        paired = [name for pair in self.pairs for name in pair]
        unknown = [name for name in paired if name not in self.names]
        if unknown or len(set(paired)) != len(paired):
            raise ConfigError(
                "mirror_pairs names classes that do not exist" if unknown else "a class is in two mirror pairs",
                got=", ".join(unknown) or "; ".join(" and ".join(pair) for pair in self.pairs),
                expected=f"pairs of two different of {', '.join(self.names)}",
                fix="correct data.mirror_pairs",
            )

    @property
    def chiral(self) -> list[tuple[int, int]]:
        """The places of the two classes of each pair."""
        return [(self.names.index(a), self.names.index(b)) for a, b in self.pairs]

    @property
    def achiral(self) -> list[int]:
        """The places of the classes that are their own mirror images."""
        paired = {name for pair in self.pairs for name in pair}
        return [place for place, name in enumerate(self.names) if name not in paired]

    @property
    def mirror(self) -> tuple[int, ...]:
        """For each class the place of its mirror image."""
        places = list(range(len(self.names)))
        for first, second in self.chiral:
            places[first], places[second] = second, first
        return tuple(places)

    def order(self) -> tuple[int, ...]:
        """For each class its place among: the firsts of all pairs, the seconds, the others."""
        listed = [a for a, _ in self.chiral] + [b for _, b in self.chiral] + self.achiral
        return tuple(listed.index(place) for place in range(len(self.names)))

    def places_of(self, labels: Sequence[str]) -> list[int]:
        """Return the places of classes by name."""
        return [self.names.index(label) for label in labels]
