"""Rooms without their floor: what networks see, what scores count, and files of a run that leaves it out."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from intertwine.cli.main import main
from intertwine.errors import ConfigError, DataError, NumericsError
from intertwine.points import read_cloud
from intertwine.reporting.evaluation import Evaluation
from intertwine.systems.apen.data import (
    DrawnClouds,
    RandomMotions,
    ScanClouds,
    leave_out,
    make_batch,
    make_scan,
    restore,
)
from intertwine.systems.apen.data.floor import find_floor, find_floors
from intertwine.systems.apen.evaluate import measure_set
from intertwine.systems.apen.metrics import segmentation_metrics
from intertwine.systems.apen.settings import DataSettings, ModelSettings
from intertwine.systems.apen.training import build_network
from intertwine.training import find_data

FLOOR, OBJECTS = 80, 60
ROOMS = DataSettings(source="rooms", remove_floor=True)


def room(name="room", seed=0):
    """A floor of label 0, and two balls above it of labels 1 and 2, one of which has a point in the floor."""
    rng = np.random.default_rng(seed)
    flat = rng.uniform(0, 4, (FLOOR, 3)) * [1, 1, 0]
    labels = 1 + np.arange(OBJECTS) % 2
    balls = 0.1 * rng.normal(size=(OBJECTS, 3)) + np.stack([labels * 1.0, labels * 1.0, np.full(OBJECTS, 1.0)], 1)
    balls[0, 2] = 0.0
    return make_scan(name, np.concatenate([flat, balls]), np.concatenate([np.zeros(FLOOR, np.int64), labels]))


def test_networks_do_not_see_the_floor_and_scores_count_it():
    clouds = ScanClouds(find_floors([room(), room("other", 1)], ROOMS))
    batch = next(clouds.batches(2))
    assert len(batch.positions) == 2 * (OBJECTS - 1)
    assert set(batch.labels.tolist()) == {1, 2}
    assert batch.instances.max() == 3
    assert len(batch.whole.positions) == 2 * (FLOOR + OBJECTS)
    torch.testing.assert_close(batch.whole.positions[batch.kept], batch.positions)
    # a network that gives every point that it sees its class has the one point of an object in the floor wrong
    found = {"logits": torch.nn.functional.one_hot(batch.labels, 3).float()}
    complete, whole = restore(found, batch)
    scores = segmentation_metrics()
    scores.update(complete["logits"], whole)
    wanted = (FLOOR / (FLOOR + 1) + (OBJECTS / 2 - 1) / (OBJECTS / 2) + 1) / 3
    assert float(scores.compute()["miou"]) == pytest.approx(wanted)
    assert float(scores.compute()["accuracy"]) == pytest.approx(1 - 1 / (FLOOR + OBJECTS))


def test_parts_and_votes_are_put_back():
    batch = next(ScanClouds(find_floors([room(), room("other", 1)], ROOMS)).batches(2))
    network = build_network(ModelSettings(classes=3, sigma=(0.1, 0.3), scalars=4, vectors=2, cells=9), rng=None).eval()
    found = network(**batch.inputs())
    complete, whole = restore(found, batch)
    floor = ~batch.kept
    for name in ("parts", "votes", "certainty"):
        assert torch.equal(complete[name][:, batch.kept], found[name])
    for cloud in (0, 1):
        mine = complete["parts"][:, floor & (whole.graph_index == cloud)]
        assert (mine == mine[0, 0]).all()
        assert not torch.isin(mine[0, 0], found["parts"])
    torch.testing.assert_close(complete["votes"][-1][floor], whole.positions[floor])
    kept, same = restore(found, replace(batch, whole=None, kept=None))
    assert kept is found
    assert same.whole is None


def test_scores_are_of_all_points_whatever_the_network_sees():
    scans = [room(), room("other", 1)]
    found = {}
    for name in ("apen", "pointnet"):
        network = build_network(
            ModelSettings(network=name, classes=3, sigma=(0.2,), scalars=4, cells=9),
            rng=torch.Generator().manual_seed(0),
        ).eval()
        found[name] = measure_set(network, ScanClouds(find_floors(scans, ROOMS)), 2, ("a", "b", "c"))
        assert found[name].arrays["confusion"].sum() == 2 * (FLOOR + OBJECTS)
        assert len(found[name].arrays["positions"]) == len(found[name].arrays["labels"]) == FLOOR + OBJECTS
    assert found["apen"].arrays["parts"].shape == (2, FLOOR + OBJECTS)


def test_draws_are_those_of_the_seed_and_moved_clouds_leave_it_behind():
    one, other = (find_floors([room()], ROOMS)[0] for _ in range(2))
    assert torch.equal(one.floor, other.floor)
    assert int(one.floor.sum()) == FLOOR + 1
    moved = DrawnClouds(ScanClouds([one]), motions=RandomMotions())[0]
    assert len(moved.positions) == OBJECTS - 1
    assert moved.whole is None


def test_refuses_in_words():
    flat = torch.rand(20, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 1.0, 0.0])
    with pytest.raises(DataError, match="nothing but a floor"):
        find_floor("flat", flat, ROOMS, torch.Generator().manual_seed(0))
    with pytest.raises(DataError, match="no floor") as wrong:
        find_floor("flat", flat, replace(ROOMS, up="x"), torch.Generator().manual_seed(0))
    assert "data.up" in wrong.value.fix
    with pytest.raises(DataError, match="no floor"):
        find_floor("few", flat[:2], ROOMS, torch.Generator().manual_seed(0))
    batch = make_batch(flat, torch.arange(20) // 10, 2)
    with pytest.raises(DataError) as empty:
        leave_out(batch, torch.arange(20) >= 10)
    assert "[1]" in empty.value.got
    for source in ("human", "multibody"):
        with pytest.raises(ConfigError):
            DataSettings(source=source, remove_floor=True, train=("train",))
    with pytest.raises(ConfigError):
        DataSettings(source="rooms", remove_floor=True, floor_distance=0.0)


@pytest.mark.data("apen_rooms/rooms.npz")
def test_the_floor_of_every_room_is_found():
    """Floors lie at height zero, noise is 3 mm: what is left out lies within 4 cm of it, and is nearly all of that."""
    with np.load(find_data("apen_rooms/rooms.npz")) as stored:
        for scene in range(int(stored["n_scenes"])):
            for points in torch.from_numpy(stored[f"points_{scene}"]):
                floor = find_floor(str(scene), points, ROOMS, torch.Generator().manual_seed(0))
                assert float(points[floor, 2].abs().max()) < 0.04
                assert float(floor[points[:, 2].abs() < 0.005].double().mean()) > 0.98


@pytest.mark.data("apen_rooms/rooms.npz")
def test_every_command_leaves_it_out(tmp_path, capsys):
    run = str(tmp_path / "run")
    changes = ["--model.network", "dgcnn", "--data.remove_floor", "true"]
    assert main(["train", "apen/rooms", "--scale", "smoke", "--output", run, *changes]) == 0
    assert main(["evaluate", run]) == 0
    found = Evaluation.read(run)
    assert found.array("test", "confusion").sum() == 2 * 256
    assert main(["check", run]) == 0
    scan = room()
    np.savez(tmp_path / "room.npz", points=scan.points.numpy())
    assert main(["predict", run, str(tmp_path / "room.npz"), "--output", str(tmp_path)]) == 0
    labels = read_cloud(tmp_path / "room.predicted.npz").labels
    assert (labels[:FLOOR] == 0).all()
    assert f'"floor_points": {FLOOR + 1}' in (tmp_path / "room.predicted.json").read_text()
    assert main(["report", run]) == 0


def test_points_that_are_not_finite_are_not_called_a_missing_floor():
    points = torch.rand(50, 3, generator=torch.Generator().manual_seed(0))
    points[3, 1] = torch.nan
    with pytest.raises(NumericsError, match="scan: points are not finite"):
        find_floor("scan", points, DataSettings(), torch.Generator().manual_seed(0))
