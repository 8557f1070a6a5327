"""Symmetry as a value: binding, validation, text."""

import dataclasses

import pytest
import torch

from intertwine.errors import SymmetryError
from intertwine.groups import SO, E, O, SymmetricGroup
from intertwine.representations import Invariant, Permuted, Point, Vector
from intertwine.symmetry import Symmetry, equivariance_error

CLOUD = Symmetry(
    E(3) * SymmetricGroup(None),
    inputs={"positions": Permuted((0,), Point()), "species": Permuted()},
    output={"energy": Invariant(), "forces": Permuted((0,), Vector())},
)


def test_it_is_frozen_and_says_what_it_claims():
    with pytest.raises(dataclasses.FrozenInstanceError):
        CLOUD.group = O(3)
    assert "E(3) x S_n" in repr(CLOUD)
    assert "positions: permuted(point), species: permuted(invariant)" in repr(CLOUD)
    assert "energy: invariant, forces: permuted(vector)" in repr(CLOUD)


def test_bind_reads_the_number_of_items_from_permuted_inputs():
    bound = CLOUD.bind({"positions": torch.zeros(5, 3), "species": torch.zeros(5)})
    assert str(bound.group) == "E(3) x S_5"
    assert not CLOUD.group.bound
    assert bound.bind({"positions": torch.zeros(7, 3)}) is bound


def test_bind_refuses_inputs_that_disagree():
    with pytest.raises(SymmetryError) as caught:
        CLOUD.bind({"positions": torch.zeros(5, 3), "species": torch.zeros(4)})
    assert caught.value.got == {"positions axis 0": 5, "species axis 0": 4}


def test_bind_needs_a_permuted_input():
    law = Symmetry(SymmetricGroup(None), inputs={"x": Invariant()}, output=Invariant())
    with pytest.raises(SymmetryError) as caught:
        law.bind({"x": torch.zeros(3)})
    assert "SymmetricGroup(5)" in caught.value.fix


@pytest.mark.parametrize(
    ("group", "inputs", "output"),
    [
        ("SO(3)", {}, Vector()),
        (SO(3), {"x": Vector}, Vector()),
        (SO(3), {"x": Vector()}, {}),
        (SO(3), {}, Vector),
    ],
)
def test_what_is_not_a_group_or_a_representation_is_refused(group, inputs, output):
    with pytest.raises(SymmetryError):
        Symmetry(group, inputs=inputs, output=output)


def test_outputs_may_be_a_tuple():
    law = Symmetry(SO(3), inputs={"v": Vector()}, output=(Invariant(), Vector()))
    report = equivariance_error(lambda v: (v.norm(dim=-1), 2 * v), torch.randn(4, 3), symmetry=law)
    assert {entry.output for entry in report.entries} == {"0", "1"}
    assert report.passed()


def test_an_input_that_forward_lacks_is_named_with_the_nearest():
    law = Symmetry(SO(3), inputs={"position": Vector()}, output=Vector())
    with pytest.raises(SymmetryError) as caught:
        equivariance_error(lambda positions: positions, torch.randn(4, 3), symmetry=law)
    assert caught.value.got == "position"
    assert caught.value.fix == "did you mean 'positions'?"


def test_an_output_that_is_not_returned_is_named_with_the_nearest():
    law = Symmetry(SO(3), inputs={"x": Vector()}, output={"force": Vector()})
    with pytest.raises(SymmetryError) as caught:
        equivariance_error(lambda x: {"forces": x}, torch.randn(4, 3), symmetry=law)
    assert caught.value.fix == "did you mean 'forces'?"


def test_one_law_for_two_outputs_is_refused():
    law = Symmetry(SO(3), inputs={"x": Vector()}, output=Vector())
    with pytest.raises(SymmetryError) as caught:
        equivariance_error(lambda x: (x, x), torch.randn(4, 3), symmetry=law)
    assert caught.value.got == "0, 1"


def test_unknown_or_missing_inputs_are_refused():
    law = Symmetry(SO(3), inputs={"x": Vector()}, output=Vector())
    with pytest.raises(SymmetryError):
        equivariance_error(lambda x: x, {"y": torch.randn(4, 3)}, symmetry=law)
    with pytest.raises(SymmetryError):
        equivariance_error(lambda x: x, (torch.randn(4, 3), torch.randn(4, 3)), symmetry=law)
    with pytest.raises(SymmetryError) as caught:
        equivariance_error(lambda x=None, z=None: z, {"z": torch.randn(4, 3)}, symmetry=law)
    assert caught.value.expected == "x"


def test_a_module_without_a_symmetry_is_refused():
    with pytest.raises(SymmetryError) as caught:
        equivariance_error(torch.nn.Linear(3, 3), torch.randn(4, 3))
    assert "symmetry=Symmetry(" in caught.value.fix
