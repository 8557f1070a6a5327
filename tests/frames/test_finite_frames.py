"""Averages over whole finite groups, over cosets, and over subsets that have no symmetry."""

import math

import pytest
import torch

from intertwine.errors import GroupError, ShapeError
from intertwine.frames import FiniteFrame, FrameAverage, matrices_of
from intertwine.groups import O, SymmetricGroup, parse_group
from intertwine.symmetry import equivariance_error

NAMES = ["C_1", "C_4", "C_5", "D_3", "D_4", "S_3", "S_4"]


class Uneven(torch.nn.Module):
    def forward(self, x):
        rng = torch.Generator().manual_seed(0)
        weight = torch.randn(x.shape[-1], x.shape[-1], generator=rng, dtype=torch.float64)
        hidden = torch.tanh(x @ weight.to(x) + 0.3)
        return {"vector": hidden, "scalar": hidden.sum((-2, -1))}


def cloud(rng, d, n=5, batch=2):
    return torch.randn(batch, n, d, generator=rng, dtype=torch.float64)


def average(frame, backbone=None):
    output = {"vector": "vector", "scalar": "scalar"}
    return FrameAverage(backbone or Uneven(), frame, inputs={"x": "vector"}, output=output)


@pytest.mark.parametrize("name", NAMES)
def test_average_over_the_group_has_its_symmetry(name, rng):
    group = parse_group(name)
    frame = FiniteFrame(name)
    network = average(frame)
    points = cloud(rng, frame.dim)
    assert frame(points).count == group.order
    assert equivariance_error(network, {"x": points}, rng=rng).worst.relative < 1e-12
    if group.order > 1:
        bare = network.backbone
        assert equivariance_error(bare, {"x": points}, symmetry=network.symmetry, rng=rng).worst.relative > 1e-2


@pytest.mark.parametrize("name", NAMES)
def test_matrices_are_a_representation(name):
    group = parse_group(name)
    matrices = matrices_of(group)
    table = group.multiplication_table()
    products = matrices.unsqueeze(1) @ matrices.unsqueeze(0)
    torch.testing.assert_close(products, matrices[table], rtol=0, atol=1e-14)
    x = torch.arange(1.0, matrices.shape[-1] + 1, dtype=torch.float64)
    torch.testing.assert_close(matrices @ x, group.apply(group.elements(), x.expand(group.order, -1)))


def test_one_element_of_each_coset_is_enough_for_a_network_with_the_subgroup(rng):
    """A network equivariant to turns gets mirrors from two elements; half of the cosets are not enough."""
    turns = average(FiniteFrame("C_4"))
    points = cloud(rng, 2)
    mirror = torch.diag(torch.tensor([1.0, -1.0], dtype=torch.float64))
    both = average(FiniteFrame("D_4", torch.stack([torch.eye(2, dtype=torch.float64), mirror])), turns)
    assert equivariance_error(both, {"x": points}, rng=rng).worst.relative < 1e-12
    whole = average(FiniteFrame("D_4"))
    torch.testing.assert_close(both(points)["vector"], whole(points)["vector"], rtol=0, atol=1e-13)
    one = average(FiniteFrame("D_4", torch.eye(2, dtype=torch.float64)[None]), turns)
    assert equivariance_error(one, {"x": points}, rng=rng).worst.relative > 1e-2


def test_the_octahedral_group_as_given_matrices(rng):
    """All 48 signed permutations of the axes, found by closing two generators under products."""
    signs = torch.cartesian_prod(*[torch.tensor([1.0, -1.0], dtype=torch.float64)] * 3)
    permutations = matrices_of(SymmetricGroup(3))
    elements = (permutations.unsqueeze(0) * signs[:, None, None]).flatten(0, 1)
    network = average(FiniteFrame(O(3), elements))
    points = cloud(rng, 3)
    value = network(points)
    for element in elements[torch.randperm(48, generator=rng)[:6]]:
        moved = network(points @ element.mT)
        torch.testing.assert_close(moved["vector"], value["vector"] @ element.mT, rtol=0, atol=1e-13)
        torch.testing.assert_close(moved["scalar"], value["scalar"])
    assert equivariance_error(network, {"x": points}, rng=rng).worst.relative > 1e-3  # not all of O(3)


def test_points_seen_from_their_centroid(rng):
    points = cloud(rng, 2)
    frames = FiniteFrame("C_4", centred=True)(points)
    torch.testing.assert_close(frames.translation, points.mean(1))
    assert FiniteFrame("C_4")(points).translation.abs().max() == 0


def test_single_precision(rng):
    frames = FiniteFrame("C_6")(cloud(rng, 2).float())
    assert frames.linear.dtype == frames.inverse.dtype == torch.float32
    assert frames.linear[0, 1, 0, 0].item() == pytest.approx(math.cos(math.pi / 3))


def test_infinite_and_open_groups_and_wrong_matrices_are_refused():
    with pytest.raises(GroupError) as caught:
        FiniteFrame("SO(2)")
    assert "matrices" in caught.value.fix
    with pytest.raises(GroupError):
        FiniteFrame("S_n")
    with pytest.raises(GroupError):
        FiniteFrame("S_12")
    for shape in ((2, 3), (2, 3, 2), (0, 2, 2)):
        with pytest.raises(ShapeError) as caught:
            FiniteFrame("O(2)", torch.zeros(shape))
        assert caught.value.got == shape
    with pytest.raises(ShapeError):
        FiniteFrame("C_4")(torch.zeros(1, 5, 3))


@pytest.mark.parametrize("group", ["C_4", "D_4", "O(2)", "SO(2)", "E(2)"])
def test_matrices_that_are_no_elements_are_refused(group):
    with pytest.raises(ShapeError, match="no element"):
        FiniteFrame(group, 2 * torch.eye(2)[None])
    mirror = torch.diag(torch.tensor([1.0, -1.0]))[None]
    if group in ("C_4", "SO(2)"):
        with pytest.raises(ShapeError, match="no element"):
            FiniteFrame(group, mirror)
    else:
        assert len(FiniteFrame(group, mirror).matrices) == 1
