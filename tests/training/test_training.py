"""The trainer on the toy: it learns, keeps the best, averages, anneals, and stops when it must."""

import io
import math

import pytest
import torch
from rich.console import Console

from intertwine.errors import ConfigError, NumericsError
from intertwine.training.checkpoint import load_checkpoint
from intertwine.training.recipes import load_recipe
from intertwine.training.run import open_run, write_recipe
from intertwine.training.trainer import train


def run_toy(folder, scale="smoke", console=None, **overrides):
    settings = {"training.threads": 1} | {key.replace("__", "."): value for key, value in overrides.items()}
    return train(load_recipe("toy/well", scale), folder, overrides=settings, console=console)


def test_it_learns(tmp_path):
    run = run_toy(tmp_path / "run", "paper", model__dropout=0.0, training__epochs=20, training__learning_rate=0.1)
    losses = [row["validation_loss"] for row in run.metrics()]
    assert losses[-1] < 0.5 * losses[0]  # 0.09 to 0.3 with seeds 1 to 3


def test_a_run_holds_what_it_should(finished):
    names = {p.name for p in finished.folder.iterdir()}
    assert names == {"recipe.yaml", "versions.json", "metrics.csv", "checkpoints", "model"}
    about = finished.versions()
    assert (about["recipe"], about["scale"]) == ("toy/well", "cpu")
    assert about["packages"]["torch"].partition("+")[0] == torch.__version__.partition("+")[0]
    assert open_run(finished.folder).recipe() == finished.recipe()
    assert finished.recipe().training.ema == 0.9
    rows = finished.metrics()
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert [row["step"] for row in rows] == [6, 12, 18, 24, 30, 36]
    assert {"train_loss", "train_force_loss", "validation_loss", "validation_energy_mae"} <= rows[0].keys()


def test_the_model_is_the_average_at_the_best_epoch(finished):
    best = load_checkpoint(finished.best)
    rows = finished.metrics()
    lowest = min(rows, key=lambda row: row["validation_loss"])
    assert best["epoch"] + 1 == lowest["epoch"]
    average = best["callbacks"]["WeightAverage"]["weights"]
    model = finished.model().state_dict()
    assert all(torch.equal(model[name], average[name]) for name in model)
    assert not torch.equal(model["inner.weight"], best["state_dict"]["model.inner.weight"])


def test_validation_used_the_average(finished):
    from toy_system.training import make_data

    data = make_data(finished.recipe())
    data.setup("fit")
    x, energy, forces = data.validation_set.tensors
    out = finished.model()(x)
    loss = (out["energy"] - energy).square().mean() + (out["forces"] - forces).square().mean()
    lowest = min(row["validation_loss"] for row in finished.metrics())
    assert loss.item() == pytest.approx(lowest, rel=1e-5)


def test_the_last_epoch_is_validated_whatever_the_interval(tmp_path):
    run = run_toy(tmp_path / "run", training__epochs=3, training__validate_every=2)
    assert [row["validation_loss"] is not None for row in run.metrics()] == [False, True, True]


def test_a_run_that_time_stops_is_validated_at_its_end(tmp_path):
    run = run_toy(tmp_path / "run", training__max_minutes=1e-6, training__validate_every=5)
    assert [row["validation_loss"] is not None for row in run.metrics()] == [True]
    assert run.best.exists()


def test_double_precision_is_kept_in_the_model(tmp_path):
    run = run_toy(tmp_path / "run", training__precision="64")
    assert run.model().inner.weight.dtype == torch.float64


def test_mixed_precision_trains(tmp_path):
    run = run_toy(tmp_path / "run", training__precision="bf16-mixed")
    assert run.model().inner.weight.dtype == torch.float32
    assert math.isfinite(run.metrics()[-1]["validation_loss"])


def test_workers_change_nothing(tmp_path):
    alone = run_toy(tmp_path / "alone").model().state_dict()
    helped = run_toy(tmp_path / "helped", training__data_workers=1).model().state_dict()
    assert all(torch.equal(alone[name], helped[name]) for name in alone)


def test_validating_now_and_then_leaves_gaps_in_the_file(tmp_path):
    run = run_toy(tmp_path / "run", training__epochs=4, training__validate_every=2)
    assert [row["validation_loss"] is not None for row in run.metrics()] == [False, True, False, True]
    assert run.finished


def test_patience_stops_early(tmp_path):
    run = run_toy(tmp_path / "run", training__epochs=50, training__learning_rate=10.0, training__patience=2)
    assert len(run.metrics()) < 50


def test_the_time_limit_ends_a_run_cleanly(tmp_path):
    run = run_toy(
        tmp_path / "run",
        training__epochs=100000,
        training__max_minutes=0.01,
        training__schedule="time_cosine",
        training__final_learning_rate_fraction=0.0,
    )
    rows = run.metrics()
    assert run.finished
    assert 0.6 <= rows[-1]["seconds"] < 20
    assert rows[-1]["learning_rate"] < 0.2 * rows[0]["learning_rate"]
    assert rows[-1]["validation_loss"] is not None


def test_nan_stops_the_run_by_name_and_keeps_the_last_good_state(tmp_path):
    run = run_toy(tmp_path / "run", training__epochs=1)
    write_recipe(run.loaded().changed({"data.poison": 0}), run.folder)  # as if the data had changed meanwhile
    with pytest.raises(NumericsError) as caught:
        train(resume=run, overrides={"training.epochs": 3})
    assert "the training loss is not finite in epoch 2, batch" in caught.value.message
    assert str(run.last) in caught.value.fix
    assert all(torch.isfinite(v).all() for v in load_checkpoint(run.last)["state_dict"].values())


def test_nan_in_validation_is_not_saved(tmp_path):
    with pytest.raises(NumericsError, match="the validation loss"):
        run_toy(tmp_path / "run", data__poison=15)
    assert not open_run(tmp_path / "run").last.exists()


def test_a_monitor_that_is_not_logged_is_refused(tmp_path):
    with pytest.raises(ConfigError) as caught:
        run_toy(tmp_path / "run", training__monitor="validation_energy_mea")
    assert caught.value.fix == "did you mean `validation_energy_mae`?"


def test_plain_output_has_one_line_per_shown_epoch(tmp_path, capfd):
    text = io.StringIO()
    run_toy(tmp_path / "run", console=Console(file=text, width=200), training__epochs=3)
    lines = text.getvalue().splitlines()
    assert [line.split()[1] for line in lines] == ["1/3", "3/3"]
    assert all("left" in line and "validation" in line for line in lines)
    assert capfd.readouterr() == ("", "")


def test_a_terminal_gets_a_bar_that_goes_away(tmp_path):
    text = io.StringIO()
    run_toy(tmp_path / "run", console=Console(file=text, force_terminal=True, width=120))
    assert "epoch" in text.getvalue()
    assert "left" in text.getvalue()


def test_nothing_is_printed_without_a_console(tmp_path, capfd):
    run_toy(tmp_path / "run")
    assert capfd.readouterr() == ("", "")


def test_a_full_folder_is_refused_before_anything_starts(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ConfigError, match="not empty"):
        run_toy(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
