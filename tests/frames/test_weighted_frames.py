"""Weighted frames: golden numbers, continuity, brute-force sums, low rank, drawn tuples, bad input."""

import itertools
import math

import numpy as np
import pytest
import torch

from intertwine.errors import ConfigError, GroupError, NumericsError, ShapeError
from intertwine.frames import FrameAverage, PCAFrame, WeightedFrame
from intertwine.groups import O, parse_group

GROUPS = ["SO(1)", "O(1)", "SO(2)", "O(2)", "SE(2)", "E(2)", "SO(3)", "O(3)", "SE(3)", "E(3)", "SO(4)", "E(4)"]


def cloud(rng, d, n=6, batch=2):
    return torch.randn(batch, n, d, generator=rng, dtype=torch.float64)


def bipyramid(stretch):
    """A triangle and two poles; at stretch zero two principal axes are arbitrary."""
    angle = 2 * math.pi * torch.arange(3, dtype=torch.float64) / 3
    corners = torch.stack([angle.cos(), angle.sin(), torch.zeros(3, dtype=torch.float64)], dim=-1)
    poles = torch.tensor([[0.0, 0.0, 1.5], [0.0, 0.0, -1.5]], dtype=torch.float64)
    return torch.cat([corners, poles]) * torch.tensor([1 + stretch, 1.0, 1.0], dtype=torch.float64)


class Kinked(torch.nn.Module):
    """sum of tanh(2 y0 + y1^2 / 2 - y2) + y0^2 |y1| + |y0|^3."""

    def forward(self, x):
        a, b, c = x.unbind(-1)
        return (torch.tanh(2 * a + b**2 / 2 - c) + a**2 * b.abs() + a.abs() ** 3).sum(-1)


def average(frame, network=None):
    return FrameAverage(network or Kinked(), frame, inputs={"x": "point"}, output="scalar")


def brute_force(points, group, function):
    """The same average as a loop over tuples, with cross products and determinants of numpy."""
    points = np.asarray(points)
    d = points.shape[1]
    seen = points - points.mean(0) if "E" in group else points
    total, weight = 0.0, 0.0
    for chosen in itertools.permutations(range(len(seen)), d - 1):
        rows = seen[list(chosen)]
        volume = math.sqrt(max(np.linalg.det(rows @ rows.T), 0.0)) if d > 1 else 1.0
        q, r = np.linalg.qr(rows.T)
        q = q * np.sign(np.diagonal(r))
        # minors of the d - 1 axes complete them with determinant +1
        last = [(-1) ** (i + d - 1) * np.linalg.det(np.delete(q, i, 0)) if d > 1 else 1.0 for i in range(d)]
        for sign in (1, -1) if group[0] != "S" else (1,):
            axes = np.column_stack([q, sign * np.array(last)])
            total += volume * function(seen @ axes)
            weight += volume
    return total / weight


# --- golden numbers --------------------------------------------------------------------------------------


def test_average_over_the_bipyramid():
    value = average(WeightedFrame("O(3)"))
    assert value(bipyramid(1e-6)[None]).item() == pytest.approx(4.2579568869, abs=1e-10)
    for stretch, jump in ((1e-6, 2.2e-6), (1e-4, 2.2e-4), (1e-2, 2.2e-2)):
        difference = value(bipyramid(stretch)[None]) - value(bipyramid(-stretch)[None])
        assert difference.item() == pytest.approx(jump, rel=0.01)


def test_principal_axes_jump_there():
    value = average(PCAFrame("E(3)", degenerate="ignore", tolerance=0.0))
    assert value(bipyramid(1e-6)[None]).item() == pytest.approx(2.5408394002, abs=1e-9)
    assert value(bipyramid(-1e-6)[None]).item() == pytest.approx(2.0082355298, abs=1e-9)


def test_average_does_not_change_under_rotations(rng):
    value = average(WeightedFrame("O(3)"))
    for stretch in (0.0, 1e-6, 0.3):
        turns = O(3).sample(20, rng=rng, dtype=torch.float64)
        found = value(bipyramid(stretch) @ turns.mT)
        assert (found - found[0]).abs().max() < 1e-12


def test_atoms_of_the_plane_turn_each_point_to_the_first_axis():
    points = torch.tensor([[3.0, 4.0], [0.0, -2.0], [-1.0, 0.0]], dtype=torch.float64)
    frames = WeightedFrame("SO(2)")(points[None])
    assert frames.weights[0].tolist() == pytest.approx([5 / 8, 2 / 8, 1 / 8])
    seen = torch.einsum("kij,kj->ki", frames.inverse_linear[0], points)
    expected = torch.tensor([[5.0, 0.0], [2.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(seen, expected, rtol=0, atol=1e-15)


# --- the law ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", GROUPS)
def test_elements_weights_and_law(name, rng):
    frame = WeightedFrame(name)
    d = frame.dim
    points = cloud(rng, d)
    frames = frame(points)
    special = name.startswith("S")
    assert frames.count == math.perm(6, d - 1) * (1 if special else 2)
    assert parse_group(f"{'SO' if special else 'O'}({d})").contains(frames.linear).all()
    torch.testing.assert_close(frames.weights.sum(-1), torch.ones(2, dtype=torch.float64))
    assert frames.valid.all()
    assert (frames.translation.abs().max() > 0) == ("E" in name)
    g = frame.group.sample(rng=rng, dtype=torch.float64)
    after = frame(frame.group.apply(g, points))
    moved = (frame.group.linear(g) @ frames.linear).unsqueeze(2)
    nearest = (moved - after.linear.unsqueeze(1)).abs().amax((-2, -1)).min(2)
    assert nearest.values.max() < 1e-10
    torch.testing.assert_close(after.weights.gather(1, nearest.indices), frames.weights, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["SO(2)", "E(2)", "SO(3)", "SE(3)", "E(3)", "SO(4)", "E(4)"])
def test_average_is_the_sum_over_all_tuples(name, rng):
    d = parse_group(name).n
    points = cloud(rng, d, n=5, batch=1)
    weights = torch.randn(d, generator=rng, dtype=torch.float64)

    class Network(torch.nn.Module):
        def forward(self, x):
            return torch.tanh(x @ weights).square().sum(-1) + torch.tanh(x @ weights).sum(-1)

    def function(seen):
        values = np.tanh(seen @ weights.numpy())
        return (values**2).sum() + values.sum()

    found = average(WeightedFrame(name), Network())(points).item()
    assert found == pytest.approx(brute_force(points[0], name, function), rel=1e-12)


def test_order_of_the_points_does_not_matter(rng):
    points = cloud(rng, 3)
    order = torch.randperm(6, generator=rng)
    value = average(WeightedFrame("SE(3)"))
    torch.testing.assert_close(value(points), value(points[:, order]), rtol=1e-12, atol=0)


def test_single_precision(rng):
    points = cloud(rng, 3)
    frames = WeightedFrame("E(3)")(points.float())
    assert frames.linear.dtype == frames.weights.dtype == frames.translation.dtype == frames.span.dtype == torch.float32
    torch.testing.assert_close(frames.linear.double(), WeightedFrame("E(3)")(points).linear, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["E(3)", "SO(2)", "SO(4)"])
def test_masks_give_what_each_cloud_gives_alone(name, rng):
    frame = WeightedFrame(name)
    sizes = [6, 4, 1]
    points = cloud(rng, frame.dim, batch=3)
    mask = torch.arange(6) < torch.tensor(sizes).unsqueeze(1)
    together = frame(torch.where(mask.unsqueeze(-1), points, torch.nan), mask)
    moments = together.weights[..., None, None] * together.linear
    for place, size in enumerate(sizes):
        alone = frame(points[place : place + 1, :size])
        expected = (alone.weights[..., None, None] * alone.linear).sum(1)
        torch.testing.assert_close(moments[place].sum(0), expected[0], rtol=0, atol=1e-12)
        torch.testing.assert_close(together.translation[place], alone.translation[0])
    index = mask.nonzero()[:, 0]
    segments = frame.of_segments(points[mask], index, 3)
    torch.testing.assert_close(segments.linear, together.linear, rtol=0, atol=1e-13)


# --- points that span less -------------------------------------------------------------------------------


@pytest.mark.parametrize("group", ["O(3)", "SO(3)", "E(3)", "SE(3)"])
def test_collinear_points_keep_the_law_with_projected_vectors(group, rng, tanh_map):
    line = torch.tensor([[-2.0, 0.5, 1.0, 3.0]], dtype=torch.float64).unsqueeze(-1)
    points = line * torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    frame = WeightedFrame(group)
    network = FrameAverage(tanh_map, frame, inputs={"x": "point"}, output="point")
    assert frame(points).rank.tolist() == [1]
    found = network(points)
    for _ in range(5):
        g = frame.group.sample(rng=rng, dtype=torch.float64)
        moved = network(frame.group.apply(g, points))
        torch.testing.assert_close(moved, frame.group.apply(g, found), rtol=0, atol=1e-11)
    along = found if group[-3] == "O" else found - points.mean(1, keepdim=True)
    assert torch.linalg.cross(along, points.expand_as(along) - points.mean(1, keepdim=True)).abs().max() < 1e-11


def test_weights_of_collinear_points_are_their_distances():
    points = torch.tensor([[[-2.0, 0.0, 0.0], [0.5, 0.0, 0.0], [1.0, 0.0, 0.0]]], dtype=torch.float64)
    frames = WeightedFrame("SO(3)")(points)
    forward = frames.linear[0, :, 0, 0] > 0
    assert frames.weights[0, forward].sum().item() == pytest.approx(1.5 / 3.5)


@pytest.mark.parametrize("group", ["E(3)", "SE(3)"])
def test_coplanar_points_have_vectors_in_their_plane(group, rng, tanh_map):
    flat = torch.randn(1, 6, 2, generator=rng, dtype=torch.float64)
    points = torch.nn.functional.pad(flat, (0, 1))
    found = FrameAverage(tanh_map, WeightedFrame(group), inputs={"x": "point"}, output="vector")(points)
    normal = found[..., 2].abs().max()
    assert normal < 1e-12 if group == "E(3)" else normal > 1e-3  # no reflection keeps the plane in SE(3)


@pytest.mark.parametrize("number", [0, 1, 4])
@pytest.mark.parametrize("group", GROUPS)
def test_no_point_one_point_and_coincident_points(group, number):
    frame = WeightedFrame(group)
    points = torch.full((2, number, frame.dim), 3.0, dtype=torch.float64)
    frames = frame(points)
    assert frames.linear.isfinite().all()
    assert O(frame.dim).contains(frames.linear).all()
    torch.testing.assert_close(frames.weights.sum(-1), torch.ones(2, dtype=torch.float64))
    rank = 0 if "E" in group or number == 0 else 1
    assert frames.rank.tolist() == [rank] * 2
    if "E" in group and number:
        assert (frames.translation == 3).all()
    if rank < frame.dim - 1:
        assert frames.span.diagonal(dim1=-2, dim2=-1).sum(-1).tolist() == pytest.approx([rank] * 2)


@pytest.mark.parametrize("rank", [0, 1, 2])
def test_low_rank_in_four_dimensions(rank, rng):
    points = torch.randn(1, 6, rank, generator=rng, dtype=torch.float64)
    basis = O(4).sample(rng=rng, dtype=torch.float64)[:rank]
    points = points @ basis if rank else torch.zeros(1, 6, 4, dtype=torch.float64)
    frame = WeightedFrame("O(4)")
    network = FrameAverage(FourDimensions(), frame, inputs={"x": "point"}, output="vector")
    g = O(4).sample(rng=rng, dtype=torch.float64)
    moved = network(points @ g.mT)
    torch.testing.assert_close(moved, network(points) @ g.mT, rtol=0, atol=1e-12)
    assert frame(points).rank.tolist() == [rank]


class FourDimensions(torch.nn.Module):
    def forward(self, x):
        return torch.tanh(x + x.roll(1, -1) ** 2 + 0.3)


@pytest.mark.parametrize(("points", "size"), [(4, 0), (1, 1), (5, 1), (2, 2), (6, 2), (5, 3), (5, 4)])
def test_tuples_are_all_permutations(points, size):
    from intertwine.frames.weighted import _tuples

    listed = [tuple(row) for row in _tuples(points, size, torch.device("cpu")).tolist()]
    assert listed == list(itertools.permutations(range(points), size))


# --- drawn tuples ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("group", ["E(3)", "SO(3)"])
def test_drawn_tuples_are_as_many_as_asked_and_unbiased(group, rng):
    points = cloud(rng, 3, batch=1)
    exact = average(WeightedFrame(group))(points).item()
    frame = WeightedFrame(group, tuples=4)
    copies = points.expand(4096, -1, -1)
    frames = frame(copies, rng=rng)
    assert frames.count == 4 * (2 if group == "E(3)" else 1)
    assert (frames.weights == 1 / frames.count).all()
    drawn = FrameAverage(Kinked(), frame, inputs={"x": "point"}, output="scalar", rng=rng)(copies)
    assert abs(drawn.mean().item() - exact) < 5 * drawn.std().item() / 64
    assert drawn.std() > 0


def test_uniform_draws_would_be_biased(rng):
    """The test above can tell: tuples of equal probability have another mean."""
    points = cloud(rng, 3, batch=1)
    points[:, 0] *= 6
    frame = WeightedFrame("SO(3)")
    frames = frame(points)
    exact = average(frame)(points).item()
    values = Kinked()((points.unsqueeze(1) - frames.translation[:, None, None]) @ frames.linear)
    chosen = torch.randint(frames.count, (4096,), generator=rng)
    drawn = values[0, chosen]
    assert abs(drawn.mean().item() - exact) > 5 * drawn.std().item() / 64


def test_draws_repeat_with_their_generator(rng):
    points, frame = cloud(rng, 3, n=40), WeightedFrame("E(3)", tuples=8)
    one, two, other = (frame(points, rng=torch.Generator().manual_seed(seed)).linear for seed in (1, 1, 2))
    assert one.equal(two)
    assert not one.equal(other)


def test_few_tuples_are_all_taken(rng):
    points = cloud(rng, 3)
    assert WeightedFrame("E(3)", tuples=30)(points).linear.equal(WeightedFrame("E(3)")(points).linear)
    assert WeightedFrame("E(3)", tuples=29)(points, rng=rng).count == 58


def test_tuples_without_volume_are_never_drawn(rng):
    """Masked points, repeated points and points on one line have no share."""
    points = torch.zeros(64, 10, 3, dtype=torch.float64)
    points[:, :3, 0] = torch.tensor([1.0, 2.0, -1.0], dtype=torch.float64)
    points[:, 9, 1] = 1.0
    frames = WeightedFrame("SO(3)", tuples=16)(points, rng=rng)
    assert frames.linear[..., :2, 2].abs().max() < 1e-15  # every area lies in the plane of x and y


def test_many_points_are_drawn_without_a_list_of_elements(rng):
    points = torch.randn(2, 300, 3, generator=rng)
    assert WeightedFrame("SE(3)", tuples=5)(points, rng=rng).count == 5


# --- gradients, errors -----------------------------------------------------------------------------------


def test_gradients(rng):
    points = cloud(rng, 3, n=4, batch=1).requires_grad_()
    flowing = average(WeightedFrame("E(3)", differentiate=True))
    assert torch.autograd.gradcheck(flowing, points)
    still = average(WeightedFrame("E(3)"))
    still(points).sum().backward()
    frames = WeightedFrame("E(3)")(points.detach())
    other = points.detach().requires_grad_()
    (
        Kinked()((other.unsqueeze(1) - frames.translation[:, None, None]) @ frames.linear) * frames.weights
    ).sum().backward()
    torch.testing.assert_close(points.grad, other.grad)
    assert (torch.autograd.grad(flowing(points).sum(), points)[0] - points.grad).abs().max() > 1e-3


def test_gradients_stay_finite_where_tuples_have_no_volume():
    points = torch.zeros(2, 4, 3, dtype=torch.float64)
    points[1, :, 0] = torch.arange(4)
    points.requires_grad_()
    average(WeightedFrame("E(3)", differentiate=True))(points).sum().backward()
    assert points.grad.isfinite().all()


def test_other_groups_are_refused():
    with pytest.raises(GroupError) as caught:
        WeightedFrame("S_5")
    assert caught.value.got == "S_5"


@pytest.mark.parametrize("tuples", [0, -3])
def test_no_tuples_are_refused(tuples):
    with pytest.raises(ConfigError) as caught:
        WeightedFrame("E(3)", tuples=tuples)
    assert caught.value.got == tuples


def test_more_tuples_than_can_be_listed_are_refused():
    with pytest.raises(ConfigError) as caught:
        WeightedFrame("E(4)")(torch.zeros(1, 200, 4))
    assert "7880400" in caught.value.got
    assert "PCAFrame" in caught.value.fix


def test_coordinates_that_are_not_finite_are_refused():
    points = torch.zeros(3, 4, 3)
    points[1, 2, 0] = torch.nan
    with pytest.raises(NumericsError) as caught:
        WeightedFrame("E(3)")(points)
    assert "clouds 1" in caught.value.got
    with pytest.raises(ShapeError):
        WeightedFrame("E(3)")(torch.zeros(3, 4, 2))
