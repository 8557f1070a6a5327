"""The fixed Clebsch-Gordan products: reference arrays, closed forms, counts of the spec, laws, derivatives."""

import numpy as np
import pytest
import torch

from intertwine.errors import RepresentationError, ShapeError
from intertwine.groups import O
from intertwine.products.clebsch_gordan_products import ClebschGordanDense, ClebschGordanSparse
from intertwine.products.product import Product
from intertwine.representations import Irreps, wigner_3j
from intertwine.symmetry import equivariance_error
from intertwine.testing import DTYPES, ModuleContract, tolerance

DOUBLE = torch.float64
KINDS = [ClebschGordanDense, ClebschGordanSparse]
MIXED = "1o + 0e + 2o + 1e"


def natural(lmax):
    return Irreps.spherical_harmonics(lmax)


def even_mimo(kind, lmax):
    return kind(natural(lmax), natural(lmax), natural(2 * lmax))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lmax", [1, 2, 3])
def test_equal_to_the_reference_arrays(kind, lmax, data_dir):
    case = np.load(data_dir / "tensor-product-reference" / f"case_L{lmax}.npz")
    product = kind(natural(lmax), natural(lmax)).double()
    z = product(torch.from_numpy(case["x"]), torch.from_numpy(case["y"])).numpy()
    compared = 0
    for (i, j, k), place in zip(product.paths, product.irreps_out.slices(), strict=True):
        a, b, c = (irreps[at].ir.l for irreps, at in ((natural(lmax), i), (natural(lmax), j), (product.irreps_out, k)))
        expected = case[f"cgtp_{a}_{b}_{c}"]
        assert np.abs(z[place] - expected).max() < 1e-11 * max(np.abs(expected).max(), 1)
        compared += 1
    assert compared == len([name for name in case.files if name.startswith("cgtp_")])


@pytest.mark.parametrize("kind", KINDS)
def test_vectors_give_scalar_and_cross_product(kind):
    a, b = torch.tensor([1.0, 2, 3], dtype=DOUBLE), torch.tensor([-1.0, 0.5, 2], dtype=DOUBLE)
    z = kind("1o", "1o").double()(a, b)
    torch.testing.assert_close(z[:1], (a @ b / 3**0.5).reshape(1), **tolerance(DOUBLE, size=10))
    torch.testing.assert_close(z[1:4], torch.linalg.cross(a, b) / 2**0.5, **tolerance(DOUBLE, size=10))


@pytest.mark.parametrize(
    ("normalization", "factor"),
    [
        ("component", lambda a, b, c: c.dim**0.5),
        ("norm", lambda a, b, c: (a.dim * b.dim) ** 0.5),
        ("none", lambda a, b, c: 1),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_normalizations_are_factors_of_the_coupling_tensor(kind, normalization, factor, rng):
    product = kind(MIXED, MIXED, normalization=normalization).double()
    x, y = (Irreps(MIXED).random(5, rng=rng, dtype=DOUBLE) for _ in range(2))
    z = product(x, y)
    sides = Irreps(MIXED)
    for (i, j, k), place in zip(product.paths, product.irreps_out.slices(), strict=True):
        a, b, c = sides[i].ir, sides[j].ir, product.irreps_out[k].ir
        table = wigner_3j(a.l, b.l, c.l, dtype=DOUBLE)
        expected = torch.einsum("zi,zj,ijk->zk", x[:, sides.slices()[i]], y[:, sides.slices()[j]], table)
        torch.testing.assert_close(z[:, place], factor(a, b, c) * expected, **tolerance(DOUBLE, size=10))


@pytest.mark.parametrize("lmax", range(1, 7))
def test_dense_equals_sparse(lmax, rng):
    dense, sparse = (kind(natural(lmax), natural(lmax)).double() for kind in KINDS)
    x, y = (natural(lmax).random(3, rng=rng, dtype=DOUBLE) for _ in range(2))
    expected = dense(x, y)
    assert (sparse(x, y) - expected).abs().max() < 1e-13 * expected.abs().max()


@pytest.mark.parametrize(
    ("degrees", "count"),
    [
        ((1, 1, 1), 6),
        ((1, 1, 2), 11),
        ((2, 2, 2), 25),
        ((2, 2, 4), 37),
        ((3, 3, 3), 42),
        ((4, 4, 4), 97),
        ((4, 4, 8), 137),
    ],
)
def test_numbers_of_coefficients(degrees, count):
    a, b, c = (f"{degree}e" for degree in degrees)
    assert ClebschGordanSparse(a, b, c).nnz == ClebschGordanDense(a, b, c).nnz == count


def test_coefficients_are_few_and_lie_on_the_lines_of_the_real_basis():
    for a in range(6):
        for b in range(6):
            for c in range(abs(a - b), a + b + 1):
                places = wigner_3j(a, b, c, dtype=DOUBLE).nonzero()
                assert len(places) <= 4 * (2 * a + 1) * (2 * c + 1)
                m1, m2, m3 = (places - torch.tensor([a, b, c])).abs().unbind(-1)
                assert bool(((m2 == (m1 - m3).abs()) | (m2 == m1 + m3)).all())


@pytest.mark.parametrize(("lmax", "published"), [(1, 166), (2, 1691), (4, 32957), (8, 1043098)])
def test_dense_operations_are_those_that_a_compiler_counted(lmax, published):
    """Published counts of the compiled product, even paths (Xie et al. 2025, benchmark files)."""
    assert even_mimo(ClebschGordanDense, lmax).flops() == pytest.approx(published, rel=0.05)


def test_sparse_operations_are_those_of_the_spec():
    """Two multiplications and an addition a coefficient, counted there by another program."""
    counts = [even_mimo(ClebschGordanSparse, lmax).flops() for lmax in (1, 2, 3, 4, 6)]
    assert counts == [63, 486, 2124, 6687, 36966]


def test_operations_and_traffic_by_hand():
    dense, sparse = (kind("1o", "0e + 1o", "0e + 1o + 2e") for kind in KINDS)
    # pairs: 3 x 1 into 1o, 3 x 3 into 0e and 2e
    assert dense.flops() == 3 * (1 + 2 * 3) + 9 * (1 + 2 * 6)
    assert dense.traffic() == 3 + 4 + 2 * (3 + 9) + 9 + 2 * 9
    assert dense.bytes(DOUBLE) == 8 * dense.traffic()
    assert sparse.nnz == 3 + 3 + 11
    assert sparse.flops() == 3 * 17


@pytest.mark.parametrize("kind", KINDS)
def test_interactions_are_those_that_projecting_finds(kind):
    product = kind("0e + 1o + 2e", "1o + 1e")
    known, projected = product.interactions(), Product.interactions(product)
    assert len(known) == len(product.paths) == 14
    assert [(i.in1, i.in2, i.out) for i in known] == [(i.in1, i.in2, i.out) for i in projected]
    for mine, theirs in zip(known, projected, strict=True):
        assert (mine.ir1, mine.ir2, mine.ir_out) == (theirs.ir1, theirs.ir2, theirs.ir_out)
        assert mine.constant == pytest.approx(theirs.constant, rel=1e-12)
        assert mine.constant == pytest.approx(mine.ir_out.dim**0.5)


def test_outputs_are_one_entry_a_path_and_can_be_filtered():
    every = ClebschGordanDense("0e + 1o", "1o + 0o")
    assert every.irreps_out == "1x1o + 1x0o + 1x0e + 1x1e + 1x2e + 1x1e"
    kept = ClebschGordanDense("0e + 1o", "1o + 0o", "1e + 5e")
    assert kept.irreps_out == "1x1e + 1x1e"


@pytest.mark.parametrize("kind", KINDS)
def test_leading_axes_broadcast_and_may_be_absent(kind, rng):
    product = kind("0e + 1o", "1o").double()
    x = torch.randn(5, 1, 4, generator=rng, dtype=DOUBLE)
    y = torch.randn(3, 3, generator=rng, dtype=DOUBLE)
    z = product(x, y)
    assert z.shape == (5, 3, product.irreps_out.dim)
    torch.testing.assert_close(z[2, 1], product(x[2, 0], y[1]), **tolerance(DOUBLE, size=10))
    strided = torch.randn(4, 5, generator=rng, dtype=DOUBLE).T
    torch.testing.assert_close(product(strided, y[:1]), product(strided.contiguous(), y[:1]), rtol=0, atol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_law_holds_for_rotations_and_reflections_and_a_broken_twin_is_caught(kind, rng):
    product = kind(MIXED, natural(3)).double()
    pair = (Irreps(MIXED).random(6, rng=rng, dtype=DOUBLE), natural(3).random(6, rng=rng, dtype=DOUBLE))
    assert isinstance(product.symmetry.group, O)
    good = equivariance_error(product, pair, trials=6, rng=rng)
    assert good.worst.relative < 1e-12, good.explain()

    def twin(x, y):
        return product(x.abs(), y)

    assert equivariance_error(twin, pair, symmetry=product.symmetry, rng=rng).worst.relative > 1e-2


@pytest.mark.parametrize("kind", KINDS)
def test_derivatives_up_to_second_order(kind, rng):
    product = kind("0e + 1o + 2e", "1o + 2e").double()
    x = torch.randn(2, 9, generator=rng, dtype=DOUBLE, requires_grad=True)
    y = torch.randn(2, 8, generator=rng, dtype=DOUBLE, requires_grad=True)
    assert torch.autograd.gradcheck(product, (x, y))
    assert torch.autograd.gradgradcheck(product, (x, y))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_two_runs_give_the_same_bits(kind, dtype, rng):
    product = kind(natural(2), natural(2)).to(dtype)
    x, y = (natural(2).random(50, rng=rng, dtype=dtype) for _ in range(2))
    assert product(x, y).dtype == dtype
    assert torch.equal(product(x, y), product(x, y))


@pytest.mark.parametrize("kind", KINDS)
def test_bad_input_is_refused_with_a_way_out(kind):
    with pytest.raises(RepresentationError) as caught:
        kind("1o", "1o", "1o + 3e")
    assert caught.value.code == "E203"
    assert "1x0e + 1x1e + 1x2e" in str(caught.value)
    with pytest.raises(RepresentationError) as caught:
        kind("2x1o", "1o")
    assert caught.value.code == "E204"
    with pytest.raises(RepresentationError) as caught:
        kind("1o", "1o", normalization="integral")
    assert caught.value.got == "integral"
    with pytest.raises(ShapeError) as caught_shape:
        kind("1o", "1o")(torch.zeros(2, 3), torch.zeros(2, 4))
    assert caught_shape.value.got == {"x": (2, 3), "y": (2, 4)}


class _Contract(ModuleContract):
    permutes = batches = False
    kind: type[Product]

    def build(self):
        return self.kind("0e + 1o + 2e", "0e + 1o")

    def inputs(self, rng, dtype):
        return {
            "x": torch.randn(4, 9, generator=rng, dtype=dtype),
            "y": torch.randn(4, 4, generator=rng, dtype=dtype),
        }

    def empty_inputs(self, dtype):
        return {"x": torch.zeros(0, 9, dtype=dtype), "y": torch.zeros(0, 4, dtype=dtype)}


class TestDense(_Contract):
    kind = ClebschGordanDense


class TestSparse(_Contract):
    kind = ClebschGordanSparse
