"""Words for elements, against rotations whose angle and axis are known from scipy."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from intertwine.groups import SO, CyclicGroup, E, GLPlus, O, SymmetricGroup, homogeneous
from intertwine.symmetry import describe_element


@settings(max_examples=30, deadline=None)
@given(angle=st.floats(1.0, 179.0), seed=st.integers(0, 99))
def test_angle_and_axis_are_those_of_scipy(angle, seed):
    axis = torch.nn.functional.normalize(
        torch.randn(3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)), dim=0
    )
    matrix = torch.from_numpy(Rotation.from_rotvec(math.radians(angle) * axis.numpy()).as_matrix())
    components = ", ".join(f"{round(value, 2) + 0.0:.2f}" for value in axis.tolist())
    assert describe_element(SO(3), matrix) == f"rotation by {angle:.3g}° about ({components})"


def test_half_turn_has_an_axis():
    assert describe_element(SO(3), torch.diag(torch.tensor([1.0, -1.0, -1.0]))).startswith("rotation by 180° about")


def test_improper_elements_of_space():
    assert describe_element(O(3), -torch.eye(3)) == "inversion"
    mirror = describe_element(O(3), torch.diag(torch.tensor([1.0, 1.0, -1.0])))
    assert mirror.startswith("reflection across the plane normal to (")
    turn = torch.from_numpy(Rotation.from_euler("z", 50, degrees=True).as_matrix()).float()
    words = describe_element(O(3), turn @ torch.diag(torch.tensor([1.0, 1.0, -1.0])))
    assert words == "rotation by 50° about (0.00, 0.00, 1.00), reflected across the plane normal to it"


def test_plane_and_higher_dimensions():
    quarter = torch.tensor([[0.0, -1.0], [1.0, 0.0]])
    assert describe_element(SO(2), quarter) == "rotation by 90°"
    assert describe_element(CyclicGroup(4), torch.tensor(1)) == "rotation by 90°"
    assert describe_element(O(2), torch.diag(torch.tensor([1.0, -1.0]))) == "reflection across the line at 0°"
    assert describe_element(SO(4), torch.block_diag(quarter, torch.eye(2))) == (
        "rotation in 4 dimensions (largest turn 90°)"
    )
    assert describe_element(O(1), -torch.eye(1)) == "sign change"
    assert describe_element(GLPlus(2), torch.diag(torch.tensor([3.0, 2.0]))) == (
        "linear map with singular values (3.00, 2.00)"
    )


def test_shift_permutation_and_identity():
    shift = homogeneous(torch.eye(3), torch.tensor([1.0, -0.5, 0.0]))
    assert describe_element(E(3), shift) == "shifted by (1.00, -0.50, 0.00)"
    assert describe_element(SymmetricGroup(3), torch.tensor([1, 0, 2])) == "items moved 0→1, 1→0"
    many = torch.arange(20).roll(1)
    assert describe_element(SymmetricGroup(20), many) == "20 of 20 items moved"
    assert describe_element(E(3) * SymmetricGroup(4), (torch.eye(4), torch.arange(4))) == "the identity"


@pytest.mark.parametrize("group", [O(3), E(3), E(2), SO(5), O(3) * SymmetricGroup(4)])
def test_every_drawn_element_has_words(group, rng):
    elements = group.sample(1, rng=rng, dtype=torch.float64)
    single = tuple(part[0] for part in elements) if isinstance(elements, tuple) else elements[0]
    assert describe_element(group, single)
