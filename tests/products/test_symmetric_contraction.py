"""Symmetric couplings and contractions: counts, variance, closed forms, a slow oracle, and the contract."""

import itertools

import numpy as np
import pytest
import torch

from intertwine.errors import RepresentationError, ShapeError
from intertwine.products import (
    SymmetricContraction,
    count_coupling_trees,
    symmetric_basis,
)
from intertwine.representations import Irrep, Irreps, convert_layout, wigner_3j
from intertwine.testing import ModuleContract

DOUBLE = torch.float64


@pytest.mark.parametrize(("degree", "counts"), [(1, (1, 1, 1)), (2, (4, 6, 7)), (3, (23, 40, 48))])
def test_numbers_of_coupling_trees(degree, counts):
    """MACE's numbers of weights for l <= 3, and from them the weights of its product block on 3BPA."""
    irreps = Irreps.spherical_harmonics(3)
    found = tuple(count_coupling_trees(irreps, Irrep(l_out, (-1) ** l_out), degree) for l_out in range(3))
    assert found == counts


def test_parameter_count_of_the_published_product_block():
    irreps = Irreps.spherical_harmonics(3)
    total = sum(
        count_coupling_trees(irreps, Irrep(l_out, (-1) ** l_out), degree) for l_out in range(3) for degree in (1, 2, 3)
    )
    assert total * 256 * 4 == 134_144


@pytest.mark.parametrize("degree", [1, 2, 3])
@pytest.mark.parametrize("out", ["0e", "1o", "2e", "1e"])
def test_number_of_independent_couplings_is_the_character_count(out, degree):
    """The multiplicity of an irrep in the symmetric power, by averaging characters over rotations."""
    irreps, ir = Irreps.spherical_harmonics(2), Irrep.parse(out)
    angles = (np.arange(4000) + 0.5) * np.pi / 4000
    weight = 2 / np.pi * np.sin(angles / 2) ** 2 * (np.pi / 4000)

    def character(one, angle):
        return sum(np.cos(m * angle) * (2 if m else 1) for m in range(one.l + 1))

    multiplicity = 0.0
    for inversion in (1, -1):

        def power_sum(n, inversion=inversion):
            return sum(
                (one.p if inversion == -1 and n % 2 else 1) * character(one, n * angles) for one in irreps.irreps
            )

        p1, p2, p3 = power_sum(1), power_sum(2), power_sum(3)
        symmetric = {1: p1, 2: (p1**2 + p2) / 2, 3: (p1**3 + 3 * p1 * p2 + 2 * p3) / 6}[degree]
        target = character(ir, angles) * (ir.p if inversion == -1 else 1)
        multiplicity += 0.5 * float((weight * symmetric * target).sum())
    assert multiplicity == pytest.approx(round(multiplicity), abs=1e-6)
    assert len(symmetric_basis(irreps, ir, degree)) == round(multiplicity)


def test_degree_2_scalars_are_squared_norms_of_unit_variance():
    basis = symmetric_basis(Irreps("0e + 1o"), Irrep(0, 1), 2)
    pairs = list(itertools.combinations_with_replacement(range(4), 2))
    assert basis.shape == (2, 1, 10)
    squares = [pairs.index((i, i)) for i in range(4)]
    # E[x^4] = 3; E[|v|^4] = 15
    assert basis[0, 0, squares] == pytest.approx([3**-0.5, 0, 0, 0])
    assert basis[1, 0, squares] == pytest.approx([0, *[15**-0.5] * 3])


def test_the_cross_product_of_a_vector_with_itself_is_no_coupling():
    assert len(symmetric_basis(Irreps("1o"), Irrep(1, 1), 2)) == 0


def test_variance_of_every_coupling_is_one(rng):
    irreps = Irreps("0e + 1o + 2e")
    x = irreps.random(200_000, rng=rng, dtype=DOUBLE)
    for degree, out in ((2, "2e"), (3, "1o")):
        basis = torch.from_numpy(symmetric_basis(irreps, Irrep.parse(out), degree))
        monomials = torch.stack(
            [x[:, list(m)].prod(-1) for m in itertools.combinations_with_replacement(range(9), degree)],
            dim=-1,
        )
        second = (monomials @ basis.flatten(0, 1).T).square().mean(0)
        np.testing.assert_allclose(second.reshape(basis.shape[:2]).mean(1), 1, atol=0.05)


def _slow(module, x, types):
    """The same polynomials from dense coupling tensors, atom by atom and channel by channel."""
    single = Irreps([(1, ir) for ir in module.irreps_in.irreps])
    parts = []
    components = torch.cat(
        [
            part.unflatten(-1, (mul, ir.dim))
            for part, (mul, ir) in zip(x.split([e.dim for e in module.irreps_in], -1), module.irreps_in, strict=True)
        ],
        dim=-1,
    )  # (atoms, channels, dim)
    starts = [0] * (module.correlation + 1)
    for ir in module.irreps_out.irreps:
        total = 0
        for degree in range(1, module.correlation + 1):
            basis = torch.from_numpy(symmetric_basis(single, ir, degree))
            weight = getattr(module, f"weight_{degree}")[types][:, starts[degree] : starts[degree] + len(basis)]
            starts[degree] += len(basis)
            monomials = torch.stack(
                [
                    components[..., list(m)].prod(-1)
                    for m in itertools.combinations_with_replacement(range(single.dim), degree)
                ],
                dim=-1,
            )
            total = total + torch.einsum("pkm,ncm,npc->nck", basis, monomials, weight)
        parts.append(total.flatten(1))
    return torch.cat(parts, dim=-1)


@pytest.mark.parametrize("layout", ["mul_ir", "ir_mul"])
@pytest.mark.parametrize("correlation", [1, 2, 3])
def test_equal_to_dense_polynomials(correlation, layout, rng):
    irreps_in, irreps_out = Irreps("3x0e + 3x1o + 3x2e"), Irreps("3x0e + 3x1o")
    module = SymmetricContraction(irreps_in, irreps_out, correlation, 2, layout, rng).double()
    x = irreps_in.random(5, rng=rng, dtype=DOUBLE)
    types = torch.tensor([0, 1, 1, 0, 1])
    got = module(convert_layout(x, irreps_in, "mul_ir", layout), types)
    expected = _slow(module, x, types)
    torch.testing.assert_close(convert_layout(got, irreps_out, layout, "mul_ir"), expected, rtol=1e-12, atol=1e-12)


class TestContract(ModuleContract):
    permutes = batches = False

    def build(self):
        rng = torch.Generator().manual_seed(0)
        return SymmetricContraction("2x0e + 2x1o + 2x2e", "2x0e + 2x1o + 2x2e", 3, 3, "ir_mul", rng)

    def inputs(self, rng, dtype):
        return {"x": torch.randn(4, 18, generator=rng, dtype=dtype), "types": torch.tensor([0, 2, 1, 1])}

    def empty_inputs(self, dtype):
        return {"x": torch.zeros(0, 18, dtype=dtype), "types": torch.zeros(0, dtype=torch.int64)}


def test_a_twin_with_one_wrong_coefficient_is_caught(rng):
    from intertwine.symmetry import equivariance_error

    module = TestContract().build()
    table = module._exact_tables["couplings"]
    table[tuple(table.nonzero()[-1])] *= 1.001
    report = equivariance_error(module.double(), TestContract().inputs(rng, DOUBLE), rng=rng)
    assert report.worst.relative > 1e-6


def test_pair_couplings_are_clebsch_gordan_products(rng):
    irreps = Irreps("1o + 2e")
    basis = torch.from_numpy(symmetric_basis(irreps, Irrep(1, -1), 2))
    assert len(basis) == 1
    x = irreps.random(6, rng=rng, dtype=DOUBLE)
    pairs = torch.stack([x[:, a] * x[:, b] for a, b in itertools.combinations_with_replacement(range(8), 2)], -1)
    ours = pairs @ basis[0].T
    coupled = torch.einsum("ni,nj,ijk->nk", x[:, :3], x[:, 3:], wigner_3j(1, 2, 1, dtype=DOUBLE))
    torch.testing.assert_close(ours / ours.norm(), coupled / coupled.norm(), rtol=0, atol=1e-13)


def test_misuse_is_refused():
    with pytest.raises(RepresentationError):
        SymmetricContraction("2x0e + 3x1o", "2x0e", 2, 1)
    with pytest.raises(RepresentationError) as caught:
        SymmetricContraction("2x0e + 2x2e", "2x1o", 3, 1)
    assert caught.value.code == "E203"
    with pytest.raises(ShapeError) as shape:
        SymmetricContraction("2x0e", "2x0e", 2, 1)(torch.zeros(3, 2), torch.zeros(2, dtype=torch.int64))
    assert shape.value.got["types"] == (2,)
