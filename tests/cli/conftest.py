import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))

import toy_system

from intertwine.cli.main import main
from intertwine.training.recipes import load_recipe
from intertwine.training.registry import register_system, unregister_system
from intertwine.training.trainer import train


@pytest.fixture(autouse=True, scope="module")
def toy():
    """The toy, known by its name while a module of these tests runs."""
    register_system(toy_system.SYSTEM)
    yield toy_system.SYSTEM
    unregister_system("toy")


@pytest.fixture(scope="session")
def toy_run(tmp_path_factory):
    """A finished run of two epochs."""
    register_system(toy_system.SYSTEM)
    folder = tmp_path_factory.mktemp("cli") / "run"
    return train(load_recipe("toy/well", "smoke"), folder, overrides={"training.threads": 1})


@pytest.fixture
def call(capsys, monkeypatch):
    """Run a command line and return status, output and error output."""
    monkeypatch.setenv("COLUMNS", "160")

    def run(*words):
        status = main([str(word) for word in words])
        return status, *capsys.readouterr()

    return run
