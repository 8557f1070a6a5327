"""Clouds with equal eigenvalues: covariances that are changed until they differ, and what PCA frames make of them."""

import itertools

import pytest
import torch

from intertwine.frames import FrameAverage, PCAFrame, WeightedFrame, split_degenerate
from intertwine.groups import O, parse_group


def solid(name):
    """Symmetric solids about the origin."""
    signs = list(itertools.product((-1.0, 1.0), repeat=3))
    golden = (1 + 5**0.5) / 2
    listed = {
        "tetrahedron": [s for s in signs if s[0] * s[1] * s[2] > 0],
        "cube": signs,
        "octahedron": [(*[0.0] * i, s, *[0.0] * (2 - i)) for i in range(3) for s in (1.0, -1.0)],
        "icosahedron": [
            tuple(torch.tensor([0.0, a, b * golden]).roll(shift).tolist())
            for shift in range(3)
            for a in (-1.0, 1.0)
            for b in (-1.0, 1.0)
        ],
        "square": [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (-1.0, 0.0, 0.0), (0.0, -1.0, 0.0)],
    }
    return torch.tensor(listed[name], dtype=torch.float64)


SOLIDS = ["tetrahedron", "cube", "octahedron", "icosahedron", "square"]
over_solids = pytest.mark.parametrize("name", SOLIDS)


class Uneven(torch.nn.Module):
    """No symmetry, and no permutations either where ``ordered``."""

    def __init__(self, ordered=False):
        super().__init__()
        self.ordered = ordered

    def forward(self, x):
        a, b, c = x.unbind(-1)
        values = torch.tanh(2 * a + b**2 / 2 - c) + a**2 * b.abs() + a.abs() ** 3
        weights = torch.arange(x.shape[-2], dtype=x.dtype) if self.ordered else torch.ones(x.shape[-2], dtype=x.dtype)
        return (values * weights).sum(-1)


def average(frame, **kwargs):
    return FrameAverage(Uneven(**kwargs), frame, inputs={"x": "point"}, output="scalar")


def turned(cloud, rng, group="O(3)", count=12):
    g = parse_group(group).sample(count, rng=rng, dtype=torch.float64)
    return cloud @ g.mT


# --- splitting -------------------------------------------------------------------------------------------


@over_solids
def test_eigenvalues_of_solids_are_split_by_few_points(name):
    cloud = solid(name)
    split = split_degenerate(cloud[None], tolerance=1e-4)
    assert split.split.all()
    counted = (split.weights > 1).sum().item()
    assert 1 <= counted <= 2
    changed = cloud.T @ (split.weights[0].unsqueeze(-1) * cloud)
    values = torch.linalg.eigvalsh(changed)
    assert (values.diff() > 0.05 * values[-1]).all() or name == "square"
    torch.testing.assert_close(changed @ split.axes[0], split.axes[0] * values, rtol=0, atol=1e-13)


@over_solids
def test_axes_move_with_the_cloud_up_to_signs(name, rng):
    cloud = solid(name)
    before = split_degenerate(cloud[None], tolerance=1e-4).projected[0]
    g = O(3).sample(8, rng=rng, dtype=torch.float64)
    after = split_degenerate(cloud @ g.mT, tolerance=1e-4).projected
    product = ((g @ before).mT @ after).abs()
    torch.testing.assert_close(product, torch.diag((before.norm(dim=0) > 0).double()).expand(8, 3, 3))


def test_without_splitting_axes_do_not_move(rng):
    cloud = solid("cube")
    g = O(3).sample(8, rng=rng, dtype=torch.float64)
    axes = torch.linalg.eigh((cloud @ g.mT).mT @ (cloud @ g.mT))[1]
    product = ((g @ torch.linalg.eigh(cloud.T @ cloud)[1]).mT @ axes).abs()
    assert (product - torch.eye(3)).abs().amax((-2, -1)).min() > 0.05


def test_clouds_that_need_nothing_keep_their_covariance(rng):
    cloud = torch.randn(4, 7, 3, generator=rng, dtype=torch.float64)
    split = split_degenerate(cloud, tolerance=1e-4)
    assert (split.weights == 1).all()
    _, axes = torch.linalg.eigh(cloud.mT @ cloud)
    torch.testing.assert_close((split.axes.mT @ axes).abs(), torch.eye(3, dtype=torch.float64).expand(4, 3, 3))


def test_null_axes_are_projected_away():
    split = split_degenerate(solid("square")[None], tolerance=1e-4)
    assert split.null.tolist() == [[True, False, False]]
    projector = split.projected[0] @ split.projected[0].T
    torch.testing.assert_close(projector, torch.diag(torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64)))


def test_the_order_of_the_points_matters(rng):
    cloud = solid("cube")
    before = split_degenerate(cloud[None], tolerance=1e-4).axes
    after = split_degenerate(cloud[None, torch.tensor([3, 5, 0, 1, 2, 4, 6, 7])], tolerance=1e-4).axes
    assert ((before.mT @ after).abs() - torch.eye(3)).abs().max() > 0.1


def test_many_points_are_split_as_far(rng):
    """The step does not vanish among thousands of points."""
    cloud = solid("cube").repeat(2000, 1)
    values = split_degenerate(cloud[None], tolerance=1e-4)
    assert values.split.all()
    weighted = cloud.T @ (values.weights[0].unsqueeze(-1) * cloud)
    assert torch.linalg.eigvalsh(weighted).diff().min() > 0.1 * torch.linalg.eigvalsh(weighted)[-1]


def test_masked_points_are_not_read():
    cloud = solid("octahedron")
    padded = torch.cat([torch.full((2, 3), torch.nan, dtype=torch.float64), cloud])[None]
    mask = torch.arange(8)[None] >= 2
    together = split_degenerate(padded, mask, tolerance=1e-4)
    alone = split_degenerate(cloud[None], tolerance=1e-4)
    torch.testing.assert_close(together.axes, alone.axes)
    assert together.weights[0, 2:].equal(alone.weights[0])
    assert (together.weights[0, :2] == 1).all()


@pytest.mark.parametrize("number", [0, 1, 2, 5])
def test_no_point_one_point_and_points_that_span_one_line(number):
    cloud = torch.linspace(-1, 1, number, dtype=torch.float64)[:, None] * torch.tensor([1.0, 2.0, 2.0])
    split = split_degenerate(cloud[None].double(), tolerance=1e-4)
    assert split.split.all()
    assert split.axes.isfinite().all()
    assert (split.weights == 1).all()
    assert (~split.null).sum() == (number > 0)


# --- policies of PCA frames ------------------------------------------------------------------------------


@over_solids
@pytest.mark.parametrize("group", ["O(3)", "SO(3)"])
def test_perturbed_frames_keep_the_law(name, group, rng):
    frame = PCAFrame(group, degenerate="perturb")
    clouds = turned(solid(name), rng, group)
    assert frame(clouds).valid.all()
    found = average(frame)(clouds)
    assert (found - found[0]).abs().max() < 1e-12
    jumping = average(PCAFrame(group, degenerate="ignore"))(clouds)
    assert (jumping - jumping[0]).abs().max() > 1e-3


def test_perturbed_frames_follow_the_centroid_and_masks(rng):
    frame = PCAFrame("E(3)", degenerate="perturb")
    cube = solid("cube") + 50
    padded = torch.cat([cube, torch.full((2, 3), torch.nan, dtype=torch.float64)])[None]
    mask = (torch.arange(10) < 8)[None]
    alone = PCAFrame("O(3)", degenerate="perturb")(solid("cube")[None])
    together = frame(padded, mask)
    distances = (together.linear.unsqueeze(2) - alone.linear.unsqueeze(1)).abs().amax((-2, -1))
    assert distances.amin(2).max() < 1e-12
    assert (together.translation == 50).all()


@over_solids
@pytest.mark.parametrize("group", ["E(3)", "SE(3)"])
def test_weighted_frames_take_over_where_axes_are_arbitrary(name, group, rng):
    """Exact averages where all tuples are taken; clouds of the batch that need none keep their own."""
    cloud = solid(name)
    clouds = torch.cat([turned(cloud, rng, "O(3)" if group == "E(3)" else "SO(3)"), cloud[None] * torch.arange(1.0, 4)])
    frame = PCAFrame(group, degenerate="weighted", tuples=1000)
    frames = frame(clouds)
    assert frames.valid.all()
    torch.testing.assert_close(frames.weights.sum(-1), torch.ones(13, dtype=torch.float64))
    found = average(frame)(clouds)
    assert (found[:12] - found[0]).abs().max() < 1e-12
    assert found[0].item() == pytest.approx(average(WeightedFrame(group))(cloud[None]).item(), abs=1e-12)
    own = average(PCAFrame(group, degenerate="ignore"))(clouds[12:])
    assert found[12].item() == pytest.approx(own.item(), abs=1e-12)


def test_weighted_frames_are_drawn_for_many_points(rng):
    clouds = solid("cube").repeat(100, 1)[None]
    frames = PCAFrame("E(3)", degenerate="weighted", tuples=20)(clouds, rng=rng)
    assert frames.count == 40


def test_vectors_are_projected_where_two_dimensions_are_missing(rng):
    """A square in four dimensions: two eigenvalues are equal and two are zero."""
    square = torch.nn.functional.pad(solid("square"), (0, 1))

    class Network(torch.nn.Module):
        def forward(self, x):
            return torch.tanh(x + x.roll(1, -1) ** 2 + 0.3)

    frame = PCAFrame("O(4)", degenerate="weighted", tuples=1000)
    network = FrameAverage(Network(), frame, inputs={"x": "point"}, output="vector")
    g = O(4).sample(6, rng=rng, dtype=torch.float64)
    found = network(square @ g.mT)
    torch.testing.assert_close(found, network(square[None]) @ g.mT, rtol=0, atol=1e-12)
