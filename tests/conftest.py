"""Fixtures and rules of the whole test suite."""

import os
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
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


@pytest.fixture
def crystal():
    """The function ``crystal(kind, seed, size, stdev)``."""
    return make_crystal


@pytest.fixture
def write_crystals():
    """The function ``write_crystals(path, kind, count, size, prefix, seed)``."""
    return write_crystal_file


def make_crystal(kind="copper", seed=0, size=(2, 2, 2), stdev=0.08):
    """A crystal with displaced atoms and a sheared cell, and the classical calculator EMT."""
    from ase.build import bulk
    from ase.calculators.emt import EMT

    atoms = bulk("Cu", "fcc", a=3.63, cubic=True) if kind == "copper" else bulk("Al", "fcc", a=4.0, cubic=True)
    atoms = atoms * size
    rng = np.random.default_rng(seed)
    atoms.set_cell(atoms.cell[:] @ (np.eye(3) + 0.02 * rng.standard_normal((3, 3))), scale_atoms=True)
    atoms.positions += stdev * rng.standard_normal(atoms.positions.shape)
    atoms.calc = EMT()
    return atoms


def write_crystal_file(path, kind="copper", count=6, size=(1, 1, 1), prefix="", seed=0):
    """Write rattled crystals with energy, forces and stress to an extended XYZ file, and return the atoms."""
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.io import write
    from ase.stress import voigt_6_to_full_3x3_stress

    made, images = [], []
    for number in range(count):
        atoms = make_crystal(kind, seed=seed + number, size=size)
        labels = (atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress())
        image = atoms.copy()
        image.calc = None
        if prefix:
            image.info[f"{prefix}energy"], image.arrays[f"{prefix}forces"] = labels[:2]
            image.info[f"{prefix}stress"] = voigt_6_to_full_3x3_stress(labels[2]).ravel()
        else:
            image.calc = SinglePointCalculator(image, energy=labels[0], forces=labels[1], stress=labels[2])
        made.append((atoms, labels))
        images.append(image)
    write(path, images, format="extxyz")
    return made
