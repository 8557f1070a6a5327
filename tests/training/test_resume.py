"""Exactness: the same run twice, and a killed and resumed one, give the same bits."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from intertwine.errors import CheckpointError, ConfigError
from intertwine.training import callbacks, saving
from intertwine.training.checkpoint import load_checkpoint, save_checkpoint
from intertwine.training.recipes import load_recipe
from intertwine.training.run import open_run
from intertwine.training.trainer import train

KILLED = {"first": "0,2", "middle": "3,1", "last": "4,5", "twin": "3,1", "twice": "2,0/4,2/-"}


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """Runs that died at the named places; the last one was resumed twice, and finished."""
    root = tmp_path_factory.mktemp("killed")
    words = [f"{name}:{places}" for name, places in KILLED.items()]
    done = subprocess.run(
        [sys.executable, str(Path(__file__).parent / "killed_runs.py"), str(root), *words],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return root


def weights(run):
    return run.model().state_dict()


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name], other[name]), name


def whole_state(run):
    content = load_checkpoint(run.last)
    return {
        **{f"w/{k}": v for k, v in content["state_dict"].items()},
        **{f"o/{n}/{k}": v for n, state in content["optimizer_states"][0]["state"].items() for k, v in state.items()},
        **{f"e/{k}": v for k, v in content["callbacks"]["WeightAverage"]["weights"].items()},
    }


def test_the_same_recipe_gives_the_same_bits_and_another_seed_others(finished, tmp_path):
    again = train(load_recipe("toy/well", "cpu"), tmp_path / "again", overrides={"training.threads": 1})
    assert_same(weights(finished), weights(again))
    other = train(load_recipe("toy/well", "cpu"), tmp_path / "other", overrides={"seed": 4})
    assert not torch.equal(weights(finished)["inner.weight"], weights(other)["inner.weight"])


@pytest.mark.parametrize("name", ["first", "middle", "last"])
def test_a_run_killed_in_mid_epoch_and_resumed_gives_the_same_bits(finished, killed, name):
    run = open_run(killed / name)
    assert not run.finished
    assert len(run.metrics()) == int(KILLED[name][0])
    resumed = train(resume=run)
    assert_same(weights(finished), weights(resumed))
    assert_same(whole_state(finished), whole_state(resumed))
    keep = [{k: v for k, v in row.items() if k != "seconds"} for row in resumed.metrics()]
    assert keep == [{k: v for k, v in row.items() if k != "seconds"} for row in finished.metrics()]


def test_a_run_killed_twice_gives_the_same_bits(finished, killed):
    assert_same(weights(finished), weights(open_run(killed / "twice")))


def test_a_twin_that_loses_the_state_of_the_optimiser_is_caught(finished, killed):
    run = open_run(killed / "twin")
    content = load_checkpoint(run.last)
    for state in content["optimizer_states"][0]["state"].values():
        state["exp_avg"].zero_()
    save_checkpoint(content, run.last)
    assert not torch.equal(weights(train(resume=run))["inner.weight"], weights(finished)["inner.weight"])


def test_a_finished_run_can_be_prolonged(tmp_path):
    short = train(
        load_recipe("toy/well", "cpu"),
        tmp_path / "run",
        overrides={"training.threads": 1, "training.epochs": 3},
    )
    longer = train(resume=short, overrides={"training.epochs": 6})
    assert len(longer.metrics()) == 6
    assert longer.recipe().training.epochs == 6


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "changed",
    [
        {"training.learning_rate": 0.5},
        {"data.items": 32, "seed": 9},
        {"model.radial.cutoff": 5.0},
        {"training.batch_size": 4, "training.ema": None},
    ],
)
def test_a_resumed_run_keeps_what_it_began_with(finished, tmp_path, changed):
    folder = Path(shutil.copytree(finished.folder, tmp_path / "run"))
    before = contents(folder)
    with pytest.raises(ConfigError) as caught:
        train(resume=folder, overrides={"training.epochs": 7, **changed})
    assert caught.value.got == changed
    assert caught.value.expected.keys() == changed.keys()
    assert all(f"`{name}`" in caught.value.message for name in changed)
    assert "training.{epochs, max_minutes" in caught.value.fix
    assert contents(folder) == before


def test_what_a_resumed_run_may_change(tmp_path):
    run = train(load_recipe("toy/well", "smoke"), tmp_path / "run", overrides={"training.threads": 1})
    settings = {
        "epochs": 3,
        "max_minutes": 5.0,
        "devices": 1,
        "nodes": 1,
        "threads": None,
        "accelerator": "cpu",
        "data_workers": 0,
        "validation_batch_size": 3,
        "validate_every": 2,
        "patience": 4,
    }
    same = {"training.batch_size": 8, "seed": 3}  # given anew, as it was
    longer = train(resume=run, overrides=same | {f"training.{key}": value for key, value in settings.items()})
    stored = longer.recipe().training
    assert {name: getattr(stored, name) for name in settings} == settings
    assert len(longer.metrics()) == 3


def test_the_best_weights_are_exported_after_death_between_two_renames(tmp_path):
    run = train(load_recipe("toy/well", "smoke"), tmp_path / "run", overrides={"training.threads": 1})
    content = load_checkpoint(run.best)
    content["state_dict"]["model.inner.weight"].fill_(0.5)  # unlike the last ones
    save_checkpoint(content, run.best)
    run.best.rename(run.best.parent / ".best.old")
    weight = train(resume=run).model().inner.weight
    assert torch.equal(weight, torch.full_like(weight, 0.5))


def full_disk(monkeypatch, run, what):
    """Let the disk be full for one kind of write of the run, after it has written a part."""
    error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    open_file = Path.open

    def copy(source, target):
        Path(target).write_bytes(Path(source).read_bytes()[:10])
        raise error

    def rewrite(path, text):
        raise error

    class Full:
        def __init__(self, file):
            self.file = file

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

        def write(self, text):
            self.file.write(text[: len(text) // 2])
            raise error

    def append(path, mode="r", *args, **kwargs):
        file = open_file(path, mode, *args, **kwargs)
        return Full(file) if mode == "a" and path == run.folder / "metrics.csv" else file

    if what == "copy":
        monkeypatch.setattr(saving.shutil, "copyfile", copy)
    elif what == "rewrite":
        monkeypatch.setattr(callbacks, "write_text", rewrite)
    else:
        monkeypatch.setattr(Path, "open", append)


@pytest.mark.parametrize(
    ("what", "place"), [("copy", "checkpoints/last"), ("rewrite", "metrics.csv"), ("append", "metrics.csv")]
)
def test_a_disk_that_fills_during_a_run_stops_it_and_keeps_the_checkpoint(finished, tmp_path, monkeypatch, what, place):
    short = {"training.threads": 1, "training.epochs": 2}
    run = train(load_recipe("toy/well", "cpu"), tmp_path / "run", overrides=short)
    before, rows = contents(run.last), run.metrics()
    with monkeypatch.context() as patch:
        full_disk(patch, run, what)
        with pytest.raises(CheckpointError) as caught:
            train(resume=run, overrides={"training.epochs": 6})
    assert caught.value.code == "E601"
    assert "No space left" in caught.value.message
    assert caught.value.got == run.folder / place
    if what != "append":  # the first row of a part rewrites the file, so an epoch more is done
        assert contents(run.last) == before
    done = load_checkpoint(run.last)["epoch"] + 1
    assert done == len(rows) + (what == "append")
    assert [row["epoch"] for row in run.metrics()] == list(range(1, done + 1 + (what == "copy")))
    assert [path.name for path in run.last.parent.iterdir() if path.name.startswith(".")] == []
    assert_same(weights(finished), weights(train(resume=run)))


def test_one_of_recipe_and_resume(tmp_path):
    with pytest.raises(ConfigError):
        train()
    with pytest.raises(ConfigError):
        train("toy/well", resume=tmp_path)


def test_training_leaves_no_global_state_behind(tmp_path):
    torch.manual_seed(5)
    before = torch.get_rng_state(), torch.get_num_threads(), torch.get_default_dtype()
    train(load_recipe("toy/well", "smoke"), tmp_path / "run", overrides={"training.threads": 1})
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1:] == (torch.get_num_threads(), torch.get_default_dtype())
