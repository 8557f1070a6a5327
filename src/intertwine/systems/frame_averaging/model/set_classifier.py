"""Which class a set of points is of: a perceptron on all coordinates, averaged over orders of the points.

Source: Dym, Lawrence, Siegel, Equivariant Frames and the Impossibility of Continuous Canonicalization, ICML 2024,
section 5.
"""

from functools import reduce
from operator import mul

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.errors import ShapeError
from intertwine.frames import (
    CentroidFrame,
    DirectionsFrame,
    FiniteFrame,
    Frame,
    FrameAverage,
    FrameAverageSet,
    FullSetFrame,
    PCAFrame,
    RandomDirectionFrame,
    SetFrame,
    separated_directions,
)
from intertwine.groups import SymmetricGroup
from intertwine.nn import perceptron
from intertwine.representations import Invariant, Permuted, Point
from intertwine.symmetry import Symmetry
from intertwine.systems.frame_averaging.settings.digits import DigitsModelSettings
from intertwine.training.pretrained import Pretrained

__all__ = ["RENAMED_POINTS", "SetClassifier"]

RENAMED_POINTS = Symmetry(SymmetricGroup(None), inputs={"points": Permuted((1,))}, output=Invariant())
"""Scores do not change when points are renamed."""


class SetClassifier(Pretrained, nn.Module):
    """Scores of sets of points; it can be saved, loaded, and called on batches.

    Law: scores do not change when points are renamed; for drawn elements in distribution, and for directions also where
    the same ones are drawn. With the frame ``none`` there is no such law. Nor do they change under the motions of the
    plane that the settings name; where orders are drawn, in distribution.

    Args:
        settings: frame and sizes.
        points: points of a set.
        dim: coordinates of a point.
        classes: number of classes.
        rng: generator of the initial weights.
    """

    def __init__(
        self,
        settings: DigitsModelSettings,
        *,
        points: int,
        dim: int = 2,
        classes: int = 10,
        rng: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.settings, self.points, self.dim = settings, points, dim
        self.layers = perceptron((points * dim, *settings.widths, classes), activation=nn.ReLU, rng=rng)
        frame = _set_frame(settings, points, dim)
        network = _Flat(self.layers)
        sets = network if frame is None else FrameAverageSet(network, frame, samples=settings.samples)
        plane = _plane_frame(settings.motions)
        self.average = (
            sets if plane is None else FrameAverage(sets, plane, inputs={"points": "point"}, output="scalar of graphs")
        )

    @property
    def symmetry(self) -> Symmetry | None:
        """S_n renames the points, and the motions of the settings act on the plane; None without either."""
        plane = self.average.frame.kept if isinstance(self.average, FrameAverage) else None
        renamed = None if self.settings.frame == "none" else RENAMED_POINTS.group
        groups = [group for group in (plane, renamed) if group is not None]
        if plane is None:
            return RENAMED_POINTS if groups else None
        return Symmetry(reduce(mul, groups), inputs={"points": Permuted((1,), Point())}, output=Invariant())

    def forward(
        self,
        points: Float[Tensor, "sets points dim"],
        *,
        samples: int | None = None,
        rng: torch.Generator | None = None,
    ) -> Float[Tensor, "sets classes"]:
        """Return one score for each class.

        Args:
            points: coordinates.
            samples: elements to draw; those of the settings when not given.
            rng: source of the draws; torch's own generator where not given.

        Raises:
            ShapeError: if sets do not have the number of points that the network was made for.
        """
        if points.shape[1:] != (self.points, self.dim):
            raise ShapeError(
                "these sets do not have the points that the network was made for",
                got=tuple(points.shape),
                expected=f"(sets, {self.points}, {self.dim})",
            )
        sets = self.average.backbone if isinstance(self.average, FrameAverage) else self.average
        if not isinstance(sets, FrameAverageSet):
            return self.average(points)
        sets.samples = self.settings.samples if samples is None else samples
        return self.average(points, rng=rng)


class _Flat(nn.Module):
    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, points: Tensor) -> Tensor:
        return self.layers(points.flatten(1))


def _plane_frame(motions: str) -> Frame | None:
    if motions == "none":
        return None
    if motions == "T(2)":
        return CentroidFrame(2)
    return FiniteFrame(motions) if motions[1] == "_" else PCAFrame(motions, degenerate="ignore")


def _set_frame(settings: DigitsModelSettings, points: int, dim: int) -> SetFrame | None:
    if settings.frame == "none":
        return None
    if settings.frame == "random":
        return RandomDirectionFrame()
    if settings.frame == "group":
        return FullSetFrame()
    if settings.frame == "sort":
        return DirectionsFrame(torch.eye(dim, dtype=torch.float64)[:1])
    rng = torch.Generator().manual_seed(settings.directions_seed)
    return DirectionsFrame(separated_directions(points, dim, count=settings.directions, rng=rng))
