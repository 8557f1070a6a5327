"""Planes against closed forms, all triples, motions, and bad input."""

from itertools import combinations

import pytest
import torch

from intertwine.errors import ConfigError, NumericsError, ShapeError
from intertwine.groups import E
from intertwine.points import ransac_plane


def room(rng, floor=300, others=150, noise=0.003):
    """A square floor with noise, in any position, and points above it."""
    flat = torch.rand(floor, 3, generator=rng, dtype=torch.float64) * 4
    flat[:, 2] = noise * torch.randn(floor, generator=rng, dtype=torch.float64)
    above = torch.rand(others, 3, generator=rng, dtype=torch.float64) * 2
    above[:, 2] += 0.1
    return torch.cat([flat, above]), torch.arange(floor + others) < floor


def test_the_floor_of_a_room_is_found(rng):
    points, floor = room(rng)
    found = ransac_plane(points, 0.02, rng=rng)
    assert (found.near == floor).all()
    assert abs(found.normal[2]) > 0.9999
    assert abs(found.offset) < 0.01
    assert found.normal.norm() == pytest.approx(1.0)


def test_a_table_is_no_floor(rng):
    """A table top and a wall with more points each than the floor: they are planes, and what is below them matters."""
    points, floor = room(rng, floor=200, others=50)
    for axis, place, count in ((2, 0.7, 500), (0, 4.0, 400)):
        flat = torch.rand(count, 3, generator=rng, dtype=torch.float64)
        flat[:, axis] = place
        points, floor = torch.cat([points, flat]), torch.cat([floor, torch.zeros(count, dtype=torch.bool)])
    assert int((ransac_plane(points, 0.02, rng=rng).near & floor).sum()) == 0
    up = torch.tensor([0.0, 0.0, 3.0])
    found = ransac_plane(points, 0.02, up=up, rng=rng)
    assert (found.near[floor]).all()
    assert found.normal[2] > 0.999
    assert float(points[found.near, 2].abs().max()) < 0.1
    with pytest.raises(NumericsError, match="no floor"):
        ransac_plane(points[-400:], 0.02, up=up, rng=rng)


def test_with_all_triples_it_is_the_best_of_all(rng):
    """Ten points and far more draws than their 120 triples: no other plane has more points near."""
    points = torch.randn(10, 3, generator=rng, dtype=torch.float64)
    best = 0
    for triple in combinations(range(10), 3):
        a, b, c = points[list(triple)]
        normal = torch.linalg.cross(b - a, c - a)
        normal = normal / normal.norm()
        best = max(best, int((((points - a) @ normal).abs() <= 0.2).sum()))
    found = ransac_plane(points, 0.2, 5000, rng=rng)
    assert int(found.near.sum()) == best > 3
    torch.testing.assert_close(found.near, (points @ found.normal - found.offset).abs() <= 0.2)


def test_it_moves_with_the_cloud(rng):
    points, _ = room(rng)
    for _ in range(4):
        motion = E(3).sample(rng=rng, dtype=torch.float64)
        one, other = (
            ransac_plane(x, 0.02, 200, rng=torch.Generator().manual_seed(3))
            for x in (points, E(3).apply(motion, points))
        )
        assert torch.equal(one.near, other.near)
        turned = motion[:3, :3] @ one.normal
        torch.testing.assert_close((turned @ other.normal).abs(), torch.ones((), dtype=torch.float64))


def test_draws_follow_the_generator_and_single_precision_is_enough(rng):
    points, floor = room(rng)
    one, other = (ransac_plane(points, 0.02, 50, rng=torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(one.normal, other.normal)
    found = ransac_plane(points.float(), 0.02, rng=rng)
    assert found.normal.dtype == torch.float64
    assert (found.near == floor).all()


def test_three_points_span_their_plane_and_fewer_none(rng):
    corners = torch.eye(3, dtype=torch.float64)
    found = ransac_plane(corners, 0.0 + 1e-12, 1, rng=rng)
    assert found.near.all()
    torch.testing.assert_close((found.normal * found.offset.sign()), torch.full((3,), 3**-0.5, dtype=torch.float64))
    with pytest.raises(ShapeError, match="three points"):
        ransac_plane(corners[:2], 0.1, rng=rng)
    with pytest.raises(ShapeError):
        ransac_plane(corners[:, :2], 0.1, rng=rng)


@pytest.mark.parametrize("points", [torch.ones(9, 3), torch.arange(9.0).unsqueeze(1) * torch.tensor([[1.0, 2.0, 3.0]])])
def test_lines_and_coincident_points_have_no_plane(points, rng):
    with pytest.raises(NumericsError, match="no plane"):
        ransac_plane(points, 0.1, rng=rng)


def test_refuses_in_words(rng):
    points, _ = room(rng)
    for wrong in ({"distance": -0.1}, {"distance": float("nan")}, {"distance": 0.1, "iterations": 0}):
        with pytest.raises(ConfigError):
            ransac_plane(points, **wrong, rng=rng)
    for up in (torch.zeros(3), torch.ones(2), torch.tensor([0.0, torch.inf, 1.0])):
        with pytest.raises(ConfigError, match="up is a direction"):
            ransac_plane(points, 0.1, up=up, rng=rng)
    points[7, 1] = torch.nan
    with pytest.raises(NumericsError) as nan:
        ransac_plane(points, 0.1, rng=rng)
    assert nan.value.got.startswith("1 of")
