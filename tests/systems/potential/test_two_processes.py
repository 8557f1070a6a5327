"""Training a potential in two processes gives the weights of one, also when molecules differ in size."""

import os
import subprocess
import sys

import numpy as np
import pytest
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from safetensors.torch import load_file

RECIPE = """
extends: potential/3bpa
scale: smoke
data: {{train: {data}, test: {{}}, isolated_atoms: null, validation_fraction: 0.25, train_limit: null}}
model: {{channels: 4, radial_widths: [8], cutoff: 4.0}}
training: {{epochs: 2, batch_size: {size}, precision: "64", ema: null, threads: 1, devices: {devices}}}
"""


@pytest.fixture
def molecules(tmp_path):
    """Sixteen rattled molecules of 2 to 9 atoms, labelled with a harmonic energy."""
    rng, images = np.random.default_rng(0), []
    for index in range(16):
        atoms = molecule(["H2O", "CH3CH2OH", "CH4", "CO2", "H2", "CH3OH"][index % 6])
        moves = 0.1 * rng.standard_normal(atoms.positions.shape)
        atoms.positions += moves
        atoms.calc = SinglePointCalculator(atoms, energy=float(5 * (moves**2).sum()), forces=-10 * moves)
        images.append(atoms)
    path = tmp_path / "molecules.extxyz"
    write(path, images)
    return path


def train(folder, data, devices, size):
    recipe = folder / f"{devices}.yaml"
    recipe.write_text(RECIPE.format(data=data, size=size, devices=devices))
    run = folder / f"run{devices}"
    command = [sys.executable, "-m", "intertwine.cli.main", "train", str(recipe), "--output", str(run)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return load_file(run / "model" / "model.safetensors")


def test_two_processes_give_the_weights_of_one(tmp_path, molecules):
    one, two = train(tmp_path, molecules, 1, 4), train(tmp_path, molecules, 2, 2)
    assert one.keys() == two.keys()
    assert all(one[name].dtype.is_floating_point for name in one)
    for name, weights in one.items():
        assert (weights - two[name]).abs().max() < 1e-10, name
