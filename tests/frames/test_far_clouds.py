"""Clouds far from the origin in single precision: what rounding of coordinates leaves is not taken for a shape."""

import pytest
import torch

from intertwine.frames import (
    CentroidFrame,
    FiniteFrame,
    FrameAverage,
    MinimalFrame,
    PCAFrame,
    PlanarFrame,
    WeightedFrame,
    measure_stability,
)
from intertwine.frames.moments import cloud_rounding, segment_rounding

FAR = torch.tensor([1_048_576.0, -524_288.0, 786_432.0])
"""A million away; neighbouring numbers of single precision are 1/8 apart there."""


def on_the_grid(rng, batch=3, n=12):
    """Coordinates that single precision holds exactly near the origin and a million away."""
    wide = torch.randn(batch, n, 3, generator=rng, dtype=torch.float64) * torch.tensor([4.0, 9.0, 20.0])
    return ((wide * 8).round() / 8).float()


def turned(points, rng):
    """Coordinates turned in double precision."""
    return points.double() @ torch.linalg.qr(torch.randn(3, 3, generator=rng, dtype=torch.float64))[0].T


class Bent(torch.nn.Module):
    def forward(self, x):
        weight = torch.tensor([[1.0, 0.5, 0.2], [0.3, -1.0, 0.8], [0.1, 0.4, -0.6]], dtype=x.dtype)
        return torch.tanh(x @ weight / 20 + 0.2).cumsum(-2)


FRAMES = [
    PCAFrame("E(3)"),
    PCAFrame("SE(3)"),
    PlanarFrame(PCAFrame("E(2)")),
    WeightedFrame("E(3)"),
    MinimalFrame("E(3)"),
    CentroidFrame(3),
    FiniteFrame("S_3", centred=True),
]


@pytest.mark.parametrize("frame", FRAMES, ids=str)
@pytest.mark.parametrize("layout", ["batch", "one tensor"])
def test_an_exact_shift_by_a_million_changes_nothing(frame, layout, rng):
    points = on_the_grid(rng)
    far = points + FAR * (torch.tensor([1.0, 1.0, 0.0]) if isinstance(frame, PlanarFrame) else 1.0)
    assert (far - points)[0, 0].double().equal((far - points)[0, 1].double()), "the shift is exact"
    kinds, more = {"x": "point"}, {}
    if layout == "one tensor":
        points, far = points.flatten(0, 1), far.flatten(0, 1)
        kinds, more = kinds | {"graph": "graphs"}, {"graph": torch.arange(3).repeat_interleave(12)}

    def backbone(x, graph=None):
        return Bent()(x.reshape(-1, 12, 3)).view_as(x)

    network = FrameAverage(backbone, frame, inputs=kinds, output="vector")
    torch.testing.assert_close(network(far, **more), network(points, **more), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(1.0, 1.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, 0.0)], ids=["flat", "line", "point"])
@pytest.mark.parametrize("distance", [0.0, 1e3, 1e6])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_flat_clouds_far_away_are_flat(shape, distance, dtype, rng):
    """Without knowledge of the distance rounding is taken for thickness, and its axes for a degenerate pair."""
    wide = torch.randn(4, 20, 3, generator=rng, dtype=torch.float64) * torch.tensor([30.0, 60.0, 1.0])
    points = (turned(wide * torch.tensor(shape), rng) + distance * torch.tensor([1.0, -0.7, 0.4])).to(dtype)
    rank = int(sum(shape))
    for frame in (PCAFrame("E(3)", degenerate="error"), PCAFrame("SE(3)", degenerate="error"), WeightedFrame("E(3)")):
        frames = frame(points)
        assert frames.rank.tolist() == [rank] * 4
        assert frames.valid.all()
        index = torch.arange(4).repeat_interleave(20)
        assert frame.of_segments(points.flatten(0, 1), index, 4).rank.tolist() == [rank] * 4
    found = measure_stability(points, frame=PCAFrame("E(3)"), draws=2, rng=rng)
    assert found.rank.tolist() == [rank] * 4


def test_thick_clouds_far_away_are_not_flat(rng):
    """Far beyond rounding nothing is taken for zero."""
    points = on_the_grid(rng) + FAR
    assert PCAFrame("E(3)")(points).rank.tolist() == [3, 3, 3]
    thin = torch.randn(2, 20, 3, generator=rng, dtype=torch.float64) * torch.tensor([1.0, 2.0, 1e-3]) + 100
    assert PCAFrame("E(3)")(thin).rank.tolist() == [3, 3]
    assert PCAFrame("E(3)")(thin.float()).rank.tolist() == [3, 3]


def test_rounding_is_that_of_the_farthest_coordinate(rng):
    points = torch.tensor([[[1.0, -8.0, 2.0], [0.0, 4.0, 3.0], [torch.nan, 0.0, 0.0]], torch.zeros(3, 3).tolist()])
    mask = torch.tensor([[True, True, False], [False, False, False]])
    wanted = 2 * 3 * (2.0**-23 * 8) ** 2
    assert cloud_rounding(points, mask).tolist() == [wanted, 0.0]
    assert segment_rounding(points[0, :2], torch.tensor([1, 1]), 3).tolist() == [0.0, wanted, 0.0]
    weights = torch.tensor([0.25, 0.75])
    assert segment_rounding(points[0, :2], torch.tensor([1, 1]), 2, weights).tolist() == [0.0, wanted / 2]
    assert cloud_rounding(torch.zeros(2, 0, 3), None).tolist() == [0.0, 0.0]
    for size in (1e3, 1e6):  # what is rounded is below it
        wide = size * torch.randn(50, 3, generator=rng, dtype=torch.float64)
        left = (wide - wide.float().double()).square().sum()
        assert left < cloud_rounding(wide.float().unsqueeze(0), None)[0]
