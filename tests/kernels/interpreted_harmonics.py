"""Spherical harmonics in Triton through the interpreter; `test_gpu_harmonics.py` starts it in its own process."""

import pytest
import torch
from problems import draw, harmonics_problem, orders
from triton_checks import check_parts, close, interpreted, twin

from intertwine.kernels.family import Implementation
from intertwine.kernels.gpu import implementation
from intertwine.representations import SphericalHarmonics

TYPES = [torch.float32, torch.float64, torch.bfloat16]


def compare(inputs, static, dtype, rng):
    family, seed = interpreted("harmonics"), rng.initial_seed()
    ours, wanted = (
        orders(function, inputs, static, torch.Generator().manual_seed(seed)) for function in (family, family.reference)
    )
    for order, (a, b) in enumerate(zip(ours, wanted, strict=True)):
        for got, expected in zip(a, b, strict=True):
            close(got, expected, dtype, order)


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_the_check_at_first_use_passes(dtype):
    assert interpreted("harmonics").state("cpu", dtype) == "ready"


@pytest.mark.parametrize("dtype", TYPES[:2], ids=str)
@pytest.mark.parametrize("lmax", [1, 2, 6])
@pytest.mark.parametrize("count", [0, 1, 129])
def test_equal_to_the_reference_up_to_second_order(count, lmax, dtype, rng):
    inputs, static = harmonics_problem(rng, dtype, count, lmax)
    compare(inputs, static, dtype, rng)


def test_degree_zero_is_constant(rng):
    inputs, static = harmonics_problem(rng, torch.float64, 5, 0)
    r = inputs[0].requires_grad_()
    y = interpreted("harmonics")(r, *static)
    assert torch.equal(y, torch.full_like(y, y[0, 0].item()))
    assert torch.equal(torch.autograd.grad(y.sum(), r)[0], torch.zeros_like(r))


def test_squares_of_a_degree_add_up_to_its_number_of_components(rng):
    """The addition theorem, which knows nothing of the recursion: the normalisation `component` gives 2 l + 1."""
    module = SphericalHarmonics(range(7), normalization="component")
    r = torch.nn.functional.normalize(draw(rng, 33, 3), dim=-1)
    y = interpreted("harmonics")(r, module.terms, module.scales, 6)
    for degree in range(7):
        squares = y[:, degree**2 : (degree + 1) ** 2].square().sum(-1)
        close(squares, torch.full_like(squares, 2 * degree + 1), torch.float64, 0)


def test_finite_at_the_poles_and_at_zero():
    module = SphericalHarmonics(range(5))
    r = torch.tensor([[0.0, 1, 0], [0, -1, 0], [0, 0, 0]], dtype=torch.float64, requires_grad=True)
    y = interpreted("harmonics")(r, module.terms, module.scales, 4)
    first = torch.autograd.grad(y.square().sum(), r, create_graph=True)[0]
    second = torch.autograd.grad(first.sum(), r)[0]
    assert all(part.isfinite().all() for part in (y, first, second))


def test_derivatives_and_tangents_one_by_one(rng):
    inputs, static = harmonics_problem(rng, torch.float64, 5, 3)
    check_parts("harmonics", inputs, static, rng)


def test_strided_inputs(rng):
    inputs, static = harmonics_problem(rng, torch.float64, 7, 3)
    strided = inputs[0].T.contiguous().T
    assert not strided.is_contiguous()
    compare([strided], static, torch.float64, rng)


def test_gradients_against_finite_differences(rng):
    inputs, static = harmonics_problem(rng, torch.float64, 3, 3)

    def call(r):
        return interpreted("harmonics")(r, *static)

    assert torch.autograd.gradcheck(call, inputs[0].requires_grad_(), fast_mode=True)
    assert torch.autograd.gradgradcheck(call, inputs[0], fast_mode=True)


def test_a_kernel_with_a_wrong_tangent_is_found_at_first_use():
    good = implementation("harmonics")

    def broken(*arguments):
        step, change = good.tangent(*arguments)
        return [None if step is None else -step, change]

    family = twin("harmonics", Implementation(good.value, good.gradient, broken), label="broken")
    with pytest.warns(UserWarning, match="differs from the reference"):
        assert not family.ready("cpu", torch.float64)
