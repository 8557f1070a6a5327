import builtins
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.neighborlist import neighbor_list as ase_neighbour_list
from hypothesis import given, settings
from hypothesis import strategies as st

from intertwine.errors import DataError, ShapeError
from intertwine.graphs import edge_vectors, neighbour_list, neighbour_list_reference

PBC = [(False, False, False), (True, True, True), (True, False, True), (False, False, True)]


@pytest.fixture
def one_thread():
    """Threads that wait for a busy core would be timed, not the search."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def structure(seed, atoms=7, size=3.0):
    rng = torch.Generator().manual_seed(seed)
    skew = torch.rand(3, 3, generator=rng, dtype=torch.float64).tril(-1) - 0.5
    turn = torch.linalg.qr(torch.randn(3, 3, generator=rng, dtype=torch.float64)).Q
    cell = size * (torch.eye(3, dtype=torch.float64) + skew.tril(-1)) @ turn
    inside = torch.rand(atoms, 3, generator=rng, dtype=torch.float64) * 3 - 1  # some atoms outside the cell
    return inside @ cell, cell


def lengths(positions, edges, cell):
    return edge_vectors(positions, *edges, cell[None]).norm(dim=-1)


def as_set(edges):
    return {
        (*pair, *map(round, shift))
        for pair, shift in zip(edges.edge_index.T.tolist(), edges.cell_shifts.tolist(), strict=True)
    }


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(PBC), st.integers(5, 60), st.integers(1, 9))
def test_fast_path_reference_and_ase_agree(seed, pbc, tenths, atoms):
    cutoff = tenths / 10 + 0.0123  # no lattice vector has this length: at the cutoff itself rounding decides
    positions, cell = structure(seed, atoms)
    fast = neighbour_list(positions, cutoff, cell, pbc)
    slow = neighbour_list_reference(positions, cutoff, cell, pbc)
    assert torch.equal(fast.edge_index, slow.edge_index)
    assert torch.equal(fast.cell_shifts, slow.cell_shifts)
    i, j, s, d = ase_neighbour_list("ijSd", Atoms(f"H{atoms}", positions.numpy(), cell=cell.numpy(), pbc=pbc), cutoff)
    wanted = {(int(b), int(a), *map(int, shift)) for a, b, shift in zip(i, j, s, strict=True)}
    assert as_set(fast) == wanted
    distances = lengths(positions, fast, cell)
    np.testing.assert_allclose(np.sort(distances.numpy()), np.sort(d), rtol=1e-12)
    assert bool((distances < cutoff).all())


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(PBC))
def test_edges_are_sorted_by_destination_source_shift_and_come_in_pairs(seed, pbc):
    positions, cell = structure(seed)
    edges = neighbour_list(positions, 5.0, cell, pbc)
    rows = torch.cat([edges.edge_index.flip(0).T, edges.cell_shifts.long()], dim=1).tolist()
    assert rows == sorted(rows)
    assert len({tuple(row) for row in rows}) == len(rows)
    reverse = {(b, a, -x, -y, -z) for a, b, x, y, z in as_set(edges)}
    assert reverse == as_set(edges)


def test_one_atom_has_no_neighbour_unless_it_has_images():
    alone = torch.zeros(1, 3)
    open_list = neighbour_list(alone, 5.0)
    assert open_list.edge_index.shape == (2, 0)
    assert open_list.cell_shifts.shape == (0, 3)
    crystal = neighbour_list(alone, 1.01, torch.eye(3), (True, True, True))
    assert as_set(crystal) == {
        (0, 0, *shift) for shift in [(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)]
    }


def test_shell_counts_of_the_face_centred_cubic_lattice():
    primitive = torch.tensor([[0.0, 1, 1], [1, 0, 1], [1, 1, 0]], dtype=torch.float64)  # nearest distance √2
    for shell, count in [(2, 12), (4, 18), (6, 42), (8, 54), (10, 78), (12, 86)]:
        found = neighbour_list(torch.zeros(1, 3, dtype=torch.float64), shell**0.5 + 1e-6, primitive, (True,) * 3)
        assert found.edge_index.shape[1] == count


def test_dtype_follows_positions_and_zero_cell_rows_are_ignored_on_open_axes():
    positions, cell = structure(3)
    slab = cell.clone()
    slab[2] = 0
    edges = neighbour_list(positions.float(), 4.0, slab.float(), (True, True, False))
    assert edges.cell_shifts.dtype == torch.float32
    assert edges.edge_index.dtype == torch.int64
    assert not edges.cell_shifts[:, 2].any()
    for finder in (neighbour_list, neighbour_list_reference):
        got = finder(positions, 4.0, slab, (True, True, False))
        assert as_set(got) == as_set(neighbour_list(positions, 4.0, cell, (True, True, False)))


def test_lattice_translations_change_shifts_but_not_vectors():
    positions, cell = structure(4)
    moves = torch.tensor([[0, 0, 0], [5, 0, -3], [1, 1, 1], [0, -7, 2], [0, 0, 0], [9, 9, 9], [-1, 0, 0]])
    edges = neighbour_list(positions, 4.0, cell, (True,) * 3)
    moved = positions + moves.double() @ cell
    other = neighbour_list(moved, 4.0, cell, (True,) * 3)
    one = edge_vectors(positions, *edges, cell[None])
    two = edge_vectors(moved, *other, cell[None])
    assert one.shape == two.shape
    key = lambda v: v.numpy().round(9)[np.lexsort(v.numpy().round(9).T)]  # noqa: E731
    np.testing.assert_allclose(key(one), key(two), atol=2e-9)


def test_edge_vectors_differentiate_in_positions_and_cell():
    positions, cell = structure(5, atoms=3)
    edges = neighbour_list(positions, 3.5, cell, (True,) * 3)
    graph_index = torch.zeros(3, dtype=torch.int64)

    def vectors(x, box):
        return edge_vectors(x, edges.edge_index, edges.cell_shifts, box, graph_index)

    assert torch.autograd.gradcheck(vectors, (positions.clone().requires_grad_(), cell[None].clone().requires_grad_()))


def test_without_vesin_the_reference_answers(monkeypatch):
    real = builtins.__import__

    def missing(name, *args, **kwargs):
        if name == "vesin":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    positions, cell = structure(6)
    wanted = neighbour_list(positions, 4.0, cell, (True,) * 3)
    monkeypatch.setattr(builtins, "__import__", missing)
    got = neighbour_list(positions, 4.0, cell, (True,) * 3)
    assert torch.equal(got.edge_index, wanted.edge_index)
    assert torch.equal(got.cell_shifts, wanted.cell_shifts)


def test_a_thousand_periodic_atoms_take_a_fraction_of_a_second(one_thread):
    rng = torch.Generator().manual_seed(0)
    side = 21.5
    grid = torch.cartesian_prod(*[torch.arange(10, dtype=torch.float64)] * 3) * side / 10
    positions = grid + 0.3 * torch.rand(grid.shape, generator=rng, dtype=torch.float64)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        edges = neighbour_list(positions, 5.0, side * torch.eye(3, dtype=torch.float64), (True,) * 3)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.5  # 0.04 s on an idle core
    assert 45_000 < edges.edge_index.shape[1] < 60_000


@pytest.mark.parametrize("finder", [neighbour_list, neighbour_list_reference])
@pytest.mark.parametrize(
    ("cell", "pbc", "second", "pair"),
    [
        (None, (False,) * 3, [1.0, 0.0, 1e-8], (0, 2)),
        (2 * torch.eye(3), (True,) * 3, [1.0, 2.0, -4.0], (0, 2)),
    ],
)
def test_two_atoms_at_one_place_are_named(finder, cell, pbc, second, pair):
    positions = torch.tensor([[1.0, 0.0, 0.0], [0.3, 0.2, 0.5], second], dtype=torch.float64)
    cell = cell.double() if cell is not None else None
    with pytest.raises(DataError) as caught:
        finder(positions, 3.0, cell, pbc)
    assert caught.value.got["atoms"] == pair


@pytest.mark.parametrize("finder", [neighbour_list, neighbour_list_reference])
@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"positions": torch.tensor([[0.0, 0, 0], [0, float("nan"), 0]])}, DataError, "finite"),
        ({"positions": torch.tensor([[0.0, 0, 0], [0, float("inf"), 0]])}, DataError, "finite"),
        ({"positions": torch.zeros(3, 2)}, ShapeError, "positions"),
        ({"cutoff": 0.0}, DataError, "cutoff"),
        ({"cutoff": -1.0}, DataError, "cutoff"),
        ({"cutoff": float("nan")}, DataError, "cutoff"),
        ({"cell": None}, DataError, "cell"),
        ({"cell": torch.zeros(3, 3)}, DataError, "cell"),
        ({"cell": torch.tensor([[1.0, 0, 0], [2.0, 0, 0], [0, 0, 1.0]])}, DataError, "cell"),
        ({"cell": torch.tensor([[1.0, 0, 0], [0, 1.0, 0], [1.0, 1.0, 0]])}, DataError, "cell"),
        ({"cell": torch.eye(3) * float("nan")}, DataError, "cell"),
        ({"cell": torch.eye(2)}, ShapeError, "cell"),
    ],
)
def test_bad_input_is_refused(finder, change, error, says):
    good = {
        "positions": torch.tensor([[0.0, 0, 0], [1.0, 0, 0]]),
        "cutoff": 2.0,
        "cell": 3 * torch.eye(3),
        "pbc": (True,) * 3,
    }
    finder(**good)
    with pytest.raises(error) as caught:
        finder(**{**good, **change})
    assert says in caught.value.message


def test_not_finite_positions_name_their_atoms():
    with pytest.raises(DataError) as caught:
        neighbour_list(torch.tensor([[0.0, 0, 0], [0, float("nan"), 0], [float("inf"), 1, 0]]), 2.0)
    assert caught.value.got["atoms"] == "1, 2"


def test_importing_graphs_imports_nothing_optional():
    code = "import intertwine.graphs, sys; sys.exit(any(m in sys.modules for m in ('vesin', 'ase', 'scipy')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
