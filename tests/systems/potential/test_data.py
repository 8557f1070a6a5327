import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write

from intertwine.errors import DataError, DataWarning
from intertwine.systems.potential.data import (
    PotentialData,
    make_data,
    measure,
)
from intertwine.systems.potential.settings import DataSettings, ModelSettings, PotentialRecipe
from intertwine.training.settings import TrainingSettings


def recipe(cutoff=5.0, batch_size=5, seed=0, **data):
    return PotentialRecipe(
        DataSettings(**data),
        model=ModelSettings(cutoff=cutoff),
        training=TrainingSettings(batch_size=batch_size),
        seed=seed,
    )


@pytest.fixture(scope="module")
def published():
    folder = "botnet-3bpa-acac/3bpa"
    tests = {"300K": f"{folder}/dev_300K.xyz"}
    made = recipe(train=f"{folder}/train_300K.xyz", isolated_atoms=f"{folder}/iso_atoms.xyz", test=tests)
    data = make_data(made)
    data.setup()
    return data


def write_frames(path, frames):
    """Write molecules from (symbols, positions, energy); forces are random but fixed."""
    images = []
    for number, (symbols, positions, energy) in enumerate(frames):
        atoms = Atoms(symbols, positions)
        forces = np.random.default_rng(number).standard_normal((len(atoms), 3))
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
        images.append(atoms)
    write(path, images, format="extxyz")
    return str(path)


def dimers(count, start=1.0, symbols="CO"):
    return [(symbols, [[0, 0, 0], [0, 0, start + 0.01 * i]], -10.0 - i) for i in range(count)]


def test_statistics_of_the_published_experiment(published):
    assert published.species == (1, 6, 7, 8)
    assert published.shift == pytest.approx(-4.873209375, abs=5e-10)
    assert published.scale == pytest.approx(0.945654011, abs=5e-10)
    assert published.mean_neighbours == pytest.approx(16.711934, abs=5e-7)
    everything = published.train_graphs + published.validation_graphs
    found = measure(everything, published.species, published.atomic_energies)
    assert found.shift == pytest.approx(-4.873082632829609, rel=1e-12)
    assert found.scale == pytest.approx(0.9479788658, abs=5e-11)
    assert found.mean_neighbours == pytest.approx(16.717037, abs=5e-7)


def test_graphs_are_those_of_the_file_in_the_order_of_the_shuffle(published, data_dir):
    raw = read(data_dir / "botnet-3bpa-acac/3bpa/train_300K.xyz", "275")
    graph = published.train_graphs[0]
    np.testing.assert_array_equal(graph.positions, raw.positions)
    np.testing.assert_array_equal(np.array(published.species)[graph.species], raw.numbers)
    np.testing.assert_array_equal(graph.forces, raw.get_forces())
    assert float(graph.energy) == raw.get_potential_energy()
    assert not graph.cell.any()
    assert [len(graphs) for graphs in published.test_graphs.values()] == [68]


def test_order_is_a_function_of_seed_and_epoch(tmp_path):
    file = write_frames(tmp_path / "a.xyz", dimers(20))

    def energies(seed, epoch):
        data = PotentialData(recipe(train=file, isolated_atoms=str(atoms), seed=seed))
        data.setup("fit")
        loader = data.train_dataloader()
        loader.sampler.set_epoch(epoch)
        return torch.cat([batch.energy for batch in loader]).tolist()

    atoms = tmp_path / "iso.xyz"
    write_frames(atoms, [("C", [[0, 0, 0]], -3.0), ("O", [[0, 0, 0]], -5.0)])
    first = energies(0, 0)
    assert first == energies(0, 0)
    assert sorted(first) == sorted(energies(0, 1)) == sorted(energies(1, 0))
    assert len({tuple(e) for e in (first, energies(0, 1), energies(1, 0))}) == 3
    assert len(first) == 18  # the last batch is not dropped


def test_validation_file_limit_and_batches(tmp_path):
    train, held = write_frames(tmp_path / "a.xyz", dimers(8)), write_frames(tmp_path / "b.xyz", dimers(3, 2.0))
    iso = write_frames(tmp_path / "iso.xyz", [("C", [[0, 0, 0]], -3.0), ("O", [[0, 0, 0]], -5.0)])
    data = PotentialData(recipe(train=train, validation=held, isolated_atoms=iso, train_limit=6, batch_size=4))
    data.setup("fit")
    assert [len(data.train_graphs), len(data.validation_graphs)] == [6, 3]
    assert [batch.num_graphs for batch in data.train_dataloader()] == [4, 2]
    assert torch.cat([b.energy for b in data.val_dataloader()]).tolist() == [-10.0, -11.0, -12.0]
    assert data.test_graphs == {}


def test_isolated_atoms_in_the_training_file_give_energies_and_are_not_trained_on(tmp_path):
    alone = [("C", [[0, 0, 0]], -3.0), ("O", [[0, 0, 0]], -5.0)]
    file = write_frames(tmp_path / "a.xyz", alone + dimers(6))
    data = PotentialData(recipe(train=file))
    data.setup("fit")
    assert data.atomic_energies == {6: -3.0, 8: -5.0}
    assert data.atomic_energies_from == "isolated atoms in the training file"
    assert {len(g.species) for g in data.train_graphs + data.validation_graphs} == {2}
    kept = PotentialData(recipe(train=file), keep_isolated_atoms=True)
    kept.setup("fit")
    assert {len(g.species) for g in kept.train_graphs + kept.validation_graphs} == {1, 2}


def test_without_isolated_atoms_their_energies_are_fitted(tmp_path):
    file = write_frames(tmp_path / "a.xyz", dimers(6))
    data = PotentialData(recipe(train=file))
    with pytest.warns(DataWarning, match="give `isolated_atoms`, or compare only energies of compositions"):
        data.setup("fit")
    assert data.atomic_energies_from == "least squares over the training structures"
    assert data.species == (6, 8)


def test_periodic_data_with_stress(tmp_path, write_crystals):
    write_crystals(tmp_path / "cu.xyz", count=5, prefix="DFT_")
    keys = {f"{name}_key": f"DFT_{name}" for name in ("energy", "forces", "stress")}
    data = PotentialData(recipe(train=str(tmp_path / "cu.xyz"), cutoff=4.0, **keys))
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    assert batch.stress.shape == (4, 3, 3)
    assert float(batch.stress.abs().max()) > 1e-3
    assert bool((batch.cell.det() > 20).all())
    assert data.atomic_energies_from.startswith("least squares")
    assert abs(data.shift) < 1e-9  # all of it is in the fitted energies


def test_duplicates_and_leaks_are_reported(tmp_path):
    file = write_frames(tmp_path / "a.xyz", dimers(6) + dimers(1))
    iso = write_frames(tmp_path / "iso.xyz", [("C", [[0, 0, 0]], -3.0), ("O", [[0, 0, 0]], -5.0)])
    with pytest.warns(DataWarning, match=r"1 structures are in the training file twice.*frame 6.*frame 0"):
        PotentialData(recipe(train=file, isolated_atoms=iso)).setup("fit")
    clean, other = write_frames(tmp_path / "b.xyz", dimers(6)), write_frames(tmp_path / "c.xyz", dimers(2))
    with pytest.warns(DataWarning, match="2 of 2 structures of the validation are also trained on"):
        PotentialData(recipe(train=clean, validation=other, isolated_atoms=iso)).setup("fit")
    data = PotentialData(recipe(train=clean, test={"near": other}, isolated_atoms=iso))
    data.setup("fit")
    with pytest.warns(DataWarning, match="test set `near`"):
        data.setup("test")


@pytest.mark.parametrize(
    ("change", "message", "got"),
    [
        ({"test": {"far": "nitrogen"}}, "frame 0 (line 1): there are elements", "N"),
        ({"validation": "nitrogen"}, "frame 0 (line 1): there are elements", "N"),
        ({"isolated_atoms": "nitrogen_atom"}, "no isolated atom", "C, O"),
        ({"forces_key": "DFT_forces"}, "there is no `DFT_forces`", "forces"),
        ({"train": "absent"}, "absent", "absent"),
    ],
)
def test_data_that_do_not_fit_are_refused(tmp_path, change, message, got):
    files = {
        "train": write_frames(tmp_path / "a.xyz", dimers(6)),
        "isolated_atoms": write_frames(tmp_path / "iso.xyz", [("C", [[0, 0, 0]], -3.0), ("O", [[0, 0, 0]], -5.0)]),
        "nitrogen": write_frames(tmp_path / "n.xyz", dimers(2, symbols="N2")),
        "nitrogen_atom": write_frames(tmp_path / "n1.xyz", [("N", [[0, 0, 0]], -3.0)]),
    }
    named = {
        k: files.get(v, v) if isinstance(v, str) else {n: files[f] for n, f in v.items()} for k, v in change.items()
    }
    used = {k: files[k] for k in ("train", "isolated_atoms")} | named
    with pytest.raises(DataError) as caught:
        PotentialData(recipe(**used)).setup()
    assert message in caught.value.message
    assert got in str(caught.value.got)


def test_forces_that_are_all_zero_are_refused(tmp_path):
    frames = []
    for symbols, positions, energy in dimers(4):
        atoms = Atoms(symbols, positions)
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=np.zeros((2, 3)))
        frames.append(atoms)
    write(tmp_path / "a.xyz", frames, format="extxyz")
    iso = write_frames(tmp_path / "iso.xyz", [("C", [[0, 0, 0]], -3.0), ("O", [[0, 0, 0]], -5.0)])
    with pytest.raises(DataError, match="all forces"):
        PotentialData(recipe(train=str(tmp_path / "a.xyz"), isolated_atoms=iso)).setup("fit")
