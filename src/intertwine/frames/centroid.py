"""The frame of translations: one element, the centroid."""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from intertwine.frames.frame import Frame, Frames, rounded_origin
from intertwine.frames.moments import check_clouds, cloud_moments
from intertwine.groups import Group, T

__all__ = ["CentroidFrame"]


@final
@dataclass(frozen=True)
class CentroidFrame(Frame):
    """The identity about the centroid: an average over it is equivariant under translations only.

    Args:
        n: coordinates of a point.
    """

    group: Group

    def __init__(self, n: int = 3) -> None:
        object.__setattr__(self, "group", T(n))

    @property
    def dim(self) -> int:
        """Coordinates of a point."""
        return self.group.dim

    def __call__(
        self,
        points: Float[Tensor, "batch points d"],
        mask: Bool[Tensor, "batch points"] | None = None,
        *,
        rng: torch.Generator | None = None,
    ) -> Frames:
        """Return the frames of a batch of clouds; see `Frame`."""
        check_clouds(points, mask, self.dim, str(self))
        origin, _ = cloud_moments(points, mask, centred=True)
        translation, rest = rounded_origin(origin, points.dtype)
        batch = len(points)
        return Frames(
            torch.eye(self.dim, dtype=points.dtype, device=points.device).expand(batch, 1, self.dim, self.dim),
            translation,
            points.new_ones(batch, 1),
            torch.ones(batch, dtype=torch.bool, device=points.device),
            rest=rest,
        )

    def __str__(self) -> str:
        return f"frames of {self.group}"
