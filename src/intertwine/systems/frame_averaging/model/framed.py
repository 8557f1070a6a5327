"""What the networks of normals share: a backbone of points averaged over frames, whose vectors become unit normals."""

from collections.abc import Mapping
from functools import reduce
from operator import mul
from typing import Any, cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from intertwine.errors import ShapeError
from intertwine.frames import Frame, FrameAverage
from intertwine.frames.learned import LearnedFrame
from intertwine.nn import VectorDeepSets
from intertwine.representations import Permuted, Point, Vector
from intertwine.symmetry import Symmetry
from intertwine.systems.frame_averaging.settings.framing import FrameSettings, kept_groups, make_frame
from intertwine.training.pretrained import Pretrained

__all__ = ["FramedNormals", "check_points", "narrow", "normals_symmetry"]


class FramedNormals(Pretrained, nn.Module):
    """Normals from a backbone that gives a vector at each point, averaged over frames if there are any.

    Law: normals turn with the cloud under the group of the frame, and are permuted with its points. Signs are arbitrary
    in so far as the loss does not see them.

    Args:
        backbone: called with ``points`` and ``mask`` and what `invariants` gives.
        frame: kind and group.
        invariants: kinds of further inputs of the backbone that are the same in all frames, by name.
        rng: generator of the initial weights of the network that gives learned frames.
    """

    def __init__(
        self,
        backbone: nn.Module,
        frame: FrameSettings,
        invariants: Mapping[str, str] | None = None,
        *,
        rng: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        learned = frame.kind == "learned"
        chosen = LearnedFrame(VectorDeepSets(vectors=3, rng=rng), frame.group) if learned else make_frame(frame)
        kinds = {"points": "point", "mask": "mask", **(invariants or {})}
        self.network = (
            backbone
            if chosen is None
            else FrameAverage(backbone, chosen, inputs=kinds, output="vector", mode=frame.mode, samples=frame.samples)
        )

    @property
    def frame(self) -> Frame | None:
        """How the elements that it is averaged over are found; None without frames."""
        return self.network.frame if isinstance(self.network, FrameAverage) else None

    @property
    def backbone(self) -> nn.Module:
        """The network that is averaged."""
        found = self.network.backbone if isinstance(self.network, FrameAverage) else self.network
        return cast("nn.Module", found)

    @property
    def mode(self) -> str:
        """``all`` or ``stochastic``; may be changed at any time."""
        return self.network.mode if isinstance(self.network, FrameAverage) else "all"

    @mode.setter
    def mode(self, value: Any) -> None:
        if isinstance(self.network, FrameAverage):
            self.network.mode = value

    @property
    def draws(self) -> torch.Generator | None:
        """Where random frames and drawn elements come from; torch's own generator where it is None."""
        return self.network.rng if isinstance(self.network, FrameAverage) else None

    @draws.setter
    def draws(self, value: torch.Generator | None) -> None:
        if isinstance(self.network, FrameAverage):
            self.network.rng = value

    @property
    def symmetry(self) -> Symmetry:
        """S_n acts on the points, unless the frame depends on their order, and what the frame keeps on space."""
        return normals_symmetry(self.frame)

    def invariants(self, points: Tensor, mask: Tensor | None) -> dict[str, Tensor]:
        """Return what is the same in all frames and computed once, by name."""
        return {}

    def forward(
        self, points: Float[Tensor, "batch points 3"], mask: Bool[Tensor, "batch points"] | None = None
    ) -> Float[Tensor, "batch points 3"]:
        """Return unit normals; zero where a cloud has no point.

        Args:
            points: clouds.
            mask: which points a cloud has; all where not given.

        Raises:
            ShapeError: if the points are not clouds, or the mask does not fit them.
            NumericsError: if a coordinate is not finite, with frames.
        """
        check_points(points, mask)
        given = {"points": points, **({} if mask is None else {"mask": mask}), **self.invariants(points, mask)}
        return nn.functional.normalize(self.network(**given), dim=-1)


def normals_symmetry(frame: Frame | None) -> Symmetry:
    """Return the symmetry of a network of normals that is averaged over frames."""
    return Symmetry(
        reduce(mul, kept_groups(frame)),
        inputs={"points": Permuted((1,), Point()), "mask": Permuted((1,))},
        output=Permuted((1,), Vector()),
    )


def check_points(points: Tensor, mask: Tensor | None) -> None:
    """Raise ShapeError unless these are clouds in space with a mask that fits."""
    if points.ndim != 3 or points.shape[-1] != 3 or (mask is not None and mask.shape != points.shape[:2]):
        raise ShapeError(
            "normals are those of clouds in space",
            got={"points": tuple(points.shape), "mask": None if mask is None else tuple(mask.shape)},
            expected="(batch, points, 3) and (batch, points)",
            fix="for one cloud give points[None]",
        )


def narrow(widths: tuple[int, ...], narrower: int) -> tuple[int, ...]:
    """Return widths divided by a number."""
    return tuple(max(width // narrower, 1) for width in widths)
