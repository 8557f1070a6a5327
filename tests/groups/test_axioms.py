"""The laws of a group, for every group there is, on elements drawn at random."""

import dataclasses
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from intertwine.errors import GroupError, ShapeError
from intertwine.groups import (
    GL,
    SE,
    SL,
    SO,
    SU,
    Affine,
    CyclicGroup,
    DihedralGroup,
    E,
    Embedded,
    GLPlus,
    Group,
    Lorentz,
    O,
    ProductGroup,
    ProperLorentz,
    SymmetricGroup,
    T,
    U,
    complex_to_real,
)

EPS = torch.finfo(torch.float64).eps
GROUPS = [
    *(kind(n) for kind in (O, SO, E, SE, T) for n in (1, 2, 3, 4)),
    *(kind(n) for kind in (GL, GLPlus, SL, Affine) for n in (2, 3)),
    *(kind(n) for kind in (Lorentz, ProperLorentz) for n in (2, 3, 4)),
    *(kind(n) for kind in (U, SU) for n in (1, 2, 3)),
    SymmetricGroup(1),
    SymmetricGroup(5),
    CyclicGroup(1),
    CyclicGroup(7),
    DihedralGroup(1),
    DihedralGroup(6),
    Embedded(E(2), 3),
    Embedded(SO(2), 3),
    Embedded(T(2), 3),
    Embedded(SE(3), 3),
    O(3) * SymmetricGroup(4),
    SE(2) * SymmetricGroup(3) * CyclicGroup(5),
]
over_groups = pytest.mark.parametrize("group", GROUPS, ids=str)
seeds = st.integers(0, 2**31)


def draw(group: Group, seed: int, *batch: int):
    return group.sample(*batch, rng=torch.Generator().manual_seed(seed), dtype=torch.float64)


def parts(g) -> list[torch.Tensor]:
    return [leaf for part in g for leaf in parts(part)] if isinstance(g, tuple) else [g]


def distance(g, h) -> float:
    """Largest difference of two elements, relative to the size of the first."""
    pairs = list(zip(parts(g), parts(h), strict=True))
    assert all(a.shape == b.shape and a.dtype == b.dtype for a, b in pairs)
    return max(((a - b).abs().max() / a.abs().max().clamp(min=1)).item() for a, b in pairs)


@over_groups
@settings(max_examples=3, deadline=None, derandomize=True)
@given(seed=seeds)
def test_axioms(group, seed):
    a, b, c = (draw(group, seed + i, 16) for i in range(3))
    e = group.identity(16, dtype=torch.float64)
    # the conditioning of a stretch enters its inverse: bounds for linear groups are those of its square
    bound = (200 if group.orthogonal else 5000) * EPS
    assert distance(group.compose(group.compose(a, b), c), group.compose(a, group.compose(b, c))) <= bound
    assert distance(group.compose(a, e), a) == distance(group.compose(e, a), a) == 0
    assert distance(group.compose(a, group.inverse(a)), e) <= bound
    assert distance(group.compose(group.inverse(a), a), e) <= bound
    assert distance(group.inverse(group.compose(a, b)), group.compose(group.inverse(b), group.inverse(a))) <= bound
    for g in (a, e, group.compose(a, b), group.inverse(a)):
        inside = group.contains(g)
        assert inside.shape == (16,)
        assert inside.all()


def natural_data(group, rng):
    if isinstance(group, ProductGroup):
        return tuple(natural_data(factor, rng) for factor in group.factors)
    n = 2 if isinstance(group, CyclicGroup | DihedralGroup) else group.n
    n = 2 * n if isinstance(group, U | SU) else n
    return torch.randn(6, 1, n, generator=rng, dtype=torch.float64)


@over_groups
def test_apply_is_an_action_and_broadcasts(group, rng):
    g, h = (group.sample(3, rng=rng, dtype=torch.float64) for _ in range(2))
    x = natural_data(group, rng)
    together = group.apply(group.compose(g, h), x)
    in_turn = group.apply(g, group.apply(h, x))
    assert distance(together, in_turn) < (100 if group.orthogonal else 1000) * EPS
    assert all(part.shape[:2] == (6, 3) for part in parts(together))
    assert distance(group.apply(group.identity(dtype=torch.float64), x), x) == 0


@over_groups
def test_composition_broadcasts_over_batches(group, rng):
    g = group.sample(5, 1, rng=rng, dtype=torch.float64)
    h = group.sample(3, rng=rng, dtype=torch.float64)
    product = group.compose(g, h)
    assert group.contains(product).shape == (5, 3)
    single = group.compose(pick(g, (2, 0)), pick(h, (1,)))
    assert distance(pick(product, (2, 1)), single) <= 8 * EPS


def pick(g, index):
    return tuple(pick(part, index) for part in g) if isinstance(g, tuple) else g[index]


@over_groups
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_samples_depend_on_the_generator_alone(group, dtype):
    one, two = (group.sample(2, rng=torch.Generator().manual_seed(3), dtype=dtype) for _ in range(2))
    wide = group.sample(2, rng=torch.Generator().manual_seed(3), dtype=torch.float64)
    for a, b, c in zip(parts(one), parts(two), parts(wide), strict=True):
        assert a.equal(b)
        assert a.equal(c.to(a.dtype))
        assert a.dtype in (dtype, torch.int64)
    assert group.contains(one).all()
    assert all(part.shape[0] == 0 for part in parts(group.sample(0)))


@pytest.mark.parametrize("group", [g for g in GROUPS if not isinstance(g, ProductGroup)], ids=str)
def test_capabilities_are_those_of_apply(group, rng):
    """linear, then translation, or permutation, is all that apply does; products are in test_product.py."""
    g, x = group.sample(rng=rng, dtype=torch.float64), natural_data(group, rng)
    expected = x
    if (matrix := group.linear(g)) is not None:
        expected = torch.einsum("ij,...j->...i", matrix, expected)
    if (translation := group.translation(g)) is not None:
        expected = expected + translation
    if (permutation := group.permutation(g)) is not None:
        expected = torch.empty_like(x)
        for i, place in enumerate(permutation.tolist()):
            expected[..., place] = x[..., i]
    torch.testing.assert_close(group.apply(g, x), expected, rtol=8 * EPS, atol=8 * EPS)


@over_groups
def test_groups_are_values(group):
    twin = pickle.loads(pickle.dumps(group))
    assert twin == group
    assert hash(twin) == hash(group)
    with pytest.raises(dataclasses.FrozenInstanceError):
        group.n = 9


def test_different_groups_differ():
    assert len(set(GROUPS)) == len(GROUPS)
    assert E(3, translation_scale=5.0) == E(3)


@pytest.mark.parametrize(
    ("group", "outsider"),
    [
        (O(3), 1.001 * torch.eye(3)),
        (SO(3), -torch.eye(3)),
        (SE(2), torch.tensor([[1.0, 0, 0], [0, -1, 0], [0, 0, 1]])),
        (E(2), torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 1, 1]])),
        (E(2), torch.tensor([[1.0, 0, torch.nan], [0, 1, 0], [0, 0, 1]])),
        (O(2), torch.full((2, 2), torch.nan)),
        (GLPlus(2), torch.diag(torch.tensor([1.0, -1.0]))),
        (GL(2), torch.diag(torch.tensor([1.0, 0.0]))),
        (SL(2), torch.diag(torch.tensor([2.0, 0.501]))),
        (Lorentz(2), torch.tensor([[0.0, 1], [1, 0]])),
        (Lorentz(2), 1.001 * torch.eye(2)),
        (ProperLorentz(2), torch.diag(torch.tensor([1.0, -1.0]))),
        (U(1), torch.diag(torch.tensor([1.0, -1.0]))),
        (U(1), 1.001 * torch.eye(2)),
        (SU(1), -torch.eye(2)),
        (SU(2), complex_to_real(torch.diag(torch.tensor([1j, 1j])))),
        (Affine(1), torch.tensor([[0.0, 1], [0, 1]])),
        (SymmetricGroup(3), torch.tensor([0, 1, 1])),
        (CyclicGroup(3), torch.tensor(3)),
        (DihedralGroup(3), torch.tensor([1, 2])),
        (SO(2) * CyclicGroup(3), (torch.eye(2), torch.tensor(-1))),
    ],
    ids=str,
)
def test_contains_tells_outsiders(group, outsider):
    assert not group.contains(outsider)


def test_tolerance_is_honoured():
    almost = torch.eye(3, dtype=torch.float64) * (1 + 1e-6)
    assert not SO(3).contains(almost)
    assert SO(3).contains(almost, tolerance=3e-6)
    assert not SO(3).contains(almost, tolerance=1e-6)


@pytest.mark.parametrize(
    ("group", "got"),
    [(O(3), (2, 2)), (SE(3), (3, 3)), (Affine(2), (2, 2)), (GLPlus(2), (2,)), (Lorentz(4), (3, 3)), (U(2), (2, 2))],
)
def test_wrong_shapes_are_refused(group, got):
    for call in (group.inverse, group.contains, group.linear, lambda g: group.compose(g, g)):
        with pytest.raises(ShapeError) as caught:
            call(torch.zeros(got))
        assert caught.value.got == got


@pytest.mark.parametrize("group", [SymmetricGroup(2), CyclicGroup(2), DihedralGroup(2)], ids=str)
def test_floats_are_not_permutations_or_turns(group):
    with pytest.raises(ShapeError) as caught:
        group.inverse(torch.zeros(2))
    assert "float32" in caught.value.got


@pytest.mark.parametrize("kind", [O, SO, E, SE, GL, GLPlus, SL, Affine, Lorentz, U, SU, CyclicGroup, DihedralGroup])
@pytest.mark.parametrize("size", [0, -1, 2.0, True])
def test_impossible_sizes_are_refused(kind, size):
    with pytest.raises(GroupError) as caught:
        kind(size)
    assert caught.value.got == repr(size)


@pytest.mark.parametrize(("inner", "n"), [(E(2), 1), (SO(2), 2.5), (SymmetricGroup(3), 3), (GL(2), 3)])
def test_groups_that_do_not_move_first_coordinates_are_refused(inner, n):
    with pytest.raises(GroupError) as caught:
        Embedded(inner, n)
    assert caught.value.got == {"group": str(inner), "n": n}


def test_embedded_groups_leave_the_other_coordinates(rng):
    group = Embedded(E(2), 3)
    x = torch.randn(7, 3, generator=rng, dtype=torch.float64)
    g = group.sample(7, rng=rng, dtype=torch.float64)
    moved = group.apply(g, x)
    assert moved[:, 2].equal(x[:, 2])
    rotation, shift = g[:, :2, :2], g[:, :2, 3]
    torch.testing.assert_close(moved[:, :2], (rotation @ x[:, :2, None])[..., 0] + shift)
    spoilt = g.clone()
    spoilt[:, 2, 2] = -1
    assert not group.contains(spoilt).any()


@pytest.mark.parametrize("kind", [E, SE])
def test_translation_scale(kind, rng):
    drawn = kind(3, translation_scale=7.0).sample(4000, rng=rng, dtype=torch.float64)
    assert abs(kind(3).translation(drawn).std().item() / 7 - 1) < 0.03
    with pytest.raises(GroupError):
        kind(3, translation_scale=0.0)
