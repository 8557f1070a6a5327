"""Loss, parameter groups, and learning: real molecules, and crystals with stress."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from intertwine.errors import ConfigError, DataError
from intertwine.graphs import AtomGraph, collate
from intertwine.systems.potential.evaluate import check, evaluate
from intertwine.systems.potential.model import Potential
from intertwine.systems.potential.settings import LossSettings, ModelSettings
from intertwine.systems.potential.training import PotentialTraining, potential_loss
from intertwine.training.recipes import load_recipe
from intertwine.training.settings import TrainingSettings
from intertwine.training.trainer import train

TINY = {
    "model.channels": 4,
    "model.harmonics_lmax": 1,
    "model.hidden_lmax": 1,
    "model.correlation": 2,
    "model.radial_widths": (8,),
    "training.threads": 1,
}


def batch():
    graphs = []
    rng = np.random.default_rng(0)
    for atoms in (3, 5):
        positions = torch.tensor(rng.normal(size=(atoms, 3)) * 2)
        graphs.append(
            AtomGraph.build(
                positions,
                torch.zeros(atoms, dtype=torch.int64),
                4.0,
                cell=10 * torch.eye(3, dtype=torch.float64),
                pbc=(True, True, True),
                energy=torch.tensor(float(atoms), dtype=torch.float64),
                forces=torch.ones(atoms, 3, dtype=torch.float64),
                stress=torch.zeros(3, 3, dtype=torch.float64),
            )
        )
    return collate(graphs)


def test_loss_in_closed_form():
    data = batch()
    output = {
        "energy": data.energy + torch.tensor([0.3, 0.5], dtype=torch.float64),
        "forces": data.forces + 0.1,
        "stress": torch.full((2, 3, 3), 1e-3, dtype=torch.float64),
    }
    total, terms = potential_loss(output, data, LossSettings(energy=2.0, forces=10.0, stress=5.0))
    energy = (0.3**2 / 3 + 0.5**2 / 5) / 2
    virial = ((1000 * 1e-3) ** 2 / 9 + (1000 * 1e-3) ** 2 / 25) / 2
    assert total.item() == pytest.approx(2 * energy + 10 * 0.01 + 5 * virial, rel=1e-12)
    assert terms["energy_term"].item() == pytest.approx(energy, rel=1e-12)


def test_weight_without_label_is_refused():
    data = replace(batch(), stress=None)
    with pytest.raises(ConfigError) as caught:
        potential_loss({"energy": data.energy, "forces": data.forces}, data, LossSettings(stress=1.0))
    assert "stress" in caught.value.got


def test_weight_decay_spares_embedding_radial_network_and_readout():
    model = Potential(ModelSettings(channels=4, harmonics_lmax=1), atomic_energies={1: 0.0})
    decays, spared = PotentialTraining(model, LossSettings(), TrainingSettings()).parameter_groups()
    names = {id(p): name for name, p in model.named_parameters()}
    assert len(decays["params"]) + len(spared["params"]) == len(names)
    assert all("radial" not in names[id(p)] and "readout" not in names[id(p)] for p in decays["params"])
    assert any("contraction" in names[id(p)] for p in decays["params"])
    assert spared["weight_decay"] == 0.0


@pytest.mark.parametrize("recipe", ["3bpa", "3bpa-nequip", "acac"])
def test_smoke_recipes_train_evaluate_and_check(recipe, tmp_path):
    changes = {"training.epochs": 1, "data.train_limit": 10, "training.threads": 1}
    run = train(load_recipe(f"potential/{recipe}", scale="smoke"), tmp_path / "run", overrides=changes)
    evaluation = evaluate(run)
    assert {row.metric for row in evaluation.rows} >= {"energy_rmse", "force_rmse"}
    assert all(np.isfinite(row.value) for row in evaluation.rows)
    if recipe == "acac":  # the published dihedral scan has energies only
        assert evaluation.row("dihedral", "energy_rmse") is not None
        assert evaluation.row("dihedral", "force_rmse") is None
    report = check(run, trials=2, rng=torch.Generator().manual_seed(0))
    assert report.passed, report.text


def test_learns_from_energies_alone(tmp_path, write_crystals):
    """Files without forces can be trained on where the loss has no weight for them."""
    from ase.io import read, write

    write_crystals(tmp_path / "full.extxyz", count=12)
    images = read(tmp_path / "full.extxyz", ":")
    for image in images:
        image.calc.results = {"energy": image.get_potential_energy()}
    write(tmp_path / "train.extxyz", images)
    overrides = TINY | {
        "data.train": str(tmp_path / "train.extxyz"),
        "data.test": {"test": str(tmp_path / "full.extxyz")},
        "data.isolated_atoms": None,
        "loss.forces": 0.0,
        "training.epochs": 2,
    }
    recipe = load_recipe("potential/3bpa", scale="smoke").changed(overrides)
    with pytest.warns(UserWarning, match="trained on"):
        assert evaluate(train(recipe, tmp_path / "run")).row("test", "force_rmse") is not None
    with pytest.raises(DataError) as caught:
        train(recipe.changed({"loss.forces": 1.0}), tmp_path / "other")
    assert "forces" in str(caught.value)


def test_learns_copper_with_stress(tmp_path, write_crystals):
    """Rattled, sheared copper labelled by effective medium theory: far better than predicting zero after seconds."""
    write_crystals(tmp_path / "train.extxyz", count=40)
    write_crystals(tmp_path / "test.extxyz", count=8, seed=1000)
    overrides = TINY | {
        "data.train": str(tmp_path / "train.extxyz"),
        "data.test": {"test": str(tmp_path / "test.extxyz")},
        "data.isolated_atoms": None,
        "data.stress_key": "stress",
        "model.cutoff": 4.5,
        "loss.stress": 1000.0,
        "loss.forces": 100.0,
        "training.epochs": 25,
        "training.schedule": "cosine",
        "training.learning_rate": 0.02,
        "training.validate_every": 5,
    }
    run = train(load_recipe("potential/3bpa", scale="smoke"), tmp_path / "run", overrides=overrides)
    evaluation = evaluate(run)
    forces = evaluation.array("test", "forces_reference")
    zero = 1e3 * float(np.sqrt(np.square(forces).mean()))
    assert evaluation.row("test", "force_rmse").value < 0.3 * zero
    assert evaluation.row("test", "stress_rmse") is not None
    assert check(run, trials=2, rng=torch.Generator().manual_seed(0)).passed
