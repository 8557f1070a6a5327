"""Loss, optimiser groups, recipes, learning, and what a run gives: evaluation, check, predictions, report."""

import json
from dataclasses import replace
from types import SimpleNamespace

import ase.io
import numpy as np
import pytest
import torch
from ase.constraints import FixAtoms
from equiformer_samples import SMALL, graph_fields, make_surface

from intertwine.errors import ConfigError, DataError, NumericsError
from intertwine.reporting import Evaluation
from intertwine.systems.equiformer.data import collate_surfaces, make_graph, make_surfaces, structure_of
from intertwine.systems.equiformer.evaluate import check, evaluate
from intertwine.systems.equiformer.model import Equiformer
from intertwine.systems.equiformer.predict import predict, predict_files
from intertwine.systems.equiformer.published import SPLITS, figure, published
from intertwine.systems.equiformer.report import sections
from intertwine.systems.equiformer.reproduce import reproduce, result_row
from intertwine.systems.equiformer.settings import LossSettings
from intertwine.systems.equiformer.training import EquiformerTraining, surface_loss
from intertwine.training.inference import load_model
from intertwine.training.page import write_run_page
from intertwine.training.recipes import load_recipe
from intertwine.training.settings import TrainingSettings
from intertwine.training.trainer import train

DOUBLE = torch.float64


def batch(count=2):
    structures = [make_surface(seed, atoms=9 - seed) for seed in range(count)]
    return collate_surfaces([make_graph(s, SMALL.cutoff, SMALL.max_neighbours, SMALL.elements) for s in structures])


def network(settings=SMALL, **constants):
    return Equiformer(settings, rng=torch.Generator().manual_seed(0), **constants).double()


# --- loss and optimiser ----------------------------------------------------------------------------------


def test_loss_in_closed_form():
    data, model = batch(), network(energy_std=2.0, force_std=0.5)
    off = torch.zeros(17, 3, dtype=DOUBLE)
    off[4], off[16] = torch.tensor([3.0, 0, 4.0]), torch.tensor([0, 1.0, 0])
    off[0] = 100.0  # fixed
    output = {
        "energy": data.atoms.energy + torch.tensor([0.3, -0.5], dtype=DOUBLE),
        "forces": data.atoms.forces + off,
    }
    total, terms = surface_loss(output, data, model, LossSettings(energy=2.0, forces=10.0))
    free = int(data.free.sum())
    assert terms["energy_term"].item() == pytest.approx((0.3 + 0.5) / 2 / 2.0, rel=1e-9)
    assert terms["forces_term"].item() == pytest.approx((5.0 + 1.0) / 0.5 / free, rel=1e-5)
    assert total.item() == pytest.approx(2 * terms["energy_term"].item() + 10 * terms["forces_term"].item())
    everything, _ = surface_loss(output, data, model, LossSettings(energy=0.0, forces=1.0, free_atoms_only=False))
    assert everything.item() == pytest.approx((6.0 + 100 * 3**0.5) / 0.5 / 17, rel=1e-5)


def test_the_loss_has_a_gradient_where_forces_are_exact():
    data, model = batch(), network()
    forces = data.atoms.forces.clone().requires_grad_()
    total, _ = surface_loss({"energy": data.atoms.energy, "forces": forces}, data, model, LossSettings())
    (gradient,) = torch.autograd.grad(total, forces)
    assert total.item() == pytest.approx(0.0, abs=1e-12)
    assert bool(gradient.isfinite().all())


def test_weight_without_label_is_refused():
    data = batch()
    bare = replace(data, atoms=replace(data.atoms, forces=None))
    with pytest.raises(ConfigError) as caught:
        surface_loss({"energy": data.atoms.energy, "forces": data.atoms.forces}, bare, network(), LossSettings())
    assert "forces" in caught.value.got


def test_every_weight_is_in_one_group_and_only_maps_decay():
    model = network(replace(SMALL, self_mix="after_attention", feed_forward_activation="grid"))
    settings = TrainingSettings(optimizer="adamw", learning_rate=1e-3, weight_decay=0.1)
    groups = EquiformerTraining(model, LossSettings(), settings).parameter_groups()
    names = {id(p): name for name, p in model.named_parameters()}
    placed = [id(p) for group in groups for p in group["params"]]
    assert sorted(placed) == sorted(names)
    spared = {names[id(p)] for p in groups[0]["params"]}
    assert groups[0]["weight_decay"] == 0.0
    assert {"embedding", "edges.source", "norm.scale", "blocks.0.mix.gain"} <= spared
    decaying = {names[id(p)] for group in groups[1:] for p in group["params"]}
    assert not any(name.endswith(("bias", "scale", "gain", "embedding")) or "norm" in name for name in decaying)
    kinds = ("attention.first.weight_1", "feed_forward.first.linear.weight", "mix.product.mix_out.weights.0")
    assert {f"blocks.0.{kind}" for kind in kinds} <= decaying
    for group in groups[1:]:  # the rate grows as the decay falls, so what decays does so at one rate
        assert group["lr"] * group["weight_decay"] == pytest.approx(1e-3 * 0.1)


def test_a_step_changes_what_is_used_as_an_ordinary_parametrisation_does():
    """A map with weights w / sqrt(n): one step of Adam moves what is used by the learning rate, whatever n is."""
    model = network()
    module = EquiformerTraining(model, LossSettings(), TrainingSettings(learning_rate=1e-3, weight_decay=0.0))
    layers = {
        "blocks.0.feed_forward.gates": 4,
        "energy_head.2": 5,
        "blocks.0.attention.radial.maps.0": 20,
    }
    optimizer = module.configure_optimizers()
    before = {name: model.get_submodule(name).weight.detach().clone() for name in layers}
    loss, _ = module.loss(batch())
    loss.backward()
    optimizer.step()
    for name, fan in layers.items():
        layer = model.get_submodule(name)
        assert layer.weight.shape[0] == fan
        moved = (layer.weight.detach() - before[name]) / fan**0.5
        touched = layer.weight.grad.abs() > 1e-6
        torch.testing.assert_close(moved.abs()[touched], torch.full_like(moved[touched], 1e-3), rtol=1e-2, atol=0)


# --- recipes ---------------------------------------------------------------------------------------------


def test_recipes_load_in_three_scales():
    paper, cpu, smoke = (load_recipe("equiformer/oc20_2m", scale=scale).recipe for scale in ("paper", "cpu", "smoke"))
    model = paper.model
    assert (model.layers, model.lmax, model.mmax, model.channels, model.heads) == (12, 6, 2, 128, 8)
    widths = (model.attention_hidden, model.attention_alpha, model.attention_value, model.feed_forward)
    assert widths == (64, 64, 16, 128)
    assert (model.cutoff, model.max_neighbours, model.edge_channels, model.alpha_dropout) == (12.0, 20, 128, 0.1)
    assert (model.self_mix, model.norm, model.drop_path) == ("after_attention", "separate", 0.05)
    training = paper.training
    assert (training.optimizer, training.weight_decay) == ("adamw", 1e-3)
    assert (training.gradient_clip, training.ema) == (100.0, 0.999)
    assert (training.batch_size, training.epochs) == (64, 12)
    assert (training.warmup_epochs, training.warmup_start) == (0.1, 0.2)
    assert (paper.loss.energy, paper.loss.forces) == (2.0, 100.0)
    assert tuple(paper.data.test) == SPLITS
    for small in (cpu, smoke):
        assert small.data.train is None
        assert not small.data.test
        assert small.data.energy_std is None
        assert small.model.self_mix == "after_attention"


def test_the_paper_scale_says_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.delenv("INTERTWINE_DATA", raising=False)
    with pytest.raises(DataError) as caught:
        reproduce("paper", folder=tmp_path)
    assert "not available here" in caught.value.message
    assert caught.value.got == "no oc20/s2ef/2M/train"
    assert list(tmp_path.iterdir()) == []


# --- a run -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A trained run of the smoke scale, evaluated and checked."""
    loaded = load_recipe("equiformer/oc20_2m", scale="smoke").changed({"training.threads": 1})
    run = train(loaded, tmp_path_factory.mktemp("runs") / "surfaces")
    evaluate(run).write(run.folder)
    found = check(run, trials=2, rng=torch.Generator().manual_seed(0))
    (run.folder / "check.json").write_text(json.dumps(found.to_dict()))
    return run


def test_a_run_has_the_measures_of_oc20(run):
    found = Evaluation.read(run.folder)
    assert found.sets == ("test",)
    assert {row.metric for row in found.rows} == {"energy_mae", "force_mae", "force_cosine", "efwt"}
    assert all(np.isfinite(row.value) for row in found.rows)
    assert found.paper == {}, "published figures belong to other data"
    forces, truth = found.array("test", "forces"), found.array("test", "forces_reference")
    assert found.row("test", "force_mae").value == pytest.approx(1e3 * np.abs(forces - truth).mean())
    zero = found.baselines["zero model"]["test"]
    assert zero["force_mae"] == pytest.approx(1e3 * np.abs(truth).mean())
    energies = found.array("test", "energy_reference")
    mean = run.model().energy_mean
    assert zero["energy_mae"] == pytest.approx(1e3 * np.abs(energies - mean).mean())
    assert zero["force_cosine"] == 0.0


def test_means_over_several_sets(run, tmp_path):
    structures = make_surfaces(run.recipe().data.surfaces)["test"]
    files = {}
    for name, some in (("near", structures[:1]), ("far", structures[1:])):
        files[name] = str(tmp_path / f"{name}.xyz")
        ase.io.write(files[name], [s.source for s in some], format="extxyz")
    recipe = run.recipe()
    recipe = replace(recipe, data=replace(recipe.data, test=files))
    with_sets = SimpleNamespace(recipe=lambda: recipe, model=run.model, versions=run.versions, folder=run.folder)
    found = evaluate(with_sets)
    assert found.sets == ("near", "far", "mean")
    values = [found.row(name, "force_mae").value for name in found.sets]
    assert values[2] == pytest.approx((values[0] + values[1]) / 2)
    assert found.row("mean", "efwt").frames == 4


def test_predictions_are_those_of_the_network_with_tags_and_fixed_atoms(run, tmp_path):
    structures = make_surfaces(run.recipe().data.surfaces)["test"]
    ase.io.write(tmp_path / "mine.xyz", [s.source for s in structures], format="extxyz")
    (written,) = predict_files(run, [tmp_path / "mine.xyz"], output=tmp_path / "out", batch_size=3)
    assert written == tmp_path / "out" / "mine.predicted.extxyz"
    found = ase.io.read(written, ":")
    arrays = Evaluation.read(run.folder)
    np.testing.assert_allclose([a.get_potential_energy() for a in found], arrays.array("test", "energy"), atol=1e-5)
    forces = [atoms.get_forces(apply_constraint=False) for atoms in found]
    free = np.concatenate([rows[s.free] for rows, s in zip(forces, structures, strict=True)])
    np.testing.assert_allclose(free, arrays.array("test", "forces"), atol=1e-5)
    for atoms, structure in zip(found, structures, strict=True):
        assert atoms.info["reference_energy"] == pytest.approx(structure.energy)
        np.testing.assert_allclose(atoms.arrays["reference_forces"], structure.forces, atol=1e-7)
        again = structure_of(atoms, "again")
        assert again.free.tolist() == structure.free.tolist()


def test_databases_are_predicted_too(run, tmp_path, write_lmdb):
    pytest.importorskip("lmdb", reason="the optional library lmdb")
    import pickle

    fields = [graph_fields(make_surface(n, energy=False)) for n in range(2)]
    path = write_lmdb(tmp_path / "test.lmdb", [pickle.dumps(f) for f in fields])
    (written,) = predict_files(run.folder, [path], output=tmp_path)
    found = ase.io.read(written, ":")
    assert [len(atoms) for atoms in found] == [9, 9]
    assert found[0].info["sid"] == 17
    assert "reference_energy" not in found[0].info
    assert found[0].get_tags().tolist() == [0] * 6 + [1, 1, 2]
    assert isinstance(found[0].constraints[0], FixAtoms)


def test_predictions_that_cannot_be_are_refused(run, tmp_path):
    structure = make_surface(0)
    model = load_model(run)
    assert len(predict(model, [structure])) == 1
    with torch.no_grad():
        model.energy_head[2].bias.fill_(float("nan"))
    with pytest.raises(NumericsError, match="surface 0"):
        predict(model, [structure])
    for name in ("a.xyz", "a.extxyz"):
        ase.io.write(tmp_path / name, make_surfaces(run.recipe().data.surfaces)["test"][0].source, format="extxyz")
    with pytest.raises(DataError, match="one place"):
        predict_files(run, [tmp_path / "a.xyz", tmp_path / "a.extxyz"], output=tmp_path)


def test_the_report_shows_errors_symmetry_and_training(run):
    found = {section.title: section for section in sections(run)}
    assert list(found) == ["Accuracy", "Predictions in detail", "Symmetry", "Training"]
    table = found["Accuracy"].tables[0]
    assert [row[0] for row in table.rows] == ["test", "test: zero model (baseline)"]
    assert "gradient" in found["Symmetry"].text
    assert found["Symmetry"].facts[0].status == "good"
    assert len(found["Predictions in detail"].pictures) == 3
    page = write_run_page(run)
    assert "<title>equiformer/oc20_2m: surfaces</title>" in page.read_text()


def test_the_report_says_which_command_is_missing(tmp_path):
    found = {section.title: section.text for section in sections(tmp_path)}
    assert "intertwine evaluate" in found["Accuracy"]
    assert "intertwine check" in found["Symmetry"]
    assert "intertwine train" in found["Training"]
    (tmp_path / "check.json").write_text('{"equivariance": {}}')
    with pytest.raises(DataError, match="does not hold a check"):
        sections(tmp_path)


def test_reproducing_in_seconds_gives_every_row(tmp_path):
    rows = reproduce("smoke", folder=tmp_path, seeds=(0,))
    cases = {(row.case, row.metric) for row in rows}
    for variant in ("base", "self_mix"):
        assert {(f"{variant}/test", m) for m in ("energy_mae", "force_mae", "force_cosine", "efwt")} <= cases
        wanted = ("rotation_error", "permutation_error", "force_jacobian_asymmetry", "parameters", "training_time")
        assert {(variant, metric) for metric in wanted} <= cases
    by_key = {(row.case, row.metric): row for row in rows}
    assert by_key["base", "permutation_error"].meets_target
    assert by_key["base", "rotation_error"].value > 1e-12, "a grid is approximate, and the row says so"
    assert by_key["base", "force_jacobian_asymmetry"].target is None
    assert by_key["self_mix", "parameters"].value > by_key["base", "parameters"].value
    assert all(row.paper is None for row in rows)
    assert by_key["base/test", "force_mae"].baselines["zero model"] > 0
    for name in ("evaluation.json", "check.json", "report.html"):
        assert (tmp_path / "base-smoke-seed0" / name).exists()


def test_published_figures_stand_beside_the_whole_of_oc20_only():
    assert published("equiformer/oc20_2m", "cpu", SPLITS) == {}
    assert published("mine", "paper", SPLITS) == {}
    assert published("equiformer/oc20_2m", "paper", SPLITS[:2]) == {}
    found = published("equiformer/oc20_2m", "paper", SPLITS)
    assert found["EquiformerV2 + Selfmix L=6"]["mean"] == {
        "energy_mae": 276.0,
        "force_mae": 20.1,
        "force_cosine": 0.669,
        "efwt": 1.95,
    }
    assert len(found) == 13
    assert figure("efwt", 4, self_mix=False).value == 1.51
    assert figure("efwt", 5, self_mix=False) is None
    row = result_row(("self_mix/mean", "efwt", "%"), {0: 1.0}, "paper", 6, {})
    assert row.paper.value == 1.95
    assert result_row(("self_mix/mean", "efwt", "%"), {0: 1.0}, "cpu", 6, {}).paper is None
    assert result_row(("self_mix/val_id", "efwt", "%"), {0: 1.0}, "paper", 6, {}).paper is None


@pytest.mark.slow
def test_learns_forces_of_copper_in_seconds(tmp_path):
    """A small network with self-interaction learns the forces of one kind of surface.

    Errors relative to predicting none, measured for four seeds of weights and data: 0.39 to 0.47.
    """
    overrides = {
        "data.surfaces": {"sizes": (32, 4, 8), "metals": ("Cu",), "adsorbates": ("O",), "layers": 2},
        "model.channels": 8,
        "model.attention_hidden": 8,
        "model.max_neighbours": 12,
        "training.epochs": 15,
        "training.learning_rate": 5e-3,
        "training.validate_every": 15,
        "training.threads": 1,
        "loss.forces": 10.0,
    }
    run = train(load_recipe("equiformer/oc20_2m", scale="smoke"), tmp_path / "run", overrides=overrides)
    found = evaluate(run)
    zero = found.baselines["zero model"]["test"]
    assert found.row("test", "force_mae").value < 0.7 * zero["force_mae"]
    assert found.row("test", "force_cosine").value > 0.6
