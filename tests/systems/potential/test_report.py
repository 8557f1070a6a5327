import csv
import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from intertwine.errors import DataError
from intertwine.reporting import Evaluation, EvaluationRow
from intertwine.systems.potential.report import report, sections

DATA = Path(__file__).parents[2] / "data" / "botnet-3bpa-acac" / "3bpa"
SETS = {"dev_300K": 0.055, "dev_600K": 0.098, "dev_1200K": 0.213}
PAPER = {"dev_300K": (8.8, 3.0), "dev_600K": (21.8, 9.7), "dev_1200K": (62.0, 29.8)}


def write_csv(path, columns):
    path.parent.mkdir(exist_ok=True)
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def make_evaluation():
    """Real structures and forces with a made-up error whose size is known."""
    import ase.io

    rng = np.random.default_rng(1)
    rows, arrays, zero, paper = [], {}, {}, {}
    for name, error in SETS.items():
        frames = ase.io.read(DATA / f"{name}.xyz", index=":")
        forces = np.concatenate([frame.get_forces() for frame in frames])
        energy = np.array([frame.get_potential_energy() for frame in frames])
        scale = np.where(np.concatenate([frame.numbers for frame in frames]) == 1, 0.6, 1.2)[:, None]
        arrays |= {
            f"{name}/energy": energy + rng.normal(scale=error, size=energy.shape),
            f"{name}/energy_reference": energy,
            f"{name}/atoms": np.array([len(frame) for frame in frames]),
            f"{name}/forces": forces + scale * rng.normal(scale=error, size=forces.shape),
            f"{name}/forces_reference": forces,
            f"{name}/numbers": np.concatenate([frame.numbers for frame in frames]),
        }
        difference = arrays[f"{name}/forces"] - forces
        rmse, size = np.sqrt(np.mean(difference**2)), np.sqrt(np.mean(forces**2))
        metrics = {
            "energy_rmse": (1e3 * np.std(arrays[f"{name}/energy"] - energy), "meV"),
            "energy_mae": (1e3 * np.mean(np.abs(arrays[f"{name}/energy"] - energy)), "meV"),
            "force_rmse": (1e3 * rmse, "meV/Å"),
            "force_mae": (1e3 * np.mean(np.abs(difference)), "meV/Å"),
            "force_relative": (rmse / size, ""),
        }
        rows += [EvaluationRow(name, m, float(v), unit, len(frames)) for m, (v, unit) in metrics.items()]
        zero[name] = {"force_rmse": 1e3 * float(size), "energy_rmse": 1e3 * float(np.std(energy))}
        paper[name] = dict(zip(("force_rmse", "energy_rmse"), PAPER[name], strict=True))
    return Evaluation(tuple(rows), {"zero": zero}, {"MACE": paper}, arrays)


def make_check(folder, **changes):
    rows = [
        {"output": output, "part": part, "relative": relative, "epsilons": relative / 2.2e-16, "passed": True}
        for output, part, relative in (
            ("energy", "rotation", 3.1e-15),
            ("energy", "permutation", 2.0e-16),
            ("forces", "rotation", 8.4e-15),
            ("forces", "translation", 6.6e-15),
        )
    ]
    conservativeness = {"jacobian_asymmetry": 2.3e-15, "energy_mismatch": 4.0e-9, "passed": True}
    content = {"equivariance": rows, "conservativeness": conservativeness, "dtype": "float64"} | changes
    (folder / "check.json").write_text(json.dumps(content))


def make_metrics(folder):
    rng = np.random.default_rng(2)
    epoch = np.arange(1, 61)
    decay = 0.02 + np.exp(-epoch / 12)
    noise = np.exp(0.05 * rng.standard_normal((3, 60)))
    forces = 800 * decay * noise[1]
    write_csv(
        folder / "metrics.csv",
        {
            "epoch": epoch,
            "step": epoch * 90,
            "seconds": epoch * 31.5,
            "train_loss": decay * noise[0],
            "validation_loss": ["" if e % 2 else f"{v}" for e, v in zip(epoch, 1.2 * decay * noise[2], strict=True)],
            "validation_force_rmse": forces,
            "validation_energy_rmse": 160 * decay * noise[2],
            "learning_rate": 0.01 * np.cos(epoch / 62 * np.pi / 2) ** 2,
        },
    )
    return int(epoch[forces.argmin()])


def make_dynamics(folder, frames=50):
    import ase.io
    from ase.calculators.singlepoint import SinglePointCalculator

    rng = np.random.default_rng(3)
    time = np.arange(0, 2000, 1.0)
    swing = 0.35 * np.sin(time / 9) + 0.2 * np.sin(time / 23.1)
    drift = 1e-3 * 27 * 0.02 * time / 1000
    potential, kinetic = -17660.3 + swing, 1.05 - swing + drift + 1e-4 * rng.standard_normal(time.size)
    write_csv(
        folder / "md" / "nve.csv",
        {
            "time_fs": time,
            "potential_ev": potential,
            "kinetic_ev": kinetic,
            "total_ev": potential + kinetic,
            "temperature_k": kinetic / (1.5 * 27 * 8.617e-5),
        },
    )
    summary = {"drift_mev_per_atom_ps": 0.02, "max_deviation_mev_per_atom": 0.06, "atoms": 27, "time_step_fs": 1.0}
    (folder / "md" / "nve.json").write_text(json.dumps(summary))
    start = ase.io.read(DATA / "dev_300K.xyz", index=0)
    direction = rng.normal(scale=0.08, size=start.positions.shape)
    images = []
    for index in range(frames):
        image = start.copy()
        image.positions += np.sin(index / 4) * direction
        image.info = {"time_fs": 40.0 * index}
        image.calc = SinglePointCalculator(image, energy=-17660.0, forces=np.cos(index / 4) * start.get_forces())
        images.append(image)
    ase.io.write(folder / "md" / "nve.extxyz", images, format="extxyz")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "3bpa-gaunt"
    folder.mkdir()
    make_evaluation().write(folder)
    make_check(folder)
    make_metrics(folder)
    make_dynamics(folder)
    (folder / "recipe.yaml").write_text("system: potential\nmodel:\n  channels: 64\nseed: 1\n")
    (folder / "versions.json").write_text('{\n  "torch": "2.13.0"\n}\n')
    return folder
