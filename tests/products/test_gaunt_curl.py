"""The odd couplings: against gradients by autograd and their integrals, closed forms, and all couplings together."""

import itertools
from math import pi

import numpy as np
import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from intertwine.errors import RepresentationError
from intertwine.kernels import use_reference
from intertwine.products.gaunt.coupling_constants import curl_constant, gaunt_constant
from intertwine.products.gaunt.curl import GauntComplete, GauntCurl
from intertwine.products.gaunt.grid import GauntGrid
from intertwine.representations import Irreps, spherical_harmonics, wigner_3j
from intertwine.symmetry import equivariance_error
from intertwine.testing import ModuleContract
from intertwine.testing.violation import compare_outputs

DOUBLE = torch.float64
BOTH = [GauntCurl, GauntComplete]


def natural(lmax):
    return Irreps.spherical_harmonics(lmax)


def triangles(lmax):
    for l1, l2 in itertools.product(range(lmax + 1), repeat=2):
        for l3 in range(abs(l1 - l2), l1 + l2 + 1):
            yield l1, l2, l3


def inputs_of(product, rng, *batch, dtype=DOUBLE):
    return tuple(irreps.random(*batch, rng=rng, dtype=dtype) for irreps in (product.irreps_in1, product.irreps_in2))


@pytest.fixture(scope="module")
def integrals():
    """Integrals of Y_3 r . (grad Y_1 x grad Y_2): Cartesian gradients by autograd, and a quadrature of its own."""
    nodes, weights = np.polynomial.legendre.leggauss(11)
    angles = torch.arange(22, dtype=DOUBLE) * (2 * pi / 22)
    cos, sin = torch.tensor(nodes)[:, None], torch.tensor(np.sqrt(1 - nodes**2))[:, None]
    points = torch.stack([sin * angles.sin(), cos.expand(-1, 22), sin * angles.cos()], dim=-1).flatten(0, 1)
    points.requires_grad_()
    y = spherical_harmonics(list(range(11)), points)
    # the harmonics do not change along r, so their gradients are tangent
    slopes = torch.stack(
        [torch.autograd.grad(y[:, i].sum(), points, retain_graph=True)[0] for i in range(36)], dim=1
    )  # fmt: skip
    y, points = y.detach(), points.detach()
    measure = torch.tensor(weights).repeat_interleave(22) * (2 * pi / 22)
    cross = torch.linalg.cross(slopes[:, :, None], slopes[:, None])
    triple = torch.einsum("pijc,pc->pij", cross, points)
    return torch.einsum("pij,pk->ijk", triple, y * measure[:, None])


# --- constants -------------------------------------------------------------------------------------------


def test_integrals_are_the_constant_times_the_coupling_tensor(integrals):
    odd = 0
    for l1, l2, l3 in triangles(5):
        block = integrals[tuple(slice(degree**2, (degree + 1) ** 2) for degree in (l1, l2, l3))]
        expected = curl_constant(l1, l2, l3) * wigner_3j(l1, l2, l3, dtype=DOUBLE)
        assert (block - expected).abs().max() < 2e-12, (l1, l2, l3)
        odd += curl_constant(l1, l2, l3) > 0
        assert (curl_constant(l1, l2, l3) > 0) == ((l1 + l2 + l3) % 2 == 1)
    assert odd == 55
    assert all(curl_constant(*t) > 0 for t in triangles(14) if sum(t) % 2)  # no accidental zeros


@pytest.mark.parametrize(
    ("degrees", "value"),
    [
        ((1, 1, 1), 1.19682684), ((1, 2, 2), 2.67618617), ((1, 3, 3), 4.47811599), ((2, 2, 3), 5.35237235),
        ((2, 3, 4), 8.46284375), ((3, 3, 3), 9.67383619), ((3, 3, 5), 12.92720736),
    ],
)  # fmt: skip
def test_known_constants(degrees, value):
    assert curl_constant(*degrees) == pytest.approx(value, abs=5e-9)
    with pytest.raises(RepresentationError):
        curl_constant(1, -1, 1)


# --- numbers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [1, 2, 3])
def test_reference_arrays(level, data_dir):
    with np.load(data_dir / "tensor-product-reference" / f"case_L{level}.npz") as case:
        x, y, even, odd = (torch.from_numpy(case[name]) for name in ("x", "y", "gtp_full", "curl_gtp_full"))
    product, complete = (kind(natural(level), natural(level)).double() for kind in (GauntCurl, GauntComplete))

    def expected(irreps):
        parts = [(even if ir.natural else odd)[ir.l**2 : (ir.l + 1) ** 2] for ir in irreps.irreps]
        return torch.cat(parts)

    assert (product(x, y) - expected(product.irreps_out)).abs().max() < 1e-11
    assert (complete(x, y) - expected(complete.irreps_out)).abs().max() < 1e-11


def test_two_vectors():
    """sqrt(3 / 4 pi) a x b from the curl, and no vector from the Gaunt product."""
    a, b = torch.tensor([[1.0, 2.0, 3.0], [-1.0, 0.5, 2.0]], dtype=DOUBLE)
    product = GauntCurl("1o", "1o").double()
    assert str(product.irreps_out) == "1x1e"
    expected = torch.tensor([2.5, -5.0, 2.5], dtype=DOUBLE)  # a x b by hand
    torch.testing.assert_close(product(a, b), 0.4886025119029199 * expected, rtol=0, atol=1e-14)
    complete = GauntComplete("1o", "1o").double()
    torch.testing.assert_close(complete(a, b)[1:4], product(a, b), rtol=0, atol=1e-14)


def test_antisymmetric_and_zero_for_a_function_with_itself(rng):
    product = GauntCurl(natural(3), natural(3)).double()
    x, y = inputs_of(product, rng, 5)
    torch.testing.assert_close(product(x, y), -product(y, x), rtol=0, atol=1e-13)
    assert product(x, x).abs().max() < 1e-13
    assert product(x, y).abs().max() > 1


@pytest.mark.parametrize("lmax", [1, 2, 3, 4])
def test_interactions_are_the_odd_triangles_and_together_all(lmax):
    curl, complete = (kind(natural(lmax), natural(lmax)).interactions() for kind in BOTH)
    odd = {(i.ir1.l, i.ir2.l, i.ir_out.l) for i in curl}
    assert odd == {t for t in triangles(lmax) if sum(t) % 2}
    assert len(curl) == lmax * (lmax + 1) * (2 * lmax + 1) // 6  # 1, 5, 14, 30
    assert {(i.ir1.l, i.ir2.l, i.ir_out.l) for i in complete} == set(triangles(lmax))
    assert len(complete) == (lmax + 1) * (2 * (lmax + 1) ** 2 + 1) // 3  # 6, 19, 44, 85
    for found in complete:
        degrees = (found.ir1.l, found.ir2.l, found.ir_out.l)
        assert found.constant == pytest.approx(gaunt_constant(*degrees) + curl_constant(*degrees), abs=1e-10)
        assert found.ir_out.natural == (sum(degrees) % 2 == 0)


def test_all_clebsch_gordan_paths_from_pairs(data_dir):
    """One complete product a pair of degrees, outputs divided by their constants: every path of degree up to 3."""
    with np.load(data_dir / "tensor-product-reference" / "case_L3.npz") as case:
        stored = {name: torch.from_numpy(case[name]) for name in case.files if name.startswith("cgtp_")}
        x, y = torch.from_numpy(case["x"]), torch.from_numpy(case["y"])
    calls, seen = 0, set()
    for (l1, a), (l2, b) in itertools.product(enumerate(natural(3).irreps), repeat=2):
        product = GauntComplete(Irreps(a), Irreps(b)).double()
        z = product(x[l1**2 : (l1 + 1) ** 2], y[l2**2 : (l2 + 1) ** 2])
        calls += 1
        for place, ir in zip(product.irreps_out.slices(), product.irreps_out.irreps, strict=True):
            path = z[place] * ir.dim**0.5 / (gaunt_constant(l1, l2, ir.l) + curl_constant(l1, l2, ir.l))
            assert (path - stored[f"cgtp_{l1}_{l2}_{ir.l}"]).abs().max() < 1e-11, (l1, l2, ir)
            seen.add(f"cgtp_{l1}_{l2}_{ir.l}")
    assert calls == 16
    assert seen == set(stored)
    assert len(seen) == 44


@pytest.mark.parametrize("irreps_out", [None, "1e + 0e", "2o", "2e + 1o", "3e + 1o + 1e + 4e"])
def test_complete_is_gaunt_and_curl(irreps_out, rng):
    """Any selection and order of outputs; parts that are not asked for are not computed."""
    complete = GauntComplete(natural(2), natural(2), irreps_out, normalization="component").double()
    x, y = inputs_of(complete, rng, 4)
    for place, ir in zip(complete.irreps_out.slices(), complete.irreps_out.irreps, strict=True):
        kind = GauntGrid if ir.natural else GauntCurl
        part = kind(natural(2), natural(2), Irreps(ir), normalization="component").double()
        torch.testing.assert_close(complete(x, y)[:, place], part(x, y), rtol=0, atol=1e-13)


@pytest.mark.parametrize("kind", BOTH)
def test_kernel_and_matrix_products_agree(kind, rng):
    product = kind("0e + 1o + 2e", "1o + 2e").double()
    x, y = inputs_of(product, rng, 5, 3)
    with use_reference():
        plain, last = product(x, y), product.channels_last(x.mT, y.mT)
    torch.testing.assert_close(product(x, y), plain, rtol=0, atol=1e-13)
    torch.testing.assert_close(last.mT, plain, rtol=0, atol=1e-13)
    torch.testing.assert_close(product.channels_last(x.mT, y.mT).mT, plain, rtol=0, atol=1e-13)


@pytest.mark.parametrize("kind", BOTH)
def test_unit_variance(kind, rng):
    product = kind(natural(2), natural(2), normalization="component")
    z = product(*inputs_of(product, rng, 100_000, dtype=torch.float32))
    for place in product.irreps_out.slices():
        assert float(z[:, place].var()) == pytest.approx(1, abs=0.03)


# --- laws ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 5e-6), (torch.float64, 1e-12)])
@pytest.mark.parametrize(
    ("in1", "in2"), [(natural(6), natural(6)), ("0e + 1o + 2e", "0o + 1e"), ("1e + 2o", "1e"), ("2e + 1o", "3o")]
)
def test_rotations_and_reflections(kind, dtype, bound, in1, in2, rng):
    product = kind(in1, in2, normalization="component").to(dtype)
    x, y = inputs_of(product, rng, 6, dtype=dtype)
    report = equivariance_error(product, {"x": x, "y": y}, rng=rng, trials=4, dtype=dtype)
    assert report.worst.relative < bound, report.explain()


def test_a_twin_without_the_second_half_of_the_cross_product_is_caught(rng):
    product = GauntCurl("1o + 2e", "1o").double()
    product.to_grid2 = torch.cat([product.to_grid2[: product.points], 0 * product.to_grid2[product.points :]])
    x, y = inputs_of(product, rng, 6)
    assert equivariance_error(product, {"x": x, "y": y}, rng=rng, dtype=None).worst.relative > 1e-2


def test_natural_inputs_give_unnatural_outputs_and_signs_multiply():
    assert not any(ir.natural for ir in GauntCurl(natural(2), natural(2)).irreps_out.irreps)
    assert all(ir.natural for ir in GauntCurl(natural(2), "0o + 1e + 2o").irreps_out.irreps)
    assert not any(ir.natural for ir in GauntCurl("1e + 2o", "1e").irreps_out.irreps)


class TestContract(ModuleContract):
    permutes = batches = False

    def build(self):
        return GauntComplete("0e + 1o + 2e", "0e + 1o")

    def inputs(self, rng, dtype):
        x, y = inputs_of(self.build(), rng, 5, dtype=dtype)
        return {"x": x, "y": y}

    def empty_inputs(self, dtype):
        return {"x": torch.zeros(0, 9, dtype=dtype), "y": torch.zeros(0, 4, dtype=dtype)}


class TestCurlContract(TestContract):
    def build(self):
        return GauntCurl("0e + 1o + 2e", "0e + 1o")


@pytest.mark.parametrize("reference", [False, True])
@pytest.mark.parametrize("kind", BOTH)
def test_derivatives_up_to_second_order(kind, reference, rng):
    product = kind(natural(2), natural(2), "1e + 2o").double()
    inputs = [a.requires_grad_() for a in inputs_of(product, rng, 2)]
    with use_reference(reference):
        assert torch.autograd.gradcheck(product, inputs)
        assert torch.autograd.gradgradcheck(product, inputs)


@pytest.mark.parametrize("kind", BOTH)
def test_compiled_whole_with_gradients_of_first_and_second_order(kind, rng):
    product = kind("0e + 1o", "0e + 1o").double()
    x, y = (a.requires_grad_() for a in inputs_of(product, rng, 3))

    def orders(x, y):
        z = product(x, y)
        (first,) = torch.autograd.grad(z.square().sum(), x, create_graph=True)
        (second,) = torch.autograd.grad(first.square().sum(), y)
        return z, first, second

    z, first, second = (part.detach() for part in orders(x, y))
    torch.compiler.reset()
    compiled = torch.compile(product, fullgraph=True, backend="aot_eager")(x, y)
    (gradient,) = torch.autograd.grad(compiled.square().sum(), x)
    compare_outputs("compile", (compiled.detach(), gradient), (z, first), "compiled and eager disagree", epsilons=None)
    found = torch.compile(make_fx(orders)(x, y), fullgraph=True, backend="aot_eager")(x.detach(), y.detach())
    compare_outputs("compile", found, (z, first, second), "compiled and eager disagree", epsilons=None)


def test_costs_are_those_of_the_tables():
    # 8 points; 2 + 2 tables of gradients with 3 columns, 3 to project on, and 3 operations for the cross product
    assert GauntCurl("1o", "1o").flops() == 8 * (2 * (2 * 3 + 2 * 3 + 3) + 3)
    even, odd, both = (GauntComplete("1o", "1o", out) for out in ("0e + 2e", "1e", "0e + 1e + 2e"))
    assert even.flops() == GauntGrid("1o", "1o").flops()
    assert odd.flops() == GauntCurl("1o", "1o").flops()
    assert max(even.flops(), odd.flops()) < both.flops()
    assert odd.traffic() < both.traffic()


def test_misuse_is_refused():
    with pytest.raises(RepresentationError) as even:
        GauntCurl("1o", "1o", "0e")
    assert "gaunt_grid" in str(even.value)
    with pytest.raises(RepresentationError):
        GauntCurl("0e", "0e + 1o")
    with pytest.raises(RepresentationError):
        GauntComplete("1o", "1o", "1o")
    with pytest.raises(RepresentationError) as mixed:
        GauntComplete("1o + 1e", "1o")
    assert mixed.value.code == "E205"
