"""Edge convolutions against the formula that copies features to every edge."""

import pytest
import torch
from torch import nn

from intertwine.errors import ConfigError, ShapeError
from intertwine.nn.edge_conv import EdgeConv, edge_features, pool_edges
from intertwine.points import nearest_neighbours

DOUBLE = torch.float64


def written_out(layer, features, neighbours):
    """Loop over clouds, points and neighbours; then plain layers of torch."""
    batch, points, k = neighbours.shape
    edges = [
        torch.cat([features[b, j] - features[b, i], features[b, i]])
        for b in range(batch)
        for i in range(points)
        for j in neighbours[b, i].tolist()
    ]
    rows = torch.stack(edges)
    for step, norm in zip(layer.maps, layer.norms, strict=True):
        rows = nn.functional.leaky_relu(norm(rows @ step.weight.T), layer.slope)
    rows = rows.view(batch, points, k, -1)
    return rows.max(2).values if layer.pool == "max" else rows.sum(2) / k


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("pool", ["max", "mean"])
@pytest.mark.parametrize("widths", [(6,), (6, 5), (4, 8, 3)])
def test_equal_to_a_loop_over_edges(training, pool, widths, rng):
    one, other = (EdgeConv(4, widths, pool=pool).double().train(training) for _ in range(2))
    other.load_state_dict(one.state_dict())
    features = torch.randn(2, 9, 4, generator=rng, dtype=DOUBLE)
    neighbours = nearest_neighbours(features, 5)
    leaves = [features.clone().requires_grad_() for _ in range(2)]
    found, expected = one(leaves[0], neighbours), written_out(other, leaves[1], neighbours)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    for output in (found, expected):
        output.square().sum().backward()
    torch.testing.assert_close(leaves[0].grad, leaves[1].grad, rtol=1e-8, atol=1e-9)
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-8, atol=1e-8)


def test_norms_learn_from_the_edges_of_points_that_exist(rng):
    """Clouds of two sizes in a padded batch against the loop over edges of both."""
    one, other = (EdgeConv(4, (6, 5)).double().train() for _ in range(2))
    other.load_state_dict(one.state_dict())
    clouds = [torch.randn(1, size, 4, generator=rng, dtype=DOUBLE) for size in (9, 6)]
    mask = torch.arange(9) < torch.tensor([[9], [6]])
    padded = torch.cat([clouds[0], nn.functional.pad(clouds[1], (0, 0, 0, 3), value=7.0)])
    found = one(padded, nearest_neighbours(padded, 5, mask), mask)
    edges = torch.cat([edge_features(cloud, nearest_neighbours(cloud, 5)).flatten(0, 1) for cloud in clouds])
    rows = edges.flatten(0, 1)
    for step, norm in zip(other.maps, other.norms, strict=True):
        rows = nn.functional.leaky_relu(norm(rows @ step.weight.T), 0.2)
    torch.testing.assert_close(found[mask], rows.view(15, 5, 5).amax(1), rtol=1e-10, atol=1e-12)
    assert (found[~mask] == 0).all()
    torch.testing.assert_close(dict(one.named_buffers()), dict(other.named_buffers()))


def test_permuted_points_have_permuted_features(rng):
    layer = EdgeConv(3, (5, 4)).double().eval()
    points = torch.randn(1, 12, 3, generator=rng, dtype=DOUBLE)
    order = torch.randperm(12, generator=rng)
    moved = layer(points[:, order], nearest_neighbours(points[:, order], 4))
    torch.testing.assert_close(moved, layer(points, nearest_neighbours(points, 4))[:, order])


def test_edges_are_differences_beside_the_point(rng):
    features = torch.randn(1, 3, 2, generator=rng)
    edges = edge_features(features, torch.tensor([[[1, 2], [0, 0], [2, 1]]]))
    assert edges.shape == (1, 3, 2, 4)
    assert torch.equal(edges[0, 0, 1], torch.cat([features[0, 2] - features[0, 0], features[0, 0]]))
    assert torch.equal(pool_edges(edges, "max"), edges.max(2).values)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ConfigError):
        EdgeConv(3, (4,), pool="sum")
    with pytest.raises(ConfigError):
        EdgeConv(3, ())
    with pytest.raises(ShapeError):
        EdgeConv(3, (4,))(torch.zeros(1, 5, 2), torch.zeros(1, 5, 2, dtype=torch.int64))
    with pytest.raises(ShapeError):
        EdgeConv(3, (4,))(torch.zeros(1, 5, 3), torch.zeros(1, 4, 2, dtype=torch.int64))
