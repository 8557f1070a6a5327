"""The particles task: data, loss, training, evaluation, check, prediction, report, reproduction; and learning."""

import json

import numpy as np
import pytest
import torch
from particle_files import write_table_file

from intertwine.errors import ConfigError, DataError
from intertwine.particles import SampleSet, SimulationSettings, predict_samples, simulated_samples
from intertwine.reporting import ResultRow
from intertwine.systems.frame_averaging import tasks
from intertwine.systems.frame_averaging.data.particles import aligned, make_data, turned
from intertwine.systems.frame_averaging.evaluate.particles import check, evaluate
from intertwine.systems.frame_averaging.model.gnn import GNN
from intertwine.systems.frame_averaging.predict.particles import predict_files
from intertwine.systems.frame_averaging.report.particles import sections
from intertwine.systems.frame_averaging.reproduce.particles import CASES, reproduce
from intertwine.systems.frame_averaging.training.particles import make_module, turn_batch
from intertwine.training.inference import load_model
from intertwine.training.page import write_run_page
from intertwine.training.recipes import load_recipe
from intertwine.training.run import open_run
from intertwine.training.trainer import train

ONE_THREAD = {"training.threads": 1}
RECIPES = [
    "particles-fa-gnn",
    "particles-gnn",
    "particles-egnn",
    "particles-rf",
    "particles-mfa-gnn",
    "particles-learned-gnn",
]


def loaded(name="particles-fa-gnn", scale="smoke", **changes):
    return load_recipe(f"frame_averaging/{name}", scale=scale).changed(changes)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run of the smoke recipe of FA-GNN."""
    return train(loaded(), tmp_path_factory.mktemp("runs") / "smoke", overrides=ONE_THREAD)


@pytest.fixture(scope="module")
def samples():
    return simulated_samples(SimulationSettings(seed=7, stream=(12, 6, 6)), "train")


# --- recipes and data ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "weights", "rate"),
    [
        ("particles-fa-gnn", 92103, 1e-3),
        ("particles-gnn", 104387, 1e-3),
        ("particles-egnn", 134020, 5e-4),
        ("particles-rf", 2052, 2e-4),
    ],
)
def test_recipes_are_those_of_the_published_table(name, weights, rate):
    recipe = loaded(name, "paper").recipe
    data, training = recipe.particles.data, recipe.training
    assert (data.train_samples, data.validation_samples, data.test_samples) == (3000, 2000, 2000)
    assert (data.start_frame, data.end_frame, data.simulation.seed) == (30, 40, 43)
    assert (training.epochs, training.batch_size, training.validate_every) == (10000, 100, 5)
    assert (training.learning_rate, training.weight_decay, training.optimizer) == (rate, 1e-12, "adam")
    module = make_module(recipe, None, rng=torch.Generator().manual_seed(0))
    assert sum(weight.numel() for weight in module.model.parameters()) == weights
    small = loaded(name, "cpu").recipe
    assert (small.particles.data.train_samples, small.training.batch_size, small.training.epochs) == (1000, 100, 60)
    assert small.particles.model == recipe.particles.model


def test_a_turned_set_is_turned_sample_by_sample_and_repeats(samples):
    moved, rotations = turned(samples)
    assert rotations.shape == (12, 3, 3)
    np.testing.assert_allclose(np.linalg.det(rotations.numpy()), 1, rtol=1e-12)
    for number in range(12):
        for name in ("positions", "velocities", "targets"):
            wanted = getattr(samples, name)[number] @ rotations[number].numpy().T
            np.testing.assert_allclose(getattr(moved, name)[number], wanted, atol=1e-13)
    np.testing.assert_array_equal(turned(samples)[0].positions, moved.positions)
    assert not np.allclose(turned(samples, 1)[0].positions, moved.positions)


def test_aligned_samples_have_their_axes_along_the_coordinates_in_every_pose(samples):
    found = aligned(samples)
    centred = found.positions - found.positions.mean(1, keepdims=True)
    covariance = centred.swapaxes(1, 2) @ centred
    off = covariance - covariance * np.eye(3)
    assert np.abs(off).max() < 1e-12 * np.abs(covariance).max()
    assert (np.diff(np.diagonal(covariance, axis1=1, axis2=2)) > 0).all(), "the longest last"
    again = aligned(turned(samples)[0])
    for name in ("positions", "velocities", "targets"):
        np.testing.assert_allclose(getattr(again, name), getattr(found, name), atol=1e-11)
    mirrored = aligned(samples.moved(np.diag([1.0, 1.0, -1.0])))
    assert not np.allclose(mirrored.positions, found.positions, atol=1e-3), "it is a rotation, not a mirror"


def test_batches_are_turned_with_their_targets_and_charges_stay(samples):
    batch = SampleSet(samples).__getitems__([0, 1])
    moved = turn_batch(batch, torch.Generator().manual_seed(3))
    assert torch.equal(moved.charges, batch.charges)
    turn = torch.linalg.lstsq(batch.positions[:5], moved.positions[:5]).solution
    torch.testing.assert_close(turn.T @ turn, torch.eye(3, dtype=torch.float64), rtol=1e-10, atol=1e-10)
    for name in ("velocities", "targets"):
        wanted = getattr(batch, name)[:5] @ turn
        torch.testing.assert_close(getattr(moved, name)[:5], wanted, rtol=1e-10, atol=1e-10)
        assert (getattr(moved, name)[5:] - getattr(batch, name)[5:] @ turn).abs().max() > 1e-2, "one for each sample"
    repeated = turn_batch(batch, torch.Generator().manual_seed(3))
    assert torch.equal(repeated.positions, moved.positions)


def test_data_lie_as_the_task_says():
    plain, lying = (make_data(loaded(**{"particles.poses": pose}).recipe) for pose in ("simulated", "aligned"))
    for data in (plain, lying):
        data.setup()
        assert [len(part) for part in (data.train_samples, data.validation_samples)] == [40, 20]
        assert len(data.test_samples["test"]) == 20
    np.testing.assert_allclose(lying.train_samples.positions, aligned(plain.train_samples).positions)
    np.testing.assert_allclose(lying.test_samples["test"].targets, aligned(plain.test_samples["test"]).targets)


@pytest.mark.data("nbody_charged5/train.npz", "nbody_charged5/valid.npz", "nbody_charged5/test.npz")
def test_the_published_files_can_be_trained_on():
    files = {
        "particles.data.train": "nbody_charged5/train.npz",
        "particles.data.validation": "nbody_charged5/valid.npz",
        "particles.data.test": {"test": "nbody_charged5/test.npz"},
    }
    data = make_data(loaded(scale="paper", **files).recipe)
    data.setup()
    assert len(data.train_samples) == 3000
    assert len(data.validation_samples) == len(data.test_samples["test"]) == 2000
    (batch, *_) = data.train_dataloader()
    assert batch.num_graphs == 100


# --- the loss --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "wanted"), [("squared", lambda e: (e**2).mean()), ("absolute", lambda e: abs(e).mean())]
)
def test_losses_are_means_over_coordinates(loss, wanted, samples):
    module = make_module(loaded(**{"particles.loss": loss}).recipe, None, rng=torch.Generator().manual_seed(0)).double()
    batch = SampleSet(samples).__getitems__([3, 4])
    found, _ = module.loss(batch)
    error = module.model(**batch.inputs()) - batch.targets
    assert found.item() == pytest.approx(wanted(error.detach().numpy()), rel=1e-12)
    validated, _ = module.validation(batch, None)
    assert validated.item() == pytest.approx(found.item(), rel=1e-12)


def test_views_of_a_canonical_frame_have_a_loss_each(samples):
    """With one element and no frames between layers a view is the network on turned canonical coordinates."""
    changes = {
        "particles.model.canonical_rotations": 3,
        "particles.model.reframe": False,
        "particles.model.dropout": 0.0,
    }
    module = make_module(
        loaded("particles-mfa-gnn", **changes).recipe, None, rng=torch.Generator().manual_seed(0)
    ).double()
    batch = SampleSet(samples).__getitems__([3, 4])
    module.model.draws = torch.Generator().manual_seed(5)
    together = module.loss(batch)[0].item()
    module.model.draws = torch.Generator().manual_seed(5)
    views = [module.model(**batch.inputs()) for _ in range(3)]
    assert together == pytest.approx(np.mean([(v - batch.targets).abs().mean().item() for v in views]), rel=1e-12)
    assert (views[0] - views[1]).abs().max() > 1e-4
    module.eval()
    assert torch.equal(module.model(**batch.inputs()), module.model(**batch.inputs())), "nothing is turned when used"


def test_turning_the_batch_changes_the_loss_of_a_network_without_frames_only(samples):
    batch = SampleSet(samples).__getitems__([3, 4])

    def difference(name):
        losses = []
        for augmentation in ("none", "rotations"):
            recipe = loaded(name, **{"particles.augmentation": augmentation}).recipe
            module = make_module(recipe, None, rng=torch.Generator().manual_seed(0)).double()
            losses.append(module.loss(batch)[0].item())
        return abs(losses[0] - losses[1])

    assert difference("particles-fa-gnn") < 1e-12
    assert difference("particles-gnn") > 1e-4


def test_a_batch_without_targets_is_refused():
    data = simulated_samples(SimulationSettings(seed=7, stream=(2, 1, 1)), "train")
    blind = SampleSet(type(data)(data.positions, data.velocities, data.charges))[0]
    module = make_module(loaded().recipe, None, rng=torch.Generator().manual_seed(0)).double()
    with pytest.raises(DataError, match="later positions"):
        module.loss(blind)


# --- commands --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RECIPES)
def test_smoke_recipes_train_evaluate_and_check(name, tmp_path):
    done = train(loaded(name), tmp_path / "run", overrides=ONE_THREAD | {"training.epochs": 1})
    evaluation = evaluate(done)
    assert evaluation.sets == ("test", "test, turned")
    metrics = {row.metric for row in evaluation.rows}
    assert metrics == {"position_mse", "position_mae", "mean_distance", "forward_time", "rotation_error"}
    assert all(np.isfinite(row.value) and row.frames == 20 for row in evaluation.rows)
    assert list(evaluation.baselines) == ["no motion", "constant velocity", "fitted velocity", "affine"]
    assert evaluation.paper["FA-GNN, unverified"]["test"]["position_mse"] == 0.0057
    found = check(done, trials=2, rng=torch.Generator().manual_seed(0))
    assert found.passed, found.text
    kept = evaluation.row("test, turned", "rotation_error").value
    assert (kept < 1e-8) is (name != "particles-gnn")


def test_evaluation_holds_the_errors_of_its_arrays(run):
    evaluation = evaluate(run)
    target, predicted = (evaluation.array("test", name) for name in ("targets", "predicted"))
    assert evaluation.row("test", "position_mse").value == pytest.approx(np.mean((predicted - target) ** 2), rel=1e-12)
    aside = evaluation.row("test, turned", "position_mse").value
    assert aside == pytest.approx(evaluation.row("test", "position_mse").value, abs=1e-5)
    assert evaluation.row("test, turned", "position_mae").value != evaluation.row("test", "position_mae").value
    for motion in ("angle", "shift"):
        curve = evaluation.array("test", f"error_by_{motion}")
        np.testing.assert_allclose(curve, curve[0], atol=1e-5)
    assert curve[0] == pytest.approx(evaluation.row("test", "position_mse").value, rel=1e-6)


def test_shifts_are_followed_where_nothing_keeps_them(tmp_path):
    done = train(loaded("particles-gnn"), tmp_path / "run", overrides=ONE_THREAD)
    evaluation = evaluate(done)
    curve = evaluation.array("test", "error_by_shift")
    assert curve[-1] > 10 * curve[0]
    angles = evaluation.array("test", "error_by_angle")
    assert np.ptp(angles) > 1e-4


def test_the_same_seed_gives_the_same_weights(run, tmp_path):
    again = train(loaded(), tmp_path / "again", overrides=ONE_THREAD)
    for one, two in zip(run.model().parameters(), again.model().parameters(), strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize(
    "changes", [{"particles.augmentation": "rotations"}, {"particles.model.frame.mode": "stochastic"}]
)
def test_a_resumed_run_goes_on_exactly(changes, tmp_path):
    """Random rotations and drawn elements are functions of the seed and of where training is."""
    whole = train(loaded(**changes), tmp_path / "whole", overrides=ONE_THREAD)
    half = train(loaded(**changes), tmp_path / "half", overrides=ONE_THREAD | {"training.epochs": 1})
    rest = train(resume=half, overrides={"training.epochs": 2})
    for one, two in zip(whole.model().parameters(), rest.model().parameters(), strict=True):
        assert torch.equal(one, two)


def test_drawn_elements_are_evaluated_repeatably_and_checked_as_an_average(tmp_path):
    changes = {"particles.model.frame.mode": "stochastic"}
    done = train(loaded(**changes), tmp_path / "run", overrides=ONE_THREAD)
    first, second = evaluate(done), evaluate(done)
    assert first.row("test", "position_mse").value == second.row("test", "position_mse").value
    assert first.row("test, turned", "rotation_error").value > 1e-8
    found = check(done, trials=2, rng=torch.Generator().manual_seed(0))
    assert found.passed
    assert "all elements" in found.name


def test_saved_networks_are_loaded_with_their_frames(run):
    model = run.model()
    assert isinstance(model, GNN)
    for source in (run.folder, run.model_folder, model):
        other = load_model(source, dtype=torch.float64)
        assert other.frame == model.frame
        assert next(other.parameters()).dtype == torch.float64


def test_report_has_every_part_and_says_what_is_missing(run, tmp_path):
    missing = sections(tmp_path)
    assert [section.title for section in missing] == ["Accuracy", "Symmetry", "Training"]
    assert all("intertwine" in section.text for section in missing)
    evaluate(run).write(run.folder)
    found = check(run, trials=2, rng=torch.Generator().manual_seed(0))
    (run.folder / "check.json").write_text(json.dumps(found.to_dict()))
    full = sections(run)
    titles = ["Accuracy", "Predictions in detail", "Turned and moved", "Symmetry", "Training"]
    assert [section.title for section in full] == titles
    motions = full[2]
    assert len(motions.figures) == 2
    assert len(motions.tables) == 1
    ratio = float(motions.facts[0].value)
    assert ratio == pytest.approx(1, abs=1e-4)
    page = write_run_page(run)
    assert page.stat().st_size < 9e6


def test_reproduction_for_a_given_time_records_the_curve(tmp_path):
    rows = reproduce("smoke", folder=tmp_path, seeds=(0,), cases=("fa-gnn",), minutes=5)
    curve = [row for row in rows if row.metric == "validation_position_mse"]
    measured = [row for row in open_run(tmp_path / "particles-fa-gnn-smoke-seed0").metrics() if row["validation_loss"]]
    assert curve[0].case == f"particles/fa-gnn, epoch {measured[0]['epoch']:.0f}"
    assert curve[-1].case == f"particles/fa-gnn, epoch {measured[-1]['epoch']:.0f}"
    assert curve[-1].value == measured[-1]["validation_position_mse"]
    assert open_run(tmp_path / "particles-fa-gnn-smoke-seed0").recipe().training.max_minutes == 5
    with pytest.raises(ConfigError, match="only particles"):
        tasks.reproduce("smoke", folder=tmp_path, case="graphs", minutes=1)


@pytest.mark.parametrize(
    ("task", "known"), [("particles", "fa-gnn"), ("normals", "fa-pointnet"), ("graphs", "exp-iso"), ("digits", "sort")]
)
def test_unknown_networks_are_refused_before_anything_runs(tmp_path, task, known):
    for names in ((known, "wobble"), ("wobble",), ()):
        with pytest.raises(ConfigError, match=f"{task} have no network") as caught:
            tasks.reproduce("smoke", folder=tmp_path, case=task, networks=names)
        assert known in caught.value.expected
    with pytest.raises(ConfigError, match="name the task"):
        tasks.reproduce("smoke", folder=tmp_path, networks=("fa-gnn", "exp-iso"))
    assert not list(tmp_path.iterdir())


def test_reproduction_compares_networks_at_equal_steps(tmp_path):
    cases = ("linear", "gnn-distances", "gnn-rotations", "fa-gnn", "fa-gnn-stochastic")
    rows = reproduce("smoke", folder=tmp_path, seeds=(3,), cases=cases)
    by_key = {(row.case, row.metric): row for row in rows}
    assert all(isinstance(row, ResultRow) and row.seeds == (3,) for row in rows)
    error = by_key["particles/fa-gnn", "position_mse"]
    assert error.paper.value == 0.0057
    assert not error.paper.verified
    assert "affine" in error.baselines
    assert by_key["particles/linear", "weights"].value == 1
    assert by_key["particles/fa-gnn", "mse_change"].meets_target
    assert by_key["particles/gnn-rotations", "mse_change"].target is None
    assert by_key["particles/fa-gnn-stochastic", "mse_change"].target is None
    assert all(row.meets_target for row in rows if row.metric == "symmetry_error")
    ratio = by_key["particles/fa-gnn against gnn-distances", "mse_ratio"]
    plain = by_key["particles/gnn-distances", "position_mse"]
    assert ratio.value == pytest.approx(error.value / plain.value, rel=1e-12)
    assert ratio.target is None, "a network of seconds has to reach nothing"
    assert (tmp_path / "particles-fa-gnn-smoke-seed3" / "report.html").is_file()


def test_cases_of_the_experiment_are_recipes():
    for case in CASES.values():
        recipe = loaded(case.recipe, "cpu", **case.changes).recipe
        assert recipe.particles.data.train_samples == 1000


def test_learns_more_than_a_straight_line_in_seconds(tmp_path):
    """Measured over four seeds: 0.024 to 0.025, where the best straight line has 0.091 and the affine map 0.072."""
    changes = {
        "particles.data.train_samples": 300, "particles.data.validation_samples": 50,
        "particles.data.test_samples": 300, "particles.data.simulation.stream": [300, 50, 300],
        "particles.model.hidden": 24, "particles.model.layers": 3, "training.epochs": 40,
        "training.batch_size": 50, "training.validate_every": 40, "training.learning_rate": 3e-3,
    }  # fmt: skip
    done = train(loaded(scale="cpu", **changes), tmp_path / "run", overrides=ONE_THREAD)
    evaluation = evaluate(done)
    line = evaluation.baselines["fitted velocity"]["test"]["position_mse"]
    assert evaluation.row("test", "position_mse").value < 0.5 * line


# --- prediction ------------------------------------------------------------------------------------------


def test_tables_and_arrays_are_predicted(run, samples, tmp_path):
    table = write_table_file(
        tmp_path / "now.csv",
        samples.positions[:3, None],
        samples.velocities[:3, None],
        samples.charges[:3],
        frames=False,
    )
    np.savez(tmp_path / "a.npz", loc0=samples.positions, vel0=samples.velocities, charges=samples.charges)
    text, arrays = predict_files(run, [table, tmp_path / "a.npz"], output=tmp_path / "out")
    header, *lines = text.read_text().splitlines()
    assert header == "simulation,particle,x,y,z"
    assert [line.split(",")[:2] for line in lines[4:7]] == [["10", "5"], ["20", "1"], ["20", "2"]]
    wanted = predict_samples(run.model(), samples, 12)
    values = np.array([[float(cell) for cell in line.split(",")[2:]] for line in lines])
    np.testing.assert_allclose(values, wanted[:3].reshape(-1, 3), atol=1e-5)
    with np.load(arrays) as stored:
        np.testing.assert_allclose(stored["positions"], wanted, atol=1e-5)


def test_particles_on_a_line_are_predicted_with_a_warning(run, tmp_path):
    """Two particles do not fix how their velocities are seen across the line between them."""
    from intertwine.errors import DataWarning

    pair = np.array([[[0.0, 0, 0], [1.0, 0, 0]]])
    np.savez(tmp_path / "pair.npz", loc0=pair, vel0=pair[:, ::-1] + 0.1, charges=np.ones((1, 2)))
    with pytest.warns(DataWarning, match="velocity_weight"):
        predict_files(run, [tmp_path / "pair.npz"], output=tmp_path / "out")


def test_nothing_is_written_where_a_file_cannot_be_read(run, samples, tmp_path):
    broken = samples.positions.copy()
    broken[2, 1, 0] = np.nan
    np.savez(tmp_path / "nan.npz", loc0=broken, vel0=samples.velocities, charges=samples.charges)
    with pytest.raises(DataError, match="sample 2"):
        predict_files(run, [tmp_path / "nan.npz"], output=tmp_path / "out")
    assert not (tmp_path / "out").exists()
