"""Symmetric polynomials in Triton, interpreted; `test_gpu_symmetric.py` starts this in its own process."""

import pytest
import torch
from problems import draw, orders
from triton_checks import check_parts, close, interpreted, twin

from intertwine.errors import ShapeError
from intertwine.kernels.family import Implementation
from intertwine.kernels.gpu import implementation

TYPES = [torch.float32, torch.float64, torch.bfloat16]
# odd numbers below, between and above the lanes of a program; both kinds of number for one of them
SIZES = [(1, TYPES[1]), (3, TYPES[0]), (13, TYPES[1]), (33, TYPES[0]), (33, TYPES[1]), (123, TYPES[1])]
# monomials a, b, c, aa, bc, aab; terms sorted by output, output 1 of 3 without any, monomial c unused but as a head
HEADS, LASTS = [-1, -1, -1, 0, 1, 3], [0, 1, 2, 0, 2, 1]
MONOMIALS, OUTS = [0, 3, 4, 5, 0, 1, 5, 5], [0, 0, 0, 0, 2, 2, 2, 2]


def problem(rng, dtype, channels, *, atoms=5, kinds=3, species=None):
    """A polynomial of degree three; one species of three has no atom."""
    species = torch.randint(2, (atoms,), generator=rng) * 2 if species is None else species
    inputs = [draw(rng, atoms, 3, channels, dtype=dtype), draw(rng, kinds, len(OUTS), channels, dtype=dtype)]
    tables = [torch.tensor(table) for table in (HEADS, LASTS, MONOMIALS, OUTS)]
    return inputs, [species, *tables, [3, 2, 1], 3]


def compare(inputs, static, dtype, rng):
    family, seed = interpreted("symmetric_polynomials"), rng.initial_seed()
    ours, wanted = (
        orders(function, inputs, static, torch.Generator().manual_seed(seed)) for function in (family, family.reference)
    )
    for order, (a, b) in enumerate(zip(ours, wanted, strict=True)):
        for got, expected in zip(a, b, strict=True):
            close(got, expected, dtype, order)


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_the_check_at_first_use_passes(dtype):
    assert interpreted("symmetric_polynomials").state("cpu", dtype) == "ready"


@pytest.mark.parametrize(("channels", "dtype"), SIZES)
def test_equal_to_the_reference_up_to_second_order(channels, dtype, rng):
    inputs, static = problem(rng, dtype, channels)
    compare(inputs, static, dtype, rng)


@pytest.mark.parametrize("atoms", [0, 1])
def test_few_atoms(atoms, rng):
    inputs, static = problem(rng, torch.float64, 3, atoms=atoms)
    compare(inputs, static, torch.float64, rng)


def test_many_atoms_of_one_species_are_summed_in_parts(rng):
    species = torch.cat([torch.zeros(140), torch.full((3,), 2), torch.zeros(140)]).long()
    inputs, static = problem(rng, torch.float64, 2, atoms=283, species=species)
    g = draw(rng, 283, 3, 2)
    expected = torch.autograd.grad(
        interpreted("symmetric_polynomials").reference(inputs[0], inputs[1].requires_grad_(), *static), inputs[1], g
    )[0]
    inputs[1].requires_grad_(False)
    _, got = implementation("symmetric").gradient(inputs, g, static, [False, True])
    close(got, expected, torch.float64, 1)


def test_terms_need_no_order(rng):
    inputs, static = problem(rng, torch.float64, 2)
    mixed = torch.tensor([3, 7, 0, 5, 2, 6, 1, 4])
    shuffled = [*static[:3], static[3][mixed], static[4][mixed], *static[5:]]
    compare(inputs, shuffled, torch.float64, rng)


def test_derivatives_and_tangents_one_by_one(rng):
    inputs, static = problem(rng, torch.float64, 2, atoms=3)
    check_parts("symmetric_polynomials", inputs, static, rng)


def test_strided_inputs(rng):
    inputs, static = problem(rng, torch.float64, 3)
    strided = [a.mT.contiguous().mT for a in inputs]
    species = torch.stack([static[0], static[0]], dim=1)[:, 0]
    assert not any(a.is_contiguous() for a in (*strided, species))
    compare(strided, [species, *static[1:]], torch.float64, rng)


def test_gradients_against_finite_differences(rng):
    inputs, static = problem(rng, torch.float64, 1, atoms=2)
    leaves = [a.requires_grad_() for a in inputs]

    def call(*args):
        return interpreted("symmetric_polynomials")(*args, *static)

    assert torch.autograd.gradcheck(call, leaves, fast_mode=True)
    assert torch.autograd.gradgradcheck(call, leaves, fast_mode=True)


@pytest.mark.parametrize("wrong", [-1, 3])
def test_an_unknown_species_is_refused(wrong, rng):
    inputs, static = problem(rng, torch.float64, 2)
    static[0][1] = wrong
    with pytest.raises(ShapeError) as caught:
        interpreted("symmetric_polynomials")(*inputs, *static)
    assert wrong in caught.value.got.values()


def test_a_kernel_that_forgets_a_factor_is_found_at_first_use():
    good = implementation("symmetric")

    def broken(inputs, g, static, wanted):
        dx, dv = good.gradient(inputs, g, static, wanted)
        return [dx, None if dv is None else dv * 0.999]

    family = twin("symmetric_polynomials", Implementation(good.value, broken, good.tangent), label="broken")
    with pytest.warns(UserWarning, match="differs from the reference"):
        assert not family.ready("cpu", torch.float64)
