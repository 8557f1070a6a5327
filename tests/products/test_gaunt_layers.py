"""Gaunt layers: factors of degrees, ways channels meet, parities, exchange with e3nn, and contracts."""

import itertools

import pytest
import torch
from e3nn import o3
from torch.fx.experimental.proxy_tensor import make_fx

from intertwine.errors import RepresentationError, ShapeError
from intertwine.products import TensorProduct
from intertwine.products.gaunt.coupling_constants import gaunt_constant
from intertwine.products.gaunt.layers import GauntTensorProduct
from intertwine.representations import Irreps, convert_layout, wigner_3j
from intertwine.symmetry import equivariance_error
from intertwine.testing import ModuleContract
from intertwine.testing.violation import compare_outputs

DOUBLE = torch.float64
BACKENDS = ["grid", "separable", "fourier", "fourier_fft", "dense"]


def natural(lmax, mul=1):
    return Irreps([(mul, ir) for ir in Irreps.spherical_harmonics(lmax).irreps])


def seeded():
    return torch.Generator().manual_seed(0)


def inputs_of(module, rng, *batch, dtype=DOUBLE):
    return {
        "x": module.irreps_in1.random(*batch, rng=rng, dtype=dtype),
        "y": module.irreps_in2.random(*batch, rng=rng, dtype=dtype),
    }


def path_by_path(module, x, y, w1, w2, w3):
    """The sum over paths of w1 w2 w3 K C for the modes uuu and uv, layout mul_ir; factors are (entry, channel)."""
    outputs = []
    xs, ys = ([part for part in a.split([e.dim for e in irreps], -1)] for a, irreps in
              ((x, module.irreps_in1), (y, module.irreps_in2)))  # fmt: skip
    for k, out in enumerate(module.irreps_out):
        total = 0
        for (i, a), (j, b) in itertools.product(enumerate(module.irreps_in1), enumerate(module.irreps_in2)):
            if not abs(a.ir.l - b.ir.l) <= out.ir.l <= a.ir.l + b.ir.l:
                continue
            left = xs[i].unflatten(-1, (a.mul, a.ir.dim)) * w1[i][:, None]
            right = ys[j].unflatten(-1, (b.mul, b.ir.dim)) * w2[j][:, None]
            coupling = gaunt_constant(a.ir.l, b.ir.l, out.ir.l) * wigner_3j(a.ir.l, b.ir.l, out.ir.l, dtype=DOUBLE)
            if module.mode == "uuu":
                term = torch.einsum("...um,...un,mnk->...uk", left, right, coupling)
            else:
                term = torch.einsum("...um,...vn,mnk->...uvk", left, right, coupling).flatten(-3, -2)
            total = total + term
        outputs.append((total * w3[k][:, None]).flatten(-2))
    return torch.cat(outputs, dim=-1)


# --- factors ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("mode", "mul2"), [("uuu", 3), ("uv", 2)])
def test_factors_multiply_the_paths(backend, mode, mul2, rng):
    module = GauntTensorProduct(
        natural(2, 3), natural(1, mul2), mode=mode, backend=backend, normalization="integral", rng=rng
    ).double()
    given = inputs_of(module, rng, 4)
    parts = module.weight.detach().split([3 * 3, 2 * mul2, 4 * (3 if mode == "uuu" else 6)])
    factors = [part.unflatten(0, (n, -1)) for part, n in zip(parts, (3, 2, 4), strict=True)]
    expected = path_by_path(module, **given, w1=factors[0], w2=factors[1], w3=factors[2])
    torch.testing.assert_close(module(**given), expected, rtol=0, atol=1e-13)


def test_scales_of_factors_cancel(rng):
    module = GauntTensorProduct(natural(2, 2), natural(2, 2), weights="sample", rng=rng).double()
    given = inputs_of(module, rng, 5)
    weight = torch.randn(5, module.weight_numel, generator=rng, dtype=DOUBLE)
    scales = torch.cat([torch.full((n,), s, dtype=DOUBLE) for n, s in ((6, 3.0), (6, 0.5), (10, 1 / 1.5))])
    torch.testing.assert_close(module(**given, weight=weight * scales), module(**given, weight=weight))


def test_weights_of_samples_are_weights_of_all_where_they_are_equal(rng):
    inner = GauntTensorProduct(natural(1, 2), natural(1, 2), rng=rng).double()
    outer = GauntTensorProduct(natural(1, 2), natural(1, 2), weights="sample").double()
    given = inputs_of(inner, rng, 4)
    expected = inner(**given)
    weight = inner.weight.detach()
    torch.testing.assert_close(outer(**given, weight=weight), expected, rtol=0, atol=1e-14)
    torch.testing.assert_close(outer(**given, weight=weight.expand(4, -1)), expected, rtol=0, atol=1e-14)
    varied = torch.randn(4, len(weight), generator=rng, dtype=DOUBLE)
    alone = torch.stack([outer(given["x"][i], given["y"][i], varied[i]) for i in range(4)])
    torch.testing.assert_close(outer(**given, weight=varied), alone, rtol=0, atol=1e-14)


# --- channels --------------------------------------------------------------------------------------------


def test_mixed_channels_are_linear_maps_around_products_of_channels(rng):
    module = GauntTensorProduct(
        "3x0e + 2x1o + 1x0e",
        "2x1o + 5x0e",
        "4x0e + 2x1o + 3x2e",
        mode="uvw",
        normalization="integral",
        channels=6,
        rng=rng,
    ).double()
    assert module.weight_numel == 0
    given = inputs_of(module, rng, 3)
    w = [[weight.detach() for weight in mix.weights] for mix in (module.mix_in1, module.mix_in2, module.mix_out)]
    x, y = given["x"], given["y"]
    scalars = torch.cat([x[:, :3], x[:, 9:]], dim=-1) @ w[0][0] / 2  # 4 scalars: divided by the root of their number
    vectors = torch.einsum("nui,uc->nci", x[:, 3:9].unflatten(-1, (2, 3)), w[0][1]) / 2**0.5
    scalars2 = y[:, 6:] @ w[1][0] / 5**0.5
    vectors2 = torch.einsum("nui,uc->nci", y[:, :6].unflatten(-1, (2, 3)), w[1][1]) / 2**0.5
    k0, k1 = gaunt_constant(0, 0, 0), gaunt_constant(1, 1, 0)
    products = k0 * scalars * scalars2 + k1 / 3**0.5 * (vectors * vectors2).sum(-1)
    z = module(**given)
    torch.testing.assert_close(z[:, :4], products @ w[2][0] / 6**0.5, rtol=0, atol=1e-13)
    mixed = gaunt_constant(0, 1, 1) / 3**0.5 * (scalars[..., None] * vectors2 + scalars2[..., None] * vectors)
    expected = torch.einsum("nci,cw->nwi", mixed, w[2][1]) / 6**0.5
    torch.testing.assert_close(z[:, 4:10], expected.flatten(1), rtol=0, atol=1e-13)


@pytest.mark.parametrize("mode", ["uuu", "uv", "uvw"])
@pytest.mark.parametrize("weights", ["none", "internal", "sample"])
def test_layouts_agree(mode, weights, rng):
    out = natural(2, 4) if mode == "uvw" else None
    one, other = (
        GauntTensorProduct(
            natural(2, 3), natural(1, 3), out, mode=mode, weights=weights, layout=layout, rng=seeded()
        ).double()
        for layout in ("mul_ir", "ir_mul")
    )
    given = inputs_of(one, rng, 4)
    weight = torch.randn(one.weight_numel, generator=rng, dtype=DOUBLE) if weights == "sample" else None
    turned = {
        name: convert_layout(given[name], irreps, "mul_ir", "ir_mul")
        for name, irreps in (("x", one.irreps_in1), ("y", one.irreps_in2))
    }
    got = convert_layout(other(**turned, weight=weight), one.irreps_out, "ir_mul", "mul_ir")
    torch.testing.assert_close(got, one(**given, weight=weight), rtol=0, atol=1e-14)


@torch.no_grad()
def test_unit_variance_through_every_mode(rng):
    for mode in ("uuu", "uv"):
        module = GauntTensorProduct(natural(2, 4), natural(1, 4), mode=mode, weights="none")
        z = module(**inputs_of(module, rng, 20_000, dtype=torch.float32))
        for place in module.irreps_out.slices():
            assert float(z[:, place].var()) == pytest.approx(1, abs=0.05)
    module = GauntTensorProduct(natural(2, 64), natural(1, 64), natural(3, 64), mode="uvw", rng=rng)
    z = module(**inputs_of(module, rng, 1_000, dtype=torch.float32))
    for place in module.irreps_out.slices():  # an average over the weights that were drawn
        assert float(z[:, place].var()) == pytest.approx(1, abs=0.15)


# --- paths, and exchange with e3nn -----------------------------------------------------------------------


def test_paths_that_survive_and_paths_that_are_dropped():
    module = GauntTensorProduct(natural(2, 4), natural(2, 4))
    kept, dropped = module.paths(), module.dropped_paths()
    assert (len(kept), len(dropped)) == (14, 5)
    assert all(sum(ir.l for ir in path) % 2 == 1 for path in dropped)
    complete = GauntTensorProduct(natural(2, 4), natural(2, 4), couplings="all")
    assert (len(complete.paths()), complete.dropped_paths()) == (19, [])


def test_instructions_of_e3nn_and_of_our_own_product(float64_default, rng):
    module = GauntTensorProduct(natural(2, 3), natural(1, 3), weights="none", normalization="integral").double()
    instructions = module.to_e3nn_instructions()
    assert instructions[0] == (0, 0, 0, "uuu", False, pytest.approx(gaunt_constant(0, 0, 0) ** 2))
    irreps = [str(side) for side in (module.irreps_in1, module.irreps_in2, module.irreps_out)]
    theirs = o3.TensorProduct(
        *irreps, instructions, irrep_normalization="none", path_normalization="none", compile_left_right=True
    )
    ours = TensorProduct(*irreps, instructions, irrep_normalization="none", path_normalization="none").double()
    given = inputs_of(module, rng, 5)
    expected = module(**given)
    torch.testing.assert_close(theirs(*given.values()), expected, rtol=0, atol=1e-10)
    torch.testing.assert_close(ours(**given), expected, rtol=0, atol=1e-13)
    with pytest.raises(RepresentationError):
        GauntTensorProduct(natural(1, 2), natural(1, 2), mode="uv").to_e3nn_instructions()


def test_price_of_a_layer():
    module = GauntTensorProduct(natural(1, 8), natural(1, 8))
    assert module.flops() == 8 * 525
    assert module.memory() == 2 * module.memory(torch.bfloat16)
    assert GauntTensorProduct(natural(1, 2), natural(1, 3), mode="uv").flops() == 6 * 525


# --- laws ------------------------------------------------------------------------------------------------


def layers():
    cases = {
        "uuu": lambda **k: GauntTensorProduct(natural(3, 2), natural(2, 2), rng=seeded(), **k),
        "uv": lambda **k: GauntTensorProduct(natural(2, 2), "3x0o + 3x1e", mode="uv", rng=seeded(), **k),
        "uvw": lambda **k: GauntTensorProduct(
            "2x0e + 3x1o", natural(2, 2), "2x1o + 4x2e + 3o", mode="uvw", rng=seeded(), **k
        ),
        "uuu all": lambda **k: GauntTensorProduct(natural(2, 2), natural(2, 2), couplings="all", rng=seeded(), **k),
    }
    return [pytest.param(make, id=name) for name, make in cases.items()]


@pytest.mark.parametrize("make", layers())
@pytest.mark.parametrize("layout", ["mul_ir", "ir_mul"])
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 5e-6), (torch.float64, 1e-12)])
def test_rotations_and_reflections(make, layout, dtype, bound, rng):
    module = make(layout=layout).to(dtype)
    report = equivariance_error(module, inputs_of(module, rng, 5, dtype=dtype), rng=rng, trials=4, dtype=dtype)
    assert report.worst.relative < bound, report.explain()


@pytest.mark.parametrize("backend", BACKENDS)
def test_rotations_and_reflections_of_every_backend(backend, rng):
    module = GauntTensorProduct(natural(6, 2), natural(6, 2), natural(6, 2), backend=backend, rng=rng).double()
    report = equivariance_error(module, inputs_of(module, rng, 3), rng=rng, trials=3)
    assert report.worst.relative < 1e-12, report.explain()


def test_a_twin_with_a_factor_for_each_component_is_caught(rng):
    module = GauntTensorProduct(natural(2, 2), natural(2, 2), weights="sample", layout="ir_mul").double()

    def twin(x, y):
        return module(x * torch.linspace(1, 2, x.shape[-1], dtype=x.dtype), y, torch.ones(module.weight_numel).to(x))

    report = equivariance_error(twin, inputs_of(module, rng, 5), symmetry=module.symmetry, rng=rng)
    assert report.worst.relative > 1e-2


def test_order_of_samples_plays_no_part(rng):
    module = GauntTensorProduct(natural(2, 2), natural(2, 2), rng=rng).double()
    given = inputs_of(module, rng, 7)
    order = torch.randperm(7, generator=rng)
    permuted = {name: value[order] for name, value in given.items()}
    torch.testing.assert_close(module(**permuted), module(**given)[order], rtol=0, atol=1e-14)


class TestChannelwiseContract(ModuleContract):
    permutes = batches = False

    def build(self):
        return GauntTensorProduct(natural(2, 2), natural(1, 2), rng=seeded())

    def inputs(self, rng, dtype):
        return inputs_of(self.build(), rng, 5, dtype=dtype)

    def empty_inputs(self, dtype):
        return inputs_of(self.build(), seeded(), 0, dtype=dtype)


class TestMixedContract(TestChannelwiseContract):
    def build(self):
        return GauntTensorProduct("2x0e + 3x1o", natural(1, 2), natural(2, 2), mode="uvw", rng=seeded())


@pytest.mark.parametrize("make", layers())
def test_derivatives_up_to_second_order(make, rng):
    module = make(layout="ir_mul").double()
    given = [value.requires_grad_() for value in inputs_of(module, rng, 1).values()]
    assert torch.autograd.gradcheck(module, given, fast_mode=True)
    assert torch.autograd.gradgradcheck(module, given, fast_mode=True)


def test_derivatives_by_weights_of_samples(rng):
    module = GauntTensorProduct(natural(2, 2), natural(1, 2), weights="sample").double()
    weight = torch.randn(2, module.weight_numel, generator=rng, dtype=DOUBLE)
    given = [value.requires_grad_() for value in (*inputs_of(module, rng, 2).values(), weight)]
    assert torch.autograd.gradcheck(module, given)
    assert torch.autograd.gradgradcheck(module, given, fast_mode=True)


def test_compiled_whole_with_gradients_of_first_and_second_order(rng):
    module = GauntTensorProduct(natural(1, 2), natural(1, 2), rng=rng, layout="ir_mul").double()
    x, y = (value.requires_grad_() for value in inputs_of(module, rng, 3).values())

    def orders(x, y):
        z = module(x, y)
        (first,) = torch.autograd.grad(z.square().sum(), x, create_graph=True)
        (second,) = torch.autograd.grad(first.square().sum(), y)
        return z, first, second

    expected = tuple(part.detach() for part in orders(x, y))
    found = torch.compile(make_fx(orders)(x, y), fullgraph=True, backend="aot_eager")(x.detach(), y.detach())
    compare_outputs("compile", tuple(a.detach() for a in found), expected, "they disagree", epsilons=None)


# --- misuse ----------------------------------------------------------------------------------------------


def test_misuse_is_refused():
    with pytest.raises(RepresentationError) as unequal:
        GauntTensorProduct("2x0e + 3x1o", "2x0e")
    assert unequal.value.code == "E204"
    assert "uvw" in str(unequal.value)
    with pytest.raises(RepresentationError):
        GauntTensorProduct("2x0e", "3x0e")
    with pytest.raises(RepresentationError):
        GauntTensorProduct("2x0e", "3x0e", "5x0e", mode="uv")
    with pytest.raises(RepresentationError):
        GauntTensorProduct("2x0e", "3x0e", mode="uvw")
    with pytest.raises(RepresentationError):
        GauntTensorProduct("2x0e", "2x0e", mode="uvu")
    with pytest.raises(RepresentationError) as backend:
        GauntTensorProduct("2x0e", "2x0e", backend="lebedev")
    assert backend.value.got["backend"] == "lebedev"
    with pytest.raises(RepresentationError):
        GauntTensorProduct("2x1o", "2x1o", backend="fourier", couplings="all")
    with pytest.raises(RepresentationError) as odd:
        GauntTensorProduct("2x1o", "2x1o", "2x1e")
    assert odd.value.code == "E203"
    module = GauntTensorProduct("2x0e", "2x0e", weights="sample")
    with pytest.raises(ShapeError):
        module(torch.zeros(3, 2), torch.zeros(3, 2))
    with pytest.raises(ShapeError):
        module(torch.zeros(3, 2), torch.zeros(3, 2), torch.zeros(3, 5))
    with pytest.raises(ShapeError):
        GauntTensorProduct("2x0e", "2x0e")(torch.zeros(3, 2), torch.zeros(3, 2), torch.zeros(6))
    with pytest.raises(ShapeError):
        GauntTensorProduct("2x0e", "2x0e", layout="ir_mul")(torch.zeros(3, 3), torch.zeros(3, 2))
