"""Products of low rank: how near they come, that they are no nearer to the law than they say, and that they repeat."""

import pytest
import torch

from intertwine.errors import RepresentationError, ShapeError
from intertwine.products.clebsch_gordan import TensorProduct
from intertwine.products.low_rank import LowRankProduct, coupling_sum, decompose
from intertwine.products.paths import all_paths
from intertwine.representations import Irreps
from intertwine.symmetry import equivariance_error
from intertwine.testing import DTYPES, ModuleContract, tolerance

DOUBLE = torch.float64
SMALL = ("0e + 1o", "0e + 1o", "0e + 1o")


def natural(lmax):
    return Irreps.spherical_harmonics(lmax)


def inputs_of(product, rng, batch=4, dtype=DOUBLE):
    return {
        "x": product.irreps_in1.random(batch, rng=rng, dtype=dtype),
        "y": product.irreps_in2.random(batch, rng=rng, dtype=dtype),
    }


@pytest.mark.parametrize("normalization", ["component", "norm", "none"])
def test_the_exact_tensor_is_that_of_the_tensor_product(normalization, rng):
    a, b, out = Irreps("0e + 1o + 1e"), Irreps("1o + 2e"), Irreps("1o + 2o + 1e")
    paths = [(p.in1, p.in2, p.out, "uuu", False) for p in all_paths(a, b, out)]
    product = TensorProduct(
        a, b, out, paths, irrep_normalization=normalization, path_normalization="none"
    ).double()  # fmt: skip
    x, y = a.random(4, rng=rng, dtype=DOUBLE), b.random(4, rng=rng, dtype=DOUBLE)
    got = torch.einsum("bi,bj,ijk->bk", x, y, coupling_sum(a, b, out, normalization))
    torch.testing.assert_close(got, product(x, y), rtol=0, atol=1e-13)


def test_error_is_the_distance_that_it_says_and_falls_with_the_rank():
    irreps = [Irreps(text) for text in SMALL]
    exact = coupling_sum(*irreps)
    errors = []
    for rank in (2, 4, 6):
        product = LowRankProduct(*SMALL, rank=rank)
        distance = float((product.dense() - exact).norm() / exact.norm())
        assert product.error == pytest.approx(distance, rel=1e-6, abs=1e-12)
        errors.append(product.error)
    # measured: 0.763, 0.354, 1.2e-8; the exact tensor has 4 x 4 products of numbers
    assert errors[0] == pytest.approx(0.763, abs=0.01)
    assert errors[1] == pytest.approx(0.354, abs=0.01)
    assert errors[2] < 1e-6


def test_a_tensor_of_known_rank_is_found_again(rng):
    factors = [torch.randn(n, 3, generator=rng, dtype=DOUBLE) for n in (5, 6, 7)]
    table = torch.einsum("ir,jr,kr->ijk", *factors)
    found, error = decompose(table, 3)
    assert error < 1e-6
    torch.testing.assert_close(torch.einsum("ir,jr,kr->ijk", *found), table, rtol=0, atol=1e-5)
    assert decompose(table, 2)[1] > 0.05


@pytest.mark.parametrize("rank", [12, 15])
def test_enough_terms_are_exact(rank, rng):
    """n1 n2 products of numbers are all that there are; more are padded."""
    product = LowRankProduct("0e + 1o", "1o", rank=rank).double()
    assert product.error == 0
    exact = coupling_sum(product.irreps_in1, product.irreps_in2, product.irreps_out)
    torch.testing.assert_close(product.dense(), exact, rtol=0, atol=1e-14)
    assert product.symmetry_error() < 1e-14
    report = equivariance_error(product, inputs_of(product, rng), rng=rng)
    assert report.passed(), report.explain()


def test_the_symmetry_error_is_measured_and_is_no_rounding(rng):
    """Against the general checker, and bounded by twice the error: |g T - T| <= |g T - g E| + |E - T|, E exact."""
    product = LowRankProduct(natural(2), natural(2), natural(2), rank=9).double()
    measured = product.symmetry_error(rng=rng)
    exact = coupling_sum(product.irreps_in1, product.irreps_in2, product.irreps_out)
    bound = 2 * product.error * float(exact.norm() / product.dense().norm())
    assert 0.1 < measured < bound
    report = equivariance_error(product, inputs_of(product, rng, 50), rng=rng)
    assert not report.passed()
    assert report.worst.relative > 0.05
    better = LowRankProduct(natural(2), natural(2), natural(2), rank=27)
    assert better.symmetry_error() < 0.05 * measured


def test_it_repeats_exactly_whatever_the_global_state():
    exact = coupling_sum(*(Irreps(text) for text in SMALL))
    before = torch.random.get_rng_state()
    first, error = decompose(exact, 4)
    assert torch.equal(torch.random.get_rng_state(), before)
    second, again = decompose(exact, 4)
    assert error == again
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_the_default_rank_is_small_and_couplings_are_near_the_exact_ones():
    product = LowRankProduct(natural(2), natural(2), natural(2))
    assert product.rank == 18
    assert product.error < 0.05
    found = {(path.ir1.l, path.ir2.l, path.ir_out.l): path.constant for path in product.interactions(1e-2)}
    assert len(found) == 11  # the even triples; odd ones have no natural output
    assert all(abs(constant / (2 * l3 + 1) ** 0.5 - 1) < 0.1 for (_, _, l3), constant in found.items())
    assert LowRankProduct("0e", "1o").rank == 3


def test_flops_and_traffic_count_three_matrix_products():
    product = LowRankProduct(*SMALL, rank=6)
    assert product.flops() == 6 * (2 * 12 + 1)
    assert product.traffic() == 12 + 36


@pytest.mark.parametrize("dtype", DTYPES)
def test_evaluation_is_the_sum_of_terms(dtype, rng):
    product = LowRankProduct(*SMALL, rank=6).to(dtype)
    given = inputs_of(product, rng, dtype=dtype)
    expected = torch.einsum("bi,bj,ijk->bk", given["x"].double(), given["y"].double(), product.dense())
    size = expected.abs().max().item()
    scale = max(product.factor3.abs().max().item(), 1.0)
    torch.testing.assert_close(product(**given), expected.to(dtype), **tolerance(dtype, 64 * scale, size=size))


def test_derivatives_up_to_second_order(rng):
    product = LowRankProduct(*SMALL, rank=5).double()
    inputs = [torch.randn(2, 4, generator=rng, dtype=DOUBLE, requires_grad=True) for _ in range(2)]
    assert torch.autograd.gradcheck(product, inputs)
    assert torch.autograd.gradgradcheck(product, inputs)


class TestContract(ModuleContract):
    equivariant = False  # approximate: tested above, with its measure
    permutes = batches = False

    def build(self):
        return LowRankProduct(*SMALL, rank=5)

    def inputs(self, rng, dtype):
        return inputs_of(self.build(), rng, 5, dtype)

    def empty_inputs(self, dtype):
        return inputs_of(self.build(), torch.Generator(), 0, dtype)


def test_misuse_is_refused():
    with pytest.raises(RepresentationError) as caught:
        LowRankProduct("1o", "1o", "1o")
    assert caught.value.code == "E203"
    with pytest.raises(RepresentationError):
        LowRankProduct("1o", "1o", rank=0)
    with pytest.raises(RepresentationError):
        LowRankProduct("1o", "1o", normalization="integral")
    with pytest.raises(ShapeError):
        LowRankProduct("1o", "1o", rank=9)(torch.zeros(2, 3), torch.zeros(2, 4))
