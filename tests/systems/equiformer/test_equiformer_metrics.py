"""The four measures of OC20, by numbers worked out by hand and by numpy."""

import numpy as np
import pytest
import torch

from intertwine.errors import DataError
from intertwine.graphs import AtomGraph, collate
from intertwine.systems.equiformer.data import SurfaceBatch
from intertwine.systems.equiformer.metrics import (
    EnergyForcesWithin,
    EnergyMAE,
    ForceCosine,
    ForceMAE,
    surface_metrics,
)

DOUBLE = torch.float64


def make(energies, forces, free):
    """A batch of structures with these labels; positions play no part."""
    graphs = []
    for energy, rows in zip(energies, forces, strict=True):
        count = len(rows)
        positions = 9.0 * torch.arange(3 * count, dtype=DOUBLE).reshape(count, 3)
        label = {"forces": torch.tensor(rows, dtype=DOUBLE).reshape(count, 3)} if rows is not None else {}
        if energy is not None:
            label["energy"] = torch.tensor(energy, dtype=DOUBLE)
        graphs.append(AtomGraph.build(positions, torch.zeros(count, dtype=torch.int64), 1.0, **label))
    return SurfaceBatch(collate(graphs), torch.tensor(free))


ZERO = [0.0, 0.0, 0.0]


def four():
    """Four structures of two atoms, the second of the last one fixed; errors are written beside them."""
    batch = make(
        [1.0, -2.0, 0.5, 3.0],
        [[[1.0, 0, 0], [0, 1.0, 0]], [[0, 0, 2.0], [0, 0, 2.0]], [[1.0, 1.0, 0], ZERO], [[0, 3.0, 0], [5.0, 5, 5]]],
        [True, True, True, True, True, True, True, False],
    )
    outputs = {
        "energy": torch.tensor([1.0195, -2.01, 0.521, 3.0], dtype=DOUBLE),
        "forces": torch.tensor(
            [
                [1.0295, 0, 0],  # 0.0295 off: within
                [0, 1.0, 0],
                [0, 0, 2.0],
                [0, 0.031, 2.0],  # 0.031 off: too far
                [1.0, 1.0, 0],  # exact, but the energy is 0.021 off
                [0, 0, 0.01],
                [0, 3.0, 0.02],
                [0, 0, 0],  # far off, and fixed: does not count
            ],
            dtype=DOUBLE,
        ),
    }
    return outputs, batch


def test_energy_and_forces_within_threshold_by_hand():
    metric = EnergyForcesWithin()
    metric.update(*four())
    assert float(metric.compute()) == pytest.approx(50.0)  # the first and the last of four


@pytest.mark.parametrize(
    ("energy", "force", "counts"),
    [(0.019, 0.029, True), (0.0201, 0.0, False), (0.0, 0.0301, False), (-0.019, -0.029, True), (0.0, -0.0301, False)],
)
def test_both_limits_hold_for_errors_of_either_sign(energy, force, counts):
    batch = make([0.0], [[ZERO, ZERO]], [True, True])
    outputs = {"energy": torch.tensor([energy], dtype=DOUBLE), "forces": torch.zeros(2, 3, dtype=DOUBLE)}
    outputs["forces"][1, 2] = force
    metric = EnergyForcesWithin()
    metric.update(outputs, batch)
    assert float(metric.compute()) == 100.0 * counts


def test_the_other_measures_by_hand():
    found = surface_metrics()
    found.update(*four())
    values = {name: float(value) for name, value in found.compute().items()}
    assert values["energy_mae"] == pytest.approx(1000 * (0.0195 + 0.01 + 0.021 + 0.0) / 4)
    assert values["force_mae"] == pytest.approx(1000 * (0.0295 + 0.031 + 0.01 + 0.02) / (7 * 3))
    cosines = [1, 1, 1, 4 / (2 * np.hypot(2, 0.031)), 1, 0, 9 / (3 * np.hypot(3, 0.02))]
    assert values["force_cosine"] == pytest.approx(np.mean(cosines), abs=1e-12)
    assert values["efwt"] == pytest.approx(50.0)
    assert {name: metric.unit for name, metric in found.items()} == {
        "energy_mae": "meV",
        "force_mae": "meV/Å",
        "force_cosine": "",
        "efwt": "%",
    }


def random(seed, sizes):
    rng = np.random.default_rng(seed)
    energies = rng.standard_normal(len(sizes))
    forces = [rng.standard_normal((n, 3)) for n in sizes]
    batch = make(energies.tolist(), [f.tolist() for f in forces], (rng.random(sum(sizes)) < 0.6).tolist())
    outputs = {
        "energy": batch.atoms.energy + torch.tensor(rng.choice([0.0, 0.1], len(sizes))),
        "forces": batch.atoms.forces
        + torch.tensor(rng.choice([0.0, 0.02, 0.05], (sum(sizes), 3), p=[0.8, 0.15, 0.05])),
    }
    return outputs, batch


def by_numpy(made):
    """The measures over all batches at once, structure by structure."""
    energy, force, cosine, within = [], [], [], []
    for outputs, batch in made:
        index, free = batch.atoms.graph_index.numpy(), batch.free.numpy()
        got, wanted = outputs["forces"].numpy(), batch.atoms.forces.numpy()
        errors = np.abs((outputs["energy"] - batch.atoms.energy).numpy())
        energy += errors.tolist()
        force += np.abs(got - wanted)[free].ravel().tolist()
        norms = np.linalg.norm(got, axis=1) * np.linalg.norm(wanted, axis=1)
        cosine += ((got * wanted).sum(1) / norms)[free].tolist()
        for graph, off in enumerate(errors):
            rows = np.abs(got - wanted)[(index == graph) & free]
            within.append(off <= 0.02 and (rows.size == 0 or rows.max() <= 0.03))
    return [1000 * np.mean(energy), 1000 * np.mean(force), np.mean(cosine), 100 * np.mean(within)]


def test_ragged_batches_match_numpy_and_processes_add_up():
    made = [random(seed, sizes) for seed, sizes in enumerate([[3, 1, 5], [2], [7, 4, 1, 6]])]
    whole, parts = surface_metrics(), [surface_metrics(), surface_metrics()]
    for number, (outputs, batch) in enumerate(made):
        whole.update(outputs, batch)
        parts[number % 2].update(outputs, batch)
    names = ["energy_mae", "force_mae", "force_cosine", "efwt"]
    wanted = by_numpy(made)
    assert [float(whole.compute()[name]) for name in names] == pytest.approx(wanted, rel=1e-13)
    assert 0 < wanted[3] < 100
    for name, metric in parts[0].items():
        metric.merge_state(parts[1][name])
    assert [float(parts[0].compute()[name]) for name in names] == pytest.approx(wanted, rel=1e-13)


def test_fixed_atoms_count_for_nothing():
    outputs, batch = four()
    before = surface_metrics()
    before.update(outputs, batch)
    outputs["forces"][-1] = 1e3
    after = surface_metrics()
    after.update(outputs, batch)
    assert {k: float(v) for k, v in before.compute().items()} == {k: float(v) for k, v in after.compute().items()}


def test_a_structure_without_free_atoms_counts_by_its_energy():
    batch = make([0.0, 0.0], [[ZERO], [ZERO]], [False, False])
    outputs = {"energy": torch.tensor([0.01, 0.5], dtype=DOUBLE), "forces": torch.ones(2, 3, dtype=DOUBLE)}
    metric = EnergyForcesWithin()
    metric.update(outputs, batch)
    assert float(metric.compute()) == 50.0


def test_missing_labels_are_refused():
    outputs, batch = four()
    atoms = collate([AtomGraph.build(torch.zeros(1, 3, dtype=DOUBLE), torch.zeros(1, dtype=torch.int64), 1.0)])
    bare = SurfaceBatch(atoms, torch.tensor([True]))
    for metric in (EnergyMAE(), ForceMAE(), ForceCosine(), EnergyForcesWithin()):
        with pytest.raises(DataError, match="need structures with"):
            metric.update({name: value[:1] for name, value in outputs.items()}, bare)
        assert not metric.higher_is_better or type(metric) in (ForceCosine, EnergyForcesWithin)
    assert batch.num_graphs == 4
