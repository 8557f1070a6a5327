"""Point sets from tables and XYZ frames, and files that cannot be used: refused in words, by file and line."""

import numpy as np
import pytest

from intertwine.errors import DataError
from intertwine.systems.tetris.data import make_graphs, read_point_sets

TABLE = """shape,x,y,z
bar,0,0,0
bar,1,0,0
hook,0,0,0
hook,0,1e0,0
hook,0,1,-1.5
bar,2,0,0
bar,3,0,0
"""

FRAMES = """2
shape=bar name=first
C 0 0 0
H 1.0 0 0
3
shape="long hook" Properties=pos:R:3:species:S:1:mass:R:1 energy=1
0 0 0 C 12
0 1 0 C 12
0 1 -1.5 O 16
"""


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def refusal(path, text, **options):
    with pytest.raises(DataError) as caught:
        read_point_sets(write(path, text), **options)
    assert str(path) in caught.value.message
    return caught.value


def test_rows_of_a_table_that_follow_one_another_are_a_set(tmp_path):
    sets = read_point_sets(write(tmp_path / "a.csv", TABLE))
    assert [(s.name, s.label, len(s.points)) for s in sets] == [("0", "bar", 2), ("1", "hook", 3), ("2", "bar", 2)]
    np.testing.assert_array_equal(sets[1].points, [[0, 0, 0], [0, 1, 0], [0, 1, -1.5]])
    assert sets[0].types == ("X", "X")
    assert "line 4" in sets[1].where


def test_a_column_set_gathers_rows_and_other_columns_are_ignored(tmp_path):
    text = (
        "set, hue, x, y, z, kind, type\nb, red, 0, 0, 0, hook, C\na, red, 5, 0, 0, bar, H\nb, blue, 1, 0, 0, hook, O\n"
    )
    sets = read_point_sets(write(tmp_path / "a.csv", text), "kind")
    assert [(s.name, s.label, s.types) for s in sets] == [("b", "hook", ("C", "O")), ("a", "bar", ("H",))]


def test_a_table_without_classes_is_one_set_for_prediction(tmp_path):
    path = write(tmp_path / "a.csv", "\ufeffx,y,z\n0,0,0\n\n1,0,0\n")
    (only,) = read_point_sets(path, labelled=False)
    assert (only.label, len(only.points)) == (None, 2)
    with pytest.raises(DataError, match="does not say its class"):
        read_point_sets(path)


def test_frames_of_xyz(tmp_path):
    sets = read_point_sets(write(tmp_path / "a.xyz", FRAMES))
    assert [(s.name, s.label, s.types) for s in sets] == [
        ("first", "bar", ("C", "H")),
        ("1", "long hook", ("C", "C", "O")),
    ]
    np.testing.assert_array_equal(sets[1].points, [[0, 0, 0], [0, 1, 0], [0, 1, -1.5]])


def test_frames_are_those_that_ase_reads(tmp_path):
    """ASE as an oracle of the format, with the columns in an order of its own."""
    from ase import Atoms
    from ase.io import write as ase_write

    atoms = [Atoms("CHO", np.arange(9).reshape(3, 3) * 0.3, info={"shape": name}) for name in ("one", "two")]
    ase_write(tmp_path / "a.extxyz", atoms, format="extxyz", columns=["positions", "symbols"])
    sets = read_point_sets(tmp_path / "a.extxyz")
    assert [s.label for s in sets] == ["one", "two"]
    assert sets[0].types == ("C", "H", "O")
    np.testing.assert_allclose(sets[1].points, atoms[1].positions, atol=1e-8)


@pytest.mark.parametrize(
    ("name", "text", "part"),
    [
        ("a.csv", "", "holds no points"),
        ("a.csv", "shape,x,y,z\n", "holds no points"),
        ("a.csv", "bar,0,0,0\n", "does not name the columns"),
        ("a.csv", "shape,x,y\nbar,0,0\n", "does not name the columns"),
        ("a.csv", "shape,x,x,y,z\nbar,0,0,0,0\n", "does not name the columns"),
        ("a.csv", "shape,x,y,z\nbar,0,0\n", "line 2: the number of columns is wrong"),
        ("a.csv", "shape,x,y,z\nbar,0,0,0\nbar,0,nan,0\n", "line 3: `y` is not a finite number"),
        ("a.csv", "shape,x,y,z\nbar,0,0,up\n", "line 2: `z` is not a finite number"),
        ("a.csv", "set,shape,x,y,z\n1,bar,0,0,0\n1,hook,0,0,1\n", "line 3: a point set has two classes"),
        ("a.csv", "set,shape,x,y,z\n1,,0,0,0\n", "does not say its class"),
        ("a.csv", "kind,x,y,z\nbar,0,0,0\n", "does not say its class"),
        ("a.xyz", "", "holds no points"),
        ("a.xyz", "two\n\nC 0 0 0\n", "(line 1): a frame begins with its number of points"),
        ("a.xyz", "0\nshape=bar\n", "(line 1): a frame begins with its number of points"),
        ("a.xyz", "3\nshape=bar\nC 0 0 0\nC 1 0 0\n", "the file ends before the frame does"),
        ("a.xyz", "1\nshape=bar\nC 0 0\n", "line 3: the number of columns is wrong"),
        ("a.xyz", "1\nshape=bar\nC 0 0 inf\n", "line 3: `z` is not a finite number"),
        ("a.xyz", "1\nshape=bar\nC 0 0 0\n2\nshape=bar\nC 0 0 0\n", "the file ends before the frame does"),
        ("a.xyz", '1\nshape="bar\nC 0 0 0\n', "the header cannot be read"),
        ("a.xyz", "1\nshape=bar Properties=species:S:1:pos:R:2\nC 0 0 0\n", "Properties names no types"),
        ("a.xyz", "1\nshape=bar Properties=species:S:1:pos:R:3:q:R:1\nC 0 0 0\n", "the number of columns is wrong"),
        ("a.xyz", "1\nbar\nC 0 0 0\n", "does not say its class"),
        ("a.ply", "ply\n", "of a kind that cannot be read"),
    ],
)
def test_files_that_cannot_be_used_say_where_and_why(tmp_path, name, text, part):
    assert part in refusal(tmp_path / name, text).message


def test_missing_and_binary_files(tmp_path):
    with pytest.raises(DataError, match="there is no file"):
        read_point_sets(tmp_path / "absent.csv")
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe\x00x")
    with pytest.raises(DataError, match="not a text file"):
        read_point_sets(tmp_path / "a.csv")


def graphs_of(tmp_path, text, classes=None, types=("X",), cutoff=1.1):
    sets = read_point_sets(write(tmp_path / "a.csv", text), labelled=False)
    return make_graphs(sets, types, cutoff, classes)


def test_graphs_have_edges_within_the_cutoff_both_ways(tmp_path):
    (graph,) = graphs_of(tmp_path, "x,y,z\n0,0,0\n1,0,0\n2,0,0\n")
    assert sorted(map(tuple, graph.edge_index.T.tolist())) == [(0, 1), (1, 0), (1, 2), (2, 1)]
    assert graph.label is None


@pytest.mark.parametrize(
    ("text", "options", "part"),
    [
        ("x,y,z\n0,0,0\n0,0,0\n", {}, "two points are at one place"),
        ("x,y,z\n0,0,0\n0,0,9\n", {}, "no two points are within the cutoff"),
        ("x,y,z\n0,0,0\n", {}, "no two points are within the cutoff"),
        ("x,y,z,type\n0,0,0,C\n0,0,1,X\n", {}, "a type that the model does not know"),
        ("shape,x,y,z\nbar,0,0,0\nbar,0,0,1\n", {"classes": ("hook", "knot")}, "a class that the model does not know"),
        ("x,y,z\n0,0,0\n0,0,1\n", {"classes": ("hook", "knot")}, "has no class"),
    ],
)
def test_sets_that_a_model_cannot_take_are_refused(tmp_path, text, options, part):
    with pytest.raises(DataError) as caught:
        graphs_of(tmp_path, text, **options)
    assert part in caught.value.message
    assert "a.csv" in caught.value.message
