"""Finite groups against the matrices they stand for."""

import math

import pytest
import torch

from intertwine.errors import GroupError
from intertwine.groups import CyclicGroup, DihedralGroup, SymmetricGroup

FINITE = [
    *(CyclicGroup(n) for n in (1, 2, 4, 5)),
    *(DihedralGroup(n) for n in (1, 2, 3, 4, 6)),
    *(SymmetricGroup(n) for n in (0, 1, 3, 4)),
]
over_finite = pytest.mark.parametrize("group", FINITE, ids=str)


def matrices(group, g):
    """Return the faithful matrices of elements: planar ones, or those that permute the unit vectors."""
    if isinstance(group, SymmetricGroup):
        return torch.nn.functional.one_hot(g, group.n).mT.double() if group.n else torch.zeros(*g.shape[:-1], 0, 0)
    return group.linear(g)


@over_finite
def test_every_element_is_listed_once_and_the_identity_first(group):
    listed = group.elements()
    assert len(listed) == group.order
    assert group.contains(listed).all()
    assert listed[0].equal(group.identity())
    assert group.index(listed).equal(torch.arange(group.order))
    if group not in (SymmetricGroup(0), CyclicGroup(1)):
        assert len(torch.unique(listed, dim=0)) == group.order


@over_finite
def test_multiplication_table_is_that_of_the_matrices(group):
    table = group.multiplication_table()
    everything = torch.arange(group.order)
    for line in (*table, *table.mT):
        assert line.sort().values.equal(everything)
    faithful = matrices(group, group.elements())
    products = faithful.unsqueeze(1) @ faithful.unsqueeze(0)
    torch.testing.assert_close(faithful[table], products, rtol=0, atol=1e-15)


@over_finite
def test_elements_differ_as_matrices(group):
    faithful = matrices(group, group.elements()).flatten(1)
    distance = torch.cdist(faithful, faithful) + torch.eye(group.order)
    assert distance.numel() == 0 or distance.min() > 0.5


def test_a_table_with_the_flip_on_the_wrong_side_is_caught():
    """The twin forgets that a flip turns turns around: closed and associative, but not these matrices."""
    group = DihedralGroup(5)
    listed = group.elements()
    wrong = (listed.unsqueeze(1) + listed.unsqueeze(0)) % torch.tensor([5, 2])
    faithful = group.linear(listed)
    assert (faithful[group.index(wrong)] - faithful.unsqueeze(1) @ faithful.unsqueeze(0)).abs().max() > 0.1


def test_convention_turns_are_counter_clockwise_and_the_flip_negates_y_first():
    x_axis, y_axis = torch.eye(2, dtype=torch.float64)
    assert CyclicGroup(4).apply(torch.tensor(1), x_axis).equal(y_axis)
    assert DihedralGroup(4).apply(torch.tensor([0, 1]), y_axis).equal(-y_axis)
    assert DihedralGroup(4).apply(torch.tensor([1, 1]), y_axis).equal(x_axis)


@pytest.mark.parametrize("n", [1, 2, 4, 8, 12])
def test_quarter_turns_are_exact(n):
    turned = CyclicGroup(n).linear(CyclicGroup(n).elements())
    for k in range(n):
        if 4 * k % n == 0:
            assert set(turned[k].flatten().tolist()) <= {-1.0, 0.0, 1.0}
        angle = 2 * math.pi * k / n
        expected = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
        torch.testing.assert_close(turned[k], torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-15)


def test_convention_permutations_give_new_places():
    p = torch.tensor([2, 0, 1])
    x = torch.tensor([10, 20, 30])
    moved = SymmetricGroup(3).apply(p, x)
    assert all(moved[p[i]] == x[i] for i in range(3))


def test_open_groups_are_bound_to_the_data():
    group = SymmetricGroup(None)
    assert not group.bound
    assert group.order is None
    assert group.bind(4) == SymmetricGroup(4)
    assert SymmetricGroup(4).bind(4) == SymmetricGroup(4)
    assert CyclicGroup(4).bind(7) == CyclicGroup(4)
    for call in (group.identity, group.sample, group.elements):
        with pytest.raises(GroupError) as caught:
            call()
        assert "bind" in caught.value.fix
    with pytest.raises(GroupError) as caught:
        SymmetricGroup(4).bind(5)
    assert caught.value.got == {"items": 5}
    p = torch.tensor([1, 2, 0])
    assert group.compose(p, group.inverse(p)).tolist() == [0, 1, 2]


def test_large_groups_are_not_listed():
    with pytest.raises(GroupError) as caught:
        SymmetricGroup(9).elements()
    assert caught.value.got == {"order": math.factorial(9)}


def test_outsiders_have_no_index():
    with pytest.raises(GroupError):
        SymmetricGroup(3).index(torch.tensor([0, 0, 1]))
