"""Initial partitions: what each is, that none crosses clouds, and the measured impurity of Voronoi cells."""

import itertools

import pytest
import torch

from intertwine.errors import ConfigError, NumericsError
from intertwine.groups import O
from intertwine.partitions import (
    INITIAL,
    default_parts,
    drawn_parts,
    given,
    initial_partition,
    is_subpartition,
    kmeans,
    knn_patches,
    same_partition,
    singletons,
    uniform_random,
    voronoi_fps,
    whole,
)
from intertwine.points import farthest_points

GEOMETRIC = ("voronoi_fps", "kmeans", "knn_patches")


@pytest.fixture
def clouds(rng):
    """Clouds of 60, 1, 0 and 33 points, shuffled."""
    batch = torch.tensor([0] * 60 + [1] + [3] * 33)
    batch = batch[torch.randperm(len(batch), generator=rng)]
    return torch.randn(len(batch), 3, dtype=torch.float64, generator=rng), batch


@pytest.mark.parametrize("kind", INITIAL)
@pytest.mark.parametrize("parts", [None, 1, 7, 1000])
def test_parts_are_numbered_and_never_cross_clouds(clouds, kind, parts, rng):
    points, batch = clouds
    part = initial_partition(kind, points, batch, parts, rng=rng)
    assert sorted(part.unique().tolist()) == list(range(int(part.max()) + 1))
    assert is_subpartition(part, batch)
    assert is_subpartition(singletons(points, batch), part)
    assert is_subpartition(part, whole(points, batch))
    counts = [len(part[batch == cloud].unique()) for cloud in range(4)]
    if kind in GEOMETRIC and parts:
        assert counts == [min(parts, 60), 1, 0, min(parts, 33)]


@pytest.mark.parametrize("kind", INITIAL)
def test_one_cloud_alone_has_the_parts_that_it_has_in_a_batch(clouds, kind):
    points, batch = clouds
    if kind == "uniform_random":
        return
    together = initial_partition(kind, points, batch, 9)
    for cloud in (0, 1, 3):
        alone = initial_partition(kind, points[batch == cloud], None, 9)
        assert same_partition(together[batch == cloud], alone)


@pytest.mark.parametrize("kind", GEOMETRIC)
def test_a_motion_of_each_cloud_changes_nothing(clouds, kind, rng):
    points, batch = clouds
    turns = O(3).sample(4, rng=rng, dtype=torch.float64)
    moved = torch.einsum("nij,nj->ni", turns[batch], points) + 5 * batch.double().unsqueeze(1)
    assert initial_partition(kind, points, batch, 8).equal(initial_partition(kind, moved, batch, 8))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_voronoi_cells_are_those_of_the_nearest_farthest_point(clouds, dtype):
    points, batch = clouds[0].to(dtype), clouds[1]
    part = voronoi_fps(points, batch, 10)
    taken = farthest_points(points, 10, batch)
    table = torch.cdist(points.double(), points[taken.index].double())
    table[batch.unsqueeze(1) != taken.batch] = torch.inf
    assert part.equal(table.argmin(1))
    assert part[taken.index].tolist() == list(range(len(taken.index))), "a centre is in its own cell"


def test_of_equally_near_centres_the_first_counts():
    line = torch.tensor([[0.0], [2.0], [1.0]])
    assert voronoi_fps(line, None, 2).tolist() == [0, 1, 0]
    assert voronoi_fps(line[[1, 0, 2]], None, 2).tolist() == [0, 1, 0]


def test_small_cells_never_mix_parts_that_lie_apart(rng):
    two = torch.cat([torch.rand(300, 3, generator=rng), torch.rand(300, 3, generator=rng) + torch.tensor([1.3, 0, 0])])
    truth = torch.arange(2).repeat_interleave(300)
    gap = float(torch.cdist(two[:300], two[300:]).min())
    pure = []
    for parts in (2, 8, 32, 128, 300):
        part = voronoi_fps(two, None, parts)
        centres = two[farthest_points(two, parts).index]
        radius = float((two - centres[part]).norm(dim=-1).max())
        pure.append((radius < gap / 2, is_subpartition(part, truth)))
    assert all(sub for small, sub in pure if small)
    assert {small for small, _ in pure} == {True, False}, "both cases occur"


def test_all_points_as_centres_are_singletons(clouds):
    points, batch = clouds
    assert same_partition(voronoi_fps(points, batch, 60), singletons(points, batch))
    assert same_partition(voronoi_fps(points, batch, 1), whole(points, batch))


def test_kmeans_makes_cells_tighter(clouds):
    points, batch = clouds

    def spread(part):
        cells = [points[part == cell] for cell in part.unique()]
        return sum(float((cell - cell.mean(0)).square().sum()) for cell in cells)

    steps = [spread(kmeans(points, batch, 8, iterations=n)) for n in range(6)]
    assert all(b <= a + 1e-12 for a, b in itertools.pairwise(steps))
    assert steps[-1] < 0.95 * steps[0]


def test_patches_are_equally_large_and_nearest_first(clouds):
    points, batch = clouds
    part = knn_patches(points, batch, 7)
    for cloud in (0, 3):
        sizes = torch.bincount(part[batch == cloud] - part[batch == cloud].min())
        assert int(sizes.max() - sizes.min()) <= 1
    rows = (batch == 0).nonzero().flatten()
    first = torch.cdist(points[rows[:1]], points[rows])[0].argsort()[:9]
    assert sorted(rows[first].tolist()) == (part == part[rows[0]]).nonzero().flatten().tolist()


def test_random_parts_need_and_follow_a_generator(clouds):
    points, batch = clouds
    with pytest.raises(ConfigError, match="generator"):
        uniform_random(points, batch, 4)
    same = [uniform_random(points, batch, 4, rng=torch.Generator().manual_seed(3)) for _ in range(2)]
    assert same[0].equal(same[1])


def test_a_given_partition_is_cut_where_clouds_meet():
    part, batch = torch.tensor([4, 4, 9, 4]), torch.tensor([0, 1, 1, 1])
    assert given(part, batch).tolist() == [0, 1, 2, 1]
    assert initial_partition("given", torch.zeros(4, 3), batch, part=part).tolist() == [0, 1, 2, 1]


def test_numbers_of_parts_where_none_is_asked_for(rng):
    sizes = torch.tensor([0, 1, 3, 2048, 4096, 10_000])
    assert default_parts(sizes).tolist() == [0, 1, 1, 512, 1024, 1024]
    drawn = torch.stack([drawn_parts(sizes, rng) for _ in range(50)])
    assert bool((drawn[:, 3] >= 256).all())
    assert bool((drawn[:, 3] <= 1024).all())
    assert len(drawn[:, 3].unique()) > 20
    assert drawn[:, :2].unique(dim=0).tolist() == [[0, 1]]


@pytest.mark.parametrize("kind", INITIAL)
def test_no_point_has_no_part(kind, rng):
    assert initial_partition(kind, torch.zeros(0, 3), None, rng=rng).shape == (0,)


def test_what_cannot_be_cut_is_refused(clouds):
    points, batch = clouds
    with pytest.raises(ConfigError, match="no such"):
        initial_partition("voronoi", points, batch)
    with pytest.raises(ConfigError, match="no partition is given"):
        initial_partition("given", points, batch)
    for parts in (0, -3, torch.tensor([1, 2]), torch.tensor(2.5)):
        with pytest.raises(ConfigError):
            voronoi_fps(points, batch, parts)
    points[batch == 3] = torch.nan
    with pytest.raises(NumericsError, match="3"):
        voronoi_fps(points, batch)
