"""Derivatives of converged mixtures against finite differences of the whole iteration, and closed forms."""

import pytest
import torch

from intertwine.partitions import Components, soft_em
from intertwine.partitions.components import candidates
from intertwine.partitions.implicit import _Information

EXACT = {"rho": 0.0, "tolerance": 1e-13, "max_iterations": 3000}


def finite_differences(function, at, step=1e-5):
    found = torch.zeros_like(at)
    with torch.no_grad():
        for place in range(at.numel()):
            offset = torch.zeros_like(at).flatten()
            offset[place] = step
            offset = offset.view_as(at)
            found.view(-1)[place] = (function(at + offset) - function(at - offset)) / (2 * step)
    return found


@pytest.fixture
def eight():
    """Eight votes in two groups that overlap at sigma = 0.7."""
    votes = torch.randn(8, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    votes[4:, 0] += 2.0
    return votes, torch.zeros(8, dtype=torch.int64), torch.arange(2).repeat_interleave(4)


def test_one_component_moves_with_each_vote_by_its_share():
    votes = torch.randn(6, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    batch = torch.zeros(6, dtype=torch.int64)
    for implicit in ("observed", "complete"):
        jacobian = torch.autograd.functional.jacobian(
            lambda y, how=implicit: soft_em(y, batch, batch, 0.7, implicit=how).means[0], votes
        )
        expected = torch.eye(3, dtype=torch.float64).unsqueeze(1).expand(3, 6, 3) / 6
        torch.testing.assert_close(jacobian, expected, rtol=0, atol=1e-15)


@pytest.mark.parametrize("tau", [0.0, 0.2])
@pytest.mark.parametrize("what", ["means", "weights", "responsibilities"])
def test_observed_information_gives_finite_differences(eight, what, tau, rng):
    votes, batch, start = eight

    def value(y):
        found = soft_em(y, batch, start, 0.7, tau=tau, **EXACT)
        parts = {"means": found.means, "weights": found.weights, "responsibilities": found.matrix()}
        return (parts[what] * factors[what]).sum()

    shapes = {"means": (2, 3), "weights": (2,), "responsibilities": (8, 2)}
    factors = {what: torch.randn(*shapes[what], generator=rng, dtype=torch.float64)}
    numeric = finite_differences(value, votes)
    at = votes.clone().requires_grad_()
    (observed,) = torch.autograd.grad(value(at), at)
    torch.testing.assert_close(observed, numeric, rtol=0, atol=1e-8)


def test_complete_information_differs_by_tens_of_percent(eight):
    votes, batch, start = eight

    def value(y, implicit="observed"):
        return soft_em(y, batch, start, 0.7, implicit=implicit, **EXACT).means[0, 0]

    at = votes.clone().requires_grad_()
    found = {how: torch.autograd.grad(value(at, how), at)[0][:, 0] for how in ("observed", "complete")}
    torch.testing.assert_close(found["observed"], finite_differences(value, votes)[:, 0], rtol=0, atol=1e-8)
    off = (found["complete"] - found["observed"]).norm() / found["observed"].norm()
    assert 0.1 < float(off) < 0.9


def test_without_gradients_of_the_components_only_shares_depend_on_votes(eight):
    votes, batch, start = eight
    at = votes.clone().requires_grad_()
    found = soft_em(at, batch, start, 0.7, implicit="none", **EXACT)
    assert not found.means.requires_grad
    assert not found.weights.requires_grad
    assert found.responsibilities.requires_grad
    values = [
        soft_em(votes, batch, start, 0.7, implicit=how, **EXACT).means for how in ("observed", "complete", "none")
    ]
    assert values[0].equal(values[1])
    assert values[0].equal(values[2])


def test_several_clouds_with_many_components(rng):
    votes = torch.rand(120, 3, generator=rng, dtype=torch.float64)
    batch = torch.arange(2).repeat_interleave(60)
    start = torch.arange(120) // 3
    factors = torch.randn(40, 3, generator=rng, dtype=torch.float64)

    def value(y):
        found = soft_em(y, batch, start, 0.05, **EXACT)
        return (found.means[:10] * factors[:10]).sum() + found.weights.square().sum()

    at = votes.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(value(at), at)
    for _ in range(4):
        along = torch.randn(120, 3, generator=rng, dtype=torch.float64)
        with torch.no_grad():
            numeric = (value(votes + 1e-6 * along) - value(votes - 1e-6 * along)) / 2e-6
        assert float((gradient * along).sum()) == pytest.approx(float(numeric), abs=1e-6)


def test_products_with_the_information_are_those_of_the_second_derivative(rng):
    votes = torch.randn(10, 2, generator=rng, dtype=torch.float64)
    batch = torch.zeros(10, dtype=torch.int64)
    counts = torch.randint(1, 4, (10,), generator=rng).double()
    logits = torch.randn(3, generator=rng, dtype=torch.float64)
    means = torch.randn(3, 2, generator=rng, dtype=torch.float64)
    cloud = torch.zeros(3, dtype=torch.int64)

    def likelihood(flat):
        centres, weights = flat[:, :2], flat[:, 2].softmax(0)
        score = weights.log() - (votes.unsqueeze(1) - centres).square().sum(-1) / (2 * 0.8**2)
        return (counts * score.logsumexp(1)).sum()

    flat = torch.cat([means, logits.unsqueeze(1)], 1)
    hessian = torch.autograd.functional.hessian(likelihood, flat).reshape(9, 9)
    given = Components(means, logits.softmax(0), cloud)
    operator = _Information(votes, batch, counts, given, candidates(votes, batch, given, 3), 0.8, 0.0)
    rows = torch.stack([operator.times(unit.view(3, 3)).flatten() for unit in torch.eye(9, dtype=torch.float64)])
    torch.testing.assert_close(rows, -hessian, rtol=0, atol=1e-12)
    assert not torch.allclose(rows, torch.diag(operator.complete.flatten()), atol=0.1)


def test_a_solution_far_from_converged_still_has_a_finite_gradient(rng):
    votes = torch.randn(50, 3, generator=rng, dtype=torch.float64).requires_grad_()
    found = soft_em(votes, torch.zeros(50, dtype=torch.int64), torch.arange(50), 1.0, rho=0.0, max_iterations=2)
    (gradient,) = torch.autograd.grad(found.means.square().sum() + found.weights.square().sum(), votes)
    assert bool(gradient.isfinite().all())
    assert float(gradient.abs().max()) > 0
