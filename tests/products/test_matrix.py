"""Matrix products against the reference arrays and closed forms; what parity costs, and what it costs to keep it."""

import itertools
from math import sqrt

import numpy as np
import pytest
import torch

from intertwine.errors import RepresentationError, ShapeError
from intertwine.groups import O
from intertwine.products.matrix import MatrixProduct, ParityMatrixProduct, matrix_basis
from intertwine.products.wigner_symbols import matrix_constant
from intertwine.representations import Irrep, Irreps, IrrepsTensor, wigner_3j
from intertwine.symmetry import Symmetry, equivariance_error
from intertwine.testing import DTYPES, ModuleContract
from intertwine.testing.violation import compare_outputs

DOUBLE = torch.float64


def natural(lmax):
    return Irreps.spherical_harmonics(lmax)


def triples(product):
    return {(found.ir1.l, found.ir2.l, found.ir_out.l) for found in product.interactions()}


def inputs_of(product, rng, batch=4, dtype=DOUBLE):
    return {
        "x": product.irreps_in1.random(batch, rng=rng, dtype=dtype),
        "y": product.irreps_in2.random(batch, rng=rng, dtype=dtype),
    }


# --- the basis -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("matrix_degree", [1, 2, 3, 5])
def test_basis_is_orthonormal_and_of_one_symmetry_a_degree(matrix_degree):
    blocks = [matrix_basis(degree, matrix_degree) for degree in range(2 * matrix_degree + 1)]
    for degree, block in enumerate(blocks):
        torch.testing.assert_close(block.mT, (-1) ** degree * block, rtol=0, atol=1e-15)
    rows = torch.cat(blocks).flatten(1)
    torch.testing.assert_close(rows @ rows.mT, torch.eye(len(rows), dtype=DOUBLE), rtol=0, atol=1e-14)
    assert rows.shape[0] == rows.shape[1]


def test_a_degree_beyond_the_matrices_is_refused():
    with pytest.raises(RepresentationError) as caught:
        matrix_basis(5, 2)
    assert "matrix_degree = 3" in str(caught.value)


# --- numbers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [1, 2, 3])
def test_reference_arrays(level, data_dir):
    with np.load(data_dir / "tensor-product-reference" / f"case_L{level}.npz") as case:
        x, y = torch.from_numpy(case["x"]), torch.from_numpy(case["y"])
        expected = case["mtp_full"]
    product = MatrixProduct(natural(level), natural(level)).double()
    assert product.irreps_out == natural(2 * level)
    assert product.matrix_degree == level
    assert np.abs(product(x, y).numpy() - expected).max() < 1e-11


def test_two_vectors():
    """With matrices of size 3: -a.b / sqrt(3), and -(a x b) / (2 sqrt(2))."""
    a, b = torch.tensor([[1.0, 2.0, 3.0], [-1.0, 0.5, 2.0]], dtype=DOUBLE)
    z = MatrixProduct("1o", "1o").double()(a, b)
    assert z[0].item() == pytest.approx(-3.4641016151, abs=1e-10)
    assert z[1:4].tolist() == pytest.approx([-0.8838834765, 1.7677669530, -0.8838834765], abs=1e-10)
    torch.testing.assert_close(z[1:4], -torch.linalg.cross(a, b) / (2 * sqrt(2)), rtol=1e-14, atol=1e-14)


def test_embedding_is_an_isometry_and_the_identity_matrix_changes_nothing(rng):
    product = MatrixProduct(natural(4), "0e", matrix_degree=2).double()
    x = natural(4).random(5, rng=rng, dtype=DOUBLE)
    torch.testing.assert_close((x @ product.side0_plus).norm(dim=-1), x.norm(dim=-1), rtol=1e-14, atol=0)
    identity = torch.full((1,), sqrt(5), dtype=DOUBLE)
    torch.testing.assert_close(product(x, identity), x, rtol=0, atol=1e-14)


@pytest.mark.parametrize("lmax", [1, 2, 3])
def test_even_and_odd_parts_come_apart_by_exchanging_the_factors(lmax, rng):
    """The sum holds exactly the even couplings, the difference exactly the odd ones."""
    product = MatrixProduct(natural(lmax), natural(lmax)).double()
    there, back = product.dense(), product.dense().transpose(0, 1)
    for l1, l2, l3 in itertools.product(range(lmax + 1), range(lmax + 1), range(2 * lmax + 1)):
        if not abs(l1 - l2) <= l3 <= l1 + l2:
            continue
        block = tuple(slice(degree**2, (degree + 1) ** 2) for degree in (l1, l2, l3))
        kept, gone = (there + back)[block], (there - back)[block]
        if (l1 + l2 + l3) % 2:
            kept, gone = gone, kept
        assert gone.abs().max() < 1e-14
        assert float(kept.norm()) == pytest.approx(2 * matrix_constant(l1, l2, l3, lmax), abs=1e-12)


@pytest.mark.parametrize("lmax", [1, 2, 3])
def test_all_triangles_interact_with_the_constant_of_the_6j_symbol(lmax):
    product = MatrixProduct(natural(lmax), natural(lmax))
    found = product.interactions()
    assert len(found) == (lmax + 1) * (2 * (lmax + 1) ** 2 + 1) // 3  # 6, 19, 44: every path
    for path in found:
        expected = matrix_constant(path.ir1.l, path.ir2.l, path.ir_out.l, lmax)
        assert abs(path.constant) == pytest.approx(expected, abs=1e-10)


def test_exactly_the_permutations_of_3_5_6_are_lost_at_matrix_degree_6():
    irreps = Irreps("0e + 1o + 3o + 5o + 6e")
    product = MatrixProduct(irreps, irreps, irreps, matrix_degree=6)
    degrees = irreps.irreps
    allowed = {
        (a.l, b.l, c.l)
        for a, b, c in itertools.product(degrees, repeat=3)
        if abs(a.l - b.l) <= c.l <= a.l + b.l
    }  # fmt: skip
    assert allowed - triples(product) == set(itertools.permutations((3, 5, 6)))
    with pytest.raises(RepresentationError) as caught:
        MatrixProduct("3o", "5o", "6e", matrix_degree=6)
    assert caught.value.code == "E203"
    assert triples(MatrixProduct("3o", "5o", "6e", matrix_degree=7)) == {(3, 5, 6)}


@pytest.mark.parametrize("product_class", [MatrixProduct, ParityMatrixProduct])
def test_component_normalization_gives_unit_variance(product_class):
    """The variance for independent normal inputs is the mean square of the dense map, entry by entry."""
    irreps = Irreps("2e + 0e + 1o + 3o")
    product = product_class(irreps, irreps, normalization="component")
    variances = product.dense().square().sum((0, 1))
    torch.testing.assert_close(variances, torch.ones_like(variances), rtol=1e-12, atol=0)
    plain = product_class(irreps, irreps).dense().square().sum((0, 1))
    assert (plain - 1).abs().max() > 0.01


# --- laws ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("lmax", [1, 3, 6])
@pytest.mark.parametrize("product_class", [MatrixProduct, ParityMatrixProduct])
def test_the_declared_law_holds(product_class, lmax, dtype, rng):
    irreps = natural(lmax) if product_class is MatrixProduct else natural(lmax) + Irreps("0o + 1e")
    product = product_class(irreps, irreps).to(dtype)
    report = equivariance_error(product, inputs_of(product, rng, dtype=dtype), trials=3, rng=rng, dtype=None)
    assert report.worst.relative < (1e-12 if dtype == DOUBLE else 5e-6), report.explain()


def test_the_plain_product_fails_under_reflections(rng):
    product = MatrixProduct("1o", "1o").double()
    wider = Symmetry(O(3), {"x": IrrepsTensor("1o"), "y": IrrepsTensor("1o")}, IrrepsTensor(product.irreps_out))
    report = equivariance_error(product, inputs_of(product, rng), symmetry=wider, rng=rng)
    assert report.worst.relative > 0.1
    assert product.group_name == "SO(3)"


def test_parities_come_out_right_and_the_couplings_are_those_of_the_plain_product():
    """Nine kinds of pairs: each writes l3 with parity p1 p2 and the same constant, sign included."""
    irreps = Irreps("1e + 0e + 2o + 1o + 0o")
    product, plain = ParityMatrixProduct(irreps, irreps), {}
    for found in MatrixProduct("0e + 1o + 2e", "0e + 1o + 2e").interactions():
        plain[found.ir1.l, found.ir2.l, found.ir_out.l] = found.constant
    found = product.interactions()
    for path in found:
        assert path.ir_out.p == path.ir1.p * path.ir2.p
        assert path.constant == pytest.approx(plain[path.ir1.l, path.ir2.l, path.ir_out.l], abs=1e-13)
    pairs = itertools.product(irreps.irreps, repeat=2)
    assert len(found) == sum(len(a * b) for a, b in pairs)


def test_outputs_in_any_order_and_number(rng):
    irreps = Irreps("0e + 1o + 1e")
    everything = ParityMatrixProduct(irreps, irreps).double()
    some = ParityMatrixProduct(irreps, irreps, "1o + 0e + 2e + 1e").double()
    given = inputs_of(everything, rng)
    places = dict(zip(everything.irreps_out.irreps, everything.irreps_out.slices(), strict=True))
    expected = torch.cat([everything(**given)[:, places[ir]] for ir in some.irreps_out.irreps], dim=-1)
    torch.testing.assert_close(some(**given), expected, rtol=0, atol=1e-14)


def test_flops_and_traffic_count_the_dense_steps():
    """Size 5, dims 9, 9 and 25: 2 * 25 * (9 + 9 + 25) for the tables and 2 * 125 for the matrices."""
    product = MatrixProduct(natural(2), natural(2))
    assert product.flops() == 2 * 25 * 43 + 2 * 125
    assert product.traffic() == 43 + 6 * 25
    parities = ParityMatrixProduct("0e + 1o", "0e + 1o")
    assert parities.flops() == 2 * 9 * (4 + 4 + parities.irreps_out.dim) + 4 * 2 * 27 + 2 * 9


def test_leading_axes_broadcast(rng):
    product = ParityMatrixProduct("0e + 1o", "1o").double()
    x = torch.randn(3, 1, 4, generator=rng, dtype=DOUBLE)
    y = torch.randn(5, 3, generator=rng, dtype=DOUBLE)
    assert product(x, y).shape == (3, 5, product.irreps_out.dim)
    torch.testing.assert_close(product(x, y)[1, 2], product(x[1, 0], y[2]), rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("product_class", [MatrixProduct, ParityMatrixProduct])
def test_derivatives_up_to_second_order(product_class, rng):
    product = product_class("0e + 1o + 2e", "1o + 1e").double()
    inputs = [
        torch.randn(2, dim, generator=rng, dtype=DOUBLE, requires_grad=True)
        for dim in (product.irreps_in1.dim, product.irreps_in2.dim)
    ]
    assert torch.autograd.gradcheck(product, inputs)
    assert torch.autograd.gradgradcheck(product, inputs)


@pytest.mark.parametrize("product_class", [MatrixProduct, ParityMatrixProduct])
def test_compiled_whole_with_gradients_of_first_and_second_order(product_class, rng):
    product = product_class("0e + 1o", "0e + 1o").double()
    given = inputs_of(product, rng)

    def everything(x, y):
        def loss(x):
            return product(x, y).square().sum()

        def squared(x):
            return torch.func.grad(loss)(x).square().sum()

        return product(x, y), *torch.func.grad_and_value(squared)(x)

    torch.compiler.reset()
    compiled = torch.compile(everything, backend="aot_eager", fullgraph=True)
    compare_outputs("compile", compiled(**given), everything(**given), "compiled and eager disagree", epsilons=None)


@pytest.mark.parametrize("product_class", [MatrixProduct, ParityMatrixProduct])
def test_results_repeat_to_the_bit(product_class, rng):
    given = inputs_of(product_class("0e + 1o", "1o + 2e"), rng, dtype=torch.float32)
    first, second = (product_class("0e + 1o", "1o + 2e")(**given) for _ in range(2))
    assert torch.equal(first, second)


class TestParityContract(ModuleContract):
    permutes = batches = False

    def build(self):
        return ParityMatrixProduct("0e + 1o + 1e", "0e + 1o")

    def inputs(self, rng, dtype):
        return inputs_of(self.build(), rng, 5, dtype)

    def empty_inputs(self, dtype):
        return inputs_of(self.build(), torch.Generator(), 0, dtype)


def test_misuse_is_refused():
    with pytest.raises(RepresentationError) as caught:
        MatrixProduct("1o", "1o", "3o")
    assert caught.value.code == "E203"
    with pytest.raises(RepresentationError):
        ParityMatrixProduct("1o", "1o", "1o")
    with pytest.raises(RepresentationError):
        MatrixProduct("2x1o", "1o")
    with pytest.raises(RepresentationError):
        MatrixProduct("1o", "1o", normalization="norm")
    with pytest.raises(RepresentationError) as small:
        MatrixProduct("3o", "0e", matrix_degree=1)
    assert "matrix_degree = 2" in str(small.value)
    with pytest.raises(ShapeError):
        MatrixProduct("1o", "1o")(torch.zeros(2, 3), torch.zeros(2, 4))


def test_the_constant_is_the_coupling_tensor_times_a_number():
    """Not only its size: every block of the dense map is a multiple of C."""
    product = MatrixProduct(natural(2), natural(2))
    dense = product.dense()
    for found in product.interactions():
        block = tuple(slice(ir.l**2, (ir.l + 1) ** 2) for ir in (found.ir1, found.ir2, found.ir_out))
        coupling = wigner_3j(found.ir1.l, found.ir2.l, found.ir_out.l, dtype=DOUBLE)
        torch.testing.assert_close(dense[block], found.constant * coupling, rtol=0, atol=1e-13)
    assert Irrep(4, 1) in product.irreps_out
