"""Gaunt layers for features of any parity: pairs of functions, closed forms, odd couplings, self-interaction."""

import pytest
import torch

from intertwine.errors import RepresentationError
from intertwine.groups import O
from intertwine.products.gaunt.coupling_constants import gaunt_constant
from intertwine.products.gaunt.layers import ParityGauntTensorProduct, SelfMix
from intertwine.symmetry import Symmetry, equivariance_error
from intertwine.testing import ModuleContract

DOUBLE = torch.float64
BOTH = "2x0e + 2x0o + 2x1o + 2x1e + 2x2e + 2x2o"


def seeded():
    return torch.Generator().manual_seed(0)


def inputs_of(module, rng, *batch, dtype=DOUBLE):
    return {
        "x": module.irreps_in1.random(*batch, rng=rng, dtype=dtype),
        "y": module.irreps_in2.random(*batch, rng=rng, dtype=dtype),
    }


def test_all_four_pairs_of_parities(rng):
    both = "2x0e + 2x0o + 2x1o + 2x1e"
    module = ParityGauntTensorProduct(both, both, both, rng=rng)
    assert module.pairs == [(1, 1), (1, -1), (-1, 1), (-1, -1)]
    assert ParityGauntTensorProduct("0o + 1e", "0o + 1e", "0e + 1o").pairs == [(-1, -1)]
    assert ParityGauntTensorProduct("0e + 1o", "0o + 1e", "0o + 1e").pairs == [(1, -1)]
    assert ParityGauntTensorProduct(both, "0e + 1o", "1e").pairs == [(-1, 1)]


def test_two_pseudo_scalar_functions_give_a_scalar_one(rng):
    """One channel: the dot product of two axial vectors, the product of two pseudo-scalars."""
    module = ParityGauntTensorProduct("0o + 1e", "0o + 1e", "0e", normalization="integral", rng=rng).double()
    given = inputs_of(module, rng, 6)
    (a, u), (b, v) = ([weight.item() for weight in mix[0].weights] for mix in (module.mix_in1, module.mix_in2))
    x, y = given["x"], given["y"]
    k0, k1 = gaunt_constant(0, 0, 0), gaunt_constant(1, 1, 0)
    expected = k0 * a * b * x[:, :1] * y[:, :1] + k1 / 3**0.5 * u * v * (x[:, 1:] * y[:, 1:]).sum(-1, keepdim=True)
    got = module(**given)
    torch.testing.assert_close(got, expected * module.mix_out.weights[0].item(), rtol=0, atol=1e-14)


def test_odd_couplings_make_axial_vectors_of_polar_ones(rng):
    with pytest.raises(RepresentationError) as caught:
        ParityGauntTensorProduct("2x1o", "2x1o", "1e")
    assert "couplings" in str(caught.value)
    module = ParityGauntTensorProduct("1o", "1o", "1e", couplings="all", normalization="integral", rng=rng).double()
    given = inputs_of(module, rng, 4)
    weights = [mix.weights[0].item() for mix in (module.mix_in1[0], module.mix_in2[0], module.mix_out)]
    expected = 0.4886025119029199 * weights[0] * weights[1] * weights[2] * torch.linalg.cross(given["x"], given["y"])
    torch.testing.assert_close(module(**given), expected, rtol=0, atol=1e-14)


def test_self_mix_begins_linear_and_then_is_quadratic(rng):
    irreps = "3x0e + 2x1o + 2x1e + 1x2e"
    linear = SelfMix(irreps, rng=seeded()).double()
    quadratic = SelfMix(irreps, initial_gain=0.5, rng=seeded()).double()
    x = linear.irreps.random(5, rng=rng, dtype=DOUBLE)
    torch.testing.assert_close(linear(3 * x), 3 * linear(x), rtol=1e-13, atol=1e-13)
    even, odd = (quadratic(x) + s * quadratic(-x) for s in (1, -1))
    torch.testing.assert_close(odd / 2, linear(x), rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(even, quadratic.product(x, x), rtol=1e-13, atol=1e-13)
    bare = SelfMix(irreps, residual=False, rng=seeded()).double()
    torch.testing.assert_close(linear(x) - bare(x), x, rtol=1e-13, atol=1e-13)
    # two maps before the product: it is not a square
    z = quadratic.product
    assert (z(x, x.flip(0)) - z(x.flip(0), x)).abs().max() > 1e-2


LAYERS = {
    "even": lambda **options: ParityGauntTensorProduct(BOTH, BOTH, BOTH, rng=seeded(), **options),
    "all": lambda **options: ParityGauntTensorProduct(
        "2x1o + 0e", BOTH, BOTH, couplings="all", rng=seeded(), **options
    ),
}


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS.keys())
@pytest.mark.parametrize("layout", ["mul_ir", "ir_mul"])
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 5e-6), (torch.float64, 1e-12)])
def test_rotations_and_reflections(make, layout, dtype, bound, rng):
    module = make(layout=layout).to(dtype)
    report = equivariance_error(module, inputs_of(module, rng, 5, dtype=dtype), rng=rng, trials=4, dtype=dtype)
    assert report.worst.relative < bound, report.explain()


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS.keys())
def test_derivatives_up_to_second_order(make, rng):
    module = make(layout="ir_mul").double()
    given = [value.requires_grad_() for value in inputs_of(module, rng, 1).values()]
    assert torch.autograd.gradcheck(module, given, fast_mode=True)
    assert torch.autograd.gradgradcheck(module, given, fast_mode=True)


def test_a_twin_that_swaps_parities_is_caught(rng):
    """The same features under the name of the other parity: rotations do not notice, reflections do."""
    module = ParityGauntTensorProduct("0e + 1e", "0e + 1o", "1o + 1e", rng=rng).double()
    wrong = module.symmetry.inputs | {"x": ParityGauntTensorProduct("0o + 1o", "0e", "1o").symmetry.inputs["x"]}
    twin = Symmetry(O(3), inputs=wrong, output=module.symmetry.output)
    given = inputs_of(module, rng, 4)
    assert equivariance_error(module, given, rng=rng).worst.relative < 1e-12
    assert equivariance_error(module, given, symmetry=twin, rng=rng).worst.relative > 1e-2


class TestParityContract(ModuleContract):
    permutes = batches = False

    def build(self):
        return ParityGauntTensorProduct("2x0e + 2x1e", "1o + 0e", "2x1o + 2x1e", layout="ir_mul", rng=seeded())

    def inputs(self, rng, dtype):
        return inputs_of(self.build(), rng, 5, dtype=dtype)

    def empty_inputs(self, dtype):
        return inputs_of(self.build(), seeded(), 0, dtype=dtype)


class TestSelfMixContract(ModuleContract):
    permutes = batches = False

    def build(self):
        return SelfMix("3x0e + 2x1o + 2x2e", initial_gain=0.1, rng=seeded())

    def inputs(self, rng, dtype):
        return {"x": self.build().irreps.random(5, rng=rng, dtype=dtype)}

    def empty_inputs(self, dtype):
        return {"x": torch.zeros(0, 19, dtype=dtype)}


def test_misuse_is_refused():
    with pytest.raises(RepresentationError):
        SelfMix("2x1o")
    with pytest.raises(RepresentationError):
        ParityGauntTensorProduct("1o", "1o", "0e", channels=0)
    with pytest.raises(RepresentationError):
        ParityGauntTensorProduct("1o", "1o", "0e", backend="fourier", couplings="all")
