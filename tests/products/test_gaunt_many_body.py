"""Many-body products: stored powers, closed forms, sequences of pair products, weights, laws and counts."""

from math import pi

import numpy as np
import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from intertwine.errors import RepresentationError, ShapeError
from intertwine.products import SymmetricContraction, count_coupling_trees
from intertwine.products.gaunt.grid import GauntDense
from intertwine.products.gaunt.many_body import GauntManyBody
from intertwine.products.gaunt.signal_powers import FourierPowers, GridPowers
from intertwine.representations import Irreps, convert_layout
from intertwine.symmetry import equivariance_error
from intertwine.testing import ModuleContract
from intertwine.testing.violation import compare_outputs

DOUBLE = torch.float64
POWERS = [GridPowers, FourierPowers]
BACKENDS = ["grid", "fourier"]


def natural(lmax, mul=1):
    return Irreps([(mul, ir) for ir in Irreps.spherical_harmonics(lmax).irreps])


def types_of(count, number):
    return torch.arange(count) % number


def sequential(x, lmax, order, lmax_out):
    """The n-fold power by pair products with the full tensor, nothing cut off before the last."""
    power, degree = x, lmax
    for step in range(2, order + 1):
        out = natural(lmax_out if step == order else degree + lmax)
        power = GauntDense(natural(degree), natural(lmax), out).double()(power, x)
        degree += lmax
    return power


# --- powers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", POWERS)
@pytest.mark.parametrize("level", [1, 2, 3])
def test_reference_arrays(kind, level, data_dir):
    with np.load(data_dir / "tensor-product-reference" / f"case_L{level}.npz") as case:
        x = torch.from_numpy(case["x"])[None, :, None]
        powers = kind(natural(level), natural(level), 4).double()([x])
        for order, power in zip((2, 3, 4), powers, strict=True):
            assert np.abs(power.flatten().numpy() - case[f"power_nu{order}_Lout{level}"]).max() < 1e-11


@pytest.mark.parametrize("kind", POWERS)
@pytest.mark.parametrize(("lmax", "order", "lmax_out"), [(2, 2, 4), (2, 3, 2), (3, 3, 1), (1, 7, 3), (1, 5, 1)])
def test_equal_to_a_sequence_of_pair_products(kind, lmax, order, lmax_out, rng):
    """By doubling, or on one grid for all: the same as one factor after the other."""
    x = torch.randn(3, (lmax + 1) ** 2, dtype=DOUBLE, generator=rng)
    found = kind(natural(lmax), natural(lmax_out), order).double()([x.unsqueeze(-1)])[-1].squeeze(-1)
    expected = sequential(x, lmax, order, lmax_out)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-13 * float(expected.abs().max()) + 1e-14)


def test_cutting_in_between_changes_the_result(rng):
    x = torch.randn(3, 9, dtype=DOUBLE, generator=rng)
    pair = GauntDense(natural(2), natural(2), natural(2)).double()
    cut = pair(pair(x, x), x)
    assert (cut - sequential(x, 2, 3, 2)).abs().max() > 1e-2


@pytest.mark.parametrize("kind", POWERS)
@pytest.mark.parametrize("order", [2, 3, 4])
def test_power_of_a_constant_function(kind, order):
    c = torch.tensor([[[1.7]]], dtype=DOUBLE)
    power = kind(natural(0), natural(0), order).double()([c])[-1]
    assert power.item() == pytest.approx(1.7**order * (4 * pi) ** (-(order - 1) / 2), rel=1e-14)


def test_outputs_beyond_the_degree_of_a_power_are_zero(rng):
    x = torch.randn(2, 4, 3, dtype=DOUBLE, generator=rng)
    for kind in POWERS:
        square, cube = kind(natural(1), natural(3), 3).double()([x])
        assert square[:, 9:].abs().max() < 1e-14
        assert cube[:, 9:].abs().max() > 1e-3


def test_points_of_the_grid():
    assert GridPowers(natural(3), natural(2), 3).points == 72


# --- the layer -------------------------------------------------------------------------------------------


def explicit(module, x, types):
    """The sum over orders, with weights of every species, from sequences of pair products; layout ``ir_mul``."""
    channels = module.channels
    x = x.unflatten(-1, (-1, channels)).mT
    lmax, out = module.irreps_in.lmax, Irreps([(1, ir) for ir in module.irreps_out.irreps])
    total = 0
    for order in range(1, module.correlation + 1):
        if module.weights == "cp":
            factors = [getattr(module, f"factor_{n}").T for n in range(1, order + 1)]
        else:
            factors = [torch.ones(channels, lmax + 1, dtype=x.dtype)] * order
        dims = torch.arange(lmax + 1).repeat_interleave(2 * torch.arange(lmax + 1) + 1)
        signals = [x * factor[:, dims] for factor in factors]
        power, degree = signals[0], lmax
        for signal in signals[1:]:
            power = GauntDense(natural(degree), natural(lmax)).double()(power, signal)
            degree += lmax
        weight = getattr(module, f"weight_{order}")[types]  # (atoms, entries, channels)
        parts, entry = [], 0
        for place, ir in zip(out.slices(), out.irreps, strict=True):
            if ir.l > degree:
                parts.append(x.new_zeros(len(x), channels, ir.dim))
                continue
            scale = getattr(module, f"scale_{order}")[place.start]
            parts.append(power[..., ir.l**2 : (ir.l + 1) ** 2] * weight[:, entry, :, None] * scale)
            entry += 1
        total = total + torch.cat(parts, dim=-1)
    return total.mT.flatten(1)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("weights", ["output", "cp"])
@pytest.mark.parametrize(("lmax", "out", "correlation"), [(2, 1, 3), (1, 2, 2), (2, 2, 1), (1, 3, 4)])
def test_weights_of_orders_species_channels_and_degrees(backend, weights, lmax, out, correlation, rng):
    module = GauntManyBody(
        natural(lmax, 3), natural(out, 3) if correlation > 1 else natural(min(lmax, out), 3), correlation, 4,
        "ir_mul", rng, weights=weights, backend=backend,
    ).double()  # fmt: skip
    for parameter in module.parameters():
        parameter.data = torch.randn(parameter.shape, generator=rng, dtype=DOUBLE)
    x, types = module.irreps_in.random(6, rng=rng, dtype=DOUBLE), types_of(6, 4)
    expected = explicit(module, x, types).detach()
    torch.testing.assert_close(module(x, types), expected, rtol=0, atol=1e-13 * float(expected.abs().max()))


@pytest.mark.parametrize("weights", ["output", "cp"])
def test_backends_and_layouts_agree(weights, rng):
    irreps = natural(2, 3)
    modules = [
        GauntManyBody(irreps, natural(1, 3), 3, 2, layout, torch.Generator().manual_seed(0), weights=weights,
                      backend=backend).double()
        for layout in ("mul_ir", "ir_mul") for backend in BACKENDS
    ]  # fmt: skip
    x, types = irreps.random(5, rng=rng, dtype=DOUBLE), types_of(5, 2)
    expected = modules[0](x, types)
    for module in modules[1:]:
        got = module(convert_layout(x, irreps, "mul_ir", module.layout), types)
        got = convert_layout(got, module.irreps_out, module.layout, "mul_ir")
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-13)


def test_cp_begins_as_output_weights(rng):
    one, other = (
        GauntManyBody(
            natural(2, 2), natural(2, 2), 3, 2, rng=torch.Generator().manual_seed(0), weights=weights
        ).double()
        for weights in ("output", "cp")
    )
    for name, parameter in one.named_parameters():
        other.get_parameter(name).data.copy_(parameter.data)
    x, types = one.irreps_in.random(4, rng=rng, dtype=DOUBLE), types_of(4, 2)
    torch.testing.assert_close(one(x, types), other(x, types), rtol=0, atol=1e-13)


def test_takes_the_place_of_a_symmetric_contraction(rng):
    """The same arguments, call and shapes; on a scalar alone, where there is one coupling an order, the same powers."""
    arguments = (natural(2, 3), natural(1, 3), 3, 4, "ir_mul")
    x, types = natural(2, 3).random(5, rng=rng), types_of(5, 4)
    full, gaunt = SymmetricContraction(*arguments, rng), GauntManyBody(*arguments, rng)
    assert gaunt(x, types).shape == full(x, types).shape
    assert gaunt.symmetry.output == full.symmetry.output
    full, gaunt = SymmetricContraction("1x0e", "1x0e", 3, 1, rng=rng), GauntManyBody("1x0e", "1x0e", 3, 1, rng=rng)
    assert full.num_paths == gaunt.num_paths
    gaunt.load_state_dict(full.state_dict())
    s = torch.linspace(-2, 2, 9, dtype=DOUBLE)[:, None]
    zeros = torch.zeros(9, dtype=torch.int64)
    # both have mean square one for a normal scalar: s, s^2 / sqrt3, s^3 / sqrt15
    torch.testing.assert_close(gaunt.double()(s, zeros), full.double()(s, zeros), rtol=1e-6, atol=1e-6)


@torch.no_grad()
def test_mean_squares_are_one(rng):
    """Every order of every output alone, with unit weights and standard normal features."""
    module = GauntManyBody(natural(2), natural(2), 4, 1, rng=rng).double()
    x, types = torch.randn(40_000, 9, generator=rng, dtype=DOUBLE), torch.zeros(40_000, dtype=torch.int64)
    for order in range(1, 5):
        for n in range(1, 5):
            module.get_parameter(f"weight_{n}").data.fill_(float(n == order))
        z = module(x, types)
        for degree in range(3):
            mean = float(z[:, degree**2 : (degree + 1) ** 2].square().mean())
            assert mean == pytest.approx(1, abs=0.06), (order, degree)  # 0.042 at most over 12 seeds


@torch.no_grad()
def test_initial_weights_share_unit_variance():
    module = GauntManyBody(natural(2, 400), natural(3, 400), 3, 5, rng=torch.Generator().manual_seed(0))
    for order, entries in ((1, 3), (2, 4), (3, 4)):
        weight = module.get_parameter(f"weight_{order}")
        assert weight.shape == (5, entries, 400)
        assert float(weight[:, 0].square().mean()) == pytest.approx(1 / 3, rel=0.1)
    assert float(module.weight_2[:, 3].square().mean()) == pytest.approx(1 / 2, rel=0.1)  # degree 3: two orders
    plain = GauntManyBody(natural(2, 400), natural(2, 400), 3, 5, rng=torch.Generator(), normalization="integral")
    assert float(plain.weight_3.square().mean()) == pytest.approx(1, rel=0.1)


# --- laws ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("weights", ["output", "cp"])
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 5e-6), (torch.float64, 1e-12)])
def test_rotations_and_reflections(backend, weights, dtype, bound, rng):
    module = GauntManyBody(natural(3, 2), natural(3, 2), 3, 2, rng=rng, weights=weights, backend=backend).to(dtype)
    given = {"x": module.irreps_in.random(5, rng=rng, dtype=dtype), "types": types_of(5, 2)}
    report = equivariance_error(module, given, rng=rng, trials=4, dtype=dtype)
    assert report.worst.relative < bound, report.explain()


@pytest.mark.parametrize("backend", BACKENDS)
def test_pseudo_scalar_functions_alternate_in_parity(backend, rng):
    module = GauntManyBody("2x0o + 2x1e", "2x0e + 2x0o + 2x1e + 2x1o + 2x2e", 3, 2, rng=rng, backend=backend).double()
    assert module.num_paths == {"0e": [0, 1, 0], "0o": [1, 0, 1], "1e": [1, 0, 1], "1o": [0, 1, 0], "2e": [0, 1, 0]}
    given = {"x": module.irreps_in.random(5, rng=rng, dtype=DOUBLE), "types": types_of(5, 2)}
    report = equivariance_error(module, given, rng=rng, trials=4)
    assert report.worst.relative < 1e-12, report.explain()


def test_a_twin_with_a_grid_of_too_low_degree_is_caught(rng):
    module = GauntManyBody(natural(2), natural(2), 3, 1, rng=rng).double()
    module.powers = GridPowers(natural(2), natural(2), 2).double()
    module.powers.order = 3
    given = {"x": module.irreps_in.random(5, rng=rng, dtype=DOUBLE), "types": types_of(5, 1)}
    assert equivariance_error(module, given, rng=rng).worst.relative > 1e-3


def test_permutation_of_atoms(rng):
    module = GauntManyBody(natural(2, 2), natural(2, 2), 3, 3, rng=rng).double()
    x, types, order = (
        module.irreps_in.random(7, rng=rng, dtype=DOUBLE),
        types_of(7, 3),
        torch.randperm(7, generator=rng),
    )
    torch.testing.assert_close(module(x[order], types[order]), module(x, types)[order], rtol=0, atol=1e-14)


class TestContract(ModuleContract):
    permutes = batches = False

    def build(self):
        return GauntManyBody(natural(2, 2), natural(2, 2), 3, 3, "ir_mul", torch.Generator().manual_seed(0))

    def inputs(self, rng, dtype):
        return {"x": torch.randn(4, 18, generator=rng, dtype=dtype), "types": torch.tensor([0, 2, 1, 1])}

    def empty_inputs(self, dtype):
        return {"x": torch.zeros(0, 18, dtype=dtype), "types": torch.zeros(0, dtype=torch.int64)}


class TestFourierContract(TestContract):
    compiles = False  # compiled below

    def build(self):
        rng = torch.Generator().manual_seed(0)
        return GauntManyBody(natural(2, 2), natural(2, 2), 3, 3, rng=rng, backend="fourier", weights="cp")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("weights", ["output", "cp"])
def test_derivatives_up_to_second_order(backend, weights, rng):
    module = GauntManyBody(natural(2, 2), natural(1, 2), 3, 2, rng=rng, weights=weights, backend=backend).double()
    x, types = module.irreps_in.random(2, rng=rng, dtype=DOUBLE).requires_grad_(), types_of(2, 2)
    assert torch.autograd.gradcheck(lambda x: module(x, types), x)
    assert torch.autograd.gradgradcheck(lambda x: module(x, types), x)


@pytest.mark.parametrize("backend", BACKENDS)
def test_compiled_whole_with_gradients_of_first_and_second_order(backend, rng):
    module = GauntManyBody(natural(1, 2), natural(1, 2), 2, 2, "ir_mul", rng, backend=backend).double()
    x, types = module.irreps_in.random(3, rng=rng, dtype=DOUBLE).requires_grad_(), types_of(3, 2)

    def orders(x):
        z = module(x, types)
        (first,) = torch.autograd.grad(z.square().sum(), x, create_graph=True)
        (second,) = torch.autograd.grad(first.square().sum(), x)
        return z, first, second

    z, first, second = (part.detach() for part in orders(x))
    torch.compiler.reset()
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")(x, types)
    (gradient,) = torch.autograd.grad(compiled.square().sum(), x)
    compare_outputs("compile", (compiled.detach(), gradient), (z, first), "compiled and eager disagree", epsilons=None)
    found = torch.compile(make_fx(orders)(x), fullgraph=True, backend="aot_eager")(x.detach())
    compare_outputs("compile", tuple(a.detach() for a in found), (z, first, second), "they disagree", epsilons=None)


# --- counts and misuse -----------------------------------------------------------------------------------


def test_numbers_of_weights_of_the_published_model():
    """256 channels, 4 elements, degrees up to 3 into degrees up to 2, three factors."""
    trees = [[count_coupling_trees(natural(3), ir, n) for ir in natural(2).irreps] for n in (1, 2, 3)]
    assert trees == [[1, 1, 1], [4, 6, 7], [23, 40, 48]]
    assert sum(map(sum, trees)) * 256 * 4 == 134_144
    module = GauntManyBody(natural(3, 256), natural(2, 256), 3, 4)
    assert sum(parameter.numel() for parameter in module.parameters()) == 9_216
    richer = GauntManyBody(natural(3, 256), natural(2, 256), 3, 4, weights="cp")
    assert sum(parameter.numel() for parameter in richer.parameters()) == 9_216 + 3 * 4 * 256


def test_misuse_is_refused():
    with pytest.raises(RepresentationError):
        GauntManyBody("2x0e + 3x1o", "2x0e", 2, 1)
    with pytest.raises(RepresentationError):
        GauntManyBody("2x0e + 2x1o", "2x0e", 0, 1)
    with pytest.raises(RepresentationError):
        GauntManyBody("2x0e + 2x1o", "2x0e", 2, 1, weights="all")
    with pytest.raises(RepresentationError) as parity:
        GauntManyBody("2x0e + 2x1e", "2x0e", 2, 1)
    assert parity.value.code == "E205"
    with pytest.raises(RepresentationError) as out:
        GauntManyBody("2x0e + 2x1o", "2x1e", 3, 1)
    assert out.value.code == "E203"
    with pytest.raises(RepresentationError):
        GauntManyBody("2x0e + 2x1o", "2x3o", 2, 1)
    module = GauntManyBody("2x0e + 2x1o", "2x0e", 2, 1)
    with pytest.raises(ShapeError) as shape:
        module(torch.zeros(3, 8), torch.zeros(2, dtype=torch.int64))
    assert shape.value.got["types"] == (2,)
    with pytest.raises(ShapeError):
        module(torch.zeros(3, 7), torch.zeros(3, dtype=torch.int64))
