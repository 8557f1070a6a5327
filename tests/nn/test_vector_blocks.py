"""Blocks of vector neurons, and the numbers that turns leave as they are: contract, closed form, a broken twin."""

import torch
from torch import nn

from intertwine.groups import O
from intertwine.nn import VNBatchNorm, VNInvariants, VNLeakyReLU, VNLinear, vector_block
from intertwine.symmetry import equivariance_error
from intertwine.testing import ModuleContract


class TestInvariants(ModuleContract):
    permutes = False

    def build(self):
        return VNInvariants(5)

    def inputs(self, rng, dtype):
        return {"x": torch.randn(6, 3, 5, generator=rng, dtype=dtype)}

    def singles(self, rng, dtype):
        return [{"x": torch.randn(1, 3, 5, generator=rng, dtype=dtype)} for _ in range(3)]

    def join(self, singles):
        return {"x": torch.cat([single["x"] for single in singles])}

    def empty_inputs(self, dtype):
        return {"x": torch.zeros(0, 3, 5, dtype=dtype)}


def test_invariants_are_inner_products_with_three_mixed_vectors(rng):
    layer = VNInvariants(4, rng=rng).double()
    x = torch.randn(3, 4, generator=rng, dtype=torch.float64)
    mixed = [sum(layer.axes.weight[a, c] * x[:, c] for c in range(4)) for a in range(3)]
    expected = torch.stack([mixed[a] @ x[:, c] for a in range(3) for c in range(4)])
    torch.testing.assert_close(layer(x), expected, rtol=1e-14, atol=1e-14)


def test_a_block_turns_with_its_input_and_has_the_parts_it_says(rng):
    block = vector_block(5, 7, rng=rng).double()
    x = torch.randn(40, 3, 5, generator=rng, dtype=torch.float64)
    turn = O(3).sample(rng=rng, dtype=torch.float64)
    torch.testing.assert_close(block(turn @ x), turn @ block(x), rtol=1e-12, atol=1e-12)
    assert [type(layer) for layer in block] == [VNLinear, VNBatchNorm, VNLeakyReLU]
    assert [type(layer) for layer in vector_block(5, 7, active=False)] == [VNLinear, VNBatchNorm]


def test_products_with_fixed_axes_are_found_out(rng):
    class Fixed(nn.Module):
        symmetry = VNInvariants.symmetry

        def forward(self, x):
            return (torch.eye(3).to(x) @ x).flatten(-2)

    x = torch.randn(6, 3, 5, generator=rng, dtype=torch.float64)
    assert equivariance_error(Fixed(), {"x": x}, rng=rng).worst.relative > 0.1
