"""How far a network is from the law of pieces on given clouds, and what its partitions have to do with it.

Source: Atzmon et al., Approximately Piecewise E(3) Equivariant Point Networks, ICLR 2024, section 3: the error is
bounded by the probability lambda that a partition mixes true parts and by the uncertainty delta of the predicted ones.
The partition from which the network begins is that of the clouds at rest, as in the definition there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torchmetrics import Metric, MetricCollection

from intertwine.frames import PCAFrame, move_parts
from intertwine.graphs import segment_mean
from intertwine.groups import SE, E
from intertwine.systems.apen.data.batch import PartBatch, make_batch
from intertwine.systems.apen.metrics import Delta, MeanUncertainty, PartCount, VoteDistance, partition_metrics
from intertwine.systems.apen.settings import ModelSettings
from intertwine.training.metrics import Mean

if TYPE_CHECKING:
    from intertwine.systems.apen.model.network import APEN

__all__ = ["PartitionScores", "PieceReport", "degenerate_parts", "measure_pieces"]

_DEGENERATE = ("rank0", "rank1", "rank2", "repeated")


@final
@dataclass(frozen=True)
class PieceReport:
    """The error of the law of pieces, and the partitions before the first layer and after each.

    Args:
        error: mean change of the logits of a point when all parts move, over their mean size.
        vote_error: mean distance of the votes of the last layer from where the moved votes should be, over the mean
            distance of points from the centroid of their cloud.
        parts: mean number of parts of a cloud, for each partition.
        mixed_clouds: share of clouds whose partition is no subpartition of the true one, an estimate of lambda.
        mixed_cells: share of parts that mix true ones.
        mixed_points: share of points that are in such parts.
        rank0: mean number of parts of a cloud that are one point (or several in one place), for each partition.
        rank1: of those that lie on a line, of two points or more.
        rank2: of those that lie in a plane.
        repeated: of those with two equal eigenvalues that are not zero, whose axes are arbitrary; of any rank.
        delta: for each layer the probability that a draw of the partition of a cloud differs from the most probable.
        uncertainty: what is missing from the probability of the most probable part, in the mean over points: delta-bar.
        vote_distance: mean distance of the votes from the centroids of the true parts, in the unit of length.
    """

    error: float
    vote_error: float
    parts: tuple[float, ...]
    mixed_clouds: tuple[float, ...]
    mixed_cells: tuple[float, ...]
    mixed_points: tuple[float, ...]
    rank0: tuple[float, ...]
    rank1: tuple[float, ...]
    rank2: tuple[float, ...]
    repeated: tuple[float, ...]
    delta: tuple[float, ...]
    uncertainty: tuple[float, ...]
    vote_distance: tuple[float, ...]


@final
class PartitionScores:
    """What is counted of the partitions of clouds, batch after batch: everything of a `PieceReport` but the errors.

    Args:
        settings: of the network.
    """

    def __init__(self, settings: ModelSettings) -> None:
        self.settings = settings
        self._held: dict[tuple[str, int], Metric | MetricCollection] = {}

    @torch.no_grad()
    def add(self, found: Mapping[str, Tensor], batch: PartBatch) -> None:
        """Add the partitions, votes and certainties that a network found in a batch."""
        found = {name: values.cpu() for name, values in found.items()}
        batch = batch.to("cpu")
        known = batch.instances is not None
        for place, part in enumerate(found["parts"]):
            self._update("partition", place, part, batch, partition_metrics() if known else PartCount())
            counts = degenerate_parts(batch.positions, part, self.settings.group)
            for name, count in zip(_DEGENERATE, counts, strict=True):
                self._update(name, place, count, batch, _PerCloud())
        for place, (top, votes) in enumerate(zip(found["certainty"], found["votes"], strict=True)):
            self._update("uncertainty", place, top, batch, MeanUncertainty())
            # cells that vote as one are drawn as one
            rows = _first_points(found["parts"][place]) if self.settings.coarsen_only else torch.arange(len(top))
            self._update("delta", place, (top[rows], batch.graph_index[rows]), batch, Delta())
            if known:
                self._update("vote_distance", place, votes, batch, VoteDistance())

    def compute(self) -> dict[str, tuple[float, ...]]:
        """Return the numbers of each partition, or layer, by name; those of true parts only where these are known."""
        made: dict[str, list[float]] = {}
        for (name, _), metric in sorted(self._held.items(), key=lambda item: item[0][1]):
            values = metric.compute()
            named = values if isinstance(values, dict) else {"parts" if name == "partition" else name: values}
            for key, value in named.items():
                made.setdefault(key, []).append(float(value))
        return {name: tuple(values) for name, values in made.items()}

    def _update(
        self, name: str, place: int, values: object, batch: PartBatch, metric: Metric | MetricCollection
    ) -> None:
        self._held.setdefault((name, place), metric).update(values, batch)


class _PerCloud(Mean):
    """A count over a batch, for each of its clouds."""

    def values(self, predictions: Tensor, batch: PartBatch) -> Float[Tensor, " clouds"]:
        return (predictions.double() / max(batch.num_graphs, 1)).expand(batch.num_graphs)


def degenerate_parts(
    positions: Float[Tensor, "points 3"], part: Int64[Tensor, " points"], group: str = "E(3)"
) -> Int64[Tensor, "4"]:
    """Count the parts that span no dimension, one and two, and those with equal eigenvalues that are not zero.

    Averages over the frames of E(3) are exact for the first three; axes of the last are arbitrary.

    Args:
        positions: of the points.
        part: numbered from 0 without gaps.
        group: whose frames the parts have.
    """
    parts = int(part.max()) + 1 if len(part) else 0
    frames = PCAFrame(group, degenerate="ignore").of_segments(positions, part, parts)
    if frames.rank is None:
        return part.new_zeros(4)
    return torch.stack([*((frames.rank == rank).sum() for rank in range(3)), (~frames.valid).sum()])


@torch.no_grad()
def measure_pieces(
    network: "APEN",
    positions: Float[Tensor, "points 3"],
    batch: Int64[Tensor, " points"],
    instances: Int64[Tensor, " points"],
    *,
    first_part: Int64[Tensor, " points"] | None = None,
    trials: int = 2,
    shift: float = 1.0,
    rng: torch.Generator,
) -> PieceReport:
    """Move all true parts at random, each on its own, and compare what the network finds.

    Args:
        network: in evaluation mode.
        positions: of all clouds.
        batch: the cloud of each point.
        instances: true part of each point, numbered over all clouds.
        first_part: partition to begin from; the network's own where not given.
        trials: motions drawn.
        shift: standard deviation of the translations.
        rng: source of the motions.
    """
    oracle = instances if network.settings.partition == "oracle" else None
    found = network(positions, batch, true_part=oracle, first_part=first_part)
    first = found["parts"][0]
    group = (E if network.settings.group == "E(3)" else SE)(3, translation_scale=shift)
    count, clouds = int(instances.max()) + 1, int(batch.max()) + 1
    errors, vote_errors = [], []
    for _ in range(trials):
        elements = group.sample(count, rng=rng, dtype=torch.float64).to(positions.device)
        moved = network(move_parts(group, elements, positions, instances), batch, true_part=oracle, first_part=first)
        expected = move_parts(group, elements, found["votes"][-1], instances)
        errors.append((moved["logits"] - found["logits"]).norm(dim=-1).mean())
        vote_errors.append((moved["votes"][-1] - expected).norm(dim=-1).mean())
    size = found["logits"].norm(dim=-1).mean().clamp(min=1e-12)
    extent = (positions - segment_mean(positions, batch, clouds)[batch]).norm(dim=-1).mean()
    scores = PartitionScores(network.settings)
    scores.add(found, make_batch(positions, batch, clouds, parts=instances))
    return PieceReport(
        float(torch.stack(errors).mean() / size), float(torch.stack(vote_errors).mean() / extent), **scores.compute()
    )


def _first_points(part: Int64[Tensor, " points"]) -> Int64[Tensor, " parts"]:
    """Return a point of each part."""
    places = torch.arange(len(part) - 1, -1, -1)
    return places.new_zeros(int(part.max()) + 1 if len(part) else 0).scatter_reduce(
        0, part.flip(0), places, "amin", include_self=False
    )
