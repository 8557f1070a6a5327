"""The product on a grid in Triton through the interpreter; `test_gpu_grid.py` starts it in its own process."""

import pytest
import torch
from problems import draw, grid_problem, orders
from triton_checks import check_parts, close, interpreted, twin

from intertwine.kernels.family import Implementation
from intertwine.kernels.gpu import implementation

TYPES = [torch.float32, torch.float64, torch.bfloat16]
# odd numbers below, between and above the lanes of a program; both kinds of number for one of them
SIZES = [(1, TYPES[1]), (3, TYPES[0]), (13, TYPES[1]), (33, TYPES[0]), (33, TYPES[1]), (123, TYPES[1])]


def compare(inputs, static, dtype, rng):
    family, seed = interpreted("grid_product"), rng.initial_seed()
    ours, wanted = (
        orders(function, inputs, static, torch.Generator().manual_seed(seed)) for function in (family, family.reference)
    )
    for order, (a, b) in enumerate(zip(ours, wanted, strict=True)):
        for got, expected in zip(a, b, strict=True):
            close(got, expected, dtype, order)


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_the_check_at_first_use_passes(dtype):
    assert interpreted("grid_product").state("cpu", dtype) == "ready"


@pytest.mark.parametrize(("channels", "dtype"), SIZES)
def test_equal_to_the_reference_up_to_second_order(channels, dtype, rng):
    inputs, static = grid_problem(rng, dtype, channels, batch=2)
    compare(inputs, static, dtype, rng)


@pytest.mark.parametrize("batch", [0, 1])
@pytest.mark.parametrize("points", [1, 16, 17])
def test_sizes_at_the_edges_of_blocks(batch, points, rng):
    inputs, static = grid_problem(rng, torch.float64, 2, batch=batch, points=points)
    compare(inputs, static, torch.float64, rng)


def test_more_components_than_one_block_holds(rng):
    """33 and 65 exceed what one matrix product takes, 257 what one program writes."""
    sizes = (33, 65, 257)
    tables = [draw(rng, 9, size) for size in sizes]
    compare([draw(rng, 2, size, 3) for size in sizes[:2]], tables, torch.float64, rng)


def test_derivatives_and_tangents_one_by_one(rng):
    inputs, static = grid_problem(rng, torch.float64, 2, batch=2, points=5)
    check_parts("grid_product", inputs, static, rng)


def test_strided_inputs_and_tables(rng):
    inputs, static = grid_problem(rng, torch.float64, 3)
    strided, tables = [a.mT.contiguous().mT for a in inputs], [a.T.contiguous().T for a in static]
    assert not any(a.is_contiguous() for a in (*strided, *tables))
    compare(strided, tables, torch.float64, rng)


def test_gradients_against_finite_differences(rng):
    inputs, static = grid_problem(rng, torch.float64, 2, batch=1, points=5)
    leaves = [a.requires_grad_() for a in inputs]

    def call(*args):
        return interpreted("grid_product")(*args, *static)

    assert torch.autograd.gradcheck(call, leaves, fast_mode=True)
    assert torch.autograd.gradgradcheck(call, leaves, fast_mode=True)


def test_a_kernel_that_misses_a_point_is_found_at_first_use():
    good = implementation("grid")

    def broken(inputs, static):
        return good.value(inputs, [table[:-1] for table in static])

    family = twin("grid_product", Implementation(broken, good.gradient, good.tangent), label="broken")
    with pytest.warns(UserWarning, match="differs from the reference"):
        assert not family.ready("cpu", torch.float64)
