import numpy as np
import pytest

from intertwine.errors import ShapeError
from intertwine.reporting import molecule
from intertwine.reporting.elements import element
from intertwine.reporting.molecule import find_bonds, view_molecule

WATER = np.array([8, 1, 1]), np.array([[0, 0, 0.119], [0, 0.763, -0.477], [0, -0.763, -0.477]])


def points(trace):
    return np.stack([np.asarray(trace[axis], float) for axis in "xyz"], 1)


def volume(vertices, faces):
    a, b, c = vertices[faces.T]
    return float((np.cross(a, b) * c).sum() / 6)


def test_water_has_two_bonds_and_distant_atoms_none():
    assert find_bonds(*WATER).tolist() == [[0, 1], [0, 2]]
    assert find_bonds(*WATER, stretch=0.9).tolist() == []
    assert find_bonds([1], [[0, 0, 0]]).shape == (0, 2)


@pytest.mark.parametrize("name", ["CH3CH2OH", "C6H6", "CH3CN", "PH3", "SO2"])
def test_bonds_are_those_of_ase(name):
    build = pytest.importorskip("ase.build", reason="needs the extra `atoms`")
    neighbours = pytest.importorskip("ase.neighborlist", reason="needs the extra `atoms`")
    atoms = build.molecule(name)
    first, second = neighbours.neighbor_list("ij", atoms, neighbours.natural_cutoffs(atoms, mult=1.2))
    expected = sorted((int(a), int(b)) for a, b in zip(first, second, strict=True) if a < b)
    assert [tuple(pair) for pair in find_bonds(atoms.numbers, atoms.positions).tolist()] == expected


def test_radii_are_those_of_ase():
    data = pytest.importorskip("ase.data", reason="needs the extra `atoms`")
    for number in (*range(1, 20), 26, 29, 35, 47, 53, 78, 79):
        assert element(number).symbol == data.chemical_symbols[number]
        assert element(number).radius == pytest.approx(data.covalent_radii[number], abs=0.011)
    assert element(200).symbol == "Z200"


@pytest.mark.parametrize("subdivisions", [0, 1, 2])
def test_the_ball_is_closed_and_turned_outwards(subdivisions):
    vertices, faces = molecule._sphere(subdivisions)
    np.testing.assert_allclose(np.linalg.norm(vertices, axis=1), 1, rtol=1e-14)
    assert (len(vertices), len(faces)) == (10 * 4**subdivisions + 2, 20 * 4**subdivisions)
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    assert len(np.unique(edges, axis=0)) == len(edges), "every edge is walked once in each direction"
    sphere = 4 / 3 * np.pi
    inscribed = volume(vertices, faces)
    assert 0.6 * sphere < inscribed < sphere
    flipped = faces.copy()
    flipped[0] = flipped[0][::-1]
    assert volume(vertices, flipped) < inscribed, "the same test sees a face that is turned around"


def test_balls_lie_on_their_atoms_up_to_one_rotation():
    numbers, positions = np.array([6, 7, 8, 9]), np.array([[0, 0, 0], [3, 0, 0], [0, 4, 0], [0, 0, 5.0]])
    figure = view_molecule(numbers, positions)
    assert [trace.name for trace in figure.data] == ["C", "N", "O", "F"]
    unit = (
        element(6).radius / 2 / np.linalg.norm(points(figure.data[0]) - points(figure.data[0]).mean(0), axis=1).mean()
    )
    centres = np.stack([points(trace).mean(0) for trace in figure.data]) * unit
    turned, original = centres[1:] - centres[0], positions[1:] - positions[0]
    np.testing.assert_allclose(turned @ turned.T, original @ original.T, atol=0.01)
    assert np.linalg.det(turned) == pytest.approx(60, rel=1e-3), "a mirror image would have the other sign"


def test_a_trajectory_keeps_first_and_last_frame_and_its_size_is_bounded():
    numbers, start = WATER
    frames = start + np.linspace(0, 1, 200)[:, None, None] * np.array([0, 0, 1.0])
    labels = [f"{index} fs" for index in range(200)]
    figure = view_molecule(numbers, frames, forces=frames, labels=labels, max_frames=15)
    assert len(figure.frames) == 15
    steps = figure.layout.sliders[0].steps
    assert (steps[0].label, steps[-1].label) == ("0 fs", "199 fs")
    for trace, first in zip(figure.data, figure.frames[0].data, strict=True):
        np.testing.assert_array_equal(points(trace), points(first))
    moved = points(figure.frames[-1].data[0]) - points(figure.data[0])
    np.testing.assert_allclose(moved - moved.mean(0), 0, atol=1.01)
    assert np.linalg.norm(moved.mean(0)) > 1000
    assert [trace.name for trace in figure.data] == ["H", "O", "force"]


def test_a_large_molecule_stays_small_on_disk():
    grid = np.stack(np.meshgrid(*[np.arange(7) * 1.5] * 3), -1).reshape(-1, 3)
    figure = view_molecule(np.full(len(grid), 6), np.repeat(grid[None], 60, 0))
    assert len(figure.to_json()) < 4_000_000


@pytest.mark.parametrize("forces", [np.zeros((3, 3)), np.array([[0, 0, 2.0], [0, 0, 0], [0, 0, 0]])])
def test_forces_of_zero_have_no_arrow_and_no_nan(forces):
    figure = view_molecule(*WATER, forces=forces)
    for trace in figure.data:
        assert np.isfinite(points(trace)).all()


def test_one_atom_is_a_molecule():
    assert len(view_molecule([1], [[1.0, 2.0, 3.0]]).data) == 1


@pytest.mark.parametrize(
    ("numbers", "positions", "more"),
    [
        ([], np.zeros((0, 3)), {}),
        ([1, 1], np.zeros((3, 3)), {}),
        ([1], np.zeros((0, 1, 3)), {}),
        ([1], np.zeros((2, 1, 3)), {"forces": np.zeros((3, 1, 3))}),
        ([1], np.zeros((2, 1, 3)), {"labels": ["a"]}),
    ],
)
def test_arrays_of_other_atoms_or_frames_are_refused(numbers, positions, more):
    with pytest.raises(ShapeError):
        view_molecule(numbers, positions, **more)
