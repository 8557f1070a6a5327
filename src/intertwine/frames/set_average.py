"""Frame averages of networks on sets of points: the order of the points changes nothing, or outputs move with it."""

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from intertwine.errors import ConfigError, DataError
from intertwine.frames.set_frame import SetFrame
from intertwine.groups import SymmetricGroup
from intertwine.representations import Invariant, Permuted
from intertwine.symmetry import Symmetry

__all__ = ["FrameAverageSet"]


class FrameAverageSet(nn.Module):
    """Averages a network over the frames of sets of points.

    Law: invariant under renaming of the points for outputs of sets; outputs of points move with them. With drawn
    elements this holds in distribution.

    Args:
        backbone: called as ``backbone(points)``, or ``backbone(points, mask)`` if sets differ in size, on one copy of a
            set for each element of its frame.
        frame: of the sets.
        output: what the backbone returns numbers of: ``set`` (copies, ...) or ``points`` (copies, points, ...).
        samples: elements that are drawn in each call; None takes all, where there is a list. It may be changed at any
            time: more draws cost more and vary less.
    """

    def __init__(
        self,
        backbone: nn.Module,
        frame: SetFrame,
        *,
        output: Literal["set", "points"] = "set",
        samples: int | None = None,
    ) -> None:
        super().__init__()
        if output not in ("set", "points") or (samples is not None and samples < 1):
            raise ConfigError(
                "there is no such average over frames of sets",
                got={"output": output, "samples": samples},
                expected="output set or points, and at least one sample",
            )
        self.backbone, self.frame = backbone, frame
        self.output, self.samples = output, samples

    @property
    def symmetry(self) -> Symmetry:
        """S_n renames the points."""
        output = Permuted((1,)) if self.output == "points" else Invariant()
        return Symmetry(SymmetricGroup(None), {"points": Permuted((1,)), "mask": Permuted((1,))}, output)

    def forward(
        self,
        points: Float[Tensor, "batch points d"],
        mask: Bool[Tensor, "batch points"] | None = None,
        *,
        rng: torch.Generator | None = None,
    ) -> Float[Tensor, "batch ..."]:
        """Return the averages.

        Args:
            points: one set for each entry of the batch.
            mask: which of its points a set has; all where not given.
            rng: source of drawn elements; torch's own generator where not given.

        Raises:
            DataError: if the frame is too large to list.
            NumericsError: if a coordinate is not finite.
        """
        frames = self.frame(points, mask, samples=self.samples, rng=rng)
        copies = frames.canonical(points)
        outputs = self.backbone(copies) if mask is None else self.backbone(copies, frames.canonical(mask))
        if outputs.shape[0] != len(frames.index):
            raise DataError(
                "the backbone must return one entry for each copy",
                got=tuple(outputs.shape),
                expected=f"({len(frames.index)}, ...)",
            )
        if self.output == "points":
            outputs = frames.carried_back(outputs)
            if mask is not None:
                there = mask.index_select(0, frames.index)
                outputs = outputs.where(there.reshape(*there.shape, *[1] * (outputs.ndim - 2)), 0)
        return frames.mean(outputs)
