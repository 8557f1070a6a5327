"""A few simulations, made once, and files of every format: what the tests of this system share."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest

from intertwine.systems.segnn.data import SampleSet, simulated_samples
from intertwine.systems.segnn.settings import SimulationSettings

CHECKOUT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def stream():
    """A stream of few simulations."""
    return SimulationSettings(seed=7, stream=(12, 6, 6))


@pytest.fixture(scope="session")
def samples(stream):
    """Twelve simulated samples of five particles."""
    return simulated_samples(stream, "train")


@pytest.fixture
def batch(samples):
    """Three samples as one graph, in float64."""
    return SampleSet(samples).__getitems__([0, 1, 2])


@pytest.fixture
def published_file():
    """The function that finds a published file by name; tests that use it are marked ``data``."""
    return find_published


@pytest.fixture
def write_published():
    return write_published_files


@pytest.fixture
def write_table():
    return write_table_file


def find_published(name):
    """Return the path of a published file; tests that use one are marked ``data``."""
    folders = (os.environ.get("INTERTWINE_DATA"), CHECKOUT.parent / "shared" / "data")
    return next(Path(folder) for folder in folders if folder and Path(folder).is_dir()) / "nbody_charged5" / name


def write_published_files(folder, positions, velocities, charges, split="train"):
    """Write the four files of the published layout and return the one of positions."""
    suffix = f"{split}_charged{charges.shape[1]}_initvel1small.npy"
    np.save(folder / f"loc_{suffix}", positions.swapaxes(2, 3))
    np.save(folder / f"vel_{suffix}", velocities.swapaxes(2, 3))
    np.save(folder / f"charges_{suffix}", charges[:, :, None])
    np.save(folder / f"edges_{suffix}", charges[:, :, None] * charges[:, None])
    return folder / f"loc_{suffix}"


def write_table_file(path, positions, velocities, charges, frames=True):
    """Write a table with simulation numbers 10, 20, ... and particle numbers 1, 2, ..."""
    header = ["simulation", *(["frame"] if frames else []), "particle", "charge", "x", "y", "z", "vx", "vy", "vz"]
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        for s, t, i in np.ndindex(positions.shape[:3]):
            numbers = [charges[s, i], *positions[s, t, i], *velocities[s, t, i]]
            writer.writerow([10 * (s + 1), *([t] if frames else []), i + 1, *map(float, numbers)])
    return path
