"""The pieces of a card's experiment on the toy: what is trained, measured, written and gathered."""

import io
import json

import pytest
import torch
import toy_system.training
from rich.console import Console

from intertwine.reporting import Evaluation, EvaluationRow, ResultRow
from intertwine.symmetry import CheckReport
from intertwine.symmetry.report import EquivarianceEntry, EquivarianceReport
from intertwine.training.experiment import baseline_errors, count_weights, measure_run, record, train_timed
from intertwine.training.recipes import load_recipe


def test_a_run_is_trained_with_its_changes_and_timed(tmp_path):
    console = Console(file=io.StringIO(), width=100)
    changes = {"seed": 5, "training.threads": 1}
    loaded = load_recipe("toy/well", "smoke")
    run, seconds = train_timed(loaded, tmp_path / "run", changes, title="well, seed 5", console=console)
    assert run.folder == tmp_path / "run"
    assert run.recipe().seed == 5
    assert seconds >= run.metrics()[-1]["seconds"] > 0
    assert "well, seed 5" in console.file.getvalue()
    assert count_weights(run) == sum(weight.numel() for weight in run.model().parameters())


def test_a_run_is_measured_as_by_the_commands(tmp_path, monkeypatch):
    calls = []

    def check(run, *, trials, rng):
        calls.append((run, trials, rng.initial_seed()))
        entry = EquivarianceEntry.judge("energy", "rotations", 1e-16, 1.0, "a draw", 0, torch.float64)
        return CheckReport("toy", EquivarianceReport((entry,), "SO(3)", torch.float64, trials))

    monkeypatch.setattr(toy_system.training, "check", check)
    run, _ = train_timed(load_recipe("toy/well", "smoke"), tmp_path / "run", {"training.threads": 1})
    evaluation, checked = measure_run(run, seed=3, trials=4)
    assert calls == [(run, 4, 3)]
    assert Evaluation.read(run.folder).rows == evaluation.rows
    assert json.loads((run.folder / "check.json").read_text()) == checked.to_dict()


def test_numbers_are_gathered_by_key_and_seed():
    results = {}
    record(results, 3, {("a", "error", "eV"): 1.0, ("b", "error", "eV"): 5.0})
    record(results, 7, {("a", "error", "eV"): 2.0})
    assert results == {("a", "error", "eV"): {3: 1.0, 7: 2.0}, ("b", "error", "eV"): {3: 5.0}}
    row = ResultRow.over_seeds("a", "error", results["a", "error", "eV"])
    assert (row.value, row.seeds) == (1.5, (3, 7))


def test_errors_of_a_baseline_are_found_by_set_and_metric():
    baselines = {
        "zero model": {"near": {"mae": 1.0, "rmse": 2.0}, "far": {"mae": 3.0}},
        "other": {"near": {"mae": 9.0}},
    }
    evaluation = Evaluation((EvaluationRow("near", "mae", 0.5),), baselines)
    assert baseline_errors(evaluation) == {("near", "mae"): 1.0, ("near", "rmse"): 2.0, ("far", "mae"): 3.0}
    assert baseline_errors(evaluation, "other") == {("near", "mae"): 9.0}
    with pytest.raises(KeyError):
        baseline_errors(evaluation, "absent")
