"""Frames of sets of points: laws, continuity, coincident points, cosets."""

import itertools

import pytest
import torch

from intertwine.errors import DataError, GroupError, NumericsError, ShapeError
from intertwine.frames import (
    DirectionsFrame,
    FullSetFrame,
    ListedFrame,
    RandomDirectionFrame,
    separated_directions,
)
from intertwine.groups import SymmetricGroup


def function(points):
    """Something that depends on the order of the points, smoothly."""
    weights = torch.arange(1.0, points.shape[1] + 1, dtype=points.dtype)
    return (points.sin() * weights[:, None]).sum((1, 2)).tanh() + (points[:, 0] * points[:, 1]).sum(-1)


def average(frame, points, **more):
    frames = frame(points, **more)
    return frames.mean(function(frames.canonical(points)))


@pytest.fixture
def points(rng):
    return torch.randn(3, 6, 2, generator=rng, dtype=torch.float64)


def sorting(rng):
    return DirectionsFrame(torch.tensor([[1.0, 0.0]]))


def separated(rng):
    return DirectionsFrame(separated_directions(6, 2, rng=rng))


@pytest.mark.parametrize("make", [sorting, separated, lambda rng: FullSetFrame()])
def test_averages_do_not_depend_on_the_order(make, points, rng):
    frame = make(rng)
    before = average(frame, points)
    assert frame(points).valid.all()
    for _ in range(5):
        order = torch.randperm(6, generator=rng)
        torch.testing.assert_close(average(frame, points[:, order]), before, atol=1e-12, rtol=0)
    assert (function(points[:, order]) - function(points)).abs().max() > 0.1


def test_frames_move_with_the_points_as_elements_of_the_group(points, rng):
    frame, group = separated(rng), SymmetricGroup(6)
    g = group.sample(rng=rng)
    before, after = frame(points), frame(points[:, group.inverse(g)])
    assert torch.equal(after.elements, group.compose(g, before.elements))
    torch.testing.assert_close(after.weights, before.weights)


def test_random_directions_sort_along_a_line_and_agree_in_the_mean(points, rng):
    frames = RandomDirectionFrame()(points, samples=8, rng=rng)
    assert frames.counts.tolist() == [8] * 3
    assert frames.valid.all()
    order = torch.randperm(6, generator=rng)
    many = [average(RandomDirectionFrame(), p, samples=40000, rng=rng) for p in (points, points[:, order])]
    spread = function(frames.canonical(points)).std() / 200
    assert (many[0] - many[1]).abs().max() < 8 * spread
    # the order along a direction of the plane is one of 2 * 15 at most: every pair of points swaps twice
    drawn = RandomDirectionFrame()(points[:1], samples=4000, rng=rng).elements
    assert len(torch.unique(drawn, dim=0)) <= 30


def test_weights_are_the_smallest_gaps(rng):
    points = torch.tensor([[[0.0, 0.0], [3.0, 1.0], [1.0, 4.0]]]).double()
    directions = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, -1.0]])
    frames = DirectionsFrame(directions)(points)
    # along x: 0 1 3, along y: 0 1 4, along x - y: -3 0 2
    assert frames.elements.tolist() == [[0, 2, 1], [0, 1, 2], [2, 0, 1]]
    torch.testing.assert_close(frames.weights, torch.tensor([1.0, 1.0, 2.0]).double() / 4)
    drawn = DirectionsFrame(directions)(points, samples=20000, rng=rng)
    last = (drawn.elements == torch.tensor([2, 0, 1])).all(-1).double().mean()
    assert abs(float(last) - 0.5) < 5 * 0.5 / 20000**0.5
    assert len(drawn.index) == 20000


def test_weighted_averages_are_continuous_and_sorting_is_not(rng):
    """Two points change places along x; both averages are followed through the crossing."""
    points = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.3], [2.0, -0.4], [-1.0, 0.7]], dtype=torch.float64)

    def jump(frame, step):
        sides = []
        for sign in (-1, 1):
            moved = points.clone()
            moved[0, 0] += sign * step
            sides.append(float(average(frame, moved[None])))
        return abs(sides[0] - sides[1])

    weighted = DirectionsFrame(torch.cat([torch.tensor([[1.0, 0.0]]).double(), separated_directions(5, 2, rng=rng)]))
    one = DirectionsFrame(torch.tensor([[1.0, 0.0]]))
    assert jump(one, 1e-6) > 0.05
    assert jump(weighted, 1e-6) < 1e-5
    assert jump(weighted, 1e-3) < 1e-2


def test_coincident_points_are_not_valid(points, rng):
    points[1, 3] = points[1, 5]
    for frame in (separated(rng), sorting(rng), RandomDirectionFrame()):
        frames = frame(points, rng=rng)
        assert frames.valid.tolist() == [True, False, True]
        torch.testing.assert_close(
            frames.mean(torch.ones(len(frames.index))), torch.ones(3).double(), check_dtype=False
        )


def test_masked_sets_are_those_without_the_rest(points, rng):
    mask = torch.tensor([[True] * 6, [True, False, True, True, False, True], [False] * 5 + [True]])
    for frame in (separated(rng), FullSetFrame()):
        whole = frame(points, mask)
        for place in range(3):
            alone = frame(points[place : place + 1, mask[place]])
            mine = whole.index == place
            assert int(mine.sum()) == len(alone.index)
            real = int(mask[place].sum())
            places = mask[place].nonzero().flatten()
            assert torch.equal(whole.elements[mine][:, :real], places[alone.elements])
            torch.testing.assert_close(whole.weights[mine], alone.weights)
            assert not whole.canonical(mask)[mine][:, real:].any()


def test_one_element_of_each_coset_is_enough_for_what_keeps_the_subgroup(rng):
    """The determinant-like f(X) = |sum over even orders| keeps A_4; two elements make it invariant under S_4."""
    points = torch.randn(2, 4, 3, generator=rng, dtype=torch.float64)
    group = SymmetricGroup(4)
    every = group.elements()
    inversions = [sum(p[i] > p[j] for i, j in itertools.combinations(range(4), 2)) for p in every.tolist()]
    even = every[torch.tensor(inversions) % 2 == 0]
    alternating, cosets = ListedFrame(even), ListedFrame(torch.tensor([[0, 1, 2, 3], [1, 0, 2, 3]]))

    def keeps_even(x):
        return average_of(alternating, x)

    def average_of(frame, x, inner=function):
        frames = frame(x)
        return frames.mean(inner(frames.canonical(x)))

    whole = average(FullSetFrame(), points)
    torch.testing.assert_close(average_of(cosets, points, keeps_even), whole, atol=1e-12, rtol=0)
    assert (keeps_even(points) - whole).abs().max() > 1e-3
    drawn = alternating(points, samples=500, rng=rng)
    assert {tuple(p) for p in drawn.elements.tolist()} == {tuple(p) for p in even.tolist()}


def test_full_frames_are_listed_up_to_a_limit_and_drawn_from(rng):
    points = torch.randn(2, 9, 2, generator=rng)
    with pytest.raises(DataError, match="too many elements"):
        FullSetFrame()(points)
    assert FullSetFrame()(points, samples=5, rng=rng).counts.tolist() == [5, 5]


def test_what_is_no_set_is_refused(points, rng):
    broken = points.clone()
    broken[1, 2, 0] = torch.nan
    with pytest.raises(NumericsError) as caught:
        FullSetFrame()(broken)
    assert caught.value.got == {"sets": [1]}
    assert FullSetFrame()(broken, broken.isfinite().all(-1)).counts.tolist() == [720, 120, 720]
    with pytest.raises(ShapeError):
        FullSetFrame()(points[0])
    with pytest.raises(ShapeError, match="different dimensions"):
        DirectionsFrame(torch.ones(1, 3))(points)
    with pytest.raises(GroupError, match="not permutations"):
        ListedFrame(torch.tensor([[0, 0, 1]]))
    with pytest.raises(DataError, match="one size"):
        ListedFrame(torch.tensor([[0, 1, 2]]))(points)
    with pytest.raises(DataError, match="may not separate"):
        separated_directions(10, 3, count=20)
    assert separated_directions(10, 3, rng=rng).shape == (21, 3)
    for nodes in (0, 1):
        assert RandomDirectionFrame()(torch.zeros(2, nodes, 3)).elements.shape == (2, nodes)
        assert DirectionsFrame(torch.ones(1, 3))(torch.zeros(2, nodes, 3)).elements.shape == (2, nodes)
