"""Orders of points that do not depend on how they are listed, and minimal frames of S_n x O(d) built on them."""

import pytest
import torch

from intertwine.frames import FrameAverage, MinimalFrame, canonical_order
from intertwine.groups import O, SymmetricGroup
from intertwine.representations import Invariant, Permuted, Point
from intertwine.symmetry import Symmetry, equivariance_error


def cloud(rng, d=3, n=9, batch=4):
    return torch.randn(batch, n, d, generator=rng, dtype=torch.float64)


def ordered(points, mask=None, **kwargs):
    order = canonical_order(points, mask, **kwargs)
    return points.gather(1, order.places.unsqueeze(-1).expand_as(points)), order.unique


def rectangle():
    """Four corners, all equally far from the origin, whose inner products are the same numbers."""
    return torch.tensor([[2.0, 1.0], [-2.0, 1.0], [-2.0, -1.0], [2.0, -1.0]], dtype=torch.float64)


@pytest.mark.parametrize("d", [1, 2, 3, 5])
def test_order_is_the_same_however_points_are_listed_and_turned(d, rng):
    points = cloud(rng, d)
    first, unique = ordered(points)
    assert unique.all()
    shuffled = points[:, torch.randperm(9, generator=rng)]
    torch.testing.assert_close(ordered(shuffled)[0], first, rtol=0, atol=0)
    g = O(d).sample(rng=rng, dtype=torch.float64)
    torch.testing.assert_close(ordered(shuffled @ g.mT)[0], first @ g.mT, rtol=0, atol=1e-14)


def test_far_points_come_first(rng):
    lengths = ordered(cloud(rng))[0].norm(dim=-1)
    assert (lengths.diff(dim=-1) < 0).all()


def test_equally_far_points_are_told_apart_by_their_neighbours(rng):
    """Points on a sphere."""
    points = torch.nn.functional.normalize(cloud(rng), dim=-1)
    first, unique = ordered(points)
    assert unique.all()
    shuffled = points[:, torch.randperm(9, generator=rng)]
    g = O(3).sample(rng=rng, dtype=torch.float64)
    torch.testing.assert_close(ordered(shuffled @ g.mT)[0], first @ g.mT, rtol=0, atol=1e-14)


def test_numbers_at_a_rounding_boundary_are_equal(rng):
    """Squared distances of 1/8 up to rounding: comparison by rounding would part them."""
    points = torch.nn.functional.normalize(cloud(rng), dim=-1) * 0.125**0.5
    squares = points.square().sum(-1)
    assert (squares != 0.125).any()
    first, _ = ordered(points)
    g = O(3).sample(rng=rng, dtype=torch.float64)
    torch.testing.assert_close(ordered(points @ g.mT)[0], first @ g.mT, rtol=0, atol=1e-14)


def test_symmetric_points_are_tied():
    assert not ordered(rectangle()[None])[1].any()
    kite = rectangle().clone()
    kite[0] *= 1.5
    points, unique = ordered(kite[None])
    assert unique.tolist() == [[True] * 4]
    assert points[0, 0].equal(kite[0])


def test_coincident_points_are_not_tied():
    points = torch.tensor([[[1.0, 0.0], [1.0, 0.0], [0.0, 0.5], [0.0, -0.5]]], dtype=torch.float64)
    assert ordered(points)[1].tolist() == [[True, True, False, False]]


def test_masked_points_come_last(rng):
    points = cloud(rng)
    mask = torch.rand(4, 9, generator=rng) < 0.6
    together, unique = ordered(torch.where(mask.unsqueeze(-1), points, torch.nan), mask)
    assert unique.all()
    for place in range(4):
        alone, _ = ordered(points[place : place + 1, mask[place]])
        assert together[place, : alone.shape[1]].equal(alone[0])
        assert together[place, alone.shape[1] :].isnan().all()


@pytest.mark.parametrize("number", [0, 1])
def test_no_points_and_one_point(number):
    order = canonical_order(torch.zeros(3, number, 2))
    assert order.places.shape == (3, number)
    assert order.unique.all()


# --- frames of permutations and rotations ----------------------------------------------------------------


class SetNetwork(torch.nn.Module):
    """Equivariant to permutations and to nothing else."""

    def forward(self, x):
        hidden = torch.tanh(
            x @ torch.tensor([[1.0, 0.5, 0.2], [0.3, -1.0, 0.8], [0.1, 0.4, -0.6]], dtype=x.dtype) + 0.1
        )
        return {"points": hidden + hidden.mean(-2, keepdim=True) ** 2, "label": hidden.sum((-2, -1))}


def claim(frame):
    return Symmetry(
        frame.group * SymmetricGroup(None),
        inputs={"x": Permuted((1,), Point())},
        output={"points": Permuted((1,), Point()), "label": Invariant()},
    )


@pytest.mark.parametrize("group", ["O(3)", "SO(3)", "E(3)", "SE(3)"])
def test_both_symmetries_hold_with_the_canonical_order_only(group, rng):
    points = cloud(rng)
    for order, bound in (("canonical", True), ("given", False)):
        frame = MinimalFrame(group, order=order)
        network = FrameAverage(
            SetNetwork(), frame, inputs={"x": "point"}, output={"points": "point", "label": "scalar"}
        )
        worst = equivariance_error(network, {"x": points}, symmetry=claim(frame), rng=rng).worst.relative
        assert (worst < 1e-11) == bound
        if not bound:
            assert worst > 1e-3


def test_frames_of_symmetric_clouds_are_not_valid():
    frame = MinimalFrame("O(2)", order="canonical")
    kite = rectangle().clone()
    kite[0] *= 1.5
    far = torch.cat([rectangle(), torch.tensor([[5.0, 1.0], [1.0, 4.0]], dtype=torch.float64)])
    clouds = torch.stack([torch.nn.functional.pad(c, (0, 0, 0, 6 - len(c))) for c in (rectangle(), kite, far)])
    mask = torch.tensor([[True] * 4 + [False] * 2] * 2 + [[True] * 6])
    # ties among points that come after the axes are fixed do not matter
    assert frame(clouds, mask).valid.tolist() == [False, True, True]


@pytest.mark.parametrize("name", ["rectangle", "cube", "prism"])
def test_invariants_of_a_symmetric_cloud_do_not_depend_on_the_choice(name, cube, rng):
    """All choices among tied corners give the same canonical form, up to the order of the points."""
    prism = torch.cat([cube[:, :2], cube[:, 2:] * 1.7], dim=1)
    corners = {"rectangle": torch.nn.functional.pad(rectangle(), (0, 1)), "cube": cube, "prism": prism}[name]
    output = {"points": "point", "label": "scalar"}
    shuffles = torch.stack([corners[torch.randperm(len(corners), generator=rng)] for _ in range(16)])
    clouds = shuffles @ O(3).sample(16, rng=rng, dtype=torch.float64).mT
    canonical, given = (
        FrameAverage(SetNetwork(), MinimalFrame("O(3)", order=order), inputs={"x": "point"}, output=output)
        for order in ("canonical", "given")
    )
    labels = canonical(clouds)["label"]
    assert (labels - labels[0]).abs().max() < 1e-12
    labels = given(clouds)["label"]
    assert (labels - labels[0]).abs().max() > 1e-3
