"""Fixtures and rules of the whole test suite."""

import os
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

CHECKOUT = Path(__file__).parents[1]


def pytest_configure(config: pytest.Config) -> None:
    """Give each worker one thread: two pools of threads on the same cores wait for each other."""
    if hasattr(config, "workerinput"):
        torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what this machine cannot run, and say what it needs.

    ``@pytest.mark.data("kitti/poses")`` names files below the data folder; ``@pytest.mark.gpu`` needs CUDA.
    """
    for item in items:
        for marker in item.iter_markers("data"):
            absent = [name for name in marker.args if find_below_data(name) is None]
            if absent or not marker.args:
                needs = ", ".join(absent) or "the data folder"
                if absent or data_folder() is None:
                    item.add_marker(pytest.mark.skip(reason=f"needs INTERTWINE_DATA with {needs}"))
        if item.get_closest_marker("gpu") and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


def data_folder() -> Path | None:
    """Return the folder of data that does not travel with the checkout, or None."""
    for folder in (os.environ.get("INTERTWINE_DATA"), CHECKOUT.parent / "shared" / "data"):
        if folder and Path(folder).is_dir():
            return Path(folder)
    return None


def find_below_data(name: str) -> Path | None:
    """Return where data lie: below the data folder, or among the small copies of the checkout."""
    for folder in (data_folder(), CHECKOUT / "tests" / "data"):
        if folder is not None and (folder / name).exists():
            return folder / name
    return None


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> torch.Generator:
    """A random generator seeded from the test's own name: a test repeats exactly, alone or among others."""
    return torch.Generator().manual_seed(zlib.crc32(request.node.name.encode()))


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The root of the checkout."""
    return CHECKOUT


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The small data that travels with the checkout; licences are in its README."""
    return CHECKOUT / "tests" / "data"


@pytest.fixture
def float64_default() -> Iterator[None]:
    """Build e3nn's constants in float64: it rounds them to the default dtype, and this package does not."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)
