import pytest
import torch
import toy_system

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
def finished(tmp_path_factory):
    """A short finished run with averaging, clipping and dropout."""
    register_system(toy_system.SYSTEM)
    folder = tmp_path_factory.mktemp("runs") / "finished"
    return train(load_recipe("toy/well", "cpu"), folder, overrides={"training.threads": 1})


@pytest.fixture
def rng():
    return torch.Generator().manual_seed(7)
