"""Reading and writing clouds: every format, round trips, an independent reader; and files that cannot be used."""

import numpy as np
import pytest

from intertwine.errors import DataError
from intertwine.points import Cloud, read_cloud, read_clouds, write_cloud, write_clouds
from intertwine.points.ply import parse_ply, ply_bytes


@pytest.fixture
def cloud():
    rng = np.random.default_rng(0)
    points, normals = rng.normal(size=(2, 7, 3)).astype(np.float32)
    return Cloud(points, normals, np.arange(7) - 2, rng.integers(0, 256, (7, 3)), "given", np.arange(7) // 3)


def same(one, other, *, keys=("points", "normals", "labels", "colours", "instances")):
    for key in keys:
        np.testing.assert_array_equal(getattr(one, key), getattr(other, key))


@pytest.mark.parametrize(("name", "text"), [("a.ply", False), ("a.ply", True), ("a.npz", False)])
def test_what_is_written_is_read_again(tmp_path, cloud, name, text):
    path = write_cloud(tmp_path / "new" / name, cloud, text=text)
    same(read_cloud(path), cloud)
    assert [file.name for file in path.parent.iterdir()] == [name], "nothing temporary is left"
    bare = read_cloud(write_cloud(tmp_path / name, Cloud(cloud.points), text=text))
    assert bare.normals is None
    assert bare.labels is None
    assert bare.instances is None


@pytest.mark.parametrize("text", [False, True])
def test_other_programs_read_our_ply(tmp_path, cloud, text):
    trimesh = pytest.importorskip("trimesh")
    loaded = trimesh.load(write_cloud(tmp_path / "a.ply", cloud, text=text))
    np.testing.assert_allclose(loaded.vertices, cloud.points, rtol=1e-7)
    np.testing.assert_array_equal(np.asarray(loaded.colors)[:, :3], cloud.colours)


def test_ply_of_other_programs_is_read(tmp_path):
    trimesh = pytest.importorskip("trimesh")
    box = trimesh.creation.box()
    for encoding in ("ascii", "binary"):
        (tmp_path / "a.ply").write_bytes(box.export(file_type="ply", encoding=encoding, vertex_normal=True))
        found = read_cloud(tmp_path / "a.ply")
        np.testing.assert_allclose(found.points, box.vertices, atol=1e-7)
        np.testing.assert_allclose(found.normals, box.vertex_normals, atol=1e-7)
        assert parse_ply((tmp_path / "a.ply").read_bytes(), "a").faces == 12


def test_big_endian_doubles_and_other_properties(tmp_path):
    header = "ply\r\nformat binary_big_endian 1.0\r\ncomment x\r\nelement vertex 2\r\nproperty uchar flag\r\n"
    header += "".join(f"property double {axis}\r\n" for axis in "xyz") + "end_header\r\n"
    rows = np.array([(1, 0.1, 2, 3), (2, 4, 5, 6)], dtype=[("flag", "u1"), *((axis, ">f8") for axis in "xyz")])
    (tmp_path / "a.ply").write_bytes(header.encode() + rows.tobytes())
    assert read_cloud(tmp_path / "a.ply").points.tolist() == [[0.1, 2, 3], [4, 5, 6]]


@pytest.mark.parametrize(
    ("name", "text", "normals"),
    [
        ("a.csv", "x,y,z\n1,2,3\n4,5,6\n", None),
        ("a.csv", "1,2,3\n4,5,6\n", None),
        ("a.csv", "label,z,y,x,what\n7,3,2,1,0\n8,6,5,4,0\n", None),
        ("a.csv", "\ufeffX,Y,Z\n1,2,3\n4,5,6\n", None),
        ("a.csv", "\ufeff1,2,3\n4,5,6\n", None),
        ("A.CSV", "X,y,Z,Nx,NY,nZ\n1,2,3,0,0,1\n4,5,6,0,1,0\n", [[0, 0, 1], [0, 1, 0]]),
        ("a.xyz", "1 2 3 0 0 1\n4 5 6 0 1 0\n", [[0, 0, 1], [0, 1, 0]]),
        ("a.xyz", "1 2 3 0 0.6 0.801\n4 5 6 0 1 0\n", [[0, 0.6, 0.801], [0, 1, 0]]),
        # colours, from 0 to 255 and from 0 to 1
        ("a.xyz", "1 2 3 255 0 1\n4 5 6 0 1 0\n", None),
        ("a.xyz", "1 2 3 0 0 1\n4 5 6 0.5 1 0.2\n", None),
        ("a.obj", "# two\nv 1 2 3 0.5 0.5 0.5\nv 4 5 6\nvn 0 0 1\nvn 0 1 0\n", [[0, 0, 1], [0, 1, 0]]),
        ("a.obj", "v 1 2 3\nv 4 5 6\nvn 0 0 1\nf 1//1 2//1 2//1\n", None),
    ],
)
def test_tables_and_obj(tmp_path, name, text, normals):
    (tmp_path / name).write_text(text)
    found = read_cloud(tmp_path / name)
    assert found.points.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert (None if found.normals is None else found.normals.tolist()) == normals
    assert (found.labels is None) == ("label" not in text)


def test_many_clouds_in_one_file(tmp_path, cloud):
    rng = np.random.default_rng(1)
    points, labels = rng.normal(size=(4, 5, 3)), rng.integers(0, 9, (4, 5))
    np.savez(tmp_path / "many.npz", points=points, labels=labels, classes=np.arange(4))
    found = read_clouds(tmp_path / "many.npz")
    assert [one.name for one in found] == [f"many.npz[{place}]" for place in range(4)]
    for place, one in enumerate(found):
        np.testing.assert_array_equal(one.points, points[place])
        np.testing.assert_array_equal(one.labels, labels[place])
    with pytest.raises(DataError, match=r"holds several clouds") as caught:
        read_cloud(tmp_path / "many.npz")
    assert "points=points[0]" in caught.value.fix
    again = read_clouds(write_clouds(tmp_path / "again.npz", found))
    assert len(again) == 4
    for one, other in zip(found, again, strict=True):
        same(one, other)
    np.savez(tmp_path / "single.npz", points=points[:1])
    assert len(read_cloud(tmp_path / "single.npz")) == 5
    same(read_clouds(write_clouds(tmp_path / "one.ply", [cloud]))[0], cloud)


def test_many_clouds_that_do_not_fit_are_refused(tmp_path, cloud):
    for arrays, words in (
        ({"labels": np.zeros(3, int)}, "labels do not fit"),
        ({"labels": np.zeros((4, 6), int)}, r"a.npz\[0\]: labels do not fit"),
        ({"points": np.zeros((0, 5, 3))}, "no clouds"),
        ({"points": np.zeros((4, 0, 3))}, "no points"),
        ({"points": np.where(np.arange(60).reshape(4, 5, 3) == 40, np.nan, 0)}, r"a.npz\[2\].*not finite"),
    ):
        np.savez(tmp_path / "a.npz", **({"points": np.zeros((4, 5, 3))} | arrays))
        with pytest.raises(DataError, match=words):
            read_clouds(tmp_path / "a.npz")
    for name, clouds in (
        ("a.ply", [cloud, cloud]),
        ("a.npz", [cloud, Cloud(cloud.points)]),
        ("a.npz", [cloud, Cloud(cloud.points[:3], cloud.normals[:3])]),
        ("a.npz", []),
    ):
        with pytest.raises(DataError, match="cannot hold"):
            write_clouds(tmp_path / name, clouds)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.las", "", "not a file of points"),
        ("a.csv", "", "no points"),
        ("a.csv", "x,y,z\n", "no points"),
        ("a.csv", "x,y\n1,2\n", "lacks coordinates"),
        ("a.csv", "1,2,3\n1,2\n", "not a table"),
        ("a.csv", "x,y,z\n1,2,red\n", "not a table"),
        ("a.csv", "1,2,3,4\n", "not a table"),
        ("a.xyz", "1 2 nan\n", "point 0 are not finite"),
        ("a.obj", "v 1 2\n", "damaged"),
        ("a.obj", "f 1 2 3\n", "no points"),
        ("a.npz", "nothing", "damaged"),
        ("a.ply", "nothing", "damaged"),
        ("a.ply", "ply\nformat ascii 1.0\nelement vertex 2\nproperty float x\nend_header\n1\n", "cut off"),
        ("a.ply", "ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nend_header\n1\n", "lacks coordinates"),
        ("a.ply", "ply\nformat pdf 1.0\nelement vertex 1\nproperty float x\nend_header\n1\n", "damaged"),
        ("a.ply", "ply\nformat ascii 1.0\nelement vertex 1\nproperty half x\nend_header\n1\n", "damaged"),
        (
            "a.ply",
            "ply\nformat ascii 1.0\nelement vertex 1\n" + 2 * "property int x\n" + "end_header\n",
            "damaged",
        ),
        ("a.ply", "ply\nformat ascii 1.0\nelement face 1\nproperty list uchar int i\nend_header\n0\n", "first element"),
    ],
)
def test_files_that_are_no_cloud_are_refused(tmp_path, name, text, words):
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=words) as caught:
        read_cloud(tmp_path / name)
    assert name in str(caught.value) or caught.value.got == ".las"


def test_truncated_binary_is_refused_and_nothing_is_left_of_a_failed_write(tmp_path, cloud, monkeypatch):
    path = write_cloud(tmp_path / "a.ply", cloud)
    before = path.read_bytes()
    path.write_bytes(before[:-1])
    with pytest.raises(DataError, match="cut off"):
        read_cloud(path)
    path.write_bytes(before)
    monkeypatch.setattr("os.fsync", lambda handle: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_cloud(path, Cloud(cloud.points))
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["a.ply"]


def test_arrays_that_do_not_fit_are_refused(tmp_path, cloud):
    for change, words in [
        ({"normals": cloud.normals[:3]}, "normals do not fit"),
        ({"labels": np.full(7, 0.5)}, "not whole"),
        ({"labels": np.full(7, np.nan)}, "not whole"),
        ({"colours": np.full((7, 3), 256)}, "out of range"),
        ({"points": np.zeros((0, 3))}, "no points"),
        ({"normals": np.full((7, 3), np.inf)}, "not finite"),
    ]:
        with pytest.raises(DataError, match=words):
            Cloud(**({"points": cloud.points} | change))
    with pytest.raises(DataError, match="PLY or NPZ"):
        write_cloud(tmp_path / "a.obj", cloud)
    np.savez(tmp_path / "a.npz", positions=cloud.points)
    with pytest.raises(DataError, match="lacks an array"):
        read_cloud(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", points=np.array([["a", "b", "c"]]))
    with pytest.raises(DataError, match="not numbers"):
        read_cloud(tmp_path / "a.npz")
    with pytest.raises(DataError, match="do not make a PLY file"):
        ply_bytes({"x": np.zeros(2), "y": np.zeros(3)})
    with pytest.raises(DataError, match="no such file"):
        read_cloud(tmp_path / "absent.ply")


def test_shapes_that_make_no_clouds_are_refused(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, points=np.zeros((2, 5, 3)), labels=np.int64(1))
    with pytest.raises(DataError, match="labels do not fit the clouds"):
        read_clouds(path)
    np.savez(path, points=np.zeros((5, 2)))
    with pytest.raises(DataError, match="three coordinates"):
        read_clouds(path)


@pytest.mark.parametrize("key", ["labels", "instances"])
@pytest.mark.parametrize("large", [2**31, -(2**31) - 1])
def test_labels_that_ply_cannot_hold_are_refused(tmp_path, key, large):
    given = Cloud(np.zeros((2, 3)), **{key: np.array([0, large])})
    with pytest.raises(DataError, match=f"{key} do not fit a PLY file"):
        write_cloud(tmp_path / "a.ply", given)
    assert not (tmp_path / "a.ply").exists()
    same(read_cloud(write_cloud(tmp_path / "a.npz", given)), given, keys=(key,))


def test_arrays_may_be_named_in_the_singular(tmp_path):
    np.savez(tmp_path / "a.npz", points=np.eye(3), label=np.array([2, 0, 1]), instance=np.array([5, 5, 7]))
    cloud = read_cloud(tmp_path / "a.npz")
    assert cloud.labels.tolist() == [2, 0, 1]
    assert cloud.instances.tolist() == [5, 5, 7]
