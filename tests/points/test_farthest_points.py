"""Farthest points against a loop that says what they are, over ragged batches."""

import numpy as np
import pytest
import torch

from intertwine.errors import ConfigError, NumericsError, ShapeError
from intertwine.groups import O
from intertwine.points import farthest_points


def by_definition(points, count, start=0):
    """Farthest points of one cloud, from the table of all distances."""
    table = np.linalg.norm(points[:, None] - points[None], axis=-1)
    taken, reached = [start], [np.inf]
    while len(taken) < min(count, len(points)):
        to_taken = table[:, taken].min(1)
        to_taken[taken] = -1
        taken.append(int(to_taken.argmax()))
        reached.append(to_taken.max())
    return taken, reached


@pytest.fixture
def ragged(rng):
    """Clouds of 40, 0, 1 and 25 points, shuffled."""
    batch = torch.tensor([0] * 40 + [2] + [3] * 25)
    batch = batch[torch.randperm(len(batch), generator=rng)]
    return torch.randn(len(batch), 3, dtype=torch.float64, generator=rng), batch


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_they_are_those_of_the_definition(ragged, dtype):
    points, batch = ragged[0].to(dtype), ragged[1]
    found = farthest_points(points, 30, batch)
    assert found.batch.tolist() == [0] * 30 + [2] + [3] * 25
    for cloud in (0, 2, 3):
        rows = (batch == cloud).nonzero().flatten()
        taken, reached = by_definition(points[rows].numpy(), 30)
        assert rows[taken].tolist() == found.index[found.batch == cloud].tolist()
        torch.testing.assert_close(found.distance[found.batch == cloud], torch.tensor(reached, dtype=dtype))


def test_distances_never_increase_and_all_points_are_taken_in_the_end(ragged):
    points, batch = ragged
    found = farthest_points(points, 1000, batch)
    assert sorted(found.index.tolist()) == list(range(len(points)))
    for cloud in (0, 3):
        distance = found.distance[found.batch == cloud]
        assert bool((distance[1:] <= distance[:-1]).all())


def test_each_cloud_may_have_its_own_count(ragged):
    points, batch = ragged
    found = farthest_points(points, torch.tensor([3, 5, 0, 7, 2]), batch)
    assert found.batch.tolist() == [0] * 3 + [3] * 7


def test_a_common_motion_changes_nothing(ragged, rng):
    points, batch = ragged
    turn = O(3).sample(rng=rng, dtype=torch.float64)
    moved = points @ turn.T + torch.tensor([3.0, -2.0, 9.0], dtype=torch.float64)
    assert farthest_points(points, 20, batch).index.equal(farthest_points(moved, 20, batch).index)


def test_the_first_may_be_drawn_and_then_repeats_with_the_seed(ragged):
    points, batch = ragged
    first = [farthest_points(points, 4, batch, rng=torch.Generator().manual_seed(seed)).index for seed in (1, 1, 2)]
    assert first[0].equal(first[1])
    assert not first[0].equal(first[2])
    rows = (batch == 0).nonzero().flatten().tolist()
    start = rows.index(int(first[0][0]))
    taken, _ = by_definition(points[rows].numpy(), 4, start)
    assert [rows[i] for i in taken] == first[0][:4].tolist()


def test_of_equally_far_points_the_first_is_taken():
    square = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
    assert farthest_points(square, 5).index.tolist() == [0, 1, 2, 3, 4]
    assert farthest_points(square.flip(0), 5).index.tolist() == [0, 2, 1, 3, 4]


def test_coincident_points_are_taken_last_and_once():
    points = torch.tensor([[1.0, 0, 0]] * 4 + [[0.0, 0, 0]])
    found = farthest_points(points, 5)
    assert found.index.tolist() == [0, 4, 1, 2, 3]
    assert found.distance.tolist() == [float("inf"), 1, 0, 0, 0]


def test_clouds_without_points():
    assert len(farthest_points(torch.zeros(0, 3), 5).index) == 0


def test_what_cannot_be_sampled_is_refused():
    points = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    with pytest.raises(NumericsError, match=r"clouds \[1\]"):
        farthest_points(points.index_fill(0, torch.tensor([4]), torch.nan), 2, torch.tensor([0, 0, 0, 1, 1, 1]))
    with pytest.raises(ShapeError) as caught:
        farthest_points(points, 2, torch.zeros(5, dtype=torch.int64))
    assert caught.value.got["points"] == (6, 3)
    with pytest.raises(ShapeError, match="from 0"):
        farthest_points(points, 2, torch.full((6,), -1))
    for count in (-1, torch.tensor([[2]]), torch.tensor([0.5])):
        with pytest.raises(ConfigError):
            farthest_points(points, count)
