"""A few simulations, made once, and files of every format: what the tests of particles share."""

import pytest
from particle_files import write_published_files, write_table_file

from intertwine.particles import SimulationSettings, simulated_samples
from intertwine.training import find_data


@pytest.fixture(scope="session")
def stream():
    """A stream of few simulations."""
    return SimulationSettings(seed=7, stream=(12, 6, 6))


@pytest.fixture(scope="session")
def samples(stream):
    """Twelve simulated samples of five particles."""
    return simulated_samples(stream, "train")


@pytest.fixture
def published_file():
    """The function that finds a published file by name; tests that use it are marked ``data``."""
    return lambda name: find_data(f"nbody_charged5/{name}")


@pytest.fixture
def write_published():
    return write_published_files


@pytest.fixture
def write_table():
    return write_table_file
