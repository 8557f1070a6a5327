"""Neighbours, batches, files of ASE, surfaces made here, splits and statistics."""

import dataclasses
import sys

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, fcc111
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms
from ase.io import write

from intertwine.atoms import fit_atomic_energies
from intertwine.errors import ConfigError, DataError, DataWarning, MissingExtraError
from intertwine.systems.equiformer.data import (
    SurfaceData,
    make_graph,
    make_surfaces,
    nearest,
    read_atoms_file,
    read_structures,
    structure_of,
)
from intertwine.systems.equiformer.settings import (
    DataSettings,
    EquiformerRecipe,
    ModelSettings,
    SurfaceSettings,
)
from intertwine.training.settings import TrainingSettings

TINY = SurfaceSettings(sizes=(6, 3, 2), layers=2)


def recipe(small, **data):
    return EquiformerRecipe(DataSettings(**data), model=small, training=TrainingSettings(batch_size=2), seed=3)


def slab(seed=0, energy=-3.0, forces=True):
    atoms = fcc111("Cu", (2, 2, 2), vacuum=5.0, periodic=True)
    atoms.info.clear()
    rng = np.random.default_rng(seed)
    atoms.positions += 0.1 * rng.standard_normal(atoms.positions.shape)
    atoms.set_constraint(FixAtoms(mask=atoms.get_tags() == 2))
    results = {"energy": energy} | ({"forces": rng.standard_normal((8, 3))} if forces else {})
    atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


# --- neighbours ------------------------------------------------------------------------------------------


def by_definition(structure, cutoff, keep):
    """Edges of each atom as (source, image) pairs, by sorting all distances in numpy."""
    images = np.stack(np.meshgrid(*[np.arange(-3, 4)] * 3, indexing="ij"), -1).reshape(-1, 3)
    found = set()
    for atom, place in enumerate(structure.positions):
        ends = structure.positions[:, None] + images @ structure.cell - place
        distances = np.linalg.norm(ends, axis=-1)
        distances[atom, (images == 0).all(1)] = np.inf
        inside = np.sort(distances[distances < cutoff])
        limit = inside[keep - 1] + 0.01 if keep < len(inside) else np.inf
        chosen = (distances < cutoff) & (distances <= limit)
        found |= {(int(s), atom, *map(int, images[i])) for s, i in zip(*np.nonzero(chosen), strict=True)}
    return found


@pytest.mark.parametrize("keep", [1, 5, 12, 1000])
def test_the_nearest_neighbours_are_those_of_the_definition(surface, keep):
    structure = surface()
    atoms = make_graph(structure, 4.5, keep, 80).atoms
    shifts = atoms.cell_shifts.int()
    edges = {(*pair, *shift) for pair, shift in zip(atoms.edge_index.T.tolist(), shifts.tolist(), strict=True)}
    assert edges == by_definition(structure, 4.5, keep)
    assert len(edges) == atoms.edge_index.shape[1]
    assert bool((atoms.edge_index[1].diff() >= 0).all()), "edges stay sorted by destination"


def test_neighbours_at_one_distance_are_kept_together():
    """In a perfect crystal the twelve nearest are equally far: to keep four of them would break its symmetry."""
    structure = structure_of(bulk("Cu", "fcc", a=3.6, cubic=True), "copper")
    assert make_graph(structure, 5.0, 4, 80).atoms.edge_index.shape[1] == 4 * 12
    assert make_graph(structure, 5.0, 13, 80).atoms.edge_index.shape[1] == 4 * 18


def test_nearest_of_nothing():
    kept = nearest(torch.zeros(0), torch.zeros(0, dtype=torch.int64), 3, 2)
    assert kept.shape == (0,)
    few = nearest(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2, 2, 2]), 3, 2)
    assert few.tolist() == [True, True, False]


def test_unknown_elements_and_coincident_atoms_are_named(surface):
    with pytest.raises(DataError) as caught:
        make_graph(surface(5), 4.0, 8, 20)
    assert caught.value.got == {"atomic numbers": [29]}
    twice = dataclasses.replace(surface(5), positions=np.zeros((9, 3)))
    with pytest.raises(DataError, match="surface 5: two atoms"):
        make_graph(twice, 4.0, 8, 80)


def test_a_batch_moves_and_keeps_what_is_free(surface, batch_of):
    batch = batch_of([surface(0), surface(1, atoms=7)])
    assert batch.num_graphs == 2
    assert batch.free.tolist() == [False] * 3 + [True] * 6 + [False] * 2 + [True] * 5
    moved = batch.to("cpu").to(torch.float32)
    assert moved.atoms.positions.dtype == torch.float32
    assert moved.atoms.energy.dtype == torch.float64
    assert moved.free.dtype == torch.bool
    assert set(moved.inputs()) == {"positions", "species", "edge_index", "graph_index", "cell", "cell_shifts"}
    assert moved.atoms.species.tolist() == [28] * 8 + [7] + [28] * 6 + [7]


# --- files of ASE ----------------------------------------------------------------------------------------


def test_extended_xyz_with_cells_constraints_tags_and_labels(tmp_path):
    images = [slab(0, -3.0), slab(1, -2.0)]
    write(tmp_path / "a.xyz", images, format="extxyz", columns=["symbols", "positions", "tags", "forces", "move_mask"])
    found = read_structures(tmp_path / "a.xyz", require=("energy", "forces"))
    for structure, atoms in zip(found, images, strict=True):
        np.testing.assert_allclose(structure.positions, atoms.positions, atol=1e-8)
        np.testing.assert_allclose(structure.forces, atoms.get_forces(apply_constraint=False), atol=1e-8)
        np.testing.assert_allclose(structure.cell, np.array(atoms.cell), atol=1e-8)
        assert structure.pbc == (True, True, True)
        assert structure.tags.tolist() == atoms.get_tags().tolist()
        assert structure.free.tolist() == (atoms.get_tags() == 1).tolist()
    assert [s.energy for s in found] == [-3.0, -2.0]


def test_trajectories_and_molecules_are_read(tmp_path):
    write(tmp_path / "a.traj", [slab(0), slab(1)])
    assert [len(s.numbers) for s in read_structures(tmp_path / "a.traj")] == [8, 8]
    write(tmp_path / "m.xyz", Atoms("OH", [[0, 0, 0], [0, 0, 1]]), format="extxyz")
    (molecule,) = read_structures(tmp_path / "m.xyz")
    assert molecule.pbc == (False, False, False)
    assert molecule.free.all()
    assert make_graph(molecule, 4.0, 8, 80).atoms.edge_index.shape == (2, 2)


def test_labels_under_other_names(tmp_path):
    atoms = slab()
    forces = atoms.get_forces(apply_constraint=False)
    atoms.calc = None
    atoms.info["dft_energy"], atoms.arrays["dft_forces"] = -7.0, forces
    write(tmp_path / "a.xyz", atoms, format="extxyz")
    with pytest.raises(DataError) as caught:
        read_atoms_file(tmp_path / "a.xyz", require=("energy",))
    assert "dft_energy" in caught.value.got["names in the frame"]
    settings = DataSettings(energy_key="dft_energy", forces_key="dft_forces")
    (found,) = read_structures(tmp_path / "a.xyz", settings, ("energy", "forces"))
    assert found.energy == -7.0
    np.testing.assert_allclose(found.forces, forces, atol=1e-8)


def test_labels_of_some_frames_only_are_refused(tmp_path):
    write(tmp_path / "a.xyz", [slab(0), slab(1, forces=False)], format="extxyz")
    with pytest.raises(DataError) as caught:
        read_structures(tmp_path / "a.xyz")
    assert caught.value.got["frames without it"] == "1 of 2"
    assert "frame 1" in caught.value.message


def test_damaged_files_are_refused_by_name(tmp_path):
    path = tmp_path / "a.xyz"
    write(path, [slab(0), slab(1)], format="extxyz")
    text = path.read_text()
    for broken in (text[: len(text) - 60], text.replace("Cu ", "Qq ", 1), "", "2\n"):
        path.write_text(broken)
        with pytest.raises(DataError, match=str(path)):
            read_structures(path)
    path.write_text(text.replace("energy=-3.0", "energy=nan", 1))
    with pytest.raises(DataError, match="frame 0"):
        read_structures(path)
    with pytest.raises(DataError):
        read_structures(tmp_path / "absent.xyz")


def test_a_damaged_row_is_named_by_frame_and_line(tmp_path):
    path = tmp_path / "a.xyz"
    write(path, [slab(0), slab(1)], format="extxyz")
    lines = path.read_text().splitlines()
    lines[12] = lines[12].rpartition(" ")[0]
    path.write_text("\n".join(lines))
    with pytest.raises(DataError, match=r"frame 1, atom 0 \(line 13\)"):
        read_structures(path)


def test_without_ase_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ase.io", None)
    with pytest.raises(MissingExtraError) as caught:
        read_atoms_file(tmp_path / "a.xyz")
    assert "atoms" in str(caught.value.fix)


# --- surfaces made here ----------------------------------------------------------------------------------


def test_surfaces_are_labelled_by_an_independent_calculation():
    from ase.calculators.emt import EMT

    for structure in make_surfaces(TINY)["train"]:
        atoms = Atoms(structure.numbers, structure.positions, cell=structure.cell, pbc=structure.pbc, calculator=EMT())
        assert structure.energy == pytest.approx(atoms.get_potential_energy(), abs=1e-10)
        np.testing.assert_allclose(structure.forces, atoms.get_forces(), atol=1e-10)
        step = 1e-4
        ends = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.calc = EMT()
            moved.positions[-1, 2] += sign * step
            ends.append(moved.get_potential_energy())
        assert (ends[1] - ends[0]) / (2 * step) == pytest.approx(structure.forces[-1, 2], abs=1e-5)


def test_surfaces_are_slabs_with_fixed_layers_and_an_adsorbate():
    sets = make_surfaces(TINY)
    assert {name: len(found) for name, found in sets.items()} == {"train": 6, "validation": 3, "test": 2}
    for structure in sets["train"]:
        metal, light = structure.numbers > 10, structure.numbers <= 8
        assert metal.sum() == 8
        assert 1 <= light.sum() <= 2
        assert (structure.tags == 2).tolist() == light.tolist()
        assert (~structure.free).sum() == 4
        assert structure.positions[~structure.free, 2].max() < structure.positions[structure.free, 2].min()
        assert np.abs(structure.forces).max() < 10


def test_a_seed_decides_the_surfaces():
    again = make_surfaces.__wrapped__(TINY)
    other = make_surfaces.__wrapped__(dataclasses.replace(TINY, seed=1, sizes=(1, 1, 1)))
    first = make_surfaces(TINY)["train"][0]
    np.testing.assert_array_equal(again["train"][0].positions, first.positions)
    assert again["test"][0].energy == make_surfaces(TINY)["test"][0].energy
    assert other["train"][0].energy != first.energy


# --- data of a recipe ------------------------------------------------------------------------------------


def test_data_made_here(small):
    data = SurfaceData(recipe(small, surfaces=TINY))
    data.setup("fit")
    assert [len(data.train_set), len(data.validation_set), len(data.test_sets)] == [6, 3, 0]
    assert data.train_set[0] is data.train_set[0]
    batches = list(data.train_dataloader())
    assert [batch.num_graphs for batch in batches] == [2, 2, 2]
    energies = torch.cat([batch.atoms.energy for batch in batches]).tolist()
    known = [s.energy for s in make_surfaces(TINY)["train"]]
    assert energies != known
    assert sorted(energies) == sorted(known)
    again = torch.cat([batch.atoms.energy for batch in data.train_dataloader()]).tolist()
    assert energies == again, "seed and epoch decide the order"
    data.setup("test")
    assert list(data.test_sets) == ["test"]


def test_statistics_are_measured_or_given(small):
    made = make_surfaces(TINY)["train"]
    data = SurfaceData(recipe(small, surfaces=TINY))
    data.setup("fit")
    energies, forces = np.array([s.energy for s in made]), np.concatenate([s.forces[s.free] for s in made])
    found = data.statistics
    assert found.energy_mean == pytest.approx(energies.mean(), rel=1e-12)
    assert found.energy_std == pytest.approx(energies.std(), rel=1e-12)
    assert found.force_std == pytest.approx(np.sqrt(np.mean(forces**2)), rel=1e-12)
    assert found.mean_atoms == pytest.approx(np.mean([len(s.numbers) for s in made]))
    given = {"energy_mean": -0.75, "energy_std": 2.9, "force_std": 2.8, "mean_neighbours": 23.4, "mean_atoms": 77.8}
    data = SurfaceData(recipe(small, surfaces=TINY, **given))
    data.setup("fit")
    assert dataclasses.asdict(data.statistics) == given


def test_references_by_least_squares(small):
    settings = dataclasses.replace(TINY, sizes=(8, 1, 1), metals=("Cu",), adsorbates=("O", "N", "NO"))
    data = SurfaceData(recipe(small, surfaces=settings, references="least_squares"))
    data.setup("fit")
    assert data.references.keys() == {7, 8, 29}
    assert abs(data.statistics.energy_mean) < 1e-9
    made = make_surfaces(settings)["train"]
    assert fit_atomic_energies(made) == data.references
    with pytest.warns(DataWarning, match="do not fix"):
        fit_atomic_energies(made[:1])


def test_files_are_split_limited_and_kept_apart(tmp_path, small):
    write(tmp_path / "train.xyz", [slab(n, -float(n)) for n in range(10)], format="extxyz")
    write(tmp_path / "held.xyz", [slab(n, -float(n)) for n in range(20, 23)], format="extxyz")

    def energies(graphs):
        return [float(graphs[place].atoms.energy) for place in range(len(graphs))]

    data = SurfaceData(recipe(small, train=str(tmp_path / "train.xyz"), validation_fraction=0.2, train_limit=5))
    data.setup("fit")
    train, held = energies(data.train_set), energies(data.validation_set)
    assert (len(train), len(held)) == (5, 2)
    assert not set(train) & set(held)
    tests = {"far": str(tmp_path / "held.xyz")}
    files = {"train": str(tmp_path / "train.xyz"), "validation": str(tmp_path / "held.xyz"), "test": tests}
    data = SurfaceData(recipe(small, validation_limit=2, test_limit=1, in_memory=False, **files))
    data.setup()
    assert sorted(energies(data.train_set)) == [-float(n) for n in range(9, -1, -1)]
    assert energies(data.validation_set) == [-20.0, -21.0]
    assert energies(data.test_sets["far"]) == [-20.0]
    assert data.train_set[0] is not data.train_set[0]


def test_an_oc20_folder_is_trained_on(tmp_path, small, write_lmdb, geometric, fields_of, surface):
    pytest.importorskip("lmdb", reason="the optional library lmdb")
    write_lmdb(tmp_path / "data.0000.lmdb", [geometric.old(**fields_of(surface(n))) for n in range(6)])
    data = SurfaceData(recipe(small, train=str(tmp_path), test={"id": str(tmp_path)}))
    data.setup()
    batch = next(iter(data.train_dataloader()))
    assert batch.num_graphs == 2
    assert batch.atoms.forces.shape == (18, 3)
    assert len(data.test_sets["id"]) == 6


def test_labels_that_the_loss_needs_must_be_there(tmp_path, small):
    write(tmp_path / "a.xyz", [slab(n, forces=False) for n in range(4)], format="extxyz")
    with pytest.raises(DataError, match="no `forces`"):
        SurfaceData(recipe(small, train=str(tmp_path / "a.xyz"))).setup("fit")


def test_energies_that_are_all_the_same_give_no_unit(tmp_path, small):
    write(tmp_path / "a.xyz", [slab(n) for n in range(4)], format="extxyz")
    with pytest.raises(DataError, match="energy_std"):
        SurfaceData(recipe(small, train=str(tmp_path / "a.xyz"))).setup("fit")


@pytest.mark.parametrize(
    ("section", "field", "value"),
    [
        (DataSettings, "validation_fraction", 1.0),
        (DataSettings, "energy_std", 0.0),
        (DataSettings, "train_limit", 0),
        (SurfaceSettings, "metals", ("Fe",)),
        (SurfaceSettings, "adsorbates", ("XX",)),
        (SurfaceSettings, "sizes", (0, 1, 1)),
        (ModelSettings, "mmax", 7),
        (ModelSettings, "grid_degree", 11),
        (ModelSettings, "elements", 119),
        (ModelSettings, "max_neighbours", 0),
    ],
)
def test_settings_out_of_range_are_named(section, field, value):
    with pytest.raises(ConfigError) as caught:
        section(**{field: value})
    assert list(caught.value.got) == [field]


def test_a_grid_may_be_coarse_where_there_is_none():
    assert not ModelSettings(grid_degree=3, attention_activation="gate", feed_forward_activation="gate").on_grid
