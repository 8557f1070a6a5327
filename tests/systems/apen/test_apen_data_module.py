"""The data of recipes: every source, loaders, epochs, motions of training clouds, and what recipes cannot have."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from apen_samples import write_bodies, write_multibody, write_rooms

from intertwine.errors import ConfigError, DataError
from intertwine.points import Cloud, write_cloud
from intertwine.points.ply import ply_bytes
from intertwine.systems.apen.data import DrawnClouds, RandomMotions, ScanClouds, make_data, make_scan
from intertwine.systems.apen.settings import ApenRecipe, DataSettings, LossSettings, ModelSettings
from intertwine.training.recipes import load_recipe
from intertwine.training.settings import TrainingSettings

BODIES = {"source": "human", "points": 20, "test_sequences": ("jump",)}


def made(path, task="segment", classes=14, network="apen", seed=0, workers=0, loss=None, **settings):
    recipe = ApenRecipe(
        data=DataSettings(path=None if path is None else str(path), **settings),
        model=ModelSettings(task=task, classes=classes, network=network),
        loss=loss or LossSettings(),
        training=TrainingSettings(batch_size=4, validation_batch_size=3, data_workers=workers),
        seed=seed,
    )
    data = make_data(recipe)
    data.setup()
    return data


def epoch(loader, number):
    loader.sampler.set_epoch(number)
    return list(loader)


# --- sources ---------------------------------------------------------------------------------------------


def test_bodies(tmp_path):
    data = made(write_bodies(tmp_path / "bodies"), **BODIES)
    assert (len(data.train_clouds), len(data.validation_clouds)) == (17, 1)
    assert {name: len(clouds) for name, clouds in data.test_sets.items()} == {"test": 6}
    assert data.class_names == ("torso", "hand")
    batches = data.train_dataloader()
    assert [batch.num_graphs for batch in batches] == [4, 4, 4, 4, 1]
    (test,) = data.test_dataloader()
    assert [batch.num_graphs for batch in test] == [3, 3]
    assert all(len(batch.positions) == 20 * batch.num_graphs for batch in batches)
    names = {name for clouds in (data.train_clouds, data.validation_clouds) for name in clouds.names}
    assert len(names) == 18
    assert not any("jump" in name for name in names)
    assert all("jump" in name for name in data.test_sets["test"].names)
    assert made(tmp_path / "bodies", task="classify", **BODIES).class_names == ("large", "small")
    assert made(tmp_path / "bodies", labels=22, **BODIES).class_names == ("torso", "L_hand", "R_hand")


def test_numbers_of_clouds_and_points(tmp_path):
    folder = write_bodies(tmp_path / "bodies")
    data = made(folder, train_clouds=5, test_clouds=2, test_points=30, draws=3, **BODIES)
    assert (len(data.train_clouds), len(data.validation_clouds), len(data.test_sets["test"])) == (5, 1, 2)
    assert len(data.test_sets["test"][0].positions) == len(data.validation_clouds[0].positions) == 30
    assert sum(batch.num_graphs for batch in data.train_dataloader()) == 15
    assert not set(data.train_clouds.names) & set(data.validation_clouds.names)
    for kind in ("train", "test"):
        with pytest.raises(DataError, match=f"fewer clouds to {kind} on"):
            made(folder, **{f"{kind}_clouds": 50}, **BODIES)


def test_rooms_learn_from_one_scan(tmp_path):
    path = write_rooms(tmp_path / "rooms.npz")
    data = made(path, source="rooms", scene=1, configuration=2, points=20, test_points=50, draws=6)
    assert data.train_clouds.names == data.validation_clouds.names == ["scene 1, configuration 2"]
    assert data.test_sets["test"].names == [f"scene 1, configuration {place}" for place in (0, 1)]
    assert data.class_names == ("floor and walls", "round table", "round table")
    batches = list(data.train_dataloader())
    assert [batch.num_graphs for batch in batches] == [4, 2]
    assert not torch.equal(batches[0].positions[:20], batches[0].positions[20:40])
    assert len(data.test_sets["test"][0].positions) == 50
    with pytest.raises(DataError, match="no such scene"):
        made(path, source="rooms", scene=5)
    with pytest.raises(DataError, match="no such configuration"):
        made(path, source="rooms", configuration=3)


def test_dynlab_in_both_layouts(tmp_path):
    rng = np.random.default_rng(0)
    for place in range(3):
        columns = {axis: rng.normal(size=12).astype(np.float32) for axis in "xyz"}
        columns["idx"] = np.array([2, 5, 9], np.int32)[rng.permutation(12) % 3]
        (tmp_path / f"lab-{place}.ply").write_bytes(ply_bytes(columns))
    data = made(tmp_path, source="dynlab", scene="lab", points=None)
    assert data.class_names == ("object 2", "object 5", "object 9")
    assert len(data.test_sets["test"]) == 2
    assert sorted(data.train_clouds[0].labels.unique().tolist()) == [0, 1, 2]
    write_multibody(tmp_path / "processed")
    data = made(tmp_path / "processed", source="dynlab", scene=7, configuration=1, points=8)
    assert data.train_clouds.names == ["000007 view 1"]
    assert data.class_names == ("object 0", "object 1")


def test_multibody(tmp_path):
    write_multibody(tmp_path)
    data = made(tmp_path, source="multibody", train=("train",), test=("test",), validation_fraction=0.4)
    assert (len(data.train_clouds), len(data.validation_clouds), len(data.test_sets["test"])) == (2, 1, 3)
    assert data.class_names == ("part 1", "part 2")


def test_files(tmp_path):
    rng = np.random.default_rng(0)
    for kind, count in [("cup", 3), ("bowl", 2)]:
        for place in range(count):
            labels = np.arange(10) % (3 if kind == "cup" else 2)
            write_cloud(tmp_path / "all" / kind / f"{place}.ply", Cloud(rng.normal(size=(10, 3)), labels=labels))
    write_cloud(tmp_path / "test" / "cup" / "0.ply", Cloud(rng.normal(size=(7, 3)), labels=np.full(7, 3)))
    names = {"source": "files", "train": (str(tmp_path / "all"),), "test": (str(tmp_path / "test"),)}
    data = made(None, points=6, **names)
    assert data.class_names == ("0", "1", "2", "3")
    assert (len(data.train_clouds), len(data.validation_clouds), len(data.test_sets["test"])) == (4, 1, 1)
    data = made(None, task="classify", points=6, **names)
    assert data.class_names == ("bowl", "cup")
    subjects = {name: int(data.train_clouds[place].subjects) for place, name in enumerate(data.train_clouds.names)}
    assert all(name.startswith(data.class_names[subject]) for name, subject in subjects.items())
    assert data.test_sets["test"][0].subjects.tolist() == [1]
    assert not made(None, **(names | {"test": ()})).test_sets
    with pytest.raises(ConfigError, match="fewer classes") as caught:
        made(None, classes=3, **names)
    assert "0, 1, 2, 3" in str(caught.value)


def test_clouds_that_lack_what_is_to_be_learnt(tmp_path):
    for place in range(2):
        write_cloud(tmp_path / f"{place}.ply", Cloud(np.eye(3) + place))
    names = {"source": "files", "train": (str(tmp_path),)}
    with pytest.raises(DataError, match="no classes to segment"):
        made(None, **names)
    with pytest.raises(DataError, match="no classes to classify"):
        made(None, task="classify", **names)
    for kind in "ab":
        write_cloud(tmp_path / "sorted" / kind / "0.ply", Cloud(np.eye(3)))
    names["train"] = (str(tmp_path / "sorted"),)
    with pytest.raises(DataError, match="true parts"):
        made(None, task="classify", **names)
    without = LossSettings(votes=0.0)
    assert made(None, task="classify", loss=without, **names).train_clouds[0].instances is None
    assert made(None, task="classify", network="pointnet", **names).class_names == ("a", "b")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"points": 0}, "points"),
        ({"points": None}, "a number"),
        ({"draws": 0}, "draws"),
        ({"source": "files"}, "names to train on"),
        ({"source": "multibody"}, "names to train on"),
        ({"validation_fraction": 1.0}, "validation_fraction"),
        ({"shift": -1.0}, "shift"),
    ],
)
def test_settings_that_are_none(settings, words):
    with pytest.raises(ConfigError, match=words):
        DataSettings(**settings)


# --- epochs ----------------------------------------------------------------------------------------------


def test_points_are_new_in_each_epoch_and_the_same_in_the_same(tmp_path):
    folder = write_bodies(tmp_path / "bodies")
    loader = made(folder, **BODIES).train_dataloader()
    first, second, again = (epoch(loader, number) for number in (0, 1, 0))
    assert all(torch.equal(a.positions, b.positions) for a, b in zip(first, again, strict=True))
    resumed = epoch(made(folder, **BODIES).train_dataloader(), 1)
    assert all(torch.equal(a.positions, b.positions) for a, b in zip(second, resumed, strict=True))
    other = epoch(made(folder, seed=1, **BODIES).train_dataloader(), 0)
    held = [torch.cat([batch.positions for batch in batches]) for batches in (first, second, other)]
    for one, two in [(0, 1), (0, 2), (1, 2)]:
        assert not (held[one].unsqueeze(1) == held[two]).all(-1).any(), "no point is drawn twice"


def test_the_whole_is_the_same_with_workers(tmp_path):
    folder = write_bodies(tmp_path / "bodies")
    loaders = [made(folder, workers=workers, **BODIES).train_dataloader() for workers in (0, 1)]
    for number in (0, 1):
        for one, two in zip(*(epoch(loader, number) for loader in loaders), strict=True):
            assert torch.equal(one.positions, two.positions)
            assert torch.equal(one.instances, two.instances)


# --- motions ---------------------------------------------------------------------------------------------


def moving(pieces, axis="any", shift=0.0):
    rng = np.random.default_rng(0)
    scans = [make_scan(str(place), rng.normal(size=(12, 3)), np.arange(12) % 3) for place in range(2)]
    clouds = ScanClouds(scans)
    moved = DrawnClouds(clouds, motions=RandomMotions(pieces, axis, shift)).__getitems__([0, 1])
    return clouds.__getitems__([0, 1]), moved


def distances(points):
    return (points.unsqueeze(1) - points).norm(dim=-1)


@pytest.mark.parametrize("pieces", [False, True])
@pytest.mark.parametrize("shift", [0.0, 2.0])
def test_what_moves_keeps_its_distances(pieces, shift):
    still, moved = moving(pieces, shift=shift)
    index = still.instances if pieces else still.graph_index
    for number in index.unique():
        mine = index == number
        assert torch.allclose(distances(still.positions[mine]), distances(moved.positions[mine]), atol=1e-5)
        gone = (still.positions[mine].mean(0) - moved.positions[mine].mean(0)).norm()
        assert float(gone) > 0.1 if shift else float(gone) < 1e-6
    whole = torch.allclose(distances(still.positions[:12]), distances(moved.positions[:12]), atol=1e-2)
    assert whole != pieces
    for part in still.instances.unique():
        mine = still.instances == part
        assert torch.allclose(moved.centres[mine], moved.positions[mine].mean(0), atol=1e-6)
    assert torch.equal(still.labels, moved.labels)


@pytest.mark.parametrize("axis", ["x", "y", "z"])
def test_turns_about_an_axis(axis):
    still, moved = moving(False, axis)
    kept = "xyz".index(axis)
    assert torch.allclose(still.positions[:, kept], moved.positions[:, kept], atol=1e-6)
    others = [i for i in range(3) if i != kept]
    assert not torch.allclose(still.positions[:, others], moved.positions[:, others], atol=0.1)


def test_turns_are_rotations():
    for axis in ("any", "x", "y", "z"):
        turns, shifts = RandomMotions(axis=axis, shift=2.0)._draw(4000, torch.Generator().manual_seed(0))
        assert torch.allclose(turns @ turns.mT, torch.eye(3, dtype=torch.float64), atol=1e-12)
        assert torch.allclose(turns.det(), torch.ones(4000, dtype=torch.float64))
        assert float(shifts.std()) == pytest.approx(2.0, rel=0.03)
        fixed = torch.eye(3, dtype=torch.float64)["xyz".index(axis)] if axis != "any" else torch.zeros(3)
        assert turns.mean(0).numpy() == pytest.approx(torch.outer(fixed, fixed).numpy(), abs=0.04)


def test_unknown_parts_cannot_move():
    clouds = ScanClouds([make_scan("bare", np.eye(3))])
    with pytest.raises(DataError, match="cannot be moved"):
        DrawnClouds(clouds, motions=RandomMotions(pieces=True))[0]
    assert DrawnClouds(clouds, motions=RandomMotions())[0].centres is None


def test_recipes_move_training_clouds_only(tmp_path):
    path = write_rooms(tmp_path / "rooms.npz")
    plain, moved = (
        made(path, source="rooms", points=None, augmentation=kind, axis="z", shift=0.5)
        for kind in ("none", "piecewise")
    )
    one, two = (next(iter(data.train_dataloader())) for data in (plain, moved))
    assert torch.equal(one.labels, two.labels)
    assert not torch.allclose(one.positions, two.positions, atol=0.1)
    assert torch.equal(plain.validation_clouds[0].positions, moved.validation_clouds[0].positions)


# --- recipes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", ["paper", "cpu", "smoke"])
@pytest.mark.parametrize("name", ["human-parts", "human-parts-22", "human-subjects", "rooms"])
@pytest.mark.data("apen_human", "apen_rooms/rooms.npz")
def test_recipes_find_their_clouds(name, scale):
    recipe = load_recipe(f"apen/{name}", scale=scale).recipe
    data = make_data(recipe)
    data.setup()
    assert len(data.class_names) == recipe.model.classes
    batch = next(iter(data.train_dataloader()))
    assert batch.num_graphs == recipe.training.batch_size
    assert len(batch.positions) == batch.num_graphs * recipe.data.points
    assert batch.centres is not None
    if name == "rooms":
        assert len(data.test_sets["test"]) == (2 if scale == "smoke" else 7)


@pytest.mark.data("apen_rooms/rooms.npz")
@pytest.mark.parametrize("scene", range(8))
def test_every_room_can_be_learnt(scene):
    recipe = load_recipe("apen/rooms", scale="cpu").recipe
    data = make_data(replace(recipe, data=replace(recipe.data, scene=str(scene))))
    data.setup()
    assert 6 <= len(data.class_names) <= 8
