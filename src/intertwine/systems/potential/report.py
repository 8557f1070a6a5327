"""The report of a potential: errors by temperature, parity, learning curves, symmetry and dynamics.

Everything is read from the files of the run folder, so a report needs neither the model nor the data. A part
whose file is missing says which command writes it.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from intertwine.errors import DataError
from intertwine.reporting import plots
from intertwine.reporting.accuracy import (
    best_other,
    comparison,
    measured_metrics,
    metric_table,
    not_measured,
    parity_pictures,
)
from intertwine.reporting.evaluation import Evaluation
from intertwine.reporting.files import read_columns, read_json
from intertwine.reporting.molecule import view_molecule
from intertwine.reporting.numbers import format_number
from intertwine.reporting.page import Fact, Picture, Section, Table
from intertwine.reporting.run_page import run_folder, symmetry_section, training_section

__all__ = ["sections"]

_METRICS = {
    "energy_rmse": "energy RMSE",
    "energy_mae": "energy MAE",
    "energy_rmse_per_atom": "energy RMSE",
    "energy_mae_per_atom": "energy MAE",
    "force_rmse": "force RMSE",
    "force_mae": "force MAE",
    "force_relative": "relative\nforce error",
    "stress_rmse": "stress RMSE",
    "stress_mae": "stress MAE",
}
_PANELS = {
    "loss": {"training": "train_loss", "validation": "validation_loss"},
    "force RMSE<br>meV/Å": {"validation": "validation_force_rmse"},
    "energy RMSE<br>meV": {"validation": "validation_energy_rmse"},
    "learning rate": {"learning rate": "learning_rate"},
}
_SYMMETRY = (
    "Inputs are transformed by random elements of the group, and the outputs are compared with the "
    "transformed outputs. An error of a few machine epsilons is rounding; a broken symmetry is many "
    "orders larger.\n\n"
    "Forces that are the gradient of one energy have a symmetric Jacobian and agree with differences of "
    "the energy. If they do not, a simulation creates or loses energy."
)


def sections(run: Any) -> list[Section]:
    """Return the sections of the report: accuracy, symmetry, dynamics, training.

    Args:
        run: the folder, or a run that has it as ``folder``.

    Raises:
        DataError: if a file is there but damaged.
    """
    folder = run_folder(run)
    return [
        *_accuracy(folder),
        symmetry_section(folder, _SYMMETRY, "Symmetry and conservation of energy"),
        _dynamics(folder),
        training_section(folder, _PANELS, lowest=("validation_force_rmse", "validation force RMSE")),
    ]


def _accuracy(folder: Path) -> list[Section]:
    if (missing := not_measured(folder)) is not None:
        return [missing]
    evaluation = Evaluation.read(folder)
    labels = _labels(evaluation.sets)
    metrics = measured_metrics(evaluation, _METRICS)
    facts = [
        Fact(
            f"Force RMSE, {labels[name]}",
            format_number(row.value),
            row.unit,
            best_other(evaluation, name, "force_rmse"),
        )
        for name in evaluation.sets
        if (row := evaluation.row(name, "force_rmse"))
    ]
    compared = [metric for metric in ("force_rmse", "energy_rmse") if metric in metrics]
    figures = [comparison(evaluation, metric, _METRICS[metric], labels) for metric in compared]
    text = (
        "Root mean square (RMSE) and mean absolute (MAE) errors against the reference calculation. Force "
        "errors are over all Cartesian components; the relative force error is the force RMSE divided by the "
        "root mean square of the reference forces: a model that predicts zero has 100 %."
    )
    if evaluation.paper:
        text += "\n\nPublished figures are those of the papers, for the papers' own test sets."
    tables = [metric_table(evaluation, _METRICS, "frames")]
    if evaluation.baselines or evaluation.paper:
        tables += [_comparison_table(evaluation, metric) for metric in compared]
    found = [Section("Accuracy", text, figures, tables, facts)]
    pictures = [picture for name in evaluation.sets for picture in parity_pictures(evaluation, name, labels[name])]
    if pictures:
        text = "Each test set in a row: predicted against reference forces and energies, errors by element."
        found.append(Section("Predictions in detail", text, pictures, columns=3))
    return found


def _comparison_table(evaluation: Evaluation, metric: str) -> Table:
    unit = next(row.unit for row in evaluation.rows if row.metric == metric)
    ours = {name: row.value for name in evaluation.sets if (row := evaluation.row(name, metric))}
    models = {
        name: {case: metrics[metric] for case, metrics in sets.items() if metrics.get(metric) is not None}
        for name, sets in evaluation.others.items()
    }
    rows = [
        [name, *(format_number(values.get(case)) for case in evaluation.sets)]
        for name, values in {"this run": ours, **models}.items()
        if values
    ]
    heading = _METRICS[metric]
    caption = f"{heading[0].upper()}{heading[1:]} in {unit}."
    return Table(["model", *evaluation.sets], rows, caption)


def _dynamics(folder: Path) -> Section:
    title = "Molecular dynamics at constant energy"
    path = folder / "md" / "nve.csv"
    if not path.is_file():
        return Section(title, f"Not simulated yet: `intertwine md {folder}` writes an NVE run.")
    columns = read_columns(path)
    missing = [name for name in ("time_fs", "potential_ev", "kinetic_ev", "total_ev") if name not in columns]
    summary_path = path.with_suffix(".json")
    summary = read_json(summary_path, f"`intertwine md {folder}` writes it")
    if missing or not isinstance(summary, dict) or "atoms" not in summary:
        raise DataError(
            f"{path} and {summary_path.name} do not hold an NVE run",
            got={"missing": ", ".join(missing) or "atoms"},
            fix=f"run `intertwine md {folder}` again",
        )
    atoms, time = int(summary["atoms"]), columns["time_fs"] / 1000
    if time.size == 0:
        return Section(title, f"The run is empty: `intertwine md {folder}` writes another.")
    total, potential, kinetic = (columns[name] for name in ("total_ev", "potential_ev", "kinetic_ev"))
    figures = [Picture(plots.energy_drift(time, total, potential, kinetic, atoms), wide=True)]
    drift = summary.get("drift_mev_per_atom_ps")
    if drift is None:
        drift = plots.linear_drift(time, 1e3 * total / atoms)[0]
    rows: list[list[str | float | None]] = [
        ["atoms", atoms],
        ["length / ps", format_number(time[-1] - time[0])],
        ["time step / fs", format_number(summary.get("time_step_fs"))],
        ["drift of the total energy / meV per atom and ps", format_number(drift)],
        ["largest deviation / meV per atom", format_number(summary.get("max_deviation_mev_per_atom"))],
    ]
    if "temperature_k" in columns:
        rows.append(["mean temperature / K", format_number(columns["temperature_k"].mean())])
    text, trajectory = _trajectory(path.with_suffix(".extxyz"))
    facts = [Fact("NVE energy drift", format_number(drift), "meV/atom/ps", f"{format_number(time[-1] - time[0])} ps")]
    return Section(title, text, [*figures, *trajectory], [Table(["", "value"], rows)], facts)


def _trajectory(path: Path) -> tuple[str, list[Picture]]:
    text = "Without a thermostat the total energy changes only by errors of the integrator and of the forces."
    if not path.is_file():
        return f"{text} The trajectory itself was not kept.", []
    try:
        import ase.io
    except ImportError:
        return f"{text} To see the trajectory, `pip install 'intertwine[atoms]'`.", []
    frames: Any = ase.io.read(path, index=":")
    if not frames or any(len(frame) != len(frames[0]) for frame in frames):
        raise DataError(f"{path} is not a trajectory of one molecule", got=f"{len(frames)} frames")
    forces = None
    if all(frame.calc is not None and "forces" in frame.calc.results for frame in frames):
        forces = np.stack([frame.get_forces() for frame in frames])
    times = [frame.info.get("time_fs") for frame in frames]
    labels = [f"frame {i}" if time is None else f"{float(time):.0f} fs" for i, time in enumerate(times)]
    positions = np.stack([frame.positions for frame in frames])
    figure = view_molecule(frames[0].numbers, positions, forces, labels=labels)
    caption = f"The trajectory ({len(frames)} frames). Drag to turn, scroll to zoom"
    return text, [Picture(figure, caption + ("; arrows are forces." if forces is not None else "."), wide=True)]


def _labels(sets: Sequence[str]) -> dict[str, str]:
    """Return short names of the test sets: the temperature alone where that tells them apart."""
    kelvin = {name: re.search(r"(\d+)\s*K$", name) for name in sets}
    short = {name: f"{match[1]}\N{NO-BREAK SPACE}K" if match else name for name, match in kelvin.items()}
    return short if len(set(short.values())) == len(short) else {name: name for name in sets}
