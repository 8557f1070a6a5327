"""Training, evaluation, check, report and reproduction of small networks; and learning."""

import json

import numpy as np
import pytest
import torch

from intertwine.errors import DataError, NumericsError
from intertwine.particles import predict_samples
from intertwine.reporting import Evaluation, ResultRow
from intertwine.systems.segnn.evaluate import check, evaluate
from intertwine.systems.segnn.predict import predict_files
from intertwine.systems.segnn.report import sections
from intertwine.systems.segnn.reproduce import reproduce
from intertwine.training.inference import load_model
from intertwine.training.page import write_run_page
from intertwine.training.recipes import load_recipe
from intertwine.training.trainer import train

ONE_THREAD = {"training.threads": 1}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run of the smoke recipe, with attributes of degree 2."""
    recipe = load_recipe("segnn/charged5-l2", scale="smoke")
    return train(recipe, tmp_path_factory.mktemp("runs") / "smoke", overrides=ONE_THREAD)


@pytest.mark.parametrize("scale", ["paper", "cpu", "smoke"])
@pytest.mark.parametrize(("recipe", "degree"), [("charged5-l1", 1), ("charged5-l2", 2)])
def test_recipes_are_those_of_the_card(recipe, degree, scale):
    loaded = load_recipe(f"segnn/{recipe}", scale=scale).recipe
    assert (loaded.model.attribute_lmax, loaded.model.hidden_lmax) == (degree, 1)
    if scale == "paper":
        data = loaded.data
        assert (data.train_samples, data.validation_samples, data.test_samples) == (3000, 2000, 2000)
        assert (loaded.training.epochs, loaded.training.batch_size, loaded.model.layers) == (1000, 100, 4)
        assert (data.start_frame, data.end_frame, data.simulation.seed) == (30, 40, 43)


@pytest.mark.parametrize("product", ["clebsch_gordan", "gaunt", "gaunt_complete"])
def test_smoke_recipes_train_evaluate_and_check(product, tmp_path):
    recipe = load_recipe("segnn/charged5-l1", scale="smoke")
    run = train(recipe, tmp_path / "run", overrides=ONE_THREAD | {"model.product": product, "training.epochs": 1})
    evaluation = evaluate(run)
    assert {row.metric for row in evaluation.rows} == {"position_mse", "position_mae", "mean_distance"}
    assert all(np.isfinite(row.value) and row.frames == 20 for row in evaluation.rows)
    assert list(evaluation.baselines) == ["no motion", "constant velocity", "fitted velocity"]
    assert list(evaluation.paper) == ["SEGNN", "SEGNN with Gaunt products"]
    found = check(run, trials=2, rng=torch.Generator().manual_seed(0))
    assert found.passed, found.text
    parts = {row["part"] for row in found.to_dict()["equivariance"]["rows"]}
    assert {"rotations", "reflections", "translations", "permutations"} <= parts


def test_evaluation_holds_the_errors_of_its_arrays(run):
    evaluation = evaluate(run)
    target, predicted = (evaluation.array("test", name) for name in ("targets", "predicted"))
    assert evaluation.row("test", "position_mse").value == pytest.approx(np.mean((predicted - target) ** 2), rel=1e-12)
    start, velocity = (evaluation.array("test", name) for name in ("positions", "velocities"))
    line = np.mean((start + velocity - target) ** 2)  # ten frames of 0.1 time units
    assert evaluation.baselines["constant velocity"]["test"]["position_mse"] == pytest.approx(line, rel=1e-12)
    assert evaluation.paper["SEGNN"]["test"]["position_mse"] == 5.2e-3


def test_the_same_seed_gives_the_same_weights(run, tmp_path):
    again = train(load_recipe("segnn/charged5-l2", scale="smoke"), tmp_path / "again", overrides=ONE_THREAD)
    for one, two in zip(run.model().parameters(), again.model().parameters(), strict=True):
        assert torch.equal(one, two)


def test_report_has_every_part_and_says_what_is_missing(run, tmp_path):
    titles = ["Accuracy", "Symmetry", "Training"]
    missing = sections(tmp_path)
    assert [section.title for section in missing] == titles
    assert ["intertwine" in section.text for section in missing] == [True, True, True]
    evaluate(run).write(run.folder)
    found = check(run, trials=2, rng=torch.Generator().manual_seed(0))
    (run.folder / "check.json").write_text(json.dumps(found.to_dict()))
    full = sections(run)
    assert [section.title for section in full] == ["Accuracy", "Predictions in detail", "Symmetry", "Training"]
    assert [len(section.figures) for section in full] == [1, 4, 0, 1]
    assert not any("intertwine" in section.text for section in full)
    facts = {fact.label: fact for section in full for fact in section.facts}
    assert facts["Largest symmetry error"].status == "good"
    assert "baseline" in facts["Mean squared error, test"].note
    page = write_run_page(run)
    assert page.stat().st_size < 8e6
    assert "attribute_lmax: 2" in page.read_text()


def test_damaged_files_of_a_report_are_named(run, tmp_path):
    (tmp_path / "check.json").write_text('{"equivariance": {}}')
    with pytest.raises(DataError, match=r"check\.json"):
        sections(tmp_path)
    (tmp_path / "check.json").unlink()
    evaluation = evaluate(run)
    arrays = dict(evaluation.arrays) | {"test/predicted": np.zeros((3, 5, 3))}
    Evaluation(evaluation.rows, evaluation.baselines, evaluation.paper, arrays).write(tmp_path)
    with pytest.raises(DataError, match="do not fit together"):
        sections(tmp_path)


def test_a_run_without_test_set_says_so(tmp_path, samples):
    arrays = {"loc0": samples.positions, "vel0": samples.velocities, "loc1": samples.targets}
    np.savez(tmp_path / "mine.npz", charges=samples.charges, **arrays)
    changes = ONE_THREAD | {
        "data.train": str(tmp_path / "mine.npz"), "data.train_samples": None, "data.validation_samples": None,
        "data.test_samples": None, "training.epochs": 1,
    }  # fmt: skip
    run = train(load_recipe("segnn/charged5-l1", scale="smoke"), tmp_path / "run", overrides=changes)
    with pytest.raises(DataError, match="names no test files"):
        evaluate(run)
    assert check(run, trials=1, rng=torch.Generator().manual_seed(0)).passed


def test_a_batch_gives_what_its_samples_give(run, samples):
    model = run.model()
    together = predict_samples(model, samples, 12)
    np.testing.assert_allclose(predict_samples(model, samples, 5), together, rtol=1e-5, atol=1e-6)


def test_loading_takes_runs_folders_and_networks(run):
    model = load_model(run)
    for source in (run.folder, run.model_folder, model):
        other = load_model(source, dtype=torch.float64)
        assert next(other.parameters()).dtype == torch.float64
        assert not other.training
    assert next(model.parameters()).dtype == torch.float32
    assert not any(weight.requires_grad for weight in model.parameters())


def test_reproduction_compares_the_products_with_each_other_and_with_straight_lines(tmp_path):
    rows = reproduce("smoke", folder=tmp_path, seeds=(3,))
    by_key = {(row.case, row.metric): row for row in rows}
    errors = {
        name: by_key[f"charged5-l1/{name}", "position_mse"] for name in ("clebsch_gordan", "gaunt", "gaunt_complete")
    }
    assert all(isinstance(row, ResultRow) and row.seeds == (3,) for row in rows)
    assert [row.paper and row.paper.value for row in errors.values()] == [5.0e-3, 4.8e-3, None]
    assert all("fitted velocity" in row.baselines for row in errors.values())
    assert all(row.target is None for row in errors.values()), "a network of seconds has to reach nothing"
    difference = by_key["charged5-l1/clebsch_gordan against gaunt", "position_mse_difference"]
    assert difference.value == pytest.approx(abs(errors["clebsch_gordan"].value - errors["gaunt"].value), rel=1e-12)
    assert all(row.meets_target for row in rows if row.metric == "symmetry_error")
    assert (tmp_path / "charged5-l1-gaunt-smoke-seed3" / "report.html").is_file()


def test_learns_more_than_a_straight_line_in_seconds(tmp_path):
    """Measured over four seeds: 0.052 to 0.057 with Gaunt products, where the best straight line has 0.090."""
    changes = ONE_THREAD | {
        "data.train_samples": 200, "data.validation_samples": 50, "data.test_samples": 200, "model.layers": 1,
        "data.simulation.stream": [200, 50, 200], "model.hidden": 16, "model.product": "gaunt",
        "training.epochs": 10, "training.batch_size": 20, "training.validate_every": 10,
    }  # fmt: skip
    run = train(load_recipe("segnn/charged5-l1", scale="cpu"), tmp_path / "run", overrides=changes)
    evaluation = evaluate(run)
    line = evaluation.baselines["fitted velocity"]["test"]["position_mse"]
    assert evaluation.row("test", "position_mse").value < 0.8 * line


@pytest.fixture
def now(samples, write_table, tmp_path):
    """A table of the present alone, with simulation numbers 10, 20, ..."""
    arrays = (samples.positions[:3, None], samples.velocities[:3, None], samples.charges[:3])
    return write_table(tmp_path / "now.csv", *arrays, frames=False)


def test_tables_are_predicted_with_their_own_numbers(run, now, samples, tmp_path):
    (written,) = predict_files(run, [now], output=tmp_path / "out")
    assert written.name == "now.predicted.csv"
    header, *lines = written.read_text().splitlines()
    assert header == "simulation,particle,x,y,z"
    assert [line.split(",")[:2] for line in lines[4:7]] == [["10", "5"], ["20", "1"], ["20", "2"]]
    values = np.array([[float(cell) for cell in line.split(",")[2:]] for line in lines])
    np.testing.assert_array_equal(values, predict_samples(run.model(), samples.part(stop=3), 3).reshape(-1, 3))


def test_tables_of_other_programs_are_predicted_too(run, now, tmp_path):
    header, *lines = now.read_text().splitlines()
    (tmp_path / "NOW.CSV").write_text("\n".join(["\ufeff" + header.upper(), *lines]), "utf-8")
    one, other = predict_files(run, [now, tmp_path / "NOW.CSV"], output=tmp_path / "out")
    assert other.name == "NOW.predicted.csv"
    assert one.read_text() == other.read_text()


def test_arrays_are_predicted_beside_what_is_known(run, samples, tmp_path, write_published):
    np.savez(tmp_path / "a.npz", loc0=samples.positions, vel0=samples.velocities, charges=samples.charges)
    trajectories = np.repeat(samples.positions[:, None], 41, axis=1), np.repeat(samples.velocities[:, None], 41, axis=1)
    loc = write_published(tmp_path, *trajectories, samples.charges, split="test")
    first, second = predict_files(run, [tmp_path / "a.npz", loc], output=tmp_path / "out")
    with np.load(first) as a, np.load(second) as b:
        assert sorted(a.files) == ["charges", "positions", "start"]
        np.testing.assert_allclose(a["positions"], b["positions"], rtol=1e-12)
        np.testing.assert_array_equal(b["reference"], samples.positions)
    assert second.name == "loc_test_charged5_initvel1small.predicted.npz"


def test_nothing_is_written_where_one_file_cannot_be_read(run, now, tmp_path):
    (tmp_path / "broken.csv").write_text("x,y\n1,2\n")
    with pytest.raises(DataError, match="lacks columns"):
        predict_files(run, [now, tmp_path / "broken.csv"], output=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(DataError, match="one place"):
        predict_files(run, [now, now], output=tmp_path / "out")


def test_predictions_that_are_not_finite_name_the_sample(run, samples):
    model = load_model(run)
    model.output.bias = None
    next(model.parameters()).data.fill_(torch.nan)
    with pytest.raises(NumericsError, match="sample 0"):
        predict_samples(model, samples)
