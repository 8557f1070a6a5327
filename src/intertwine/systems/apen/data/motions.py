"""Random rigid motions of training clouds or of their parts: what a network without symmetry has to be taught."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, final

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.errors import DataError
from intertwine.graphs import segment_mean
from intertwine.groups import SO
from intertwine.systems.apen.data.batch import PartBatch

__all__ = ["RandomMotions"]


@final
@dataclass(frozen=True)
class RandomMotions:
    """Turns about the centroid and shifts, of whole clouds or of each true part.

    Args:
        pieces: whether each part moves on its own.
        axis: of the turns; ``any`` draws rotations uniformly.
        shift: standard deviation of each coordinate of the shifts.
    """

    pieces: bool = False
    axis: Literal["any", "x", "y", "z"] = "any"
    shift: float = 0.0

    def move(self, batch: PartBatch, rngs: Sequence[torch.Generator]) -> PartBatch:
        """Return a moved batch; each cloud draws from its own generator.

        Raises:
            DataError: if parts are to be moved and are not known.
        """
        index = batch.instances if self.pieces else batch.graph_index
        if index is None:
            raise DataError(
                "parts cannot be moved that are not known",
                got="clouds without parts",
                expected='labels or instances, or data.augmentation = "rotations"',
            )
        counts = [1] * len(rngs)
        if self.pieces:
            clouds = batch.graph_index.new_zeros(int(index.max()) + 1).index_put((index,), batch.graph_index)
            counts = torch.bincount(clouds, minlength=len(rngs)).tolist()
        drawn = [self._draw(count, rng) for count, rng in zip(counts, rngs, strict=True)]
        turns, shifts = (torch.cat(values).to(batch.positions) for values in zip(*drawn, strict=True))
        centres = segment_mean(batch.positions, index, len(turns))

        def moved(points: Tensor) -> Tensor:
            turned = (turns[index] @ (points - centres[index]).unsqueeze(-1)).squeeze(-1)
            return turned + (centres + shifts)[index]

        known = None if batch.centres is None else moved(batch.centres)
        # points that were left out do not move along
        return replace(batch, positions=moved(batch.positions), centres=known, whole=None, kept=None)

    def _draw(self, count: int, rng: torch.Generator) -> tuple[Float[Tensor, "count 3 3"], Float[Tensor, "count 3"]]:
        if self.axis == "any":
            turns = SO(3).sample(count, rng=rng, dtype=torch.float64)
        else:
            angle = 2 * torch.pi * torch.rand(count, generator=rng, dtype=torch.float64)
            first = "xyz".index(self.axis)
            second, third = (first + 1) % 3, (first + 2) % 3
            turns = torch.eye(3, dtype=torch.float64).repeat(count, 1, 1)
            turns[:, second, second] = turns[:, third, third] = angle.cos()
            turns[:, third, second] = angle.sin()
            turns[:, second, third] = -angle.sin()
        return turns, self.shift * torch.randn(count, 3, generator=rng, dtype=torch.float64)
