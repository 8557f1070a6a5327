"""Mixtures of Gaussians over votes, which predict a partition: expectation maximisation that merges components.

Each point votes for the centre of its part. Components that come closer to one another than ``rho`` become one, and
those that hold less than half a point go, so that the number of parts is found and not given. A motion of the votes
moves the components, and changes no share.

Source: Atzmon et al., Approximately Piecewise E(3) Equivariant Point Networks, ICLR 2024, equations 9 and 10. The paper
states that components merge and that the solution is differentiated implicitly; how, is this library's.
"""

from dataclasses import dataclass
from typing import Literal, final

import torch
from jaxtyping import Bool, Float, Int64, Real
from torch import Tensor

from intertwine.errors import ConfigError, ShapeError
from intertwine.graphs import segment_sum
from intertwine.partitions.components import Components, expectation
from intertwine.partitions.fit import Fit
from intertwine.partitions.implicit import IMPLICIT, attach
from intertwine.partitions.partition import compact_ids
from intertwine.partitions.random_partitions import mean_uncertainty, uncertainty
from intertwine.points import check_clouds

__all__ = ["Mixture", "soft_em"]


@final
@dataclass(frozen=True)
class Mixture:
    """Mixtures of several clouds, and the shares Q of the votes in their components.

    Args:
        components: means and weights; differentiable by the votes as far as was asked for.
        index: the components in which each vote has a share; -1 stands for none.
        responsibilities: those shares, adding up to one for each vote; differentiable.
        batch: cloud of each vote.
        log_likelihood: of each cloud.
        iterations: of each cloud.
        converged: whether the means of a cloud stopped moving before the iterations were used up.
    """

    components: Components
    index: Int64[Tensor, "votes candidates"]
    responsibilities: Float[Tensor, "votes candidates"]
    batch: Int64[Tensor, " votes"]
    log_likelihood: Float[Tensor, " clouds"]
    iterations: Int64[Tensor, " clouds"]
    converged: Bool[Tensor, " clouds"]

    @property
    def means(self) -> Float[Tensor, "components d"]:
        """Centres of the components."""
        return self.components.means

    @property
    def weights(self) -> Float[Tensor, " components"]:
        """Weights of the components, adding up to one in each cloud."""
        return self.components.weights

    @property
    def component(self) -> Int64[Tensor, " votes"]:
        """The component in which each vote has the largest share."""
        return self.index.gather(1, self.responsibilities.argmax(1, keepdim=True)).squeeze(1)

    @property
    def part(self) -> Int64[Tensor, " votes"]:
        """The hard partition: votes of the same `component` are together, numbered without gaps."""
        return compact_ids(self.component)

    @property
    def top(self) -> Float[Tensor, " votes"]:
        """Largest share of each vote, of which the uncertainties are made."""
        return self.responsibilities.amax(1)

    def delta(self) -> Float[Tensor, " clouds"]:
        """Probability in each cloud that a draw differs from the hard partition; see `uncertainty`."""
        return uncertainty(self.top, self.batch, len(self.iterations))

    def mean_delta(self) -> Float[Tensor, " clouds"]:
        """Mean over the votes of each cloud of what is missing from the largest share to one."""
        return mean_uncertainty(self.top, self.batch, len(self.iterations))

    def draw(self, rng: torch.Generator) -> Int64[Tensor, " votes"]:
        """Draw a partition: a component for each vote, with the probabilities of its shares."""
        shares = self.responsibilities.detach().to(rng.device)
        place = torch.multinomial(shares, 1, generator=rng) if len(shares) else self.index.new_zeros(0, 1)
        return self.index.gather(1, place.to(self.index.device)).squeeze(1)

    def matrix(self) -> Float[Tensor, "votes components"]:
        """Return all shares as one matrix Q, zeros between clouds; for small clouds."""
        zeros = self.responsibilities.new_zeros(len(self.index), len(self.components))
        return zeros.scatter_add(1, self.index.clamp(min=0), self.responsibilities)


def soft_em(
    votes: Float[Tensor, "votes d"],
    batch: Int64[Tensor, " votes"],
    initial: Int64[Tensor, " votes"] | Components,
    sigma: float,
    rho: float | None = None,
    tau: float = 0.0,
    implicit: Literal["observed", "complete", "none"] = "observed",
    *,
    counts: Real[Tensor, " votes"] | None = None,
    max_iterations: int = 30,
    tolerance: float = 1e-4,
    nearest: int = 16,
) -> Mixture:
    """Fit a mixture to the votes of each cloud, and return it with the shares of the votes.

    Cells whose points vote together are given as one vote each, with ``counts``; that is exact, and much less work.

    Args:
        votes, batch: votes and the cloud of each.
        initial: a partition, each part of which begins as a component at its mean; or the components themselves.
        sigma: standard deviation of each component along each axis, in the unit of the votes.
        rho: means closer than this are merged; ``sigma`` where not given, and 0 merges none.
        tau: weight of the repulsion in the energy (see `mixture_energy`), whose minimum is then found.
        implicit: how components depend on votes when differentiated: exactly at a converged solution, through the
            information of known components, or not at all. Shares always depend on the votes directly.
        counts: how many points each vote stands for; one where not given.
        max_iterations: at most so many for each cloud.
        tolerance: a cloud is done when no mean moves by more than this times ``sigma`` and none merges.
        nearest: votes have shares in so many of the nearest components; in all, where there are up to twice as many.

    Raises:
        ConfigError: if a setting is out of range.
        ShapeError: if there is not one cloud and one part for each vote, or a cloud has no component.
        NumericsError: if a vote is not finite; it names the clouds.

    Example:
        >>> votes = torch.tensor([[0.0], [0.1], [5.0]])
        >>> soft_em(votes, torch.zeros(3, dtype=torch.int64), torch.tensor([0, 1, 2]), sigma=0.5).part
        tensor([0, 0, 1])
    """
    _check_settings(sigma, rho, tau, implicit, max_iterations, tolerance, nearest)
    check_clouds("votes", votes, batch)
    counts = votes.new_ones(len(votes)) if counts is None else counts.to(votes)
    if counts.shape != votes.shape[:1] or not bool((counts > 0).all()):
        raise ShapeError(
            "each vote stands for some points",
            got=f"counts {tuple(counts.shape)}, smallest {float(counts.min()) if counts.numel() else None}",
            expected=f"({len(votes)},), all more than 0",
        )
    with torch.no_grad():
        start = _start(votes.detach(), batch, initial, counts)
        fit = Fit(votes.detach(), batch, counts, start, sigma, sigma if rho is None else rho, tau, nearest)
        for _ in range(max_iterations):
            if not bool(fit.running.any()):
                break
            fit.iterate(tolerance)
        fit.find_candidates()
    components = attach(votes, batch, counts, fit.components, fit.index, sigma, tau, implicit)
    share, density = expectation(votes, components, fit.index, sigma)
    likelihood = segment_sum(density.detach() * counts, batch, fit.clouds)
    return Mixture(components, fit.index, share, batch, likelihood, fit.iterations, ~fit.running)


def _start(votes: Tensor, batch: Tensor, initial: Tensor | Components, counts: Tensor) -> Components:
    """Return the components to begin with, in the order of clouds, of clouds that have votes."""
    clouds = torch.bincount(batch) > 0
    if isinstance(initial, Components):
        known = (initial.cloud >= 0) & (initial.cloud < len(clouds))
        start = initial.take(known)
        start = start.take(clouds[start.cloud])
        start = start.take(torch.argsort(start.cloud, stable=True))
        start = Components(start.means.detach().to(votes), start.weights.detach().to(votes), start.cloud).normalised()
    else:
        if initial.shape != batch.shape or initial.is_floating_point():
            raise ShapeError(
                "a mixture begins with a part for each vote",
                got=f"{tuple(initial.shape)} {initial.dtype}",
                expected=f"{tuple(batch.shape)} of int64",
            )
        start = Components.of_parts(votes, compact_ids(initial, batch), batch, counts)
    lacking = clouds & (torch.bincount(start.cloud, minlength=len(clouds)) == 0)
    if bool(lacking.any()):
        raise ShapeError(
            "some clouds have votes and no component to begin with",
            got=f"clouds {lacking.nonzero().flatten().tolist()[:8]}",
            expected="at least one component for each cloud",
        )
    return start


def _check_settings(
    sigma: float, rho: float | None, tau: float, implicit: str, max_iterations: int, tolerance: float, nearest: int
) -> None:
    rules = {
        "sigma": (sigma > 0, sigma, "more than 0, in the unit of the votes"),
        "rho": (rho is None or rho >= 0, rho, "at least 0"),
        "tau": (tau >= 0, tau, "at least 0"),
        "implicit": (implicit in IMPLICIT, implicit, " or ".join(IMPLICIT)),
        "max_iterations": (max_iterations >= 0, max_iterations, "at least 0"),
        "tolerance": (tolerance >= 0, tolerance, "at least 0"),
        "nearest": (nearest >= 1, nearest, "at least 1"),
    }
    wrong = {name: rule for name, rule in rules.items() if not rule[0]}
    if wrong:
        raise ConfigError(
            "settings of a mixture are out of range",
            got={name: got for name, (_, got, _) in wrong.items()},
            expected={name: expected for name, (_, _, expected) in wrong.items()},
        )
