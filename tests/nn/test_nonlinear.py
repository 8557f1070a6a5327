"""Gates, norm activations and norms: contract, closed forms, and a broken twin."""

import pytest
import torch

from intertwine.errors import ConfigError, RepresentationError
from intertwine.nn import Gate, IrrepsNorm, NormActivation, NormalizedActivation
from intertwine.representations import Irreps
from intertwine.symmetry import equivariance_error
from intertwine.testing import ModuleContract

DOUBLE = torch.float64


class _Irreps(ModuleContract):
    permutes = batches = False

    def inputs(self, rng, dtype):
        return {"x": torch.randn(5, self.build().irreps_in.dim, generator=rng, dtype=dtype)}

    def empty_inputs(self, dtype):
        return {"x": torch.zeros(0, self.build().irreps_in.dim, dtype=dtype)}


class TestGate(_Irreps):
    def build(self):
        return Gate("4x0e + 2x0o + 3x1o + 2x1e + 1x2e", layout="ir_mul")


class TestScalarGate(_Irreps):
    def build(self):
        return Gate("4x0e")


class TestNormActivation(_Irreps):
    def build(self):
        return NormActivation("4x0e + 3x1o + 2x2e")


class TestNormOfEntries(_Irreps):
    def build(self):
        return IrrepsNorm("4x0e + 2x0o + 3x1o + 2x2e", layout="ir_mul")


class TestNormOfAll(_Irreps):
    def build(self):
        return IrrepsNorm("4x0e + 3x1o + 2x2e", over="all", centre=False)


def test_gate_in_closed_form(rng):
    x = torch.randn(5, generator=rng, dtype=DOUBLE)
    y = Gate("1x0e + 1x1o")(x)
    scale = NormalizedActivation("silu").scale
    expected = torch.cat([torch.nn.functional.silu(x[:1]), torch.nn.functional.silu(x[1:2]) * x[2:5]]) * scale
    torch.testing.assert_close(y, expected, rtol=1e-14, atol=0)


def test_gate_writes_even_scalars_when_the_odd_activation_is_even():
    assert str(Gate("2x0o", odd="abs").irreps_out) == "2x0e"
    assert str(Gate("2x0o + 1o", odd="tanh").irreps_out) == "2x0o + 1x1o"


def test_an_odd_scalar_through_silu_is_a_broken_gate(rng):
    with pytest.raises(RepresentationError):
        Gate("2x0o", odd="silu")
    broken = Gate("2x0o + 1o").double()
    broken.odd = NormalizedActivation("silu")
    report = equivariance_error(broken, {"x": torch.randn(4, 6, generator=rng, dtype=DOUBLE)}, rng=rng)
    assert report.worst.relative > 1e-2


@pytest.mark.parametrize("name", ["silu", "tanh", "sigmoid", "softplus", "abs", "identity"])
def test_activations_have_unit_second_moment(name, rng):
    z = torch.randn(1_000_000, generator=rng, dtype=DOUBLE)
    assert NormalizedActivation(name)(z).square().mean().item() == pytest.approx(1, abs=0.01)


def test_silu_factor_is_that_of_e3nn_up_to_its_sampling_noise():
    """e3nn estimates the moment from a million draws and stores 1.6791767923989418; ours is the integral."""
    assert NormalizedActivation("silu").scale == pytest.approx(1.6791767923989418, rel=3e-3)


def test_norm_gives_unit_size(rng):
    irreps = Irreps("64x1o + 32x2e")
    y = IrrepsNorm(irreps)(5 * irreps.random(3, rng=rng))
    for part in y.split([192, 160], dim=-1):
        assert part.square().mean().item() == pytest.approx(1, abs=1e-4)


def test_norm_activation_of_zero_is_zero_with_finite_slope():
    x = torch.zeros(1, 3, dtype=DOUBLE, requires_grad=True)
    y = NormActivation("1o")(x)
    (slope,) = torch.autograd.grad(y.sum(), x)
    assert (y == 0).all()
    assert slope.isfinite().all()


def test_unknown_names_are_refused():
    with pytest.raises(ConfigError) as caught:
        NormalizedActivation("relu6")
    assert caught.value.got == "relu6"
    with pytest.raises(RepresentationError):
        IrrepsNorm("1o", over="batch")
