"""Orthonormal axes: numpy's QR with a positive diagonal is the oracle, real and complex."""

import numpy as np
import pytest
import torch

from intertwine.frames.gram_schmidt import complete_axes, gram_schmidt, independent_axes, projection, turn_last

DTYPES = [torch.float64, torch.complex128]
both = pytest.mark.parametrize("dtype", DTYPES, ids=["real", "complex"])


def normal(rng, *shape, dtype=torch.float64):
    return torch.randn(*shape, generator=rng, dtype=dtype)


def positive_qr(columns):
    q, r = np.linalg.qr(columns)
    diagonal = np.diagonal(r, axis1=-2, axis2=-1)
    phases = diagonal / np.abs(diagonal)
    return q * phases[..., None, :], np.abs(diagonal)


@both
@pytest.mark.parametrize(("k", "d"), [(1, 2), (2, 3), (3, 3), (3, 5)])
def test_gram_schmidt_is_qr_with_a_positive_diagonal(k, d, dtype, rng):
    vectors = normal(rng, 4, 2, k, d, dtype=dtype)
    axes, lengths = gram_schmidt(vectors)
    q, r = positive_qr(vectors.mT.numpy())
    np.testing.assert_allclose(axes.numpy(), q, atol=1e-12)
    np.testing.assert_allclose(lengths.numpy(), r, atol=1e-12)


def test_the_product_of_lengths_is_the_volume(rng):
    vectors = normal(rng, 5, 2, 4)
    gram = vectors @ vectors.mT
    torch.testing.assert_close(gram_schmidt(vectors)[1].prod(-1), torch.linalg.det(gram).sqrt())


def test_nearly_dependent_vectors_give_orthonormal_axes(rng):
    first = normal(rng, 6, 3)
    vectors = torch.stack([first, first + 1e-9 * normal(rng, 6, 3)], dim=1)
    axes, _ = gram_schmidt(vectors)
    torch.testing.assert_close(axes.mT @ axes, torch.eye(2, dtype=torch.float64).expand(6, 2, 2), rtol=0, atol=1e-14)


def test_dependent_vectors_give_no_axis(rng):
    first = normal(rng, 6, 3)
    axes, lengths = gram_schmidt(torch.stack([first, -2 * first, torch.zeros_like(first)], dim=1))
    assert (axes[..., 1:] == 0).all()
    assert lengths[..., 1:].abs().max() < 1e-14


def test_no_vectors_have_volume_one():
    axes, lengths = gram_schmidt(torch.zeros(2, 3, 0, 4, dtype=torch.float64))
    assert axes.shape == (2, 3, 4, 0)
    assert lengths.prod(-1).tolist() == [[1.0] * 3] * 2


@both
def test_independent_axes_are_those_of_the_first_independent_vectors(dtype, rng):
    """Zero vectors, multiples and combinations before them are passed over."""
    a, b, c, e = normal(rng, 4, 1, 4, dtype=dtype).unbind(0)
    cloud = torch.cat([0 * a, a, -3 * a, b, a + 2 * b, c, a - c, e]).unsqueeze(0)
    axes, places, found = independent_axes(cloud, None, 1e-9)
    assert places.tolist() == [[1, 3, 5, 7]]
    assert found.all()
    want, _ = positive_qr(torch.cat([a, b, c, e]).mT.numpy())
    np.testing.assert_allclose(axes[0].numpy(), want, atol=1e-12)


def test_masked_vectors_are_not_read(rng):
    cloud = normal(rng, 2, 5, 3)
    mask = torch.tensor([[False, True, True, False, True], [True, True, True, True, True]])
    spoilt = torch.where(mask.unsqueeze(-1), cloud, torch.nan)
    axes, places, _ = independent_axes(spoilt, mask, 1e-9)
    assert places.tolist() == [[1, 2, 4], [0, 1, 2]]
    alone, _, _ = independent_axes(cloud[:1, [1, 2, 4]], None, 1e-9)
    torch.testing.assert_close(axes[:1], alone, rtol=0, atol=1e-15)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_vectors_give_the_first_axes_only(count, rng):
    axes, _, found = independent_axes(normal(rng, 4, count, 3), None, 1e-9)
    assert found.sum(-1).tolist() == [count] * 4
    assert (axes[..., count:] == 0).all()
    square = complete_axes(axes, found)
    torch.testing.assert_close(square.mT @ square, torch.eye(3, dtype=torch.float64).expand(4, 3, 3))
    assert square[..., :count].equal(axes[..., :count])
    onto = projection(square, found)
    torch.testing.assert_close(onto @ onto, onto)
    assert onto.diagonal(dim1=-2, dim2=-1).sum(-1).tolist() == pytest.approx([count] * 4)


@both
def test_axes_are_completed_wherever_they_are_missing(dtype, rng):
    full = torch.from_numpy(positive_qr(normal(rng, 8, 4, 4, dtype=dtype).numpy())[0])
    found = torch.rand(8, 4, generator=rng) > 0.5
    square = complete_axes(full, found)
    identity = torch.eye(4, dtype=dtype).expand(8, 4, 4)
    torch.testing.assert_close(square.mH @ square, identity, rtol=0, atol=1e-14)
    assert torch.where(found.unsqueeze(-2), square, 0).equal(torch.where(found.unsqueeze(-2), full, 0))


@both
def test_the_last_axis_is_turned_for_a_determinant_of_one(dtype, rng):
    full, _ = positive_qr(normal(rng, 8, 3, 3, dtype=dtype).numpy())
    turned = turn_last(torch.from_numpy(full))
    np.testing.assert_allclose(np.linalg.det(turned.numpy()), 1, atol=1e-14)
    assert turned[..., :2].equal(torch.from_numpy(full)[..., :2])


def test_gradients_are_those_of_finite_differences(rng):
    vectors = normal(rng, 2, 3, 3).requires_grad_()
    assert torch.autograd.gradcheck(gram_schmidt, vectors)

    def completed(cloud):
        axes, _, found = independent_axes(cloud, None, 1e-9)
        return turn_last(complete_axes(axes, found))

    assert torch.autograd.gradcheck(completed, vectors)
    assert torch.autograd.gradcheck(completed, normal(rng, 2, 2, 3).requires_grad_())


def test_gradients_of_zero_vectors_are_finite():
    vectors = torch.zeros(1, 2, 3, dtype=torch.float64, requires_grad=True)
    axes, lengths = gram_schmidt(vectors)
    complete_axes(axes, lengths > 0).sum().backward()
    assert vectors.grad.isfinite().all()
