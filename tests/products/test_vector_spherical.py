"""Vector harmonics and products of vector fields: reference arrays, closed forms, constants of 9j symbols, laws."""

import itertools
from math import pi, sqrt

import numpy as np
import pytest
import torch

from intertwine.errors import RepresentationError, ShapeError
from intertwine.groups import O
from intertwine.products.vector_harmonics import slots_of, vector_harmonics, vector_signal
from intertwine.products.vector_spherical import ScalarVectorProduct, VectorDotProduct, VectorSphericalProduct
from intertwine.products.wigner_symbols import vector_constant
from intertwine.representations import Irreps, IrrepsTensor, spherical_harmonics, wigner_3j, wigner_D_upto
from intertwine.symmetry import Symmetry, equivariance_error
from intertwine.testing import DTYPES, ModuleContract
from intertwine.testing.violation import compare_outputs

DOUBLE = torch.float64
PRODUCTS = [VectorSphericalProduct, VectorDotProduct, ScalarVectorProduct]


def natural(lmax):
    return Irreps.spherical_harmonics(lmax)


def field_product(jmax, jmax_out=None, product_class=VectorSphericalProduct):
    """The product of two polar fields, every slot an entry."""
    irreps, slots = vector_signal(jmax)
    first, first_slots = (natural(jmax), tuple(range(jmax + 1))) if product_class.spins[0] == 0 else (irreps, slots)
    out, out_slots = (None, None) if jmax_out is None else vector_signal(jmax_out, 1)
    return product_class(first, irreps, out, slots1=first_slots, slots2=slots, slots_out=out_slots)


def harmonics_at(degree, slot, points):
    return vector_harmonics(degree, slot, spherical_harmonics(slot, points))


def inputs_of(product, rng, batch=4, dtype=DOUBLE):
    return {
        "x": product.irreps_in1.random(batch, rng=rng, dtype=dtype),
        "y": product.irreps_in2.random(batch, rng=rng, dtype=dtype),
    }


def sphere_quadrature(degree):
    """Points and weights of a product rule that shares no code with the package: exact up to ``degree``."""
    cosines, weights = np.polynomial.legendre.leggauss(degree // 2 + 1)
    angles = 2 * np.pi * np.arange(degree + 1) / (degree + 1)
    sines = np.sqrt(1 - cosines**2)
    points = [[s * np.sin(a), c, s * np.cos(a)] for c, s in zip(cosines, sines, strict=True) for a in angles]
    return torch.tensor(np.array(points)), torch.tensor(np.repeat(weights, degree + 1) * 2 * np.pi / (degree + 1))


# --- vector harmonics ------------------------------------------------------------------------------------


def test_vector_harmonics_are_orthonormal():
    points, weights = sphere_quadrature(10)
    _, slots = vector_signal(4)
    degrees = [ir.l for ir in vector_signal(4)[0].irreps]
    table = torch.cat([harmonics_at(j, slot, points) for j, slot in zip(degrees, slots, strict=True)], dim=-1)
    gram = torch.einsum("pai,p,paj->ij", table, weights, table)
    assert gram.shape[0] == 3 * 5**2 - 2
    torch.testing.assert_close(gram, torch.eye(len(gram), dtype=DOUBLE), rtol=0, atol=1e-13)


def test_the_lowest_are_the_constant_fields_and_the_radial_one(rng):
    points = torch.nn.functional.normalize(torch.randn(20, 3, dtype=DOUBLE, generator=rng), dim=-1)
    constant = harmonics_at(1, 0, points)
    expected = torch.eye(3, dtype=DOUBLE).expand(20, 3, 3) / sqrt(4 * pi)
    torch.testing.assert_close(constant, expected, rtol=0, atol=1e-15)
    torch.testing.assert_close(harmonics_at(0, 1, points).squeeze(-1), points / sqrt(4 * pi), rtol=0, atol=1e-15)


def test_vector_harmonics_follow_rotations_of_point_and_vector(rng):
    rotation = O(3).sample(rng=rng, dtype=DOUBLE)
    rotation = rotation * torch.linalg.det(rotation)
    points = torch.nn.functional.normalize(torch.randn(5, 3, dtype=DOUBLE, generator=rng), dim=-1)
    wigner = wigner_D_upto(4, rotation)
    for degree in range(5):
        for slot in slots_of(degree):
            turned = harmonics_at(degree, slot, points @ rotation.mT)
            expected = rotation @ harmonics_at(degree, slot, points) @ wigner[degree].mT
            torch.testing.assert_close(turned, expected, rtol=0, atol=1e-13)


def test_a_slot_that_a_degree_does_not_have_is_refused():
    with pytest.raises(RepresentationError) as caught:
        harmonics_at(2, 4, torch.eye(3, dtype=DOUBLE))
    assert caught.value.expected == "1, 2, 3"
    assert slots_of(0) == (1,)
    assert slots_of(3, 0) == (3,)


# --- numbers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [1, 2, 3])
def test_reference_arrays(level, data_dir):
    irreps, slots = vector_signal(level)
    with np.load(data_dir / "tensor-product-reference" / f"case_L{level}.npz") as case:
        x, y, expected = torch.from_numpy(case["xv"]), torch.from_numpy(case["yv"]), case["vstp"]
        order = [[ir.l, slot] for ir, slot in zip(irreps.irreps, slots, strict=True)]
        assert case["vsh_keys"].tolist() == order
    product = field_product(level, level).double()
    assert product.slots[2] == tuple((slot,) for slot in slots)
    assert np.abs(product(x, y).numpy() - expected).max() < 1e-11


@pytest.mark.parametrize("product_class", PRODUCTS)
def test_the_product_is_that_of_the_values_at_every_point(product_class, rng):
    """Evaluated at points that are not of the grid; nothing is truncated, so the series ends there."""
    product = field_product(2, product_class=product_class).double()
    given = inputs_of(product, rng, 1)
    points = torch.nn.functional.normalize(torch.randn(15, 3, dtype=DOUBLE, generator=rng), dim=-1)

    def values(coefficients, side):
        irreps = (product.irreps_in1, product.irreps_in2, product.irreps_out)[side]
        total = 0
        for ir, (slot,), part in zip(irreps.irreps, product.slots[side], irreps.slices(), strict=True):
            scalar = spherical_harmonics(slot, points)
            table = vector_harmonics(ir.l, slot, scalar, product.spins[side])
            total = total + table @ coefficients[0, part]
        return total

    u, v, w = values(given["x"], 0), values(given["y"], 1), values(product(**given), 2)
    expected = {
        VectorSphericalProduct: lambda: torch.linalg.cross(u, v),
        VectorDotProduct: lambda: (u * v).sum(-1, keepdim=True),
        ScalarVectorProduct: lambda: u * v,
    }[product_class]()
    assert w.abs().max() > 0.1
    torch.testing.assert_close(w, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("product_class", PRODUCTS)
def test_every_coupling_is_the_coupling_tensor_times_the_constant_of_the_9j_symbol(product_class):
    product = field_product(3, product_class=product_class)
    dense = product.dense()
    sides = (product.irreps_in1, product.irreps_in2, product.irreps_out)
    count = 0
    for places in itertools.product(*(range(len(side)) for side in sides)):
        degrees = [side[place].ir.l for side, place in zip(sides, places, strict=True)]
        if not abs(degrees[0] - degrees[1]) <= degrees[2] <= degrees[0] + degrees[1]:
            continue
        block = dense[tuple(side.slices()[place] for side, place in zip(sides, places, strict=True))]
        coupling = wigner_3j(*degrees, dtype=DOUBLE)
        constant = float((block * coupling).sum())
        slots = [(j, product.slots[n][place][0]) for n, (j, place) in enumerate(zip(degrees, places, strict=True))]
        assert abs(constant) == pytest.approx(vector_constant(*slots, product.spins), abs=1e-10)
        torch.testing.assert_close(block, constant * coupling, rtol=0, atol=1e-13)
        count += abs(constant) > 1e-10
    assert count > 100


def test_dot_product_of_constant_fields():
    """Y_{1,0} fields a and b: a.b / (4 pi) everywhere, which is a.b / sqrt(4 pi) of Y_0."""
    product = VectorDotProduct("1o", "1o", "0e", slots1=[0], slots2=[0]).double()
    a, b = torch.tensor([[1.0, 2.0, 3.0], [-1.0, 0.5, 2.0]], dtype=DOUBLE)
    assert product(a, b).item() == pytest.approx(float(a @ b) / sqrt(4 * pi), abs=1e-14)
    cross = VectorSphericalProduct("1o", "1o", slots1=[0], slots2=[0]).double()
    torch.testing.assert_close(cross(a, b), torch.linalg.cross(a, b) / sqrt(4 * pi), rtol=0, atol=1e-14)


def test_unit_times_a_field_is_the_field(rng):
    irreps, slots = vector_signal(2)
    product = ScalarVectorProduct("0e", irreps, irreps, slots2=slots, slots_out=slots).double()
    x = irreps.random(3, rng=rng, dtype=DOUBLE)
    unit = torch.full((3, 1), sqrt(4 * pi), dtype=DOUBLE)
    torch.testing.assert_close(product(unit, x), x, rtol=0, atol=1e-13)


# --- what couples ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("jmax", "count"), [(1, 6), (2, 19), (3, 44)])
def test_everything_interacts_but_three_scalars(jmax, count):
    """Of one polar field each, by degree (parity is not that of the triple there), and of single natural irreps."""
    degrees = range(jmax + 1)
    allowed = {
        (a, b, c) for a, b in itertools.product(degrees, repeat=2) for c in range(abs(a - b), a + b + 1)
    }  # fmt: skip
    assert len(allowed) == count
    for product in (field_product(jmax), VectorSphericalProduct(natural(jmax), natural(jmax))):
        found = {(path.ir1.l, path.ir2.l, path.ir_out.l) for path in product.interactions()}
        assert allowed - found == {(0, 0, 0)}
        assert found < allowed


@pytest.mark.parametrize("product_class", PRODUCTS)
def test_single_irreps_of_any_parity_meet_in_all_ways_up_to_degree_6(product_class):
    """No constant vanishes by accident for the shares of the slots that are built in."""
    for first, second in (natural(6), natural(6)), ("0o + 1e + 2e", "0e + 1e + 2o"):
        product = product_class(first, second)
        found = {(path.ir1, path.ir2, path.ir_out) for path in product.interactions(1e-8)}
        allowed = {(a, b, c) for a in product.irreps_in1.irreps for b in product.irreps_in2.irreps for c in a * b}
        lost = {(a.l, b.l, c.l) for a, b, c in allowed - found}
        assert lost == ({(0, 0, 0)} if product_class is VectorSphericalProduct else set())


def test_the_cross_product_is_antisymmetric_and_the_dot_product_symmetric(rng):
    cross, dot = field_product(2).double(), field_product(2, product_class=VectorDotProduct).double()
    given = inputs_of(cross, rng)
    x, y = given["x"], given["y"]
    torch.testing.assert_close(cross(x, y), -cross(y, x), rtol=0, atol=1e-13)
    assert cross(x, x).abs().max() < 1e-13
    torch.testing.assert_close(dot(x, y), dot(y, x), rtol=0, atol=1e-13)
    assert min(cross(x, y).abs().max(), dot(x, y).abs().max()) > 0.1


# --- laws ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("product_class", PRODUCTS)
def test_the_declared_law_holds_for_fields_and_for_irreps_of_any_parity(product_class, dtype, rng):
    mixed = Irreps("0e + 1o + 1e + 2o + 0o + 3o")
    for product in (field_product(3, product_class=product_class), product_class(mixed, "1o + 2e + 1e")):
        product = product.to(dtype)
        report = equivariance_error(product, inputs_of(product, rng, dtype=dtype), trials=3, rng=rng, dtype=None)
        assert report.worst.relative < (1e-12 if dtype == DOUBLE else 5e-6), report.explain()
        assert product.group_name == "O(3)"


def test_equivariant_up_to_degree_6(rng):
    product = VectorSphericalProduct(natural(6), natural(6), natural(6)).double()
    report = equivariance_error(product, inputs_of(product, rng, 2), trials=2, rng=rng)
    assert report.worst.relative < 1e-12, report.explain()


def test_a_field_taken_for_the_other_kind_fails_under_reflections(rng):
    """The broken twin: an axial result declared as a polar one."""
    product = field_product(1).double()
    out = Irreps([(1, (ir.l, -ir.p)) for ir in product.irreps_out.irreps])
    wrong = Symmetry(
        O(3), {"x": IrrepsTensor(product.irreps_in1), "y": IrrepsTensor(product.irreps_in2)}, IrrepsTensor(out)
    )
    assert equivariance_error(product, inputs_of(product, rng), symmetry=wrong, rng=rng).worst.relative > 0.1


@pytest.mark.parametrize("product_class", PRODUCTS)
def test_component_normalization_gives_unit_variance(product_class):
    product = product_class(natural(2), natural(2), normalization="component")
    variances = product.dense().square().sum((0, 1))
    torch.testing.assert_close(variances, torch.ones_like(variances), rtol=1e-12, atol=0)


def test_float64_after_component_normalization_is_exact(rng):
    """The scaled tables survive a change of precision like all others."""
    product = VectorSphericalProduct("1o", "1o", normalization="component").float().double()
    expected = VectorSphericalProduct("1o", "1o", normalization="component").double()
    given = inputs_of(product, rng)
    assert torch.equal(product(**given), expected(**given))


def test_flops_and_traffic_count_the_dense_steps():
    """One polar field each: 3 axes and 4 * 6 points of degree 1 + 1 + 1 for vectors in slot l = 0, 0 and 0 or 1."""
    product = VectorSphericalProduct("1o", "1o", slots1=[0], slots2=[0])
    assert (product.degree, product.points) == (0, 1)
    assert product.flops() == 2 * 3 * 3 * 3 + 9
    assert product.traffic() == 9 + 2 * 9
    both = VectorSphericalProduct("0e + 1o", "0e + 1o")
    points, dims = both.points, (4, 4, both.irreps_out.dim)
    fields = (2, 1, 2)  # the second input fills its polar slots alone
    tables = sum(2 * dim * 3 * points * count for dim, count in zip(dims, fields, strict=True))
    assert both.flops() == tables + 2 * 9 * points + both.irreps_out.dim


@pytest.mark.parametrize("product_class", PRODUCTS)
def test_derivatives_up_to_second_order(product_class, rng):
    product = product_class("0e + 1o", "1o + 1e").double()
    inputs = [
        torch.randn(2, dim, generator=rng, dtype=DOUBLE, requires_grad=True)
        for dim in (product.irreps_in1.dim, product.irreps_in2.dim)
    ]
    assert torch.autograd.gradcheck(product, inputs)
    assert torch.autograd.gradgradcheck(product, inputs)


def test_compiled_whole_with_gradients_of_first_and_second_order(rng):
    product = VectorSphericalProduct("0e + 1o", "0e + 1o").double()
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


def test_leading_axes_broadcast(rng):
    product = VectorSphericalProduct("0e + 1o", "1o").double()
    x = torch.randn(3, 1, 4, generator=rng, dtype=DOUBLE)
    y = torch.randn(5, 3, generator=rng, dtype=DOUBLE)
    torch.testing.assert_close(product(x, y)[1, 2], product(x[1, 0], y[2]), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("product_class", PRODUCTS)
def test_results_repeat_to_the_bit(product_class, rng):
    given = inputs_of(field_product(2, product_class=product_class), rng, dtype=torch.float32)
    first, second = (field_product(2, product_class=product_class)(**given) for _ in range(2))
    assert torch.equal(first, second)


class TestContract(ModuleContract):
    permutes = batches = False

    def build(self):
        return VectorSphericalProduct("0e + 1o + 1e", "0e + 1o")

    def inputs(self, rng, dtype):
        return inputs_of(self.build(), rng, 5, dtype)

    def empty_inputs(self, dtype):
        return inputs_of(self.build(), torch.Generator(), 0, dtype)


def test_misuse_is_refused():
    with pytest.raises(RepresentationError) as caught:
        VectorSphericalProduct("0e", "0e")
    assert caught.value.code == "E203"
    with pytest.raises(RepresentationError) as slots:
        VectorSphericalProduct("1o", "1o", slots1=[3])
    assert "j - 1, j, j + 1" in str(slots.value)
    with pytest.raises(RepresentationError):
        VectorSphericalProduct("1o", "1o", slots1=[0, 0])
    with pytest.raises(RepresentationError) as out:
        VectorSphericalProduct("1o", "1o", "3e")
    assert "slot" in str(out.value.expected)
    with pytest.raises(RepresentationError):
        VectorSphericalProduct("1o", "1o", normalization="norm")
    with pytest.raises(RepresentationError):
        VectorSphericalProduct("2x1o", "1o")
    with pytest.raises(ShapeError):
        VectorSphericalProduct("1o", "1o")(torch.zeros(2, 3), torch.zeros(2, 4))
