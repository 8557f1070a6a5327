"""What users pass to kernels besides the ordinary: other strides and integers, gaps, large irreps, mixed dtypes."""

from itertools import chain

import pytest
import torch
from problems import FAMILIES, PROBLEMS, channelwise_problem, draw, orders, symmetric_problem

from intertwine.errors import ShapeError
from intertwine.kernels import ChannelwisePath, channelwise, pack_paths, symmetric_polynomials, use_reference
from intertwine.products import ChannelwiseTensorProduct
from intertwine.testing import tolerance


def _derivatives(product, rng, rows=6):
    """All orders of a product with the kernel, and with the reference."""
    dims = (product.irreps_in.dim, product.irreps_sh.dim, product.weight_numel)
    inputs = [draw(rng, rows, dim) for dim in dims]
    ours = orders(product, inputs, [], torch.Generator().manual_seed(1))
    with use_reference():
        return ours, orders(product, inputs, [], torch.Generator().manual_seed(1))


def _close(ours, expected):
    for got, wanted in zip(chain(*ours), chain(*expected), strict=True):
        size = wanted.detach().abs().max().item()
        torch.testing.assert_close(got, wanted, **tolerance(torch.float64, size=max(size, 1.0), epsilons=4096))


@pytest.mark.parametrize("layout", ["mul_ir", "ir_mul"])
@pytest.mark.parametrize(
    "irreps",
    [("3x8e", "8e", None), ("3x12e", "12e", "24e"), ("17x16e", "0e", None), ("0x0e + 17x1o", "0e + 1o", None)],
    ids=["8 times 8", "12 times 12", "degree 16", "no channels"],
)
def test_irreps_of_any_size(irreps, layout, rng):
    _close(*_derivatives(ChannelwiseTensorProduct(*irreps, layout=layout), rng))


@pytest.mark.parametrize("layout", ["mul_ir", "ir_mul"])
def test_features_that_no_path_reads_have_no_gradient(layout, rng):
    product = ChannelwiseTensorProduct("4x0e + 4x1o + 4x2e", "0e", "0e", layout=layout)
    torch.full((6, product.irreps_in.dim), 7e5, dtype=torch.float64)  # freed memory that is not zero
    ours, expected = _derivatives(product, rng)
    assert not ours[1][0][:, 4:].any()
    _close(ours, expected)


def test_irreps_that_are_too_large_are_refused():
    with pytest.raises(ShapeError, match="too large for the kernels"):
        pack_paths([ChannelwisePath(0, 0, 0, 0, 1, torch.ones(65, 1, 65))])


@pytest.mark.parametrize("kind", [torch.int64, torch.int32])
def test_indices_of_other_strides_and_integers(kind, rng):
    inputs, (source, destination, *static) = channelwise_problem(rng, torch.float64, 5)
    wanted = channelwise(*inputs, source, destination, *static)
    pairs = torch.stack([source, destination], dim=1).to(kind)
    assert not pairs[:, 0].is_contiguous()
    assert torch.equal(channelwise(*inputs, pairs[:, 0], pairs[:, 1], *static), wanted)
    inputs, (species, *static) = symmetric_problem(rng, torch.float64, 5)
    spread = torch.stack([species, species + 1], dim=1).to(kind)[:, 0]
    assert torch.equal(
        symmetric_polynomials(*inputs, spread, *static), symmetric_polynomials(*inputs, species, *static)
    )


@pytest.mark.parametrize("name", ["channelwise", "symmetric_polynomials", "grid_product"])
def test_inputs_of_two_dtypes_are_refused(name, rng):
    inputs, static = PROBLEMS[name](rng, torch.float64, 4)
    with pytest.raises(ShapeError, match="one dtype and one device"):
        FAMILIES[name](*inputs[:-1], inputs[-1].float(), *static)


@pytest.mark.parametrize("place", [1, 2], ids=["harmonics", "weights"])
def test_missing_rows_are_refused(place, rng):
    inputs, static = channelwise_problem(rng, torch.float64, 4)
    inputs[place] = inputs[place][:-1]
    with pytest.raises(ShapeError, match="one row of harmonics and of weights an edge"):
        channelwise(*inputs, *static)
