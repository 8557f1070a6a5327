"""The contract of frames: from a cloud of points, a few group elements that move with it.

A frame F is equivariant, ``F(g X) = g F(X)`` as sets, so that averages over it have the symmetry: the invariant
``mean phi(h^-1 X)`` and the equivariant ``mean h Phi(h^-1 X)``, both over h in F(X).

Source: Puny et al., Frame Averaging for Invariant and Equivariant Network Design, ICLR 2022, section 2.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from intertwine.errors import ConfigError, ShapeError
from intertwine.groups import Group
from intertwine.points import pad_clouds

__all__ = ["Frame", "Frames", "check_choice", "pad_segments"]


@final
@dataclass(frozen=True)
class Frames:
    """Elements of the frames of a batch of clouds, the same number of each.

    Args:
        linear: linear part of each element; its columns are the axes, in the coordinates of the input.
        translation: the origin of each cloud, which all elements of its frame share.
        weights: of the average, adding up to one for each cloud.
        valid: whether the frame moves with the cloud. It does not where axes are arbitrary, as in a cube.
        inverse: inverses of ``linear``; its transposes where not given, as for orthogonal groups.
        rank: dimensions that the points of each cloud span about its origin; not known where not given.
        span: projections on what they span, for frames whose axes beyond it mean nothing: vectors that a network gives
            are projected. Averages over all signs of an axis need no projection.
        rest: what ``translation``, in the precision of the points, leaves out of the origin: far away that is much.
    """

    linear: Float[Tensor, "batch frames d d"]
    translation: Float[Tensor, "batch d"]
    weights: Float[Tensor, "batch frames"]
    valid: Bool[Tensor, " batch"]
    inverse: Float[Tensor, "batch frames d d"] | None = None
    rank: Int64[Tensor, " batch"] | None = None
    span: Float[Tensor, "batch d d"] | None = None
    rest: Float[Tensor, "batch d"] | None = None

    def seen_from_origin(
        self, points: Float[Tensor, "rows ... d"], index: Int64[Tensor, " rows"] | None = None
    ) -> Float[Tensor, "rows ... d"]:
        """Return points as seen from the origins of their clouds.

        Args:
            points: of the clouds in their order, or with ``index`` of the clouds that it names.
            index: the cloud of each row.
        """
        seen = points - self._by_row(self.translation, points, index)
        return seen if self.rest is None else seen - self._by_row(self.rest, points, index)

    def put_back(
        self, points: Float[Tensor, "rows ... d"], index: Int64[Tensor, " rows"] | None = None
    ) -> Float[Tensor, "rows ... d"]:
        """Return points seen from the origins of their clouds where they are; the inverse of `seen_from_origin`."""
        points = points if self.rest is None else points + self._by_row(self.rest, points, index)
        return points + self._by_row(self.translation, points, index)

    @staticmethod
    def _by_row(origin: Tensor, points: Tensor, index: Tensor | None) -> Tensor:
        origin = origin if index is None else origin.index_select(0, index)
        return origin.reshape(len(origin), *[1] * (points.ndim - 2), origin.shape[-1])

    @property
    def count(self) -> int:
        """Elements of each frame."""
        return self.linear.shape[1]

    @property
    def inverse_linear(self) -> Float[Tensor, "batch frames d d"]:
        """Inverses of the linear parts."""
        return self.linear.mT if self.inverse is None else self.inverse

    @property
    def orientation(self) -> Float[Tensor, "batch frames"]:
        """Signs of the determinants, which pseudoscalars and pseudovectors are multiplied by."""
        return torch.linalg.det(self.linear).sign()


class Frame(ABC):
    """A map from clouds of points to elements of a group, as an immutable value."""

    group: Group
    """The group whose elements it returns."""

    @property
    @abstractmethod
    def dim(self) -> int:
        """Coordinates of a point."""

    @property
    def kept(self) -> Group | None:
        """The group under which averages are equivariant: ``group``, where frames move with their clouds."""
        return self.group

    @abstractmethod
    def __call__(
        self,
        points: Float[Tensor, "batch points d"],
        mask: Bool[Tensor, "batch points"] | None = None,
        *,
        rng: torch.Generator | None = None,
    ) -> Frames:
        """Return the frames of a batch of clouds.

        Args:
            points: one cloud for each entry of the batch.
            mask: which of its points a cloud has; all where not given.
            rng: for frames that are drawn at random; others ignore it.

        Raises:
            ShapeError: if points have other than ``dim`` coordinates.
            NumericsError: if a coordinate is not finite; it names the clouds.
        """

    def reading(self, inputs: Mapping[str, Any]) -> "Frame":
        """Return this frame with what else it reads of the inputs of a network; most see the points only."""
        return self

    def of_segments(
        self,
        points: Float[Tensor, "points d"],
        index: Int64[Tensor, " points"],
        count: int,
        *,
        rng: torch.Generator | None = None,
    ) -> Frames:
        """Return the frames of clouds whose points lie in one tensor.

        Args:
            points: of all clouds.
            index: the cloud of each point, from 0 to ``count`` - 1; in any order.
            count: number of clouds; those without points have a frame too, about the origin.
            rng: for frames that are drawn at random.
        """
        padded, mask = pad_segments(points, index, count)
        return self(padded, mask, rng=rng)


def rounded_origin(
    origin: Float[Tensor, "batch d"], dtype: torch.dtype
) -> tuple[Float[Tensor, "batch d"], Float[Tensor, "batch d"] | None]:
    """Return origins in float64 as ``translation`` and ``rest`` of frames of this precision."""
    translation = origin.to(dtype)
    return translation, None if dtype == origin.dtype else (origin - translation).to(dtype)


def pad_segments(
    points: Float[Tensor, "points ..."], index: Int64[Tensor, " points"], count: int
) -> tuple[Float[Tensor, "count longest ..."], Bool[Tensor, "count longest"]]:
    """Return clouds of one tensor as a batch padded with zeros, points in their order, and which entries are points.

    The same as `intertwine.points.pad_clouds` with the values of the points, of any shape, in their places.
    """
    if not points.ndim or index.shape != points.shape[:1]:
        raise ShapeError(
            "clouds in one tensor need the cloud of each point",
            got={"points": tuple(points.shape), "index": tuple(index.shape)},
            expected="(points, ...) and (points,)",
        )
    place, mask = pad_clouds(index, count)
    return torch.where(mask.reshape(*mask.shape, *[1] * (points.ndim - 1)), points[place], 0.0), mask


def check_choice(name: str, value: object, known: tuple[object, ...]) -> None:
    """Refuse a word that is none of those known.

    Raises:
        ConfigError: naming the argument and the words it takes.
    """
    if value not in known:
        raise ConfigError(f"a frame has no such `{name}`", got=value, expected=", ".join(map(str, known)))
