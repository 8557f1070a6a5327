"""Scans: rooms, DynLab, MultiBodySync folders and one's own files; learning from one scan; bad input."""

import os
import pickle
import zipfile

import numpy as np
import pytest
import torch
from apen_samples import rigid, write_multibody, write_rooms

from intertwine.errors import DataError
from intertwine.points import Cloud, write_cloud
from intertwine.points.ply import ply_bytes
from intertwine.systems.apen.data import ScanClouds, make_scan, one_shot, read_scene
from intertwine.systems.apen.data.dynlab import read_dynlab, read_poses
from intertwine.systems.apen.data.files import folder_classes, read_scans
from intertwine.systems.apen.data.multibody import read_multibody, read_multibody_item
from intertwine.training import find_data


def scan(points=20, labels=3, name="a scan", seed=0):
    rng = np.random.default_rng(seed)
    return make_scan(name, rng.normal(size=(points, 3)), rng.permutation(np.arange(points) % labels))


# --- drawing and learning from one -----------------------------------------------------------------------


def test_points_are_drawn_without_putting_back():
    clouds = ScanClouds([scan(20), scan(8, seed=1)], points=12)
    batch = clouds.__getitems__([0, 1, 0])
    assert batch.graph_index.bincount().tolist() == [12, 8, 12], "a scan with fewer points gives all"
    assert len(batch.positions[:12].unique(dim=0)) == 12
    whole = clouds.scans[0]
    for row in range(12):
        (place,) = (whole.points == batch.positions[row]).all(1).nonzero().flatten().tolist()
        assert whole.labels[place] == batch.labels[row]
    assert torch.equal(batch.positions[:12], batch.positions[20:])
    assert torch.equal(ScanClouds([whole])[0].positions, whole.points)
    drawn = [clouds.draw([0], [torch.Generator().manual_seed(seed)]).positions for seed in range(2)]
    assert not torch.equal(*drawn)


def test_centres_are_those_of_the_drawn_points():
    batch = ScanClouds([scan(20)], points=12)[0]
    for part in batch.instances.unique():
        mine = batch.instances == part
        assert torch.allclose(batch.centres[mine], batch.positions[mine].mean(0), atol=1e-6)


def test_one_scan_is_learnt_and_the_others_tested():
    scans = [scan(name=str(place), seed=place) for place in range(4)]
    learnt, others = one_shot(scans, 2)
    assert [s.name for s in learnt] == ["2"]
    assert [s.name for s in others] == ["0", "1", "3"]
    with pytest.raises(DataError, match="no such configuration"):
        one_shot(scans, 4)
    with pytest.raises(DataError, match="labels that") as caught:
        one_shot([scan(labels=2), scan(labels=4, name="b")], 0)
    assert caught.value.got == [2, 3]
    with pytest.raises(DataError, match="needs labels"):
        one_shot([scan(), make_scan("b", np.zeros((3, 3)))], 0)


def test_what_only_some_scans_have_is_refused():
    with pytest.raises(DataError, match="some clouds have labels") as caught:
        ScanClouds([scan(), make_scan("bare", np.zeros((3, 3)))])
    assert "bare" in caught.value.got
    assert ScanClouds([make_scan("bare", np.zeros((3, 3)))])[0].labels is None


@pytest.mark.parametrize(
    ("points", "labels", "words"),
    [
        (np.zeros((0, 3)), None, "no points"),
        (np.zeros((4, 2)), None, "no points"),
        (np.full((4, 3), np.nan), None, "no points"),
        (np.zeros((4, 3)), [0, 1, 2], "do not fit"),
        (np.zeros((4, 3)), [0, 1, 2, -1], "out of range"),
        (np.zeros((4, 3)), [0, 1, 2, 0.5], "not whole"),
    ],
)
def test_scans_that_are_none(points, labels, words):
    with pytest.raises(DataError, match=words):
        make_scan("given", points, labels)


# --- rooms -----------------------------------------------------------------------------------------------


def test_rooms(tmp_path):
    scene = read_scene(write_rooms(tmp_path / "rooms.npz"), "1")
    assert scene.class_names == ("floor and walls", "round table", "round table")
    assert len(scene.scans) == 3
    assert scene.poses.shape == (3, 2, 4, 4)
    for place, one in enumerate(scene.scans):
        for label in (1, 2):
            centre = one.points[one.labels == label].mean(0).double()
            assert torch.allclose(centre, scene.poses[place, label - 1, :3, 3], atol=0.1)


@pytest.mark.data("apen_rooms/rooms.npz")
def test_shipped_rooms():
    kinds = [0, 0]
    for number in range(8):
        scene = read_scene(find_data("apen_rooms/rooms.npz"), number)
        assert len(scene.scans) == 8
        for one in scene.scans:
            assert one.points.shape == (4096, 3)
            counts = torch.bincount(one.labels)
            assert len(counts) == len(scene.class_names)
            assert int(counts.min()) >= 40
        kinds = [min(kinds[0] or 9, len(scene.class_names)), max(kinds[1], len(scene.class_names))]
    assert kinds == [6, 8], "five to seven objects, and the room"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a: a.pop("poses_0"), "lacks poses_0"),
        (lambda a: a.pop("kind_names"), "lacks kind_names"),
        (lambda a: a.update(labels_0=a["labels_0"] + 1), "label without an object"),
        (lambda a: a.update(labels_0=a["labels_0"][:, :5]), "do not fit"),
        (lambda a: a.update(points_0=a["points_0"] * np.nan), "no points"),
        (lambda a: a.update(points_0=a["points_0"][:, :0], labels_0=a["labels_0"][:, :0]), "no points"),
    ],
)
def test_damaged_rooms_are_refused(tmp_path, change, words):
    with pytest.raises(DataError, match=words):
        read_scene(write_rooms(tmp_path / "rooms.npz", change=change), 0)


def test_a_scene_that_does_not_exist(tmp_path):
    path = write_rooms(tmp_path / "rooms.npz")
    for scene in (2, "kitchen"):
        with pytest.raises(DataError, match="no such scene") as caught:
            read_scene(path, scene)
        assert caught.value.expected == "0, 1"
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(DataError, match="damaged"):
        read_scene(path, 0)


# --- DynLab ----------------------------------------------------------------------------------------------


@pytest.fixture
def dynlab(tmp_path):
    """Two scenes, of eleven configurations and of one."""
    rng = np.random.default_rng(0)
    for scene, configurations in [("office", 11), ("lab-2", 1)]:
        for place in range(configurations):
            points = rng.normal(size=(9, 3)).astype(np.float32)
            points[0, 0] = place
            columns = {axis: points[:, i] for i, axis in enumerate("xyz")}
            columns |= {name: np.zeros(9, np.uint8) for name in ("red", "green", "blue")}
            columns["idx"] = np.arange(9, dtype=np.int32) % 3
            (tmp_path / f"{scene}-{place}.ply").write_bytes(ply_bytes(columns, text=place % 2 == 0))
    return tmp_path


def test_dynlab_scenes(dynlab):
    scans = read_dynlab(dynlab, "office")
    assert [one.name for one in scans] == [f"office-{place}" for place in range(11)], "10 comes after 9"
    assert [float(one.points[0, 0]) for one in scans] == list(range(11))
    assert scans[3].labels.tolist() == [0, 1, 2] * 3
    assert [one.name for one in read_dynlab(dynlab, "lab-2")] == ["lab-2-0"]
    with pytest.raises(DataError, match="no such scene") as caught:
        read_dynlab(dynlab, "kitchen")
    assert caught.value.expected == "lab-2, office"
    with pytest.raises(DataError, match="no such scene"):
        read_dynlab(dynlab / "nowhere", "office")


def test_damaged_dynlab_scans(dynlab):
    path = dynlab / "office-1.ply"
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(DataError, match=r"office-1.ply is cut off"):
        read_dynlab(dynlab, "office")
    path.write_bytes(ply_bytes({axis: np.zeros(2, np.float32) for axis in "xyz"}))
    with pytest.raises(DataError, match="lacks idx"):
        read_dynlab(dynlab, "office")


@pytest.mark.parametrize("numbered", [True, False])
@pytest.mark.parametrize("rows", [1, 4])
def test_poses_of_dynlab(tmp_path, numbered, rows):
    rng = np.random.default_rng(0)
    keys = [4, 1] if numbered else [0, 1]
    poses = {key: rigid(rng) for key in keys}
    text = ""
    for key, pose in poses.items():
        lines = [" ".join(map(repr, map(float, row))) for row in pose]
        text += f"{key}{' ' if rows == 1 else chr(10)}" if numbered else ""
        text += (" " if rows == 1 else "\n").join(lines) + "\n"
    (tmp_path / "lab-0.pose").write_text(text)
    found = read_poses(tmp_path, "lab-0")
    assert list(found) == keys
    for key in keys:
        assert found[key].numpy() == pytest.approx(poses[key], abs=1e-12)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "no poses of this scan"),
        ("1 2 3\n", "cannot|can be read"),
        ("0 1 0 0 0 0 1 0 zero\n", "can be read"),
        ("1 0 0 0\n0 1 0 0\n0 0 1 0\n", "can be read"),
        ("2 0 0 0\n0 1 0 0\n0 0 1 0\n0 0 0 1\n", "no rigid motion"),
        ("1 0 0 0\n0 1 0 0\n0 0 1 0\n0 0 1 1\n", "no rigid motion"),
    ],
)
def test_poses_that_are_none(tmp_path, text, words):
    if text is not None:
        (tmp_path / "lab-0.pose").write_text(text)
    with pytest.raises(DataError, match=words):
        read_poses(tmp_path, "lab-0")


# --- MultiBodySync ---------------------------------------------------------------------------------------


def test_multibody_folders(tmp_path):
    clouds, parts, poses = write_multibody(tmp_path)
    item = read_multibody_item(tmp_path, 7)
    assert [one.name for one in item.scans] == [f"000007 view {view}" for view in range(3)]
    assert item.scans[1].labels.tolist() == (parts - 1).tolist()
    assert item.cameras.numpy() == pytest.approx(np.stack(poses["cam"]), abs=0)
    for part in (0, 1):
        motion = item.motion(part, 0, 2).numpy()
        mine = clouds[0][parts == part + 1]
        assert mine @ motion[:3, :3].T + motion[:3, 3] == pytest.approx(clouds[2][parts == part + 1], abs=1e-9)
    assert len(read_multibody(tmp_path, ("train",))) == 3


def test_multibody_folders_that_are_none(tmp_path):
    with pytest.raises(DataError, match=r"meta.json"):
        read_multibody(tmp_path, ("train",))
    write_multibody(tmp_path)
    with pytest.raises(DataError, match="no such split") as caught:
        read_multibody(tmp_path, ("val",))
    assert caught.value.expected == "train, test"
    for text in ("{", "[1]", '{"train": 7}', '{"train": ["x"]}'):
        (tmp_path / "meta.json").write_text(text)
        with pytest.raises(DataError, match="damaged"):
            read_multibody(tmp_path, ("train",))
    (tmp_path / "meta.json").write_text('{"train": [8]}')
    with pytest.raises(DataError, match="no such item"):
        read_multibody(tmp_path, ("train",))


class Runs:
    """Pickles into a command."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def test_a_foreign_pickle_is_refused_and_nothing_runs(tmp_path):
    trace = tmp_path / "trace"
    write_multibody(tmp_path, trans={"cam": Runs(f"touch {trace}")})
    with pytest.raises(DataError, match="which such a file does not need") as caught:
        read_multibody_item(tmp_path, 7)
    assert "system" in caught.value.got
    assert "000007.npz" in str(caught.value)
    assert not trace.exists()
    np.load(tmp_path / "data" / "000007.npz", allow_pickle=True)["trans"]
    assert trace.exists(), "an ordinary reader runs it"


def poses_of(views=3, **changes):
    rng = np.random.default_rng(1)
    return {"cam": None, 1: None, 2: None, **changes} | {
        name: [rigid(rng) for _ in range(views)] for name in ("cam", 1, 2) if name not in changes
    }


@pytest.mark.parametrize(
    ("trans", "words"),
    [
        ({"cam": [np.eye(4)] * 3, 1: [np.eye(4)] * 3}, r"lacks poses"),
        ({1: [np.eye(4)] * 3, 2: [np.eye(4)] * 3}, r"lacks poses"),
        ({"cam": [np.eye(4)] * 2, 1: [np.eye(4)] * 3, 2: [np.eye(4)] * 3}, "poses of cam are damaged"),
        ({"cam": [np.eye(3)] * 3, 1: [np.eye(4)] * 3, 2: [np.eye(4)] * 3}, "poses of cam do not fit"),
        ({"cam": [2 * np.eye(4)] * 3, 1: [np.eye(4)] * 3, 2: [np.eye(4)] * 3}, "no rigid motion"),
        ([1, 2], "no mapping"),
    ],
)
def test_missing_and_damaged_poses(tmp_path, trans, words):
    write_multibody(tmp_path, trans=trans)
    with pytest.raises(DataError, match=words):
        read_multibody_item(tmp_path, 7)


def test_poses_may_be_one_array_and_in_any_protocol(tmp_path):
    _, _, poses = write_multibody(tmp_path)
    write_multibody(tmp_path, trans={name: np.stack(held) for name, held in poses.items()})
    assert read_multibody_item(tmp_path, 7).poses.shape == (2, 3, 4, 4)
    path = tmp_path / "data" / "000007.npz"
    with zipfile.ZipFile(path) as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    stored = held["trans.npy"]
    begin = stored.index(b"\n") + 1
    for protocol in range(2, 6):
        held["trans.npy"] = stored[:begin] + pickle.dumps(np.array(poses, dtype=object), protocol=protocol)
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in held.items():
                archive.writestr(name, content)
        assert torch.equal(read_multibody_item(tmp_path, 7).cameras, torch.from_numpy(np.stack(poses["cam"])))


def test_damaged_multibody_archives(tmp_path):
    write_multibody(tmp_path)
    path = tmp_path / "data" / "000007.npz"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match="damaged"):
        read_multibody_item(tmp_path, 7)
    np.savez(path, pc=np.zeros((1, 2, 3)), segm=np.ones((1, 2), int))
    with pytest.raises(DataError, match="lacks trans"):
        read_multibody_item(tmp_path, 7)
    np.savez(path, pc=np.zeros((1, 2, 3)), segm=np.ones((1, 2), int), trans=np.eye(4))
    with pytest.raises(DataError, match="no mapping"):
        read_multibody_item(tmp_path, 7)
    np.savez(path, pc=np.zeros((1, 2, 3)), segm=np.zeros((1, 2), int), trans=np.array({"cam": [np.eye(4)]}, object))
    with pytest.raises(DataError, match="do not fit"):
        read_multibody_item(tmp_path, 7)
    np.savez(path, pc=np.zeros((1, 0, 3)), segm=np.zeros((1, 0), int), trans=np.array({"cam": [np.eye(4)]}, object))
    with pytest.raises(DataError, match="do not fit"):
        read_multibody_item(tmp_path, 7)


# --- files -----------------------------------------------------------------------------------------------


def cloud(labels=(0, 1, 1), instances=None):
    return Cloud(np.eye(3), labels=np.array(labels), instances=None if instances is None else np.array(instances))


def test_files_and_folders(tmp_path):
    write_cloud(tmp_path / "chairs" / "b.ply", cloud())
    write_cloud(tmp_path / "chairs" / "deep" / "a.npz", cloud((2, 2, 2), (5, 5, 7)))
    (tmp_path / "chairs" / "notes.txt").write_text("no cloud")
    found = read_scans([str(tmp_path / "chairs"), str(tmp_path / "chairs" / "b.ply")])
    assert [one.name for one in found.values()] == ["b.ply", "deep/a.npz"], "a file that is named twice is read once"
    first, second = found.values()
    assert first.parts.tolist() == first.labels.tolist() == [0, 1, 1]
    assert second.parts.tolist() == [5, 5, 7]
    assert folder_classes(list(found)) == ("chairs", "deep")


def test_files_that_cannot_be_used(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no cloud in this folder"):
        read_scans([str(tmp_path / "empty")])
    with pytest.raises(DataError, match="no such file"):
        read_scans([str(tmp_path / "absent.ply")])
    write_cloud(tmp_path / "a.ply", cloud((0, -1, 2)))
    with pytest.raises(DataError, match=r"a.ply: a label is out of range"):
        read_scans([str(tmp_path / "a.ply")])
