"""Reading meshes: every format, packed files, polygons; and files that cannot be used."""

import numpy as np
import pytest
import torch

from intertwine.errors import DataError
from intertwine.points import Mesh, pad_meshes, read_mesh, read_meshes
from intertwine.training import find_data

TETRAHEDRON = (
    np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1.0]]),
    np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]]),
)


def files():
    vertices, faces = TETRAHEDRON
    v = "\n".join(" ".join(map(str, row)) for row in vertices)
    f = "\n".join("3 " + " ".join(map(str, row)) for row in faces)
    properties = "\n".join(f"property float {axis}" for axis in "xyz")
    corners = "\n".join(
        "facet normal 0 0 0\nouter loop\n"
        + "\n".join("vertex " + " ".join(map(str, vertices[i])) for i in face)
        + "\nendloop\nendfacet"
        for face in faces
    )
    return {
        "a.obj": "\n".join(
            ["v " + line for line in v.splitlines()] + [f"f {a + 1} {b + 1} {c + 1}" for a, b, c in faces]
        ),
        "a.off": f"OFF\n4 4 0\n{v}\n{f}\n",
        "a.ply": f"ply\nformat ascii 1.0\nelement vertex 4\n{properties}\nelement face 4\n"
        f"property list uchar int vertex_indices\nend_header\n{v}\n{f}\n",
        "a.stl": f"solid a\n{corners}\nendsolid a\n",
    }


@pytest.mark.parametrize("name", files())
def test_every_format_gives_the_same_surface(tmp_path, name):
    (tmp_path / name).write_text(files()[name])
    mesh = read_mesh(tmp_path / name)
    vertices, faces = TETRAHEDRON
    np.testing.assert_allclose(mesh.vertices[mesh.faces], vertices[faces], atol=1e-7)
    assert (mesh.vertices.dtype, mesh.faces.dtype) == (np.float64, np.int64)


def test_polygons_become_triangles_and_objects_one_mesh(tmp_path):
    square = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\n"
    raised = square.replace(" 0\n", " 5\n")
    (tmp_path / "a.obj").write_text(f"o one\n{square}f 1 2 3 4\no two\n{raised}f 5 6 7 8\n")
    mesh = read_mesh(tmp_path / "a.obj")
    assert (len(mesh.vertices), len(mesh.faces)) == (8, 4)


def test_vertices_keep_their_order(tmp_path):
    """Labels of vertices may lie in another file."""
    (tmp_path / "a.obj").write_text("v 9 9 9\nv 0 0 0\nv 1 0 0\nv 0 1 0\nvn 0 0 1\nf 4//1 2//1 3//1\n")
    np.testing.assert_array_equal(read_mesh(tmp_path / "a.obj").vertices[:, 0], [9, 0, 1, 0])


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.xyz", "1 2 3", "not a mesh"),
        ("a.obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\n", "no triangles"),
        ("a.obj", "", "no triangles"),
        ("a.obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 9\n", "damaged"),
        ("a.obj", "v nan 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", "vertex 0 is not finite"),
        ("a.off", "OFF\n3 1 0\n0 0 0\n1 0 0\n0 1", "damaged"),
        ("a.ply", "ply\nnothing", "damaged"),
        ("a.stl", "nothing", "no triangles"),
    ],
)
def test_files_that_are_no_mesh_are_refused(tmp_path, name, text, words):
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=words) as caught:
        read_mesh(tmp_path / name)
    assert name in str(caught.value)
    with pytest.raises(DataError, match="no such file"):
        read_mesh(tmp_path / "absent.obj")


def test_a_mesh_says_what_is_wrong_with_it():
    vertices, faces = TETRAHEDRON
    with pytest.raises(DataError, match="names a vertex that does not exist") as caught:
        Mesh(vertices, faces + 1, "bracket")
    assert "bracket" in caught.value.message
    with pytest.raises(DataError, match="does not exist"):
        Mesh(vertices, faces.astype(float))
    with pytest.raises(DataError, match="three coordinates"):
        Mesh(vertices[:, :2], faces)
    with pytest.raises(DataError, match="no triangles"):
        Mesh(vertices, faces[:0])


# --- packed files -----------------------------------------------------------------------------------------


def packed():
    vertices, faces = TETRAHEDRON
    return {
        "vertices": np.concatenate([vertices, 2 * vertices[:3]]).astype(np.float32),
        "faces": np.concatenate([faces, [[0, 1, 2]]]).astype(np.int32),
        "v_offset": np.array([0, 4, 7]),
        "f_offset": np.array([0, 4, 5]),
        "names": np.array(["tetrahedron", "triangle"]),
    }


def test_packed_meshes_are_cut_apart(tmp_path):
    np.savez(tmp_path / "a.npz", **packed())
    one, two = read_meshes(tmp_path / "a.npz")
    np.testing.assert_array_equal(one.faces, TETRAHEDRON[1])
    np.testing.assert_array_equal(two.vertices, 2 * TETRAHEDRON[0][:3])
    assert two.name == "a.npz[1] triangle"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"v_offset": np.array([0, 4, 9])}, "offsets"),
        ({"f_offset": np.array([0, 5])}, "offsets"),
        ({"f_offset": np.array([0, 3, 5])}, "does not exist"),
        ({"f_offset": np.array([0, 0, 5])}, "no triangles"),
        ({"names": np.array(["one"])}, "offsets"),
        ({"faces": None}, "lacks arrays"),
        ({"names": np.array([{"a": 1}, None], dtype=object)}, "damaged"),
    ],
)
def test_packed_files_that_do_not_fit_are_refused(tmp_path, change, words):
    arrays = {name: array for name, array in (packed() | change).items() if array is not None}
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError, match=words):
        read_meshes(tmp_path / "a.npz")


def test_damaged_packed_files_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", **packed())
    content = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match="damaged"):
        read_meshes(tmp_path / "a.npz")
    with pytest.raises(DataError, match="no such file"):
        read_meshes(tmp_path / "absent.npz")


def test_padding_adds_faces_without_area():
    vertices, faces = TETRAHEDRON
    whole, faces_of = pad_meshes([Mesh(vertices, faces), Mesh(vertices[:3], faces[:1])], torch.float64)
    assert whole.shape == (2, 4, 3)
    assert faces_of[1].tolist() == [[0, 2, 1], [0, 0, 0], [0, 0, 0], [0, 0, 0]]
    with pytest.raises(DataError, match="at least one"):
        pad_meshes([])


@pytest.mark.data("fa_cad/cad_procedural.npz", "fa_cad/cad_real.npz")
def test_the_shipped_parts_are_what_their_readme_says():
    parts = read_meshes(find_data("fa_cad/cad_procedural.npz"))
    assert len(parts) == 240
    assert len(read_meshes(find_data("fa_cad/cad_real.npz"))) == 14
    for part in parts:
        assert np.linalg.norm(part.vertices, axis=1).max() == pytest.approx(1, abs=1e-6)
