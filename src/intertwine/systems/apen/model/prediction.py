"""Predicting a partition from votes: cells whose votes lie together become one part."""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from intertwine.frames import Memberships
from intertwine.graphs import segment_mean
from intertwine.partitions import Mixture, soft_em
from intertwine.systems.apen.settings import ModelSettings

__all__ = ["Prediction", "predict_partition"]

_NEGLIGIBLE = 1e-4


@final
@dataclass(frozen=True)
class Prediction:
    """A partition predicted from votes.

    Args:
        part: the most probable part of each point.
        members: what the next layer sees: the same parts, or all with their probabilities, or draws.
        mixture: of the votes that were divided: one a cell, or one a point.
        vote: the row of the mixture that each point belongs to.
    """

    part: Int64[Tensor, " points"]
    members: Memberships
    mixture: Mixture
    vote: Int64[Tensor, " points"]

    @property
    def top(self) -> Float[Tensor, " points"]:
        """Probability of the most probable part of each point."""
        return self.mixture.top.index_select(0, self.vote)


def predict_partition(
    votes: Float[Tensor, "points 3"],
    batch: Int64[Tensor, " points"],
    part: Int64[Tensor, " points"],
    sigma: float,
    settings: ModelSettings,
    *,
    rng: torch.Generator | None = None,
) -> Prediction:
    """Return the partition that votes predict, beginning from the parts of the layer before.

    Args:
        votes: where each point takes the centre of its part to be.
        batch: the cloud of each point.
        part: partition of the layer before, numbered without gaps.
        sigma: width of the mixture.
        settings: of the network.
        rng: draws partitions (variant ``sample``).
    """
    if settings.coarsen_only:
        parts = int(part.max()) + 1 if len(part) else 0
        cell_votes = segment_mean(votes, part, parts)
        cell_batch = batch.new_zeros(parts).index_put((part,), batch)
        counts = torch.bincount(part, minlength=parts).to(votes)
        start, rows = torch.arange(parts, device=part.device), part
    else:
        cell_votes, cell_batch, counts, start = votes, batch, None, part
        rows = torch.arange(len(part), device=part.device)
    mixture = soft_em(
        cell_votes,
        cell_batch,
        start,
        sigma,
        rho=settings.merge_distance * sigma,
        tau=settings.repulsion,
        implicit=settings.implicit,
        counts=counts,
        max_iterations=settings.em_iterations,
    )
    found = mixture.part.index_select(0, rows)
    return Prediction(found, _members(mixture, rows, found, settings, rng), mixture, rows)


def _members(
    mixture: Mixture, rows: Tensor, part: Tensor, settings: ModelSettings, rng: torch.Generator | None
) -> Memberships:
    if settings.variant == "soft":
        index, shares = mixture.index.index_select(0, rows), mixture.responsibilities.index_select(0, rows)
        point, place = ((index >= 0) & (shares > _NEGLIGIBLE)).nonzero().unbind(1)
        weight = shares[point, place]
        return Memberships(point, index[point, place], len(mixture.components), len(rows), weight, weight)
    if settings.variant == "sample":
        drawn = torch.stack([mixture.draw(rng or torch.default_generator) for _ in range(settings.draws)])
        count = len(mixture.components)
        shifted = drawn[:, rows] + count * torch.arange(settings.draws, device=drawn.device).unsqueeze(1)
        point = torch.arange(len(rows), device=rows.device).repeat(settings.draws)
        share = mixture.responsibilities.new_full((len(point),), 1 / settings.draws)
        return Memberships(point, shifted.flatten(), count * settings.draws, len(rows), outside=share)
    return Memberships.of(part)
