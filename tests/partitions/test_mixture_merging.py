"""Merging of components and the repulsion between them."""

import itertools

import pytest
import torch
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from intertwine.partitions import Components, divergence, mixture_energy, soft_em
from intertwine.partitions.components import close_pairs, merge


def components(means, weights=None):
    means = torch.as_tensor(means, dtype=torch.float64)
    weights = [1 / len(means)] * len(means) if weights is None else weights
    return Components(means, torch.tensor(weights, dtype=torch.float64), torch.zeros(len(means), dtype=torch.int64))


def chain(count, step):
    return [[step * i, 0.0, 0.0] for i in range(count)]


def test_a_chain_of_close_centres_ends_as_one():
    weights = [0.1, 0.3, 0.2, 0.15, 0.25]
    one, place = merge(*pairs_of(components(chain(5, 0.9), weights), 1.0))
    assert one.weights.tolist() == pytest.approx([1.0])
    assert float(one.means[0, 0]) == pytest.approx(sum(w * 0.9 * i for i, w in enumerate(weights)))
    assert place.tolist() == [0] * 5
    apart, _ = merge(*pairs_of(components(chain(5, 1.1), weights), 1.0))
    assert len(apart) == 5


def pairs_of(given, reach):
    return given, close_pairs(given, reach)


@pytest.mark.parametrize("order", list(itertools.permutations(range(5)))[::17])
def test_the_order_has_no_influence(order):
    weights = torch.tensor([0.1, 0.3, 0.2, 0.15, 0.25], dtype=torch.float64)
    means = torch.tensor([[0.0, 0, 0], [0.8, 0, 0], [1.6, 0, 0], [5.0, 0, 0], [5.5, 0, 0]], dtype=torch.float64)
    given = Components(means[list(order)], weights[list(order)], torch.zeros(5, dtype=torch.int64))
    found, _ = merge(*pairs_of(given, 1.0))
    first, second = sorted(zip(found.means[:, 0].tolist(), found.weights.tolist(), strict=True))
    assert first == pytest.approx(((0.24 + 0.32) / 0.6, 0.6))
    assert second == pytest.approx(((0.75 + 1.375) / 0.4, 0.4))


def test_groups_are_those_of_a_graph_library(rng):
    count = 300
    means = torch.rand(count, 3, generator=rng, dtype=torch.float64)
    weights = torch.rand(count, generator=rng, dtype=torch.float64)
    cloud = torch.arange(3).repeat_interleave(100)
    given = Components(means, weights, cloud).normalised()
    pairs = close_pairs(given, 0.12)
    table = (torch.cdist(means, means) < 0.12) & (cloud == cloud.unsqueeze(1))
    assert {tuple(p) for p in pairs.T.tolist()} == {tuple(p) for p in table.triu(1).nonzero().tolist()}
    groups, labels = connected_components(coo_matrix(table.numpy()), directed=False)
    found, place = merge(given, pairs)
    assert 3 < groups < count
    assert len(found) == groups
    assert len(set(zip(labels.tolist(), place.tolist(), strict=True))) == groups
    for new in range(groups):
        old = place == new
        assert float(found.weights[new]) == pytest.approx(float(given.weights[old].sum()))
        mean = (given.means[old] * given.weights[old].unsqueeze(1)).sum(0) / given.weights[old].sum()
        assert found.means[new].tolist() == pytest.approx(mean.tolist())
        assert int(found.cloud[new]) == int(cloud[old][0])


def test_means_that_stay_closer_than_rho_never_remain(rng):
    votes = torch.rand(400, 3, generator=rng, dtype=torch.float64)
    batch = torch.arange(2).repeat_interleave(200)
    found = soft_em(votes, batch, torch.arange(400), 0.12, rho=0.2, max_iterations=4000)
    distance = torch.cdist(found.means, found.means).fill_diagonal_(9)
    distance[found.components.cloud != found.components.cloud.unsqueeze(1)] = 9
    assert bool(found.converged.all())
    assert float(distance.min()) >= 0.2
    assert len(found.weights) > 4
    assert found.weights.sum().item() == pytest.approx(2.0)


def test_without_merging_near_duplicates_remain():
    votes = torch.tensor([[0.0, 0, 0], [0.01, 0, 0], [3.0, 0, 0]], dtype=torch.float64)
    batch = torch.zeros(3, dtype=torch.int64)
    assert len(soft_em(votes, batch, torch.arange(3), 0.5, rho=0.0).weights) == 3
    assert len(soft_em(votes, batch, torch.arange(3), 0.5).weights) == 2


# --- repulsion ---------------------------------------------------------------------------------------------


def test_divergence_is_that_of_two_gaussians(rng):
    a, b = torch.randn(2, 3, generator=rng, dtype=torch.float64)
    p = torch.distributions.MultivariateNormal(a, 0.49 * torch.eye(3, dtype=torch.float64))
    q = torch.distributions.MultivariateNormal(b, 0.49 * torch.eye(3, dtype=torch.float64))
    expected = float(torch.distributions.kl_divergence(p, q))
    assert float(divergence(a, b, 0.7)) == pytest.approx(expected, rel=1e-12)
    assert float(divergence(b, a, 0.7)) == pytest.approx(expected, rel=1e-12)


def test_the_energy_is_that_of_its_formula(rng):
    votes = torch.randn(7, 3, generator=rng, dtype=torch.float64)
    given = components(votes[:3] + 0.1, [0.5, 0.2, 0.3])
    batch = torch.zeros(7, dtype=torch.int64)
    gauss = [torch.distributions.MultivariateNormal(m, 0.36 * torch.eye(3, dtype=torch.float64)) for m in given.means]
    density = sum(w * g.log_prob(votes).exp() for w, g in zip(given.weights, gauss, strict=True))
    pairs = sum(
        given.weights[j] * given.weights[k] * torch.distributions.kl_divergence(gauss[j], gauss[k]).log()
        for j in range(3)
        for k in range(3)
        if j != k
    )
    expected = -density.log().sum() - 0.4 * pairs
    assert float(mixture_energy(votes, batch, given, 0.6, 0.4)) == pytest.approx(float(expected), rel=1e-12)


def test_the_gradient_of_the_energy_is_that_of_finite_differences(rng):
    votes = torch.randn(9, 3, generator=rng, dtype=torch.float64)
    batch = torch.tensor([0] * 5 + [1] * 4)
    cloud = torch.tensor([0, 0, 0, 1, 1])
    start = torch.randn(5, 3, generator=rng, dtype=torch.float64)
    weights = torch.tensor([0.2, 0.5, 0.3, 0.6, 0.4], dtype=torch.float64)

    def energy(votes, means, weights):
        return mixture_energy(votes, batch, Components(means, weights, cloud), 0.8, tau=0.5)

    inputs = tuple(x.clone().requires_grad_() for x in (votes, start, weights))
    assert torch.autograd.gradcheck(energy, inputs)


def test_coinciding_means_have_infinite_energy():
    votes = torch.tensor([[0.0, 0, 0], [1.0, 0, 0]], dtype=torch.float64)
    batch = torch.zeros(2, dtype=torch.int64)
    same = components([[0.5, 0, 0], [0.5, 0, 0]])
    assert mixture_energy(votes, batch, same, 1.0, tau=0.01).tolist() == [float("inf")]
    assert bool(mixture_energy(votes, batch, same, 1.0).isfinite().all())
    alone = components([[0.5, 0, 0]])
    assert mixture_energy(votes, batch, alone, 1.0, tau=0.01).equal(mixture_energy(votes, batch, alone, 1.0))


@pytest.mark.parametrize("tau", [1e-2, 0.3, 2.0])
def test_iterations_with_repulsion_end_where_the_energy_is_stationary(tau, rng):
    votes = torch.randn(12, 2, generator=rng, dtype=torch.float64)
    votes[6:, 0] += 2.5
    batch = torch.zeros(12, dtype=torch.int64)
    start = torch.arange(2).repeat_interleave(6)
    found = soft_em(votes, batch, start, 0.7, rho=0.0, tau=tau, tolerance=1e-14, max_iterations=2000)
    means = found.means.clone().requires_grad_()
    logits = found.weights.log().clone().requires_grad_()

    def energy(means, logits):
        return mixture_energy(
            votes, batch, Components(means, logits.softmax(0), found.components.cloud), 0.7, tau
        ).sum()

    gradients = torch.autograd.grad(energy(means, logits), (means, logits))
    assert max(float(g.abs().max()) for g in gradients) < 1e-9
    without = soft_em(votes, batch, start, 0.7, rho=0.0, tolerance=1e-14, max_iterations=2000)
    assert torch.pdist(found.means) > torch.pdist(without.means), "the components repel one another"
    assert energy(found.means, found.weights.log()) <= energy(without.means, without.weights.log())
