"""Direct products: capabilities, exponentials, and what cannot be told."""

import pytest
import torch

from intertwine.errors import GroupError, ShapeError
from intertwine.groups import SE, SO, CyclicGroup, E, GLPlus, O, ProductGroup, SymmetricGroup


def test_each_capability_comes_from_the_factor_that_has_it(rng):
    group = SE(3) * SymmetricGroup(4)
    rotation, permutation = g = group.sample(rng=rng, dtype=torch.float64)
    assert group.linear(g).equal(SE(3).linear(rotation))
    assert group.translation(g).equal(SE(3).translation(rotation))
    assert group.permutation(g).equal(permutation)
    plain = O(3) * SymmetricGroup(4)
    assert plain.translation(plain.identity()) is None


def test_two_factors_with_one_capability_are_ambiguous():
    group = O(3) * CyclicGroup(4)
    with pytest.raises(GroupError) as caught:
        group.linear(group.identity())
    assert caught.value.got == "O(3), C_4"


def test_products_are_flat_and_ordered():
    three = ProductGroup(O(3), SymmetricGroup(2) * CyclicGroup(3))
    assert three == O(3) * SymmetricGroup(2) * CyclicGroup(3)
    assert three != SymmetricGroup(2) * O(3) * CyclicGroup(3)
    assert str(three) == "O(3) x S_2 x C_3"
    assert three.order is None
    assert (SymmetricGroup(3) * CyclicGroup(5)).order == 30
    assert (SE(3) * SO(2)).dim == 7
    assert not (O(3) * GLPlus(2)).orthogonal


def test_binding_reaches_the_open_factor():
    group = O(3) * SymmetricGroup(None)
    assert not group.bound
    assert group.bind(7) == O(3) * SymmetricGroup(7)
    assert group.bind(7).bound


def test_exp_and_log_factor_by_factor(rng):
    group = SE(3) * SymmetricGroup(3) * SO(2)
    coordinates = torch.randn(5, 7, generator=rng, dtype=torch.float64)
    motion, permutation, turn = group.exp(coordinates)
    assert motion.equal(SE(3).exp(coordinates[:, :6]))
    assert permutation.equal(SymmetricGroup(3).identity(5))
    torch.testing.assert_close(group.exp(group.log((motion, permutation, turn))), (motion, permutation, turn))
    with pytest.raises(ShapeError):
        group.exp(coordinates[:, 1:])
    assert (CyclicGroup(2) * CyclicGroup(3)).log((torch.zeros(4, dtype=torch.int64),) * 2).shape == (4, 0)


def test_malformed_products_and_elements_are_refused():
    for factors in ((), (O(3),), (O(3), "S_5")):
        with pytest.raises(GroupError):
            ProductGroup(*factors)
    with pytest.raises(TypeError):
        O(3) * 2
    group = E(2) * SymmetricGroup(2)
    for element in (torch.eye(3), (torch.eye(3),)):
        with pytest.raises(GroupError) as caught:
            group.inverse(element)
        assert "length 2" in caught.value.expected
