"""The grid on the sphere: harmonics and gradients against other ways to them, exactness, and that less is not."""

from math import pi

import pytest
import torch

from intertwine.errors import RepresentationError
from intertwine.products.gaunt.sphere_grid import SphereGrid, legendre_tables
from intertwine.representations import spherical_harmonics

DOUBLE = torch.float64


@pytest.mark.parametrize("lmax", [0, 1, 4, 12])
def test_tables_are_the_harmonics_at_the_points(lmax):
    grid = SphereGrid(9)
    torch.testing.assert_close(grid.points.norm(dim=-1), torch.ones(len(grid), dtype=DOUBLE), rtol=0, atol=1e-15)
    expected = spherical_harmonics(list(range(lmax + 1)), grid.points)
    torch.testing.assert_close(grid.values(lmax), expected, rtol=0, atol=3e-14)


def test_weights_measure_the_sphere():
    grid = SphereGrid(7)
    assert float(grid.weights.sum()) == pytest.approx(4 * pi, rel=1e-15)
    torch.testing.assert_close(grid.project(2), grid.values(2) * grid.weights[:, None], rtol=0, atol=0)


def test_numbers_of_points():
    assert [len(SphereGrid(4 * lmax)) for lmax in range(1, 7)] == [15, 45, 91, 153, 231, 325]
    assert [len(SphereGrid(3 * lmax)) for lmax in range(1, 7)] == [8, 28, 50, 91, 128, 190]
    assert (SphereGrid(11).num_rings, SphereGrid(11).num_angles) == (6, 12)


@pytest.mark.parametrize(("l1", "l2"), [(0, 0), (1, 2), (3, 3), (8, 8), (6, 11), (30, 30)])
def test_pairs_of_harmonics_are_orthonormal_where_their_degrees_fit(l1, l2):
    """The projection is the inverse of the evaluation, and one degree more is not."""
    assert SphereGrid(l1 + l2).orthonormality_error(l1, l2) < (1e-13 if max(l1, l2) <= 8 else 1e-12)
    if l2:
        assert SphereGrid(l1 + l2).orthonormality_error(l1 + 1, l2 + 1) > 1e-2


def test_the_smallest_grid_is_exact_and_smaller_ones_are_not(rng):
    """The product of two functions of degree 3 projected up to degree 6: degree 12, 7 rings of 13 points."""
    x, y = torch.randn(2, 20, 16, dtype=DOUBLE, generator=rng)

    def product(grid):
        return ((x @ grid.values(3).T) * (y @ grid.values(3).T)) @ grid.project(6)

    truth = product(SphereGrid(40))
    minimal = SphereGrid(12)
    assert (minimal.num_rings, minimal.num_angles) == (7, 13)
    assert (product(minimal) - truth).abs().max() < 1e-13
    assert (product(SphereGrid(12, num_rings=6)) - truth).abs().max() > 1e-2
    assert (product(SphereGrid(12, num_angles=12)) - truth).abs().max() > 1e-3


def test_gradients_are_the_derivatives_by_both_angles():
    grid = SphereGrid(10)
    x, y, z = grid.points.T
    beta, alpha = torch.acos(y).requires_grad_(), torch.atan2(x, z).requires_grad_()
    points = torch.stack([beta.sin() * alpha.sin(), beta.cos(), beta.sin() * alpha.cos()], dim=-1)
    harmonics = spherical_harmonics(list(range(7)), points)
    along_beta, along_alpha = grid.gradient(6)
    for column, values in enumerate(harmonics.T):
        by_beta, by_alpha = torch.autograd.grad(values.sum(), [beta, alpha], retain_graph=True)
        torch.testing.assert_close(along_beta[:, column], by_beta, rtol=0, atol=1e-12)
        torch.testing.assert_close(along_alpha[:, column], by_alpha / beta.sin(), rtol=0, atol=1e-12)


def test_axes_of_the_gradient_are_right_handed():
    """The gradient of the function c . r is c without its part along r: so e_beta x e_alpha must be r."""
    grid = SphereGrid(6)
    scale = (4 * pi / 3) ** 0.5
    beta_axis, alpha_axis = (scale * table[:, 1:] for table in grid.gradient(1))
    torch.testing.assert_close(torch.linalg.cross(beta_axis, alpha_axis), grid.points, rtol=0, atol=1e-14)


def test_legendre_tables_do_not_overflow_and_continue_beyond_the_pole():
    table = legendre_tables(160, torch.tensor([0.3, -0.99999], dtype=DOUBLE))
    assert table.isfinite().all()
    total = table[0].square() + 2 * table[1:].square().sum(0)  # addition theorem: (2 l + 1) / 4 pi at every point
    expected = (2 * torch.arange(161, dtype=DOUBLE) + 1) / (4 * pi)
    torch.testing.assert_close(total, expected[:, None].expand(-1, 2), rtol=1e-11, atol=0)
    angle = torch.tensor([0.7], dtype=DOUBLE)
    there = legendre_tables(3, angle.cos(), angle.sin())
    back = legendre_tables(3, angle.cos(), -angle.sin())
    signs = torch.tensor([1.0, -1, 1, -1], dtype=DOUBLE)[:, None, None]
    torch.testing.assert_close(back, signs * there, rtol=0, atol=1e-15)


def test_impossible_grids_are_refused():
    with pytest.raises(RepresentationError) as caught:
        SphereGrid(-1)
    assert caught.value.got["degree"] == -1
    with pytest.raises(RepresentationError):
        SphereGrid(3, num_rings=0)
    with pytest.raises(RepresentationError):
        legendre_tables(-1, torch.zeros(2))
