"""Every command on the toy: what it prints, what it writes, its exit status."""

import json
import os
import signal
import subprocess
import sys

import pytest
import torch
import yaml
from torch import nn

from intertwine.training.page import write_run_page
from intertwine.training.run import open_run

QUICK = ("--scale", "smoke", "--training.threads", 1)


def test_systems_and_recipes_are_listed_with_their_data(call):
    status, out, _ = call("systems")
    assert status == 0
    assert "Points in a learned well" in out
    assert "present for 1 of 2" in out
    status, out, _ = call("recipes", "toy")
    assert status == 0
    rows = {line.split()[0]: line for line in out.splitlines() if line.startswith("toy/")}
    assert "paper cpu smoke" in rows["toy/well"]
    assert "generated" in rows["toy/well"]
    assert "needs no-such-set/a.xyz" in rows["toy/absent"]
    assert "potential/" not in out


def test_train_writes_a_run_and_takes_any_field_as_option(call, tmp_path):
    status, out, err = call("train", "toy/well", *QUICK, "--model.width=5", "--seed", 4, "--output", tmp_path / "r")
    assert (status, err) == (0, "")
    run = open_run(tmp_path / "r")
    assert run.finished
    assert (run.recipe().model.width, run.recipe().seed, run.recipe().training.epochs) == (5, 4, 2)
    assert run.versions()["scale"] == "smoke"
    assert "trained 2 epochs" in out
    assert f"next: intertwine evaluate, check or report {tmp_path / 'r'}" in out


def test_train_resumes_and_prolongs(call, tmp_path):
    call("train", "toy/well", *QUICK, "--output", tmp_path / "r")
    status, _, err = call("train", "--resume", tmp_path / "r", "--training.epochs", 3)
    assert (status, err) == (0, "")
    assert len(open_run(tmp_path / "r").metrics()) == 3


def test_print_config_resolves_and_starts_nothing(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, out, _ = call("train", "toy/well", "--scale", "cpu", "--print_config", "--model.radial.cutoff", "2.5")
    data = yaml.safe_load(out)
    assert status == 0
    assert data["system"] == "toy"
    assert data["model"]["radial"]["cutoff"] == 2.5
    assert data["training"]["epochs"] == 6
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "mine.yaml").write_text(out)
    assert call("train", "mine.yaml", "--print_config")[1] == out


def test_print_schema_is_a_json_schema(call):
    status, out, _ = call("train", "toy/well", "--print_schema")
    schema = json.loads(out)
    assert status == 0
    assert schema["properties"]["model"]["properties"]["width"]["description"] == "Hidden units."


def test_help_of_train_shows_each_field_with_its_text(call):
    status, out, _ = call("train", "toy/well", "--help")
    assert status == 0
    assert "--model.radial.cutoff VALUE" in out
    assert "Where it ends. (a number; here 4.0)" in out
    assert call("train", "--help")[0] == 0


@pytest.mark.parametrize(
    "command", ["systems", "recipes", "evaluate", "check", "predict", "report", "reproduce", "wobble"]
)
def test_every_command_has_help(call, command):
    status, out, err = call(command, "--help")
    assert (status, err) == (0, "")
    assert out.startswith(f"usage: intertwine {command}")


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("trian",), "did you mean `train`?"),
        (("wobbel",), "did you mean `wobble`?"),
        (("train",), "intertwine train SYSTEM/RECIPE"),
        (("train", "toy/wel"), "did you mean `toy/well`?"),
        (("train", "toy/well", "--scale", "smok"), "did you mean `smoke`?"),
        (("train", "toy/well", "--resume", "x"), "leave one of them out"),
        (("train", "toy/well", "--model.widht", "3"), "did you mean `--model.width`?"),
        (("train", "toy/well", "--model.width", "wide"), 'got "wide", expected an integer'),
        (("evaluate", "no-such-run"), "there is no run"),
        (("evaluate",), "required"),
        (("reproduce", "tooy"), "did you mean `toy`?"),
        (("reproduce", "toy", "--scale", "huge"), "paper, cpu, smoke"),
        (("recipes", "tooy"), "did you mean `toy`?"),
        (("wobble", "--times", "x"), "times"),
    ],
)
def test_wrong_usage_has_status_2_and_a_sentence(call, tmp_path, monkeypatch, words, part):
    monkeypatch.chdir(tmp_path)
    status, _, err = call(*words)
    assert status == 2
    assert part in err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_debug_shows_where_the_error_comes_from_and_keeps_the_status(call):
    status, _, err = call("--debug", "train", "toy/wel")
    assert status == 2
    assert "Traceback" in err
    assert "ConfigError" in err


def test_a_start_that_fails_leaves_no_run(call, tmp_path):
    words = (
        "train",
        "potential/3bpa",
        "--scale",
        "smoke",
        "--data.forces_key",
        "REF_forces",
        "--output",
        tmp_path / "r",
    )
    status, _, err = call(*words)
    assert status == 1
    assert "REF_forces" in err
    assert not (tmp_path / "r").exists()


MODULES = """
import torch
from intertwine import Symmetry
from intertwine.groups import SO
from intertwine.representations import Vector


class cloud(torch.nn.Module):
    symmetry = Symmetry(SO(3), inputs={"x": Vector()}, output=Vector())

    def example_inputs(self):
        return {"x": torch.tensor([[1.0, 2.0, 3.0]])}

    def forward(self, x):
        return x * torch.tensor([1.0, 1.0, 2.0])
"""


def test_check_of_a_module_tells_wrong_usage_from_a_broken_symmetry(call, tmp_path, monkeypatch):
    (tmp_path / "planted_twins.py").write_text(MODULES)
    monkeypatch.syspath_prepend(str(tmp_path))
    status, out, _ = call("check", "planted_twins:cloud")
    assert status == 1
    assert out.startswith("planted_twins:cloud: failed")  # not an emoji
    status, out, _ = call("check", "planted_twins:cloud", "--tolerance", 10)
    assert status == 0
    assert "within the tolerance of 10" in out
    assert call("check", "planted_twins:clod")[0] == 2


def test_a_failed_run_has_status_1_and_no_traceback(call, tmp_path):
    status, _, err = call("train", "toy/well", *QUICK, "--data.poison", 0, "--output", tmp_path / "r")
    assert status == 1
    assert err.startswith("NumericsError[E700]")
    assert "epoch 1, batch" in err


def test_an_interrupt_says_how_to_go_on(call, tmp_path):
    before = signal.getsignal(signal.SIGINT)
    # Thirteen hidden units make the toy interrupt itself.
    status, _, err = call("train", "toy/well", *QUICK, "--model.width", 13, "--output", tmp_path / "r")
    assert status == 1
    assert err == f"interrupted: go on with `intertwine train --resume {tmp_path / 'r'}`\n"
    assert signal.getsignal(signal.SIGINT) is before


def test_an_unforeseen_error_is_one_sentence(call, toy_run):
    status, _, err = call("check", toy_run.folder)
    assert status == 1
    assert "NotImplementedError" in err
    assert "--debug" in err
    assert "Traceback" not in err


def test_evaluate_prints_and_writes(call, toy_run):
    status, out, _ = call("evaluate", toy_run.folder, "--device", "cpu")
    assert status == 0
    assert "origin" in out
    assert (toy_run.folder / "evaluation.json").exists()


def test_predict_writes_and_names_files(call, toy_run, tmp_path):
    (tmp_path / "a.txt").write_text("hello")
    status, out, _ = call("predict", toy_run.folder, tmp_path / "a.txt", "--output", tmp_path / "o")
    assert status == 0
    assert (tmp_path / "o" / "a.out").read_text() == "5"
    assert str(tmp_path / "o" / "a.out") in out
    status, _, err = call("predict", toy_run.folder, tmp_path / "b.txt")
    assert status == 1
    assert "b.txt" in err


def test_report_writes_one_page(call, toy_run, tmp_path):
    status, _, _ = call("report", toy_run.folder)
    assert status == 0
    text = (toy_run.folder / "report.html").read_text()
    assert "Hello." in text
    assert f"<title>toy/well: {toy_run.name}</title>" in text
    assert "Points in a learned well" in text
    assert "system: toy" in text, "the recipe is part of the page"
    assert write_run_page(toy_run, tmp_path / "other.html").read_text() == text


def test_reproduce_writes_results(call, tmp_path):
    status, out, _ = call("reproduce", "toy", "--seeds", 1, 2, "--output", tmp_path / "toy.json")
    assert status == 0
    data = json.loads((tmp_path / "toy.json").read_text())
    assert data["rows"][0]["seeds"] == [1, 2]
    assert data["command"].startswith("intertwine reproduce toy --seeds 1 2")
    assert "energy" in out


def test_a_verb_of_a_system_runs(call):
    status, out, _ = call("wobble", "--times", 2)
    assert (status, out) == (0, "wobble wobble\n")


class Twice(nn.Module):
    def forward(self, points):
        return 2 * points


class Bent(nn.Module):
    def forward(self, points):
        return points.abs()


def twice():
    return Twice(), {"points": torch.randn(4, 3, generator=torch.Generator().manual_seed(1))}


def bent():
    return Bent(), {"points": torch.randn(4, 3, generator=torch.Generator().manual_seed(1))}


@pytest.mark.parametrize(("name", "status"), [("twice", 0), ("bent", 1)])
def test_check_of_a_module_by_import_path(call, name, status):
    words = ("--group", "O(3)", "--inputs", "points=vector", "--outputs", "vector")
    got, out, err = call("check", f"{__name__}:{name}", *words)
    assert got == status, err
    assert ("passed" if status == 0 else "failed") in out


def test_python_runs_the_package(checkout):
    done = subprocess.run(
        [sys.executable, "-m", "intertwine", "--version"], capture_output=True, text=True, check=False, cwd=checkout
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("intertwine ")


def test_a_reader_that_has_gone_is_no_error(checkout):
    """As `intertwine systems | head -0` has it: the pipe is closed before anything is written."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as pipe:
        command = [sys.executable, "-m", "intertwine", "systems"]
        done = subprocess.run(command, stdout=pipe, stderr=subprocess.PIPE, text=True, check=False, cwd=checkout)
    assert (done.returncode, done.stderr) == (0, "")


def test_help_and_version_of_the_whole(call):
    status, out, _ = call("--help")
    assert status == 0
    for name in ("systems", "recipes", "train", "evaluate", "check", "predict", "report", "reproduce", "wobble"):
        assert f"  {name} " in out
    assert call()[0] == 2
    assert call("--version")[1].startswith("intertwine 0.")


def test_missing_data_is_listed_in_plain_words(call, monkeypatch, tmp_path):
    monkeypatch.setenv("INTERTWINE_DATA", str(tmp_path / "nowhere"))
    status, out, _ = call("recipes", "potential")
    assert status == 0
    assert "needs botnet-3bpa-acac" in out
    assert "[" not in out
