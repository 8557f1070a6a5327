import pytest
import toy_system
import torch

from intertwine.training.recipes import load_recipe
from intertwine.training.train import train


@pytest.fixture(scope="session")
def toy():
    return toy_system.SYSTEM


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A short finished run with averaging, clipping and dropout."""
    folder = tmp_path_factory.mktemp("runs") / "finished"
    return train(load_recipe("toy/well", "cpu"), folder, overrides={"training.threads": 1})


@pytest.fixture
def rng():
    return torch.Generator().manual_seed(7)
