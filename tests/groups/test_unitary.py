"""Unitary groups in real form: complex arithmetic is the oracle."""

import math

import numpy as np
import pytest
import scipy.linalg
import torch

from intertwine.groups import SO, SU, U, complex_to_real, real_to_complex
from intertwine.representations import Invariant, Vector
from intertwine.symmetry import Symmetry, equivariance_error

GROUPS = [kind(n) for kind in (U, SU) for n in (1, 2, 3)]
over_groups = pytest.mark.parametrize("group", GROUPS, ids=str)
DRAWS = 20_000


def complex_normal(rng, *shape):
    return torch.randn(*shape, generator=rng, dtype=torch.complex128)


def test_dimensions():
    assert [U(n).dim for n in (1, 2, 3)] == [1, 4, 9]
    assert [SU(n).dim for n in (1, 2, 3)] == [0, 3, 8]
    assert U(2).orthogonal


def test_convention_real_forms_act_as_complex_matrices_do(rng):
    matrix, other, vector = complex_normal(rng, 3, 3), complex_normal(rng, 3, 3), complex_normal(rng, 3)
    moved = complex_to_real(matrix) @ torch.view_as_real(vector).flatten()
    torch.testing.assert_close(moved, torch.view_as_real(matrix @ vector).flatten())
    torch.testing.assert_close(complex_to_real(matrix) @ complex_to_real(other), complex_to_real(matrix @ other))
    assert real_to_complex(complex_to_real(matrix)).equal(matrix)
    wide = complex_normal(rng, 2, 4, 3)
    assert real_to_complex(complex_to_real(wide)).equal(wide)


@over_groups
def test_draws_are_unitary(group, rng):
    drawn = real_to_complex(group.sample(50, rng=rng, dtype=torch.float64)).numpy()
    products = drawn.conj().transpose(0, 2, 1) @ drawn
    np.testing.assert_allclose(products, np.broadcast_to(np.eye(group.n), products.shape), atol=1e-14)
    if isinstance(group, SU):
        np.testing.assert_allclose(np.linalg.det(drawn), 1, atol=1e-14)
    assert SO(2 * group.n).contains(group.sample(50, rng=rng, dtype=torch.float64)).all()


@over_groups
def test_exp_is_the_matrix_exponential_of_an_antihermitian_matrix(group, rng):
    coordinates = torch.randn(6, group.dim, generator=rng, dtype=torch.float64)
    algebra = real_to_complex(group.hat(coordinates)).numpy()
    np.testing.assert_array_equal(algebra, -algebra.conj().transpose(0, 2, 1))
    want = np.stack([scipy.linalg.expm(m) for m in algebra])
    got = group.exp(coordinates)
    np.testing.assert_allclose(real_to_complex(got).numpy(), want, atol=1e-13)
    assert group.contains(got).all()
    torch.testing.assert_close(group.vee(group.hat(coordinates)), coordinates, rtol=0, atol=1e-15)


def test_convention_coordinates_of_su2():
    """A turn of axis 0 towards axis 1, the imaginary entries, and the phase of axis 0 against axis 1."""
    turn, shear, phase = real_to_complex(SU(2).hat(torch.eye(3, dtype=torch.float64)))
    assert turn.tolist() == [[0, -1], [1, 0]]
    assert shear.tolist() == [[0, 1j], [1j, 0]]
    assert phase.tolist() == [[1j, 0], [0, -1j]]


@pytest.mark.parametrize("n", [1, 2, 3])
def test_moments_of_the_haar_measure(n, rng):
    """E[g_ij] = 0 and E[|g_ij|^2] = 1/n; |g_ij|^4 has mean 2 / (n (n + 1))."""
    drawn = real_to_complex(U(n).sample(DRAWS, rng=rng, dtype=torch.float64))
    assert drawn.mean(0).abs().max() < 5 / math.sqrt(n * DRAWS)
    torch.testing.assert_close(drawn.abs().square().mean(0), torch.full((n, n), 1 / n).double(), rtol=0.03, atol=0)
    fourth = torch.full((n, n), 2 / (n * (n + 1))).double()
    torch.testing.assert_close(drawn.abs().pow(4).mean(0), fourth, rtol=0.05, atol=0)


def test_traces_of_su2_follow_their_law(rng):
    """SU(2) is the sphere of unit quaternions: the real part of an entry has variance 1/4, the trace 1."""
    drawn = real_to_complex(SU(2).sample(DRAWS, rng=rng, dtype=torch.float64))
    trace = drawn.diagonal(dim1=-2, dim2=-1).sum(-1)
    assert trace.imag.abs().max() < 1e-14
    assert abs(trace.real.square().mean().item() - 1) < 0.03
    assert abs(drawn[:, 0, 0].real.square().mean().item() - 0.25) < 0.01


def test_without_the_phases_the_moments_would_fail(rng):
    """The QR routine keeps a real diagonal: its Q is not Haar, and the first moment says so."""
    q = torch.linalg.qr(complex_normal(rng, DRAWS, 2, 2)).Q
    assert q.mean(0).abs().max() > 20 / math.sqrt(2 * DRAWS)


def test_a_check_of_unitary_symmetry_passes_and_catches_conjugation(rng):
    state = torch.randn(4, generator=rng, dtype=torch.float64)
    claim = Symmetry(U(2), inputs={"state": Vector()}, output=Vector())
    good = equivariance_error(lambda state: state * state.norm(), (state,), symmetry=claim, trials=8, rng=rng)
    assert good.worst.relative < 1e-13

    def conjugate(state):
        return state * torch.tensor([1.0, -1.0, 1.0, -1.0], dtype=state.dtype)

    bad = equivariance_error(conjugate, (state,), symmetry=claim, trials=8, rng=rng)
    assert bad.worst.relative > 1e-2
    scalar = Symmetry(U(2), inputs={"state": Vector()}, output=Invariant())
    good = equivariance_error(lambda state: state.norm(), (state,), symmetry=scalar, trials=8, rng=rng)
    assert good.worst.relative < 1e-13
