"""Frames of a plane, for clouds in space with one direction that means something, such as up."""

from dataclasses import dataclass, replace
from typing import final

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from intertwine.errors import ShapeError
from intertwine.frames.frame import Frame, Frames
from intertwine.frames.moments import check_clouds
from intertwine.groups import Embedded, Group

__all__ = ["PlanarFrame"]


@final
@dataclass(frozen=True)
class PlanarFrame(Frame):
    """A frame of the first coordinates; the others stay as they are.

    ``PlanarFrame(PCAFrame("E(2)"))`` has the four elements of the "2D" frames of Duval et al., ICML 2023, from
    principal axes in x and y, for molecules on a flat surface, say; ``PCAFrame("SE(2)")`` gives two. The policies of
    the inner frame hold for what the points do in the plane.

    Args:
        frame: of the first coordinates, of O, SO, E or SE.
        n: number of coordinates.

    Raises:
        GroupError: if the frame is of another group, or of more coordinates.

    Example:
        >>> from intertwine.frames import PCAFrame
        >>> PlanarFrame(PCAFrame("SE(2)"))(torch.randn(1, 5, 3)).linear[0, :, 2]
        tensor([[0., 0., 1.],
                [0., 0., 1.]])
    """

    group: Group
    frame: Frame
    n: int

    def __init__(self, frame: Frame, n: int = 3) -> None:
        object.__setattr__(self, "group", Embedded(frame.group, n))  # pyright: ignore[reportArgumentType] - it checks
        object.__setattr__(self, "frame", frame)
        object.__setattr__(self, "n", n)

    @property
    def dim(self) -> int:
        """Coordinates of a point."""
        return self.n

    @property
    def kept(self) -> Group | None:
        """What averages over the inner frame keep, in the plane."""
        inner = self.frame.kept
        return inner if inner is None else Embedded(inner, self.n)  # pyright: ignore[reportArgumentType] - it checks

    @property
    def degenerate(self) -> str:
        """What the inner frame does with clouds that fix too little."""
        return getattr(self.frame, "degenerate", "ignore")

    def __str__(self) -> str:
        return f"{self.frame} in {self.n}D"

    def __call__(
        self,
        points: Float[Tensor, "batch points d"],
        mask: Bool[Tensor, "batch points"] | None = None,
        *,
        rng: torch.Generator | None = None,
    ) -> Frames:
        """Return the frames of a batch of clouds; see `Frame`."""
        check_clouds(points, mask, self.dim, str(self))
        return self._embedded(self.frame(points[..., : self.frame.dim], mask, rng=rng))

    def of_segments(
        self,
        points: Float[Tensor, "points d"],
        index: Int64[Tensor, " points"],
        count: int,
        *,
        rng: torch.Generator | None = None,
    ) -> Frames:
        """Return the frames of clouds whose points lie in one tensor; see `Frame`."""
        if points.shape[-1] != self.dim:
            expected = f"(points, {self.dim})"
            raise ShapeError(f"{self} takes clouds of points", got=tuple(points.shape), expected=expected)
        return self._embedded(self.frame.of_segments(points[..., : self.frame.dim], index, count, rng=rng))

    def _embedded(self, frames: Frames) -> Frames:
        left = self.n - self.frame.dim
        return replace(
            frames,
            linear=_with_ones(frames.linear, self.n),
            translation=torch.nn.functional.pad(frames.translation, (0, left)),
            rest=None if frames.rest is None else torch.nn.functional.pad(frames.rest, (0, left)),
            inverse=None if frames.inverse is None else _with_ones(frames.inverse, self.n),
            rank=None if frames.rank is None else frames.rank + left,
            span=None if frames.span is None else _with_ones(frames.span, self.n),
        )


def _with_ones(matrices: Float[Tensor, "*batch d d"], n: int) -> Float[Tensor, "*batch n n"]:
    d = matrices.shape[-1]
    rest = torch.eye(n, dtype=matrices.dtype, device=matrices.device)[d:].expand(*matrices.shape[:-2], n - d, n)
    return torch.cat([torch.nn.functional.pad(matrices, (0, n - d)), rest], dim=-2)
