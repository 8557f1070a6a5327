"""How far a network is from the law of pieces on given clouds, and what its partitions have to do with it.

Source: Atzmon et al., Approximately Piecewise E(3) Equivariant Point Networks, ICLR 2024, section 3. The partition from
which the network begins is that of the clouds at rest, as in the definition there.
"""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from intertwine.frames import move_parts
from intertwine.graphs import segment_mean
from intertwine.groups import SE, E
from intertwine.partitions import mixing
from intertwine.systems.apen.model import APEN

__all__ = ["PieceReport", "measure_pieces"]


@final
@dataclass(frozen=True)
class PieceReport:
    """The error of the law of pieces, and the partitions before the first layer and after each.

    Args:
        error: mean change of the logits of a point when all parts move, over their mean size.
        vote_error: mean distance of the votes of the last layer from where the moved votes should be, over the mean
            distance of points from the centroid of their cloud.
        mixed_cells: share of parts that mix true ones, for each partition.
        mixed_points: share of points that are in such parts.
        parts: number of parts of each partition, over all clouds.
        uncertainty: for each layer what is missing from the probability of the most probable part, in the mean.
    """

    error: float
    vote_error: float
    mixed_cells: tuple[float, ...]
    mixed_points: tuple[float, ...]
    parts: tuple[int, ...]
    uncertainty: tuple[float, ...]


@torch.no_grad()
def measure_pieces(
    network: APEN,
    positions: Float[Tensor, "points 3"],
    batch: Int64[Tensor, " points"],
    instances: Int64[Tensor, " points"],
    *,
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
        trials: motions drawn.
        shift: standard deviation of the translations.
        rng: source of the motions.
    """
    oracle = instances if network.settings.partition == "oracle" else None
    found = network(positions, batch, true_part=oracle)
    first = found["parts"][0]
    group = (E if network.settings.group == "E(3)" else SE)(3, translation_scale=shift)
    count = int(instances.max()) + 1
    errors, vote_errors = [], []
    for _ in range(trials):
        elements = group.sample(count, rng=rng, dtype=torch.float64).to(positions.device)
        moved = network(move_parts(group, elements, positions, instances), batch, true_part=oracle, first_part=first)
        expected = move_parts(group, elements, found["votes"][-1], instances)
        errors.append((moved["logits"] - found["logits"]).norm(dim=-1).mean())
        vote_errors.append((moved["votes"][-1] - expected).norm(dim=-1).mean())
    size = found["logits"].norm(dim=-1).mean().clamp(min=1e-12)
    centre = segment_mean(positions, batch, int(batch.max()) + 1)
    extent = (positions - centre[batch]).norm(dim=-1).mean()
    mixed = [mixing(part, instances) for part in found["parts"]]
    return PieceReport(
        float(torch.stack(errors).mean() / size),
        float(torch.stack(vote_errors).mean() / extent),
        tuple(float(m.mixed.double().mean()) for m in mixed),
        tuple(float(m.mixed[part].double().mean()) for m, part in zip(mixed, found["parts"], strict=True)),
        tuple(int(part.max()) + 1 for part in found["parts"]),
        tuple(float(1 - layer.mean()) for layer in found["certainty"]),
    )
