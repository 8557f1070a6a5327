"""What is said of partitions, layer by layer: counts by hand, closed forms, batches that add up, bad input."""

from dataclasses import replace

import pytest
import torch

from intertwine.errors import ConfigError, DataError, ShapeError
from intertwine.systems.apen.data import make_batch
from intertwine.systems.apen.metrics import Delta, MixedPoints, VoteDistance
from intertwine.systems.apen.model import APEN, PartitionScores, degenerate_parts
from intertwine.systems.apen.settings import ModelSettings

SMALL = ModelSettings(classes=3, sigma=(0.2, 0.4), scalars=6, vectors=2, widths=(8,), hidden=8, head=(8,), cells=12)
DOUBLE = torch.float64


def network(**changes):
    made = APEN(replace(SMALL, **changes), rng=torch.Generator().manual_seed(0))
    return made.double().eval()


def clouds(sizes=(40, 30), seed=0):
    """Clouds of two parts, five apart."""
    rng = torch.Generator().manual_seed(seed)
    points, batch, true = [], [], []
    for place, n in enumerate(sizes):
        part = torch.arange(n) % 2
        points.append(0.5 * torch.randn(n, 3, generator=rng, dtype=DOUBLE) + 5.0 * part.unsqueeze(1))
        batch.append(torch.full((n,), place))
        true.append(part)
    return torch.cat(points), torch.cat(batch), torch.cat(true)


def test_everything_is_counted_by_hand():
    """Two clouds, one layer; cells {0, 1}, {2, 3} mix nothing in cloud 0; {4, 5, 6} mixes in cloud 1, {7} does not."""
    positions = torch.tensor([[float(i), 0, 0] for i in range(8)], dtype=DOUBLE)
    batch = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
    truth = make_batch(positions, batch, 2, parts=torch.tensor([0, 0, 1, 1, 0, 0, 1, 1]))
    found = {
        "parts": torch.tensor([[0, 0, 1, 1, 2, 2, 2, 3], [0, 0, 0, 0, 1, 1, 1, 1]]),
        "certainty": torch.tensor([[0.5, 0.5, 0.8, 0.8, 1.0, 1.0, 1.0, 0.9]], dtype=DOUBLE),
        "votes": truth.centres.unsqueeze(0) + torch.tensor([0.0, 3.0, 4.0]),
    }
    scores = PartitionScores(ModelSettings(sigma=(0.1,), classes=2))
    scores.add(found, truth)
    report = scores.compute()
    assert report["parts"] == (2.0, 1.0)
    assert report["mixed_clouds"] == (0.5, 1.0)
    assert report["mixed_cells"] == (1 / 4, 1.0)
    assert report["mixed_points"] == (3 / 8, 1.0)
    # two cells of cloud 0 draw each as one; cloud 1 has cells of probability 1 and 0.9
    assert report["delta"] == pytest.approx(((1 - 0.5 * 0.8 + 1 - 0.9) / 2,))
    assert report["uncertainty"] == pytest.approx(((0.5 * 2 + 0.2 * 2 + 0.1) / 8,))
    assert report["vote_distance"] == pytest.approx((5.0,))
    assert (report["rank0"], report["rank1"], report["rank2"]) == ((0.5, 0.0), (1.5, 1.0), (0.0, 0.0))
    points = PartitionScores(ModelSettings(sigma=(0.1,), classes=2, coarsen_only=False))
    points.add(found, truth)
    assert points.compute()["delta"] == pytest.approx(((1 - 0.25 * 0.64 + 1 - 0.9) / 2,))


def test_kinds_of_degenerate_parts():
    triangle = torch.tensor([[1.0, 0, 0], [-0.5, 3**0.5 / 2, 0], [-0.5, -(3**0.5) / 2, 0]], dtype=DOUBLE)
    corners = torch.cat([torch.eye(3, dtype=DOUBLE), -torch.eye(3, dtype=DOUBLE)])
    box = corners * torch.tensor([1.0, 2.0, 3.0])
    line = torch.tensor([[0.0, 0, 0], [1, 2, 3]], dtype=DOUBLE)
    flat = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 3, 0]], dtype=DOUBLE)
    single, same = torch.ones(1, 3, dtype=DOUBLE), torch.full((4, 3), 7.0, dtype=DOUBLE)
    parts = (triangle, corners, box, line, flat, single, same)
    part = torch.cat([torch.full((len(points),), place) for place, points in enumerate(parts)])
    found = degenerate_parts(torch.cat(parts) + 0.5, part)
    # one point and four in one place; a line; a triangle of each kind; the regular triangle and the octahedron
    assert found.tolist() == [2, 1, 2, 2]
    assert degenerate_parts(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64)).tolist() == [0, 0, 0, 0]


def test_batches_add_up():
    points, batch, true = clouds()
    model = network()
    together, apart = PartitionScores(model.settings), PartitionScores(model.settings)
    together.add(model(points, batch), make_batch(points, batch, 2, parts=true))
    for place in (0, 1):
        some = batch == place
        apart.add(model(points[some]), make_batch(points[some], torch.zeros_like(batch[some]), 1, parts=true[some]))
    one, other = together.compute(), apart.compute()
    assert one.keys() == other.keys()
    for name, values in one.items():
        assert values == pytest.approx(other[name], abs=1e-9), name


def test_without_true_parts_only_what_needs_them_is_missing():
    points, batch, _ = clouds()
    model = network()
    scores = PartitionScores(model.settings)
    scores.add(model(points, batch), make_batch(points, batch, 2))
    assert set(scores.compute()) == {"parts", "delta", "uncertainty", "rank0", "rank1", "rank2", "repeated"}


def test_a_report_of_pieces_that_are_apart_and_of_a_whole():
    points, batch, true = clouds()
    rng = torch.Generator().manual_seed(0)
    fine = network().equivariance_report(points, batch, true_part=true, rng=rng)
    whole = network(initial="whole").equivariance_report(points, batch, true_part=true, rng=rng)
    assert fine.mixed_clouds == fine.mixed_cells == fine.mixed_points == (0.0, 0.0, 0.0)
    assert whole.mixed_clouds == whole.mixed_cells == whole.mixed_points == (1.0, 1.0, 1.0)
    assert fine.error < 1e-8
    assert whole.vote_error > 0.1
    assert fine.parts[0] == 12.0
    assert whole.parts == (1.0, 1.0, 1.0)
    assert all(0 <= value <= 1 for value in (*fine.delta, *fine.uncertainty))
    assert len(fine.parts) == 3
    assert len(fine.delta) == len(fine.vote_distance) == 2
    # a mixture of one component is certain, and its votes are the centroid of the cloud
    assert whole.delta == pytest.approx((0.0, 0.0), abs=1e-12)
    centre = torch.stack([points[batch == place].mean(0) for place in (0, 1)])[batch]
    centres = torch.stack([points[(batch == b) & (true == t)].mean(0) for b in (0, 1) for t in (0, 1)])
    far = float((centre - centres[2 * batch + true]).norm(dim=1).mean())
    assert whole.vote_distance == pytest.approx((far, far))
    alone = network().equivariance_report(points[:40], true_part=true[:40], rng=rng)
    assert alone.error < 1e-8


def test_metrics_of_a_layer():
    truth = make_batch(torch.zeros(3, 3), torch.tensor([0, 0, 1]), 2, parts=torch.tensor([0, 1, 0]))
    metric = MixedPoints()
    metric.update(torch.tensor([7, 7, 9]), truth)
    assert float(metric.compute()) == pytest.approx(2 / 3)
    metric = Delta()
    metric.update((torch.tensor([0.5, 0.5, 1.0]), truth.graph_index), truth)
    assert float(metric.compute()) == pytest.approx(0.375)
    bare = make_batch(torch.zeros(3, 3), truth.graph_index, 2)
    for metric, values in ((MixedPoints(), torch.zeros(3, dtype=torch.int64)), (VoteDistance(), torch.zeros(3, 3))):
        with pytest.raises(DataError, match="true parts"):
            metric.update(values, bare)


def test_refuses_in_words():
    points, batch, true = clouds()
    rng = torch.Generator().manual_seed(0)
    with pytest.raises(ConfigError, match="training") as training:
        network().train().equivariance_report(points, batch, true_part=true, rng=rng)
    assert "eval" in training.value.expected
    with pytest.raises(ShapeError, match="true part"):
        network().equivariance_report(points, batch, true_part=true[:5], rng=rng)
    with pytest.raises(ShapeError):
        network().equivariance_report(points[:0], batch[:0], true_part=true[:0], rng=rng)
    with pytest.raises(ShapeError):
        network().equivariance_report(points, batch[:3], true_part=true, rng=rng)
