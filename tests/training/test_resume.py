"""Exactness: the same run twice, and a killed and resumed one, give the same bits."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from intertwine.errors import ConfigError
from intertwine.training.checkpoint import load_checkpoint, save_checkpoint
from intertwine.training.recipes import load_recipe
from intertwine.training.run import open_run
from intertwine.training.train import train

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
