"""Derivatives of a converged mixture by the votes, without going back through its iterations.

At a stationary point the derivative of the energy by the parameters, the score s, vanishes, whatever the votes are. So
the parameters change by ``I^-1 ds`` with the votes, where I is the information: minus the second derivative of the
log-likelihood (``observed``, exact), or what it would be if the component of each vote were known (``complete``,
diagonal). The parameters are the means and the logarithms of the weights.

The observed information is never built. Its products with vectors are sums over votes and their candidates, and
conjugate gradients, preconditioned by the complete information, solve all clouds at once. Where the information is not
positive, because the iterations stopped far from a minimum, the solution of a cloud stops at the last good step.

Source: Atzmon et al., Approximately Piecewise E(3) Equivariant Point Networks, ICLR 2024, section 3.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from intertwine.graphs import segment_sum
from intertwine.partitions.components import Components, expectation
from intertwine.partitions.energy import repulsion

__all__ = ["IMPLICIT", "attach"]

IMPLICIT = ("observed", "complete", "none")
"""How parameters depend on votes when they are differentiated."""

_MOST_STEPS = 200


def attach(
    votes: Tensor,
    batch: Tensor,
    counts: Tensor,
    components: Components,
    index: Tensor,
    sigma: float,
    tau: float,
    implicit: str,
) -> Components:
    """Return the same components, differentiable by the votes.

    Args:
        votes, batch, counts: points, the cloud of each, and how many points each stands for.
        components: at a stationary point of the energy.
        index: candidates of each vote.
        sigma, tau: of the energy.
        implicit: one of `IMPLICIT`.
    """
    if implicit == "none" or not votes.requires_grad or not len(components):
        return components
    means, weights = _Stationary.apply(
        votes, components.means, components.weights, components.cloud, batch, counts, index, sigma, tau, implicit
    )
    return Components(means, weights, components.cloud)


class _Stationary(torch.autograd.Function):
    """Parameters of a mixture as functions of the votes."""

    @staticmethod
    def forward(ctx: Any, votes: Tensor, means: Tensor, weights: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
        cloud, batch, counts, index, *ctx.settings = rest
        ctx.save_for_backward(votes, means, weights, cloud, batch, counts, index)
        return means.clone(), weights.clone()

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        return _backward(ctx, *grad_outputs)


@once_differentiable
def _backward(ctx: Any, by_means: Tensor, by_weights: Tensor) -> tuple[Tensor | None, ...]:
    votes, means, weights, cloud, batch, counts, index = ctx.saved_tensors
    sigma, tau, implicit = ctx.settings
    information = _Information(votes, batch, counts, Components(means, weights, cloud), index, sigma, tau)
    by_logits = weights * (by_weights - information.of_clouds(weights * by_weights)[cloud])
    wanted = torch.cat([by_means, by_logits.unsqueeze(1)], 1)
    solved = wanted / information.complete
    if implicit == "observed":
        solved = _conjugate_gradients(information, wanted)
    return information.by_votes(solved), *(None,) * 9


class _Information:
    """The observed information as an operator on vectors ``(components, d + 1)``: one row of means and a logit each."""

    def __init__(
        self,
        votes: Tensor,
        batch: Tensor,
        counts: Tensor,
        components: Components,
        index: Tensor,
        sigma: float,
        tau: float,
    ) -> None:
        self.components, self.sigma, self.tau = components, sigma, tau
        self.clouds = int(batch.max()) + 1
        self.place = index.clamp(min=0)
        share, _ = expectation(votes, components, index, sigma)
        self.share = share
        self.counted = share * counts.unsqueeze(1)
        # derivative of the logarithm of a share by the mean
        self.offset = (votes.unsqueeze(1) - components.means[self.place]) / sigma**2
        points = segment_sum(counts, batch, self.clouds)[components.cloud]
        size = self._sum(self.counted)
        self.points, self.size = points, size
        self.complete = torch.cat(
            [(size / sigma**2).unsqueeze(1).expand(-1, votes.shape[1]), (points * components.weights).unsqueeze(1)], 1
        )

    def of_clouds(self, values: Tensor) -> Tensor:
        """Sum over the components of each cloud."""
        return segment_sum(values, self.components.cloud, self.clouds)

    def _sum(self, values: Tensor) -> Tensor:
        return segment_sum(values.flatten(0, 1), self.place.flatten(), len(self.components))

    def _spread(self, vector: Tensor) -> Tensor:
        """How the logarithms of the shares change along a vector, times the shares."""
        along = vector[self.place]
        change = (self.offset * along[..., :-1]).sum(-1) + along[..., -1]
        return self.counted * (change - (self.share * change).sum(-1, keepdim=True))

    def times(self, vector: Tensor) -> Tensor:
        """Return the product with a vector."""
        spread = self._spread(vector)
        moved = self._sum(torch.cat([self.offset * spread.unsqueeze(-1), spread.unsqueeze(-1)], -1))
        product = self.complete * vector - moved
        logits = self.components.weights * vector[:, -1]
        product[:, -1] -= self.points * self.components.weights * self.of_clouds(logits)[self.components.cloud]
        return product - self._repelled(vector) if self.tau else product

    def by_votes(self, vector: Tensor) -> Tensor:
        """Return the derivative by the votes of the product of the score with a vector."""
        pulled = (self.counted.unsqueeze(-1) * vector[self.place][..., :-1]).sum(1) / self.sigma**2
        return pulled - (self._spread(vector).unsqueeze(-1) * self.offset).sum(1)

    def _repelled(self, vector: Tensor) -> Tensor:
        """Return the product of the second derivative of the repulsion, times tau, with a vector."""
        cloud = self.components.cloud
        with torch.enable_grad():
            means = self.components.means.detach().requires_grad_()
            logits = self.components.weights.detach().log().requires_grad_()
            total = self.of_clouds(logits.exp())
            moved = Components(means, logits.exp() / total[cloud], cloud)
            first = torch.autograd.grad(
                repulsion(moved, self.sigma, self.clouds).sum(), (means, logits), create_graph=True
            )
            along = (first[0] * vector[:, :-1]).sum() + (first[1] * vector[:, -1]).sum()
            second = torch.autograd.grad(along, (means, logits))
        return self.tau * torch.cat([second[0], second[1].unsqueeze(1)], 1)


def _conjugate_gradients(information: _Information, wanted: Tensor) -> Tensor:
    """Return the solution of ``information x = wanted`` for each cloud on its own."""
    cloud = information.components.cloud

    def dot(a: Tensor, b: Tensor) -> Tensor:
        return information.of_clouds((a * b).sum(1))

    # where a cloud asks for nothing, nothing moves
    solution, residual = torch.zeros_like(wanted), wanted
    scaled = residual / information.complete
    direction, energy = scaled, dot(residual, scaled)
    enough = energy * torch.finfo(wanted.dtype).eps ** 1.5
    running = energy > 0
    first = True
    for _ in range(_MOST_STEPS):
        image = information.times(direction)
        curvature = dot(direction, image)
        running = running & (curvature > 0)
        if first:
            # without a positive curvature along the first direction that direction itself is the answer
            solution = torch.where(running[cloud].unsqueeze(1), solution, scaled)
            first = False
        if not bool(running.any()):
            break
        step = torch.where(running, energy / torch.where(running, curvature, 1.0), 0.0)[cloud].unsqueeze(1)
        solution, residual = solution + step * direction, residual - step * image
        scaled = residual / information.complete
        new = dot(residual, scaled)
        running = running & (new > enough)
        ratio = torch.where(running, new / torch.where(running, energy, 1.0), 0.0)[cloud].unsqueeze(1)
        direction, energy = scaled + ratio * direction, torch.where(running, new, energy)
    return solution
