"""Linear maps against e3nn with its own weights, a one-hot tensor product, and the contract."""

import warnings

import pytest
import torch
from e3nn import o3

from intertwine.errors import RepresentationError
from intertwine.nn import Linear, TypedLinear
from intertwine.products import FullyConnectedTensorProduct
from intertwine.representations import Irreps, convert_layout
from intertwine.testing import ModuleContract

DOUBLE = torch.float64


@pytest.mark.usefixtures("float64_default")
@pytest.mark.parametrize("layout", ["mul_ir", "ir_mul"])
def test_equal_to_e3nn(layout, rng):
    a, b = Irreps("4x0e + 3x1o + 2x2e"), Irreps("2x1o + 5x0e")
    ours = Linear(a, b, layout, rng)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # e3nn compiles with TorchScript, which is deprecated
        theirs = o3.Linear(str(a), str(b))
    with torch.no_grad():
        # e3nn orders the weights by input entry, this package by output entry
        by_input = dict(zip([(0, 1), (1, 0)], theirs.weight.split([20, 6]), strict=True))
        ours.weight.copy_(torch.cat([by_input[1, 0], by_input[0, 1]]))
    x = a.random(6, rng=rng)
    got = convert_layout(ours(convert_layout(x, a, "mul_ir", layout)), b, layout, "mul_ir")
    torch.testing.assert_close(got, theirs(x), rtol=1e-13, atol=1e-13)


def test_entries_of_equal_irreps_are_joined(rng):
    split, joined = Linear("2x0e + 1o + 3x0e", "4x0e", rng=rng).double(), Linear("5x0e", "4x0e").double()
    joined.weight.data.copy_(split.weight.data)
    x = Irreps("2x0e + 1o + 3x0e").random(7, rng=rng, dtype=DOUBLE)
    scalars = torch.cat([x[:, :2], x[:, 5:]], dim=-1)
    torch.testing.assert_close(split(x), joined(scalars), rtol=1e-14, atol=1e-14)


def test_typed_map_is_a_product_with_a_one_hot_vector(rng):
    a, b = Irreps("3x0e + 2x1o"), Irreps("2x0e + 4x1o")
    typed = TypedLinear(a, b, 3, rng=rng).double()
    product = FullyConnectedTensorProduct(a, "3x0e", b, weights="shared").double()
    types = torch.tensor([0, 2, 2, 1, 0])
    x = a.random(5, rng=rng, dtype=DOUBLE)
    blocks, start = [], 0
    for path in product.problem.paths:
        rows, _, columns = product.problem.weight_shape(path)
        blocks.append(typed.weight[:, start : start + rows * columns].unflatten(-1, (rows, columns)).permute(1, 0, 2))
        start += rows * columns
    weight = torch.cat([block.flatten() for block in blocks])
    one_hot = torch.nn.functional.one_hot(types, 3).double()
    # the product shares its variance among three types, of which one is present
    torch.testing.assert_close(typed(x, types), product(x, one_hot, weight) * 3**0.5, rtol=1e-13, atol=1e-13)


class TestLinear(ModuleContract):
    permutes = batches = False

    def build(self):
        return Linear("4x0e + 3x1o + 2x1e", "2x1e + 5x0e + 3x1o", "ir_mul", torch.Generator().manual_seed(0))

    def inputs(self, rng, dtype):
        return {"x": torch.randn(5, 19, generator=rng, dtype=dtype)}

    def empty_inputs(self, dtype):
        return {"x": torch.zeros(0, 19, dtype=dtype)}


class TestTypedLinear(ModuleContract):
    permutes = batches = False

    def build(self):
        return TypedLinear("4x0e + 3x1o", "2x1o + 5x0e", 3, "ir_mul", torch.Generator().manual_seed(0))

    def inputs(self, rng, dtype):
        return {"x": torch.randn(4, 13, generator=rng, dtype=dtype), "types": torch.tensor([2, 0, 0, 1])}

    def empty_inputs(self, dtype):
        return {"x": torch.zeros(0, 13, dtype=dtype), "types": torch.zeros(0, dtype=torch.int64)}


def test_an_irrep_that_the_input_lacks_is_refused():
    with pytest.raises(RepresentationError) as caught:
        Linear("4x0e + 1o", "2x0e + 2x2e")
    assert caught.value.code == "E203"
    assert str(caught.value.got["out"]) == "2x0e + 2x2e"
