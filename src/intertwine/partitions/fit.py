"""Expectation maximisation of the mixtures of several clouds at once; a cloud that has converged is left as it is."""

from typing import final

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from intertwine.graphs import segment_sum
from intertwine.partitions.components import (
    Components,
    candidates,
    close_pairs,
    drop_light,
    expectation,
    merge,
    renumber,
)
from intertwine.partitions.energy import repulsion_step

__all__ = ["Fit"]

_SKIN = 1.0
"""By what part of the distance of merging the lists of pairs reach farther."""


@final
class Fit:
    """The state of the iterations: components, the candidates of each vote, and which clouds still move.

    Args:
        votes, batch, counts: points, the cloud of each, and how many points each stands for.
        components: to begin with, in the order of clouds.
        sigma, rho, tau, nearest: those of `soft_em`.
    """

    def __init__(
        self,
        votes: Float[Tensor, "votes d"],
        batch: Int64[Tensor, " votes"],
        counts: Float[Tensor, " votes"],
        components: Components,
        sigma: float,
        rho: float,
        tau: float,
        nearest: int,
    ) -> None:
        self.votes, self.batch, self.components = votes, batch, components
        self.sigma, self.rho, self.tau, self.nearest = sigma, rho, tau, nearest
        self.clouds = int(batch.max()) + 1 if len(batch) else 0
        self.points = segment_sum(counts, batch, self.clouds)
        self.running = self.points > 0
        self.iterations = torch.zeros_like(self.running, dtype=torch.int64)
        # pairs that may come close enough to merge, and how far means may still move before others may
        self.pairs = batch.new_zeros(2, 0)
        self.slack = torch.full_like(self.points, -1.0)
        self.weighted = torch.cat([votes, votes.new_ones(len(votes), 1)], 1) * counts.unsqueeze(1)
        self.find_candidates()

    def find_candidates(self) -> None:
        """Find the candidates of all votes."""
        self.index = candidates(self.votes, self.batch, self.components, self.nearest)
        self.found_of = self._sizes()
        self.moved_since = torch.zeros_like(self.points)

    def iterate(self, tolerance: float) -> None:
        """Do a step of expectation and one of maximisation, then drop and merge, in all clouds that still move.

        A cloud is done when no mean moves by more than ``tolerance * sigma`` and none merges.
        """
        self.iterations += self.running
        moved = self._maximise()
        before = len(self.components)
        self.components, place = drop_light(self.components, torch.where(self.running, 0.5 / self.points, 0.0))
        if len(self.components) < before:
            self._renumber_pairs(place)
        merged, joined = self._merge(moved)
        if len(self.components) < before:
            self.index = renumber(self.index, torch.where(place >= 0, joined[place.clamp(min=0)], -1))
        self.running = self.running & (merged | (moved > tolerance * self.sigma))
        self.moved_since = self.moved_since + moved
        self._renew_candidates()

    def _sizes(self) -> Int64[Tensor, " clouds"]:
        return torch.bincount(self.components.cloud, minlength=self.clouds)

    def _renew_candidates(self) -> None:
        """Find candidates again in clouds whose components moved far or became much fewer."""
        sizes = self._sizes()
        stale = (self.moved_since > self.sigma) | (sizes < 0.75 * self.found_of)
        stale[self.batch[(self.index < 0).all(1)]] = True
        # where all components of a cloud are candidates, they stay so
        stale &= self.running & (self.found_of > 2 * self.nearest)
        if not bool(stale.any()):
            return
        rows = stale[self.batch].nonzero().flatten()
        some = stale[self.components.cloud].nonzero().flatten()
        found = candidates(self.votes[rows], self.batch[rows], self.components.take(some), self.nearest)
        found = torch.where(found >= 0, some[found.clamp(min=0)], -1)
        width = max(found.shape[1], self.index.shape[1])
        wide = self.index.new_full((len(self.index), width), -1)
        wide[:, : self.index.shape[1]] = self.index
        wide[rows] = -1
        wide[rows, : found.shape[1]] = found
        self.index = wide[:, (wide >= 0).any(0)]
        self.found_of = torch.where(stale, sizes, self.found_of)
        self.moved_since = torch.where(stale, 0.0, self.moved_since)

    def _maximise(self) -> Float[Tensor, " clouds"]:
        """Move means and weights of the clouds that still move; return the largest distance in each cloud."""
        before, cloud = self.components, self.components.cloud
        rows = slice(None) if bool(self.running.all()) else self.running[self.batch]
        index = self.index[rows]
        share, _ = expectation(self.votes[rows], before, index, self.sigma)
        pulled = (share.unsqueeze(2) * self.weighted[rows].unsqueeze(1)).flatten(0, 1)
        total = segment_sum(pulled, index.clamp(min=0).flatten(), len(before))
        size = total[:, -1]
        # a component that is nobody's candidate has no votes, and goes in the next step
        means = torch.where((size > 0).unsqueeze(1), total[:, :-1] / size.unsqueeze(1), before.means)
        if self.tau:
            by_mean, by_weight = repulsion_step(before, self.sigma, self.clouds)
            # in units of the step of maximisation: where means rest, the energy is stationary
            step = (self.tau * self.sigma**2 * before.weights / size.clamp(min=1e-30)).unsqueeze(1) * by_mean
            length = torch.linalg.vector_norm(step, dim=1, keepdim=True)
            means = means + step * (0.5 * self.sigma / length.clamp(min=0.5 * self.sigma))
            size = (size + self.tau * before.weights * by_weight).clamp(min=0)
        weights = size / segment_sum(size, cloud, self.clouds)[cloud]
        goes_on = self.running[cloud]
        self.components = Components(
            torch.where(goes_on.unsqueeze(1), means, before.means), torch.where(goes_on, weights, before.weights), cloud
        )
        return self._longest(self.components.means - before.means, cloud)

    def _merge(self, moved: Tensor) -> tuple[Tensor, Int64[Tensor, " components"]]:
        """Merge components that are too close; return the clouds that had some, and the new place of each."""
        merged = torch.zeros_like(self.running)
        place = torch.arange(len(self.components), device=merged.device)
        if self.rho == 0:
            return merged, place
        self.slack = self.slack - moved
        self._list_pairs(self.running & (self.slack < 0))
        means, cloud = self.components.means, self.components.cloud
        first, second = self.pairs
        close = self.running[cloud[first]] & (torch.linalg.vector_norm(means[first] - means[second], dim=1) < self.rho)
        if not bool(close.any()):
            return merged, place
        merged[cloud[first[close]]] = True
        self.components, place = merge(self.components, self.pairs[:, close])
        # joined means lie elsewhere, which counts as a move
        self.slack = self.slack - self._longest(self.components.means[place] - means, cloud)
        self._renumber_pairs(place)
        return merged, place

    def _list_pairs(self, due: Bool[Tensor, " clouds"]) -> None:
        """List again, in some clouds, the pairs that may come close enough to merge before their slack is used up.

        As lists of neighbours in molecular dynamics: pairs within ``rho`` and a skin, of which each mean may use half.
        """
        if not bool(due.any()):
            return
        some = due[self.components.cloud].nonzero().flatten()
        pairs = some[close_pairs(self.components.take(some), self.rho * (1 + _SKIN))]
        kept = ~due[self.components.cloud[self.pairs[0]]]
        self.pairs = torch.cat([self.pairs[:, kept], pairs], 1)
        self.slack = torch.where(due, self.rho * _SKIN / 2, self.slack)

    def _renumber_pairs(self, place: Int64[Tensor, " components"]) -> None:
        pairs = place[self.pairs]
        self.pairs = pairs[:, (pairs >= 0).all(0) & (pairs[0] != pairs[1])]

    def _longest(self, offset: Tensor, cloud: Tensor) -> Float[Tensor, " clouds"]:
        length = torch.linalg.vector_norm(offset, dim=1)
        return length.new_zeros(self.clouds).scatter_reduce(0, cloud, length, "amax")
