"""The channel-wise product against the general one, which shares no code path with it, and the contract."""

import pytest
import torch

from intertwine.errors import RepresentationError, ShapeError
from intertwine.products import ChannelwiseTensorProduct, TensorProduct
from intertwine.representations import Irreps, convert_layout
from intertwine.testing import DTYPES, ModuleContract, tolerance

CASES = [
    ("5x0e", "0e + 1o + 2e", None),
    ("3x0e + 2x1o", "0e + 1o + 2e", "0e + 1o + 2e"),
    ("2x0e + 1x0o + 3x1o + 1x1e", "0e + 1o + 2e + 3o", None),
    ("1x2e + 13x1o", "1o + 3o", "2e"),
]


def _general(product, layout):
    paths = [(p.in1, p.in2, p.out, "uvu", True) for p in product.problem.paths]
    return TensorProduct(
        product.irreps_in, product.irreps_sh, product.irreps_out, paths, weights="sample", layout=layout
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", ["mul_ir", "ir_mul"])
@pytest.mark.parametrize("case", CASES)
def test_equal_to_the_general_product(case, layout, dtype, rng):
    irreps, harmonics, kept = case
    product = ChannelwiseTensorProduct(irreps, harmonics, kept, layout=layout).to(dtype)
    x = convert_layout(Irreps(irreps).random(7, rng=rng, dtype=dtype), Irreps(irreps), "mul_ir", layout)
    y = Irreps(harmonics).random(7, rng=rng, dtype=dtype)
    weight = torch.randn(7, product.weight_numel, generator=rng, dtype=dtype)
    expected = _general(product, layout).to(dtype)(x, y, weight)
    size = expected.abs().max().item()
    torch.testing.assert_close(product(x, y, weight), expected, **tolerance(dtype, size=size))


def test_first_layers_of_mace_have_4_and_17_paths():
    """Counted in the reference network: 3BPA model, harmonics to degree 3, natural parity, output to degree 3."""
    harmonics = Irreps.spherical_harmonics(3)
    first = ChannelwiseTensorProduct("8x0e", harmonics, harmonics)
    second = ChannelwiseTensorProduct("8x0e + 8x1o + 8x2e", harmonics, harmonics)
    assert len(first.problem.paths) == 4
    assert len(second.problem.paths) == 17


def test_derivatives_up_to_second_order(rng):
    product = ChannelwiseTensorProduct("2x0e + 2x1o", "0e + 1o + 2e", "0e + 1o", layout="ir_mul").double()
    inputs = [
        torch.randn(3, size, generator=rng, dtype=torch.float64, requires_grad=True)
        for size in (8, 9, product.weight_numel)
    ]
    assert torch.autograd.gradcheck(product, inputs)
    assert torch.autograd.gradgradcheck(product, inputs)


class TestContract(ModuleContract):
    permutes = batches = False

    def build(self):
        return ChannelwiseTensorProduct("3x0e + 3x1o + 2x1e", "0e + 1o + 2e", layout="ir_mul")

    def inputs(self, rng, dtype):
        product = self.build()
        return {
            "x": torch.randn(6, product.irreps_in.dim, generator=rng, dtype=dtype),
            "y": torch.randn(6, product.irreps_sh.dim, generator=rng, dtype=dtype),
            "weight": torch.randn(6, product.weight_numel, generator=rng, dtype=dtype),
        }

    def empty_inputs(self, dtype):
        return {name: value[:0] for name, value in self.inputs(torch.Generator(), dtype).items()}


def test_misuse_is_refused():
    with pytest.raises(RepresentationError) as caught:
        ChannelwiseTensorProduct("4x0e", "2x1o")
    assert caught.value.got == "2x1o" or str(caught.value.got) == "2x1o"
    with pytest.raises(RepresentationError) as caught:
        ChannelwiseTensorProduct("4x0e", "1o", "2e")
    assert caught.value.code == "E203"
    product = ChannelwiseTensorProduct("4x0e", "0e + 1o")
    with pytest.raises(ShapeError) as shape:
        product(torch.zeros(5, 4), torch.zeros(5, 4), torch.zeros(5, 7))
    assert shape.value.got["weight"] == (5, 7)
