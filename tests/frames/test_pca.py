"""PCA frames: golden numbers, frames as sets, masks, segments, degenerate clouds and what each policy does."""

import math
import warnings

import pytest
import torch

from intertwine.errors import ConfigError, DataWarning, GroupError, NumericsError, ShapeError
from intertwine.frames import CentroidFrame, MinimalFrame, PCAFrame, symmetric_eigh
from intertwine.frames.moments import cloud_moments
from intertwine.groups import O, parse_group

GROUPS = ["E(3)", "SE(3)", "O(3)", "SO(3)", "E(2)", "SE(2)", "O(2)", "SO(4)", "E(4)", "SE(1)", "E(1)"]


def cloud(d=3, n=7, batch=4, seed=0, dtype=torch.float64):
    rng = torch.Generator().manual_seed(seed)
    scale = torch.arange(1, d + 1, dtype=dtype)
    return torch.randn(batch, n, d, generator=rng, dtype=torch.float64).to(dtype) * scale


def test_moments_of_the_golden_cloud(golden):
    origin, covariance = cloud_moments(golden[None], None, centred=True)
    expected = torch.tensor([-0.16439608, -0.01561753, 0.13221509], dtype=torch.float64)
    torch.testing.assert_close(origin[0], expected, rtol=0, atol=1e-8)
    values = symmetric_eigh(covariance)[0][0]
    expected = torch.tensor([0.03067099, 1.51823857, 5.78212823], dtype=torch.float64)
    torch.testing.assert_close(values, expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize("name", GROUPS)
def test_frames_have_the_elements_of_the_group(name):
    group = parse_group(name)
    frame = PCAFrame(name)
    frames = frame(cloud(frame.dim))
    proper = name.startswith("S")
    assert frames.count == 2 ** (frame.dim - proper)
    assert O(frame.dim).contains(frames.linear).all()
    assert frames.valid.all()
    if proper:
        assert (frames.orientation == 1).all()
    assert len({tuple(element.flatten().tolist()) for element in frames.linear[0]}) == frames.count
    centred = "E" in name
    assert bool(frames.translation.abs().max() > 0) == centred
    assert group.dim == frame.group.dim


@pytest.mark.parametrize("name", GROUPS)
def test_frames_move_with_the_cloud_as_sets(name):
    frame = PCAFrame(name)
    points = cloud(frame.dim)
    g = frame.group.sample(rng=torch.Generator().manual_seed(3), dtype=torch.float64)
    before, after = frame(points), frame(frame.group.apply(g, points))
    moved = frame.group.linear(g) @ before.linear
    distances = (moved.unsqueeze(2) - after.linear.unsqueeze(1)).abs().amax((-2, -1))
    assert distances.amin(2).max() < 1e-10
    assert distances.amin(1).max() < 1e-10
    torch.testing.assert_close(frame.group.apply(g, before.translation), after.translation)


def test_a_reflected_cloud_has_another_frame_of_rotations():
    points = cloud()
    mirror = torch.diag(torch.tensor([1.0, 1.0, -1.0], dtype=torch.float64))
    moved = mirror @ PCAFrame("SE(3)")(points).linear
    after = PCAFrame("SE(3)")(points @ mirror).linear
    distances = (moved.unsqueeze(2) - after.unsqueeze(1)).abs().amax((-2, -1))
    assert distances.amin(2).min() > 0.1  # the law that only E(3) has must fail here


@pytest.mark.parametrize("name", ["E(3)", "SO(3)"])
def test_masks_and_segments_give_what_each_cloud_gives_alone(name):
    frame = PCAFrame(name)
    sizes = [3, 7, 5, 4]
    points = cloud(n=7)
    mask = torch.arange(7) < torch.tensor(sizes).unsqueeze(1)
    spoilt = torch.where(mask.unsqueeze(-1), points, torch.nan)
    padded = frame(spoilt, mask)
    order = torch.randperm(19, generator=torch.Generator().manual_seed(1))
    index = mask.nonzero()[:, 0]
    segments = frame.of_segments(points[mask][order], index[order], 4)
    for place, size in enumerate(sizes):
        alone = frame(points[place : place + 1, :size])
        for found in (padded, segments):
            projectors = found.linear[place, 0].T.unsqueeze(-1) * found.linear[place, 0].T.unsqueeze(-2)
            expected = alone.linear[0, 0].T.unsqueeze(-1) * alone.linear[0, 0].T.unsqueeze(-2)
            torch.testing.assert_close(projectors, expected, rtol=0, atol=1e-12)
            torch.testing.assert_close(found.translation[place], alone.translation[0], rtol=0, atol=1e-13)


def test_descending_order_reverses_the_axes():
    points = cloud()
    ascending, descending = PCAFrame("O(3)")(points), PCAFrame("O(3)", order="descending")(points)
    torch.testing.assert_close(ascending.linear[:, 0].flip(-1).abs(), descending.linear[:, 0].abs())


def test_fixed_signs_are_one_element_that_does_not_move_with_the_cloud():
    points = cloud(batch=40)
    frame = PCAFrame("SE(3)", signs="fixed")
    frames = frame(points)
    assert frames.count == 1
    assert (frames.orientation == 1).all()
    assert (frames.linear[:, 0, :, :2].sum(-2) >= 0).all()
    g = frame.group.sample(rng=torch.Generator().manual_seed(3), dtype=torch.float64)
    moved = frame.group.linear(g) @ frames.linear
    assert (moved - frame(frame.group.apply(g, points)).linear).abs().max() > 0.1


# --- degenerate clouds -----------------------------------------------------------------------------------


def test_a_cube_has_no_valid_frame_and_says_so(cube):
    points = torch.stack([cube, cloud(n=8)[0]])
    with pytest.warns(DataWarning, match="no unique principal axes"):
        frames = PCAFrame("E(3)")(points)
    assert frames.valid.tolist() == [False, True]
    with pytest.raises(NumericsError) as caught:
        PCAFrame("E(3)", degenerate="error")(points)
    assert "clouds 0" in caught.value.got
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not PCAFrame("E(3)", degenerate="ignore")(points).valid[0]


def test_averages_over_the_axes_of_a_cube_depend_on_how_it_lies(cube):
    """Without the flag this would be a silent error: the mean of a generic function differs between rotated copies."""

    def mean(points):
        y = points @ PCAFrame("E(3)", degenerate="ignore")(points[None]).linear[0]
        return (torch.tanh(2 * y[..., 0] + y[..., 1] ** 2) + (y[..., 0] ** 3).abs()).sum(-1).mean()

    rng = torch.Generator().manual_seed(0)
    values = [mean(cube @ O(3).sample(rng=rng, dtype=torch.float64).T).item() for _ in range(8)]
    assert max(values) - min(values) > 0.5


def test_symmetrised_axes_of_a_cube_are_uniform_on_the_orthogonal_group(cube):
    frame = PCAFrame("E(3)", degenerate="symmetrise")
    frames = frame(cube.expand(4000, 8, 3), rng=torch.Generator().manual_seed(0))
    axis = frames.linear[:, 0, :, 0]
    torch.testing.assert_close(axis.mT @ axis / 4000, torch.eye(3, dtype=torch.float64) / 3, rtol=0, atol=0.03)
    assert axis.mean(0).norm() < 0.05
    fourth = (axis**4).mean(0)
    torch.testing.assert_close(fourth, torch.full((3,), 0.2, dtype=torch.float64), rtol=0, atol=0.02)


def test_symmetrised_axes_turn_only_where_eigenvalues_are_equal():
    prism = torch.tensor([[math.cos(2 * math.pi * k / 3), math.sin(2 * math.pi * k / 3), 0.0] for k in range(3)])
    prism = torch.cat([prism + torch.tensor([0, 0, 2.0]), prism - torch.tensor([0, 0, 2.0])]).double()
    frames = PCAFrame("E(3)", degenerate="symmetrise")(prism.expand(50, 6, 3), rng=torch.Generator().manual_seed(0))
    long_axis = frames.linear[:, 0, :, 2].abs()
    torch.testing.assert_close(long_axis, torch.tensor([0.0, 0, 1]).double().expand(50, 3), rtol=0, atol=1e-12)
    assert frames.linear[:, 0, 0, 0].std() > 0.3


@pytest.mark.parametrize(
    ("points", "rank"),
    [
        (torch.zeros(0, 3), 0),
        (torch.ones(1, 3), 0),
        (torch.tensor([[0.0, 0, 0], [1, 2, 3]]), 1),
        (torch.ones(5, 3), 0),
        (torch.tensor([[1.0, 2, 3]]) * torch.arange(5.0)[:, None], 1),
        (torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 0], [2, 3, 0]]), 2),
    ],
    ids=["no point", "one point", "two points", "coincident", "collinear", "coplanar"],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_flat_clouds_have_frames_because_they_have_no_coordinates_along_null_axes(points, rank, dtype):
    frames = PCAFrame("E(3)", degenerate="error")(points.to(dtype)[None] + 7)
    assert frames.valid.all()
    assert frames.rank.tolist() == [rank]
    assert frames.linear.isfinite().all()
    assert O(3).contains(frames.linear.double(), 1e-6).all()


def test_the_tolerance_decides_what_counts_as_degenerate():
    points = torch.tensor([[1.0, 0, 0], [-1, 0, 0], [0, 1.01, 0], [0, -1.01, 0], [0, 0, 2], [0, 0, -2]]).double()
    assert PCAFrame("E(3)")(points[None]).valid.all()
    assert not PCAFrame("E(3)", tolerance=0.01, degenerate="ignore")(points[None]).valid.any()


# --- bad input -------------------------------------------------------------------------------------------


def test_refuses_what_is_no_cloud():
    with pytest.raises(NumericsError) as nan:
        PCAFrame("E(3)")(torch.full((1, 3, 3), torch.nan))
    assert "clouds 0" in nan.value.got
    with pytest.raises(ShapeError) as single:
        PCAFrame("E(3)")(torch.zeros(5, 3))
    assert "unsqueeze" in single.value.fix
    with pytest.raises(ShapeError):
        PCAFrame("E(3)")(torch.zeros(2, 5, 2))
    with pytest.raises(ShapeError):
        PCAFrame("E(3)")(torch.zeros(2, 5, 3), torch.ones(2, 4, dtype=torch.bool))
    with pytest.raises(ShapeError):
        PCAFrame("E(3)").of_segments(torch.zeros(5, 3), torch.zeros(4, dtype=torch.int64), 1)
    with pytest.raises(GroupError) as group:
        PCAFrame("S_5")
    assert "E(d)" in group.value.expected


def test_the_frame_of_translations_is_the_centroid():
    points = cloud()
    frames = CentroidFrame(3)(points)
    torch.testing.assert_close(frames.translation, points.mean(1))
    assert frames.count == 1
    assert str(CentroidFrame(3).group) == "T(3)"


def test_words_that_mean_nothing_are_refused():
    for name in ("order", "degenerate", "signs"):
        with pytest.raises(ConfigError, match=f"`{name}`"):
            PCAFrame("E(3)", **{name: "foo"})
    with pytest.raises(ConfigError, match="canonical"):
        MinimalFrame("E(3)", order="foo")
