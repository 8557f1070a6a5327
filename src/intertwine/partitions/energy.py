"""The energy that a mixture minimises: minus its log-likelihood, and a term that keeps components apart.

    E = -log P(votes) - tau sum_{j != j'} pi_j pi_j' log D(j, j'),   D(j, j') = |mu_j - mu_j'|^2 / (2 sigma^2),

where D is the Kullback-Leibler divergence of two components. It is infinite where two of them coincide.

Source: Atzmon et al., Approximately Piecewise E(3) Equivariant Point Networks, ICLR 2024, equation 9.
"""

import torch
from jaxtyping import Float, Int64, Real
from torch import Tensor

from intertwine.graphs import segment_sum
from intertwine.partitions.components import Components, candidates, expectation
from intertwine.points import pad_clouds

__all__ = ["divergence", "mixture_energy", "repulsion", "repulsion_step"]


def divergence(a: Float[Tensor, "*#batch d"], b: Float[Tensor, "*#batch d"], sigma: float) -> Float[Tensor, "*batch"]:
    """Return the Kullback-Leibler divergence of two Gaussians of covariance ``sigma² I``; it is symmetric.

    Example:
        >>> divergence(torch.zeros(3), torch.tensor([0.0, 2.0, 0.0]), 1.0)
        tensor(2.)
    """
    return (a - b).square().sum(-1) / (2 * sigma**2)


def mixture_energy(
    votes: Float[Tensor, "votes d"],
    batch: Int64[Tensor, " votes"],
    components: Components,
    sigma: float,
    tau: float = 0.0,
    counts: Real[Tensor, " votes"] | None = None,
) -> Float[Tensor, " clouds"]:
    """Return the energy of each cloud, which may be differentiated by votes, means and weights.

    Args:
        votes, batch: points and the cloud of each.
        components: parameters of the mixtures.
        sigma: standard deviation of each component along each axis.
        tau: weight of the repulsion.
        counts: how many points each vote stands for; one where not given.
    """
    clouds = int(batch.max()) + 1 if len(batch) else 0
    _, density = expectation(votes, components, candidates(votes, batch, components, len(components)), sigma)
    likelihood = segment_sum(density if counts is None else density * counts, batch, clouds)
    return -likelihood - (tau * repulsion(components, sigma, clouds) if tau else 0.0)


def repulsion(components: Components, sigma: float, clouds: int) -> Float[Tensor, " clouds"]:
    """Return ``sum_{j != j'} pi_j pi_j' log D(j, j')`` of each cloud: minus infinity where two means coincide."""
    means, weights, other = _pairs(components, clouds)
    # the distance of a component to itself is replaced before the logarithm, which has no derivative there
    apart = divergence(means.unsqueeze(2), means.unsqueeze(1), sigma).masked_fill(~other, 1.0)
    return (weights.unsqueeze(2) * weights.unsqueeze(1) * apart.log() * other).sum((1, 2))


def repulsion_step(
    components: Components, sigma: float, clouds: int
) -> tuple[Float[Tensor, "components d"], Float[Tensor, " components"]]:
    """Return the derivatives of the repulsion, by each mean divided by its weight, and by each weight."""
    means, weights, other = _pairs(components, clouds)
    squared = torch.cdist(means, means, compute_mode="donot_use_mm_for_euclid_dist").square().masked_fill(~other, 1.0)
    pull = weights.unsqueeze(1) * other / squared
    by_mean = 4 * (means * pull.sum(2, keepdim=True) - pull @ means)
    by_weight = 2 * (weights.unsqueeze(1) * other * (squared / (2 * sigma**2)).log()).sum(2)
    _, inside = pad_clouds(components.cloud, clouds)
    return by_mean[inside], by_weight[inside]


def _pairs(components: Components, clouds: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return means (clouds, k, d) and weights (clouds, k), padded, and which pairs are two different components."""
    index, inside = pad_clouds(components.cloud, clouds)
    other = (
        inside.unsqueeze(2) & inside.unsqueeze(1) & ~torch.eye(index.shape[1], dtype=torch.bool, device=index.device)
    )
    return components.means[index], components.weights[index] * inside, other
