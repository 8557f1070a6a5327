"""Gaunt products: all ways to compute them against the full tensor, closed forms, their algebra and their limits."""

import itertools
from math import pi

import numpy as np
import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from intertwine.errors import RepresentationError, ShapeError
from intertwine.kernels import use_reference
from intertwine.products.gaunt.coupling_constants import gaunt_constant
from intertwine.products.gaunt.fourier import GauntFourier, GauntFourierFFT
from intertwine.products.gaunt.grid import GauntDense, GauntGrid
from intertwine.products.gaunt.separable import GauntGridSeparable
from intertwine.representations import Irreps, wigner_3j
from intertwine.symmetry import equivariance_error
from intertwine.testing import ModuleContract
from intertwine.testing.violation import compare_outputs

DOUBLE = torch.float64
FAST = [GauntGrid, GauntGridSeparable, GauntFourier, GauntFourierFFT]
ALL = [GauntDense, *FAST]


def natural(lmax):
    return Irreps.spherical_harmonics(lmax)


def even_triangles(lmax):
    pairs = itertools.product(range(lmax + 1), repeat=2)
    return {(l1, l2, l3) for l1, l2 in pairs for l3 in range(abs(l1 - l2), l1 + l2 + 1, 2)}


def inputs_of(product, rng, *batch, dtype=DOUBLE):
    return product.irreps_in1.random(*batch, rng=rng, dtype=dtype), product.irreps_in2.random(
        *batch, rng=rng, dtype=dtype
    )


# --- all ways agree --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", FAST)
@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize("lmax", range(9))
def test_equal_to_the_tensor(kind, cut, lmax, rng):
    out = natural(lmax) if cut else None
    oracle, product = (c(natural(lmax), natural(lmax), out).double() for c in (GauntDense, kind))
    assert product.irreps_out == (natural(lmax) if cut else natural(2 * lmax))
    x, y = inputs_of(product, rng, 4)
    expected = oracle(x, y)
    assert (product(x, y) - expected).abs().max() < 1e-12 * expected.abs().max()


@pytest.mark.parametrize("kind", FAST)
@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize("lmax", range(7))
def test_equal_to_the_tensor_in_float32(kind, cut, lmax, rng):
    out = natural(lmax) if cut else None
    oracle, product = GauntDense(natural(lmax), natural(lmax), out).double(), kind(natural(lmax), natural(lmax), out)
    x, y = inputs_of(product, rng, 6, dtype=torch.float32)
    expected = oracle(x.double(), y.double())
    assert product(x, y).dtype == torch.float32
    assert (product(x, y) - expected).abs().max() < 2e-6 * (1 + float(expected.abs().max()))


@pytest.mark.parametrize("kind", FAST)
@pytest.mark.parametrize(
    ("in1", "in2", "out"),
    [
        ("1o", "2e", "3o + 1o"),
        ("2e + 0e + 3o", "1o", "1o + 4e"),
        ("0o + 1e + 2o", "0e + 1o", "1e + 3e + 0o"),
        ("1e", "1e + 2o", "0e + 3o"),
        ("0e", "0e", None),
        ("3o", "3o", None),
    ],
)
def test_any_irreps_in_any_order(kind, in1, in2, out, rng):
    for normalization in ("integral", "component"):
        oracle, product = (c(in1, in2, out, normalization=normalization).double() for c in (GauntDense, kind))
        assert product.irreps_out == oracle.irreps_out
        x, y = inputs_of(product, rng, 3)
        torch.testing.assert_close(product(x, y), oracle(x, y), rtol=0, atol=1e-13)


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("level", [1, 2, 3])
def test_reference_arrays(kind, level, data_dir):
    with np.load(data_dir / "tensor-product-reference" / f"case_L{level}.npz") as case:
        x, y, expected = (torch.from_numpy(case[name]) for name in ("x", "y", "gtp_full"))
    assert (kind(natural(level), natural(level)).double()(x, y) - expected).abs().max() < 1e-11


def test_kernel_and_matrix_products_agree(rng):
    product = GauntGrid("0e + 1o + 2e", "1o + 2e").double()
    x, y = inputs_of(product, rng, 5, 3)
    with use_reference():
        plain, last = product(x, y), product.channels_last(x.mT, y.mT)
    torch.testing.assert_close(product(x, y), plain, rtol=0, atol=1e-14)
    torch.testing.assert_close(last.mT, plain, rtol=0, atol=1e-14)
    torch.testing.assert_close(product.channels_last(x.mT, y.mT).mT, plain, rtol=0, atol=1e-14)


@pytest.mark.parametrize("kind", ALL)
def test_batches_of_all_shapes(kind, rng):
    product = kind("0e + 1o", "0e + 1o").double()
    x, y = torch.randn(5, 1, 4, dtype=DOUBLE, generator=rng), torch.randn(3, 4, dtype=DOUBLE, generator=rng)
    full = product(x, y)
    assert full.shape == (5, 3, 9)
    torch.testing.assert_close(full[2, 1], product(x[2, 0], y[1]), rtol=0, atol=1e-15)
    assert product(x[:0], y).shape == (0, 3, 9)
    strided = torch.randn(4, 7, dtype=DOUBLE, generator=rng).T
    torch.testing.assert_close(product(strided, strided), product(strided.clone(), strided.clone()), rtol=0, atol=0)


# --- closed forms and algebra ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ALL)
def test_two_vectors(kind):
    a, b = torch.tensor([[1.0, 2.0, 3.0], [-1.0, 0.5, 2.0]], dtype=DOUBLE)
    x, y = torch.zeros(2, 9, dtype=DOUBLE)
    x[1:4], y[1:4] = a, b
    z = kind(natural(2), natural(2)).double()(x, y)
    assert z[0].item() == pytest.approx(0.28209479 * float(a @ b), abs=1e-7)
    assert z[1:4].abs().max() < 1e-15  # no cross product
    expected = 0.69098830 * torch.einsum("i,j,ijk->k", a, b, wigner_3j(1, 1, 2, dtype=DOUBLE))
    torch.testing.assert_close(z[4:9], expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize("kind", ALL)
def test_the_constant_function_one_changes_nothing(kind, rng):
    x = natural(3).random(4, rng=rng, dtype=DOUBLE)
    one = torch.full((1,), (4 * pi) ** 0.5, dtype=DOUBLE)
    torch.testing.assert_close(kind(natural(3), "0e").double()(x, one), x, rtol=0, atol=1e-14)


@pytest.mark.parametrize("kind", ALL)
def test_commutative_and_associative_unless_cut(kind, rng):
    x, y, w = (natural(2).random(5, rng=rng, dtype=DOUBLE) for _ in range(3))
    pair, triple = kind(natural(2), natural(2)).double(), kind(natural(4), natural(2)).double()
    assert (pair(x, y) - pair(y, x)).abs().max() < 1e-14
    assert (triple(pair(x, y), w) - triple(pair(y, w), x)).abs().max() < 1e-12
    short = kind(natural(2), natural(2), natural(2)).double()
    assert (short(short(x, y), w) - short(short(y, w), x)).abs().max() > 1e-2


@pytest.mark.parametrize("lmax", [1, 2, 3, 4])
def test_interactions_are_the_even_triangles(lmax):
    found = {(i.ir1.l, i.ir2.l, i.ir_out.l): i.constant for i in GauntGrid(natural(lmax), natural(lmax)).interactions()}
    assert set(found) == even_triangles(lmax)
    assert len(found) == (lmax + 1) * (lmax + 2) * (2 * lmax + 3) // 6  # 5, 14, 30, 55
    for degrees, constant in found.items():
        assert constant == pytest.approx(gaunt_constant(*degrees), abs=1e-10)


def test_variances_of_the_plain_projection_and_unit_variance(rng):
    expected = {
        1: [0.318310, 0.159155, 0.095493],
        2: [0.716197, 0.477465, 0.368330, 0.204628, 0.113682],
        3: [1.273240, 0.954930, 0.803354, 0.575989, 0.427169, 0.241144, 0.129847],
    }
    for lmax, variances in expected.items():
        plain = GauntDense(natural(lmax), natural(lmax)).double().coefficients.square().sum((0, 1))
        for degree, variance in enumerate(variances):
            assert plain[degree**2 : (degree + 1) ** 2].tolist() == pytest.approx(
                [variance] * (2 * degree + 1), abs=1e-6
            )
    product = GauntGrid(natural(2), natural(2), normalization="component")
    z = product(*inputs_of(product, rng, 100_000, dtype=torch.float32))
    for degree in range(5):
        assert float(z[:, degree**2 : (degree + 1) ** 2].var()) == pytest.approx(1, abs=0.03)


# --- laws ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 5e-6), (torch.float64, 1e-12)])
@pytest.mark.parametrize(("in1", "in2"), [(natural(6), natural(6)), ("0e + 1o + 2e", "0o + 1e"), ("1e + 2o", "1e")])
def test_rotations_and_reflections(kind, dtype, bound, in1, in2, rng):
    product = kind(in1, in2, normalization="component").to(dtype)
    x, y = inputs_of(product, rng, 6, dtype=dtype)
    report = equivariance_error(product, {"x": x, "y": y}, rng=rng, trials=4, dtype=dtype)
    assert report.worst.relative < bound, report.explain()


def test_a_twin_with_too_few_rings_is_caught(rng):
    from intertwine.products.gaunt.sphere_grid import SphereGrid

    product = GauntGrid(natural(2), natural(2)).double()
    grid = SphereGrid(8, num_rings=4)
    product.to_grid1 = product.to_grid2 = grid.values(2)
    product.from_grid = grid.project(4)
    x, y = inputs_of(product, rng, 6)
    report = equivariance_error(product, {"x": x, "y": y}, rng=rng, dtype=None)
    assert report.worst.relative > 1e-3


class TestContract(ModuleContract):
    permutes = batches = False

    def build(self):
        return GauntGrid("0e + 1o + 2e", "0e + 1o")

    def inputs(self, rng, dtype):
        x, y = inputs_of(self.build(), rng, 5, dtype=dtype)
        return {"x": x, "y": y}

    def empty_inputs(self, dtype):
        return {"x": torch.zeros(0, 9, dtype=dtype), "y": torch.zeros(0, 4, dtype=dtype)}


class TestSeparableContract(TestContract):
    compiles = False  # compiled below

    def build(self):
        return GauntGridSeparable("0e + 1o + 2e", "0e + 1o")


class TestFourierContract(TestContract):
    compiles = False  # compiled below

    def build(self):
        return GauntFourier("0e + 1o + 2e", "0e + 1o")


class TestFourierFFTContract(TestContract):
    compiles = False  # compiled below

    def build(self):
        return GauntFourierFFT("0e + 1o + 2e", "0e + 1o")


# --- derivatives and compilation -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ALL)
def test_derivatives_up_to_second_order(kind, rng):
    product = kind(natural(2), natural(2), natural(2)).double()
    inputs = [a.requires_grad_() for a in inputs_of(product, rng, 2)]
    assert torch.autograd.gradcheck(product, inputs)
    assert torch.autograd.gradgradcheck(product, inputs)


def orders(product, x, y):
    """The product, the gradient of a loss, and the gradient of the square of that gradient."""
    z = product(x, y)
    (first,) = torch.autograd.grad(z.square().sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), y)
    return z, first, second


@pytest.mark.parametrize("kind", ALL)
def test_compiled_whole_with_gradients_of_first_and_second_order(kind, rng):
    """The gradient by differentiating the compiled product; both by compiling a trace that takes them inside."""
    product = kind("0e + 1o", "0e + 1o", "0e + 1o").double()
    x, y = (a.requires_grad_() for a in inputs_of(product, rng, 3))
    z, first, second = (part.detach() for part in orders(product, x, y))
    torch.compiler.reset()
    compiled = torch.compile(product, fullgraph=True, backend="aot_eager")(x, y)
    (gradient,) = torch.autograd.grad(compiled.square().sum(), x)
    compare_outputs("compile", (compiled.detach(), gradient), (z, first), "compiled and eager disagree", epsilons=None)
    trace = make_fx(lambda x, y: orders(product, x, y))(x, y)
    found = torch.compile(trace, fullgraph=True, backend="aot_eager")(x.detach(), y.detach())
    compare_outputs("compile", found, (z, first, second), "compiled and eager disagree", epsilons=None)


@pytest.mark.parametrize("kind", [GauntGrid, GauntFourierFFT])
def test_exported_for_any_number_of_samples(kind, rng):
    product = kind(natural(1), natural(1))
    few, many = (inputs_of(product, rng, count, dtype=torch.float32) for count in (3, 8))
    product(*few)  # a kernel is checked at its first use, which is not to be traced
    samples = torch.export.Dim("samples")
    exported = torch.export.export(product, few, dynamic_shapes=({0: samples}, {0: samples}))
    torch.testing.assert_close(exported.module()(*many), product(*many))


def test_results_repeat_to_the_bit(rng):
    x, y = inputs_of(GauntGrid(natural(2), natural(2)), rng, 50, dtype=torch.float32)
    for kind in ALL:
        first, second = (kind(natural(2), natural(2))(x, y) for _ in range(2))
        assert torch.equal(first, second)


# --- price and misuse ------------------------------------------------------------------------------------


def test_operations_on_the_grid():
    lmaxes = (1, 2, 3, 4, 6, 8)
    grid = [GauntGrid(natural(lmax), natural(lmax)).flops() for lmax in lmaxes]
    assert grid == [525, 3915, 14833, 40239, 173875, 506583]
    separable = [GauntGridSeparable(natural(lmax), natural(lmax)).flops() for lmax in lmaxes]
    assert separable == [447, 2185, 6139, 13221, 40417, 91069]
    assert all(b < a for a, b in zip(grid, separable, strict=True))


@pytest.mark.parametrize("kind", ALL)
def test_costs_grow_with_the_degree_and_shrink_with_the_output(kind):
    small, large, cut = kind(natural(2), natural(2)), kind(natural(4), natural(4)), kind(natural(4), natural(4), "0e")
    assert 0 < small.flops() < large.flops()
    assert cut.flops() < large.flops()
    assert cut.traffic() < large.traffic()
    assert small.traffic() >= 9 + 9 + 25


def test_misuse_is_refused():
    with pytest.raises(RepresentationError) as odd:
        GauntGrid("1o", "1o", "1e")
    assert odd.value.code == "E203"
    assert "gaunt_curl" in str(odd.value)
    assert "gaunt_complete" in str(odd.value)
    with pytest.raises(RepresentationError):
        GauntGrid("3o", "3o", "3o")  # one degree L into the same, odd L: no allowed path
    with pytest.raises(RepresentationError) as mixed:
        GauntFourier("0e + 1e", "1o")
    assert mixed.value.code == "E205"
    with pytest.raises(RepresentationError):
        GauntGridSeparable("", "1o")
    with pytest.raises(RepresentationError):
        GauntDense("1o", "1o", normalization="norm")
    with pytest.raises(RepresentationError):
        GauntDense("2x1o", "1o")
    with pytest.raises(ShapeError):
        GauntGrid("1o", "1o")(torch.zeros(2, 3), torch.zeros(2, 4))
