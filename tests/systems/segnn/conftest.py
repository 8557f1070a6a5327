"""A few simulations, made once: what the tests of this system share."""

import pytest
from particle_files import write_published_files, write_table_file

from intertwine.particles import SampleSet, SimulationSettings, simulated_samples


@pytest.fixture(scope="session")
def samples():
    """Twelve simulated samples of five particles."""
    return simulated_samples(SimulationSettings(seed=7, stream=(12, 6, 6)), "train")


@pytest.fixture
def batch(samples):
    """Three samples as one graph, in float64."""
    return SampleSet(samples).__getitems__([0, 1, 2])


@pytest.fixture
def write_published():
    return write_published_files


@pytest.fixture
def write_table():
    return write_table_file
