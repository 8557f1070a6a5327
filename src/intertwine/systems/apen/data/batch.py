"""Clouds whose parts move on their own: batches of them, and data sets that draw the points of many at once."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.utils.data import Dataset

from intertwine.graphs import TensorBatch, segment_mean
from intertwine.partitions import compact_ids
from intertwine.training.sampling import EpochSampler, generator

if TYPE_CHECKING:
    from intertwine.systems.apen.data.motions import RandomMotions

__all__ = ["CloudSet", "DrawnClouds", "PartBatch", "make_batch"]


@dataclass(frozen=True)
class PartBatch(TensorBatch):
    """Several clouds in one tensor: what the network's ``forward`` takes, and what is known of each point.

    Args:
        positions: points of all clouds, cloud after cloud.
        graph_index: the cloud of each point.
        num_graphs: number of clouds.
        labels: class of each point.
        instances: true part of each point; parts never cross clouds, and are numbered from 0 without gaps.
        centres: centroid of the points of its part, for each point.
        subjects: class of each cloud.
        whole: the batch with the points that were left out, such as those of a floor; none where all are there.
        kept: which points of it are in this one.
    """

    positions: Float[Tensor, "points 3"]
    graph_index: Int64[Tensor, " points"]
    num_graphs: int
    labels: Int64[Tensor, " points"] | None = None
    instances: Int64[Tensor, " points"] | None = None
    centres: Float[Tensor, "points 3"] | None = None
    subjects: Int64[Tensor, " clouds"] | None = None
    whole: "PartBatch | None" = None
    kept: Bool[Tensor, " all"] | None = None

    def inputs(self) -> dict[str, Tensor]:
        """Return the arguments of ``forward``, by name."""
        return {"positions": self.positions, "batch": self.graph_index}


def make_batch(
    positions: Float[Tensor, "points 3"],
    graph_index: Int64[Tensor, " points"],
    num_graphs: int,
    *,
    labels: Int64[Tensor, " points"] | None = None,
    parts: Int64[Tensor, " points"] | None = None,
    subjects: Int64[Tensor, " clouds"] | None = None,
) -> PartBatch:
    """Return a batch with its true parts numbered, and their centroids.

    Args:
        positions, graph_index, num_graphs, labels, subjects: as in `PartBatch`.
        parts: true part of each point, by any number; the same number in two clouds means two parts.
    """
    if parts is None:
        return PartBatch(positions, graph_index, num_graphs, labels=labels, subjects=subjects)
    instances = compact_ids(parts, graph_index)
    count = int(instances.max()) + 1 if len(instances) else 0
    centres = segment_mean(positions.double(), instances, count).index_select(0, instances).to(positions)
    return PartBatch(positions, graph_index, num_graphs, labels, instances, centres, subjects)


class CloudSet(Dataset[PartBatch], ABC):
    """Clouds from which points are drawn: those of a surface, or some of the points of a scan.

    Args:
        names: of the clouds, for tables and pictures.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = list(names)

    def __len__(self) -> int:
        return len(self.names)

    @abstractmethod
    def draw(self, indices: Sequence[int], rngs: Sequence[torch.Generator]) -> PartBatch:
        """Return newly drawn points of some clouds, as one batch; each cloud has a generator of its own."""

    def __getitem__(self, index: int) -> PartBatch:
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> PartBatch:
        """Return some clouds as one batch; a cloud has the same points in each call, whatever is drawn with it."""
        return self.draw(indices, [generator(0, "points", int(index)) for index in indices])

    def batches(self, size: int) -> Iterator[PartBatch]:
        """Go through all clouds in batches of at most ``size``, in their order."""
        for start in range(0, len(self), size):
            yield self.__getitems__(range(start, min(start + size, len(self))))


class DrawnClouds(Dataset[PartBatch]):
    """Clouds to train on, whose points are drawn anew in each epoch, as the seed and the epoch decide.

    Args:
        clouds: where points are drawn from.
        draws: how often each cloud is drawn in an epoch.
        seed: of the points.
        motions: moves the clouds.
    """

    def __init__(
        self, clouds: CloudSet, *, draws: int = 1, seed: int = 0, motions: "RandomMotions | None" = None
    ) -> None:
        self.clouds = clouds
        self.draws = draws
        self.seed = seed
        self.motions = motions
        self.sampler: EpochSampler | None = None

    def __len__(self) -> int:
        return self.draws * len(self.clouds)

    def __getitem__(self, index: int) -> PartBatch:
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> PartBatch:
        epoch = self.sampler.epoch if self.sampler is not None else 0
        rngs = [generator(self.seed, "points", epoch, int(index)) for index in indices]
        batch = self.clouds.draw([index % len(self.clouds) for index in indices], rngs)
        return batch if self.motions is None else self.motions.move(batch, rngs)
