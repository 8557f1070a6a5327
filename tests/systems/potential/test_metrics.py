import numpy as np
import pytest
import torch

from intertwine.errors import DataError
from intertwine.graphs import AtomGraph, collate
from intertwine.systems.potential import metrics as m

SIZES = [[3, 1, 5], [2], [7, 4]]  # ragged batches


def batches(seed=0, sizes=SIZES, labels=("energy", "forces", "stress")):
    rng = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(shape, generator=rng, dtype=torch.float64)

    made = []
    for batch in sizes:
        graphs = []
        for atoms in batch:
            label = {"energy": draw(), "forces": draw(atoms, 3), "stress": draw(3, 3)}
            label = {k: v for k, v in label.items() if k in labels}
            species = torch.zeros(atoms, dtype=torch.int64)
            graphs.append(AtomGraph.build(3 * draw(atoms, 3), species, 1.0, **label))
        joined = collate(graphs)
        atoms, count = len(joined.positions), joined.num_graphs
        outputs = {"energy": draw(count), "forces": draw(atoms, 3), "stress": draw(count, 3, 3)}
        made.append((outputs, joined))
    return made


def wanted(made):
    """All errors by numpy, over the whole set at once."""
    energy, forces, stress = (
        np.concatenate([(o[k] - getattr(b, k)).numpy().ravel() for o, b in made])
        for k in ("energy", "forces", "stress")
    )
    atoms = np.concatenate([b.num_atoms.numpy() for _, b in made])
    true = np.concatenate([b.forces.numpy().ravel() for _, b in made])
    rmse = lambda x: 1000 * np.sqrt(np.mean(x**2))  # noqa: E731
    mae = lambda x: 1000 * np.mean(np.abs(x))  # noqa: E731
    return {
        "energy_rmse": rmse(energy),
        "energy_mae": mae(energy),
        "energy_rmse_per_atom": rmse(energy / atoms),
        "energy_mae_per_atom": mae(energy / atoms),
        "force_rmse": rmse(forces),
        "force_mae": mae(forces),
        "force_relative": 100 * np.linalg.norm(forces) / np.linalg.norm(true),
        "stress_rmse": rmse(stress),
        "stress_mae": mae(stress),
    }


def test_ragged_batches_match_numpy():
    made = batches()
    collection = m.training_metrics(stress=True)
    for outputs, batch in made:
        collection.update(outputs, batch)
    got = {name: float(value) for name, value in collection.compute().items()}
    assert got == pytest.approx(wanted(made), rel=1e-13)
    mean_of_batches = np.mean([wanted([one])["force_rmse"] for one in made])
    assert abs(got["force_rmse"] - mean_of_batches) > 1  # the mean over batches is another number


def test_float32_outputs_are_compared_with_float64_energies():
    graph = AtomGraph.build(
        torch.zeros(1, 3),
        torch.zeros(1, dtype=torch.int64),
        1.0,
        energy=torch.tensor(-17660.4617, dtype=torch.float64),
    )
    metric = m.EnergyRMSE()
    exact = torch.tensor([-17660.4617], dtype=torch.float64)
    metric.update({"energy": exact + 1e-3}, collate([graph]))
    assert float(metric.compute()) == pytest.approx(1.0, rel=1e-6)


def test_zero_prediction_has_a_relative_error_of_100_percent():
    (outputs, batch), *_ = batches()
    metric = m.RelativeForceRMSE()
    metric.update({**outputs, "forces": torch.zeros_like(outputs["forces"])}, batch)
    assert float(metric.compute()) == pytest.approx(100, rel=1e-14)


def test_reset_forgets():
    made = batches()
    metric = m.ForceRMSE()
    metric.update(*made[0])
    metric.reset()
    metric.update(*made[1])
    assert float(metric.compute()) == pytest.approx(wanted(made[1:2])["force_rmse"], rel=1e-13)


def test_a_missing_label_is_refused():
    (outputs, batch), *_ = batches(labels=("energy",))
    m.training_metrics(forces=False).update(outputs, batch)
    with pytest.raises(DataError, match="forces"):
        m.ForceRMSE().update(outputs, batch)


def test_sums_of_two_processes_give_the_errors_of_one():
    made = batches()
    parts = [m.training_metrics(stress=True) for _ in range(2)]
    for rank, part in enumerate(parts):
        for outputs, batch in made[rank::2]:
            part.update(outputs, batch)
    for name, metric in parts[0].items():
        metric.merge_state(parts[1][name])
    got = {name: float(value) for name, value in parts[0].compute().items()}
    assert got == pytest.approx(wanted(made), rel=1e-13)
