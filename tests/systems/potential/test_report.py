import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from intertwine.errors import DataError
from intertwine.reporting import Evaluation, EvaluationRow, write_page
from intertwine.reporting.numbers import format_number
from intertwine.symmetry.check import CheckReport
from intertwine.symmetry.conservative import ConservativenessReport
from intertwine.symmetry.report import EquivarianceEntry, EquivarianceReport
from intertwine.systems.potential.report import sections
from intertwine.training.page import write_run_page
from intertwine.training.run import open_run

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


def make_check(folder, permutation=2.0e-16, conservative=True):
    """Write what `intertwine check` writes."""
    entries = tuple(
        EquivarianceEntry.judge(output, part, error, 1.0, f"a draw of {part}", 3, torch.float64)
        for output, part, error in (
            ("energy", "rotations", 3.1e-15),
            ("energy", "permutations", permutation),
            ("forces", "rotations", 8.4e-15),
            ("forces", "translations", 6.6e-15),
        )
    )
    law = EquivarianceReport(entries, "E(3) x S_n", torch.float64, 8)
    jacobian = ConservativenessReport(2.3e-15, 4.0e-9, 1e-10, 1e-6, "autograd", "differences", torch.float64, 3)
    found = CheckReport("3bpa-gaunt", law, conservativeness=jacobian if conservative else None)
    (folder / "check.json").write_text(json.dumps(found.to_dict()))


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
    summary = {
        "drift_mev_per_atom_ps": 0.02,
        "max_deviation_mev_per_atom": 0.06,
        "atoms": 27,
        "time_step_fs": 1.0,
    }
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
    (folder / "recipe.yaml").write_text("system: potential\ndata:\n  train: a.xyz\nmodel:\n  channels: 64\nseed: 1\n")
    about = {"recipe": "potential/3bpa", "scale": "paper", "torch": "2.13.0"}
    (folder / "versions.json").write_text(json.dumps(about, indent=2))
    return folder


@pytest.fixture(scope="module")
def full(run):
    return sections(run)


def by_title(found):
    return {section.title: section for section in found}


def test_the_report_of_a_full_run_has_every_part(full):
    found = by_title(full)
    assert list(found) == [
        "Accuracy",
        "Predictions in detail",
        "Symmetry and conservation of energy",
        "Molecular dynamics at constant energy",
        "Training",
    ]
    assert [len(section.figures) for section in found.values()] == [2, 9, 0, 2, 1]
    assert "intertwine" not in "".join(section.text for section in found.values()), "nothing is missing"


def test_the_page_is_one_file_of_bounded_size(run):
    page = write_run_page(open_run(run))
    assert page == run / "report.html"
    text = page.read_text()
    assert page.stat().st_size < 8e6
    assert "<title>potential/3bpa: 3bpa-gaunt</title>" in text
    assert "channels: 64" in text
    assert text.count('<script type="application/json">') == 14
    assert not re.search(r"<(img|iframe|link|script)[^>]*(src|href)=[\"']?http", text)


def test_key_numbers_are_those_of_the_files(run, full):
    facts = {fact.label: fact for section in full for fact in section.facts}
    evaluation = Evaluation.read(run)
    for name, label in zip(SETS, ("300", "600", "1200"), strict=True):
        fact = facts[f"Force RMSE, {label}\N{NO-BREAK SPACE}K"]
        arrays = (evaluation.array(name, key) for key in ("forces", "forces_reference"))
        rmse = 1e3 * np.sqrt(np.mean(np.subtract(*arrays) ** 2))
        assert float(fact.value) == pytest.approx(rmse, rel=5e-3)
        assert fact.note == f"MACE (paper): {format_number(PAPER[name][0])}"
    assert facts["Largest symmetry error"].value == "8.40e-15"
    assert facts["Largest symmetry error"].status == "good"
    assert facts["Force-Jacobian asymmetry"].status == "good"
    assert facts["NVE energy drift"].value == "0.0200"


def test_tables_set_our_numbers_beside_baselines_and_paper(full):
    accuracy = full[0]
    force = accuracy.tables[1]
    assert [row[0] for row in force.rows] == ["this run", "zero (baseline)", "MACE (paper)"]
    assert force.rows[2][1:] == ["8.80", "21.8", "62.0"]
    assert force.rows[1][1:] == ["986", "1300", "1874"]  # the force RMS that the data's own page states


def test_parity_titles_agree_with_the_table(full):
    accuracy, detail = full[:2]
    for row, pictures in zip(
        accuracy.tables[0].rows, np.reshape(np.array(detail.figures, object), (3, 3)), strict=True
    ):
        assert pictures[0].figure.layout.title.text == f"RMSE {row[4]}, MAE {row[5]} meV/Å"


def test_a_failed_check_is_marked(tmp_path):
    make_check(tmp_path, permutation=0.013, conservative=False)
    section = by_title(sections(tmp_path))["Symmetry and conservation of energy"]
    (fact,) = section.facts
    assert (fact.value, fact.status) == ("0.0130", "bad")
    assert fact.note == "energy under permutations, float64"
    assert [row[-1] for row in section.tables[0].rows] == ["broken", "rounding", "rounding", "rounding"]


def test_an_output_that_is_not_finite_is_a_failure_and_not_a_crash(tmp_path):
    make_check(tmp_path, permutation=float("nan"))
    section = by_title(sections(tmp_path))["Symmetry and conservation of energy"]
    assert (section.facts[0].value, section.facts[0].status) == ("\N{EN DASH}", "bad")
    assert section.tables[0].rows[0][-1] == "not finite"


def test_every_missing_part_says_which_command_makes_it(tmp_path):
    found = by_title(sections(tmp_path))
    for title, command in (
        ("Accuracy", "intertwine evaluate"),
        ("Symmetry and conservation of energy", "intertwine check"),
        ("Molecular dynamics at constant energy", "intertwine md"),
        ("Training", "intertwine train"),
    ):
        assert command in found[title].text
        assert not found[title].figures
    assert write_page(tmp_path / "report.html", "A run", sections(tmp_path)).stat().st_size < 20_000


def test_parts_of_parts_may_be_missing(run, tmp_path):
    make_dynamics(tmp_path, frames=2)
    (tmp_path / "md" / "nve.extxyz").unlink()
    (tmp_path / "evaluation.json").write_bytes((run / "evaluation.json").read_bytes())
    write_csv(tmp_path / "metrics.csv", {"epoch": [1, 2], "train_loss": ["", ""]})
    found = by_title(sections(tmp_path))
    assert "Predictions in detail" not in found
    assert len(found["Molecular dynamics at constant energy"].figures) == 1
    assert not found["Training"].figures
    (tmp_path / "metrics.csv").write_text("epoch,train_loss\n")
    assert "No training history" in by_title(sections(tmp_path))["Training"].text


def test_training_names_the_best_epoch_and_the_time(tmp_path):
    best = make_metrics(tmp_path)
    section = by_title(sections(tmp_path))["Training"]
    assert section.text == f"60 epochs in 31 min 30 s; the lowest validation force RMSE was reached at epoch {best}."
    assert len(section.figures[0].figure.data) == 5


def test_molecules_of_several_sizes_are_compared_per_atom(tmp_path):
    atoms = np.array([3, 6])
    arrays = {
        "test/energy_reference": atoms * -10.0,
        "test/energy": atoms * -10.0 + atoms * 0.004,
        "test/atoms": atoms,
    }
    Evaluation((EvaluationRow("test", "energy_rmse", 4.0, "meV", 2),), {}, {}, arrays).write(tmp_path)
    (picture,) = by_title(sections(tmp_path))["Predictions in detail"].figures
    assert picture.figure.layout.title.text == "RMSE 4.00, MAE 4.00 meV"
    assert "per atom" in picture.figure.layout.xaxis.title.text


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("check.json", '{"equivariance": {"rows": [{"output": "energy"}]}}'),
        ("check.json", "[]"),
        ("check.json", "{"),
        ("metrics.csv", "epoch,train_loss\n1,fast\n"),
        ("metrics.csv", "epoch,train_loss\n1\n2,0.5\n"),
        ("md/nve.csv", "time_fs,total_ev\n0,1\n"),
        ("evaluation.json", "{}"),
    ],
)
def test_damaged_files_are_named(tmp_path, file, content):
    make_dynamics(tmp_path, frames=2)
    (tmp_path / file).write_text(content)
    with pytest.raises(DataError) as caught:
        sections(tmp_path)
    assert file.split("/")[-1] in str(caught.value)
