"""Where parts lie to each other: a network of sets whose items are the parts of a cloud, averaged over one frame.

It follows common motions of a cloud only, so that with it a network is no longer strictly equivariant by pieces.
Without it, nothing tells where a part is attached, or whether a hand is a left or a right one.
"""

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from intertwine.frames import FrameAverage, PCAFrame
from intertwine.graphs import segment_mean
from intertwine.nn.perceptron import perceptron
from intertwine.systems.apen.model.set_network import segment_max

__all__ = ["PartContext"]


class _PartSet(nn.Module):
    def __init__(self, scalars: int, width: int, rng: torch.Generator | None) -> None:
        super().__init__()
        self.own = perceptron((3 + scalars, width, width), rng=rng)
        self.joint = perceptron((2 * width, width, width), rng=rng)

    def forward(self, centres: Tensor, scalars: Tensor, cloud: Tensor) -> Tensor:
        own = torch.nn.functional.silu(self.own(torch.cat([centres, scalars], dim=1)))
        clouds = int(cloud.max()) + 1 if len(cloud) else 0
        pooled = segment_mean(own, cloud, clouds)
        return self.joint(torch.cat([own, pooled.index_select(0, cloud)], dim=1))


class PartContext(nn.Module):
    """Invariant features of each part among the parts of its cloud.

    Law: invariant under motions of the whole cloud and under renaming of parts.

    Args:
        scalars: features of each point.
        width: features that it gives.
        group: of the motions.
        rng: generator of the initial weights.
    """

    def __init__(self, scalars: int, width: int, group: str, *, rng: torch.Generator | None = None) -> None:
        super().__init__()
        self.average = FrameAverage(
            _PartSet(scalars, width, rng),
            PCAFrame(group, degenerate="ignore"),
            inputs={"centres": "point", "scalars": "scalar", "cloud": "graphs"},
            output="scalar",
        )

    def forward(
        self,
        votes: Float[Tensor, "points 3"],
        scalars: Float[Tensor, "points scalars"],
        part: Int64[Tensor, " points"],
        batch: Int64[Tensor, " points"],
    ) -> Float[Tensor, "points width"]:
        """Return for each point the features of its part; parts are numbered without gaps."""
        parts = int(part.max()) + 1 if len(part) else 0
        centres = segment_mean(votes, part, parts)
        cloud = batch.new_zeros(parts).index_put((part,), batch)
        found = self.average(centres=centres, scalars=segment_max(scalars, part, parts), cloud=cloud)
        return found.index_select(0, part)
