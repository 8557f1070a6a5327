"""The report of a potential: errors by temperature, parity, learning curves, symmetry and dynamics.

Everything is read from the files of the run folder, so a report needs neither the model nor the data. A part
whose file is missing says which command writes it.
"""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from intertwine.errors import DataError
from intertwine.reporting import plots
from intertwine.reporting.evaluation import Evaluation
from intertwine.reporting.files import read_columns, read_json
from intertwine.reporting.molecule import view_molecule
from intertwine.reporting.numbers import format_duration, format_number
from intertwine.reporting.page import Fact, Picture, Section, Table, run_details, write_page

__all__ = ["report", "sections"]

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


def report(run: Any) -> Path:
    """Write ``report.html`` into a run folder and return its path.

    Args:
        run: the folder, or a run that has it as ``folder``.
    """
    folder = _folder(run)
    return write_page(
        folder / "report.html",
        f"Interatomic potential {folder.resolve().name}",
        sections(folder),
        subtitle="Accuracy, symmetry and dynamics of one trained model, as measured by `intertwine`.",
        details=run_details(folder),
    )


def sections(run: Any) -> list[Section]:
    """Return the sections of the report: accuracy, symmetry, dynamics, training.

    Args:
        run: the folder, or a run that has it as ``folder``.

    Raises:
        DataError: if a file is there but damaged.
    """
    folder = _folder(run)
    return [*_accuracy(folder), _symmetry(folder), _dynamics(folder), _training(folder)]


def _folder(run: Any) -> Path:
    return Path(run if isinstance(run, str | os.PathLike) else run.folder)


def _accuracy(folder: Path) -> list[Section]:
    title = "Accuracy"
    if not (folder / "evaluation.json").is_file():
        return [Section(title, f"Not measured yet: `intertwine evaluate {folder}` does it.")]
    evaluation = Evaluation.read(folder)
    labels = _labels(evaluation.sets)
    metrics = [m for m in _METRICS if any(evaluation.row(name, m) for name in evaluation.sets)]
    facts = [
        Fact(f"Force RMSE, {labels[name]}", format_number(row.value), row.unit, _beside(evaluation, name))
        for name in evaluation.sets
        if (row := evaluation.row(name, "force_rmse"))
    ]
    compared = [metric for metric in ("force_rmse", "energy_rmse") if metric in metrics]
    figures = [_comparison(evaluation, labels, metric) for metric in compared]
    text = (
        "Root mean square (RMSE) and mean absolute (MAE) errors against the reference calculation. Force "
        "errors are over all Cartesian components; the relative force error is the force RMSE divided by the "
        "root mean square of the reference forces: a model that predicts zero has 100 %."
    )
    if evaluation.paper:
        text += "\n\nPublished figures are those of the papers, for the papers' own test sets."
    tables = [_metric_table(evaluation, metrics)]
    if evaluation.baselines or evaluation.paper:
        tables += [_comparison_table(evaluation, metric) for metric in compared]
    found = [Section(title, text, figures, tables, facts)]
    pictures = [picture for name in evaluation.sets for picture in _parity(evaluation, name, labels[name])]
    if pictures:
        text = "Each test set in a row: predicted against reference forces and energies, errors by element."
        found.append(Section("Predictions in detail", text, pictures, columns=3))
    return found


def _metric_table(evaluation: Evaluation, metrics: Sequence[str]) -> Table:
    units = {row.metric: row.unit for row in evaluation.rows}
    columns = ["test set", "frames", *(_METRICS[m] + (f"\n{units[m]}" if units[m] else "") for m in metrics)]
    rows = []
    for name in evaluation.sets:
        found = [evaluation.row(name, metric) for metric in metrics]
        frames = next((row.frames for row in found if row is not None), None)
        rows.append([name, frames, *(format_number(row.value if row else None) for row in found)])
    return Table(columns, rows)


def _comparison_table(evaluation: Evaluation, metric: str) -> Table:
    unit = next(row.unit for row in evaluation.rows if row.metric == metric)
    ours = {name: row.value for name in evaluation.sets if (row := evaluation.row(name, metric))}
    models: dict[str, Mapping[str, float]] = {"this run": ours}
    for kind, figures in (("baseline", evaluation.baselines), ("paper", evaluation.paper)):
        models |= {f"{name} ({kind})": _of_metric(sets, metric) for name, sets in figures.items()}
    rows = [
        [name, *(format_number(values.get(case)) for case in evaluation.sets)]
        for name, values in models.items()
        if values
    ]
    heading = _METRICS[metric]
    caption = f"{heading[0].upper()}{heading[1:]} in {unit}."
    return Table(["model", *evaluation.sets], rows, caption)


def _of_metric(sets: Mapping[str, Mapping[str, float]], metric: str) -> dict[str, float]:
    return {name: metrics[metric] for name, metrics in sets.items() if metrics.get(metric) is not None}


def _comparison(evaluation: Evaluation, labels: Mapping[str, str], metric: str) -> Picture:
    def series(figures: Mapping[str, Mapping[str, Mapping[str, float]]]) -> dict[str, list[float | None]]:
        found = {name: _of_metric(sets, metric) for name, sets in figures.items()}
        return {name: [values.get(s) for s in evaluation.sets] for name, values in found.items() if values}

    rows = [evaluation.row(name, metric) for name in evaluation.sets]
    unit = next(row.unit for row in rows if row is not None)
    figure = plots.error_by_case(
        [labels[name] for name in evaluation.sets],
        {"this run": [None if row is None else row.value for row in rows]},
        series(evaluation.baselines),
        series(evaluation.paper),
        _METRICS[metric],
        unit,
    )
    return Picture(figure)


def _beside(evaluation: Evaluation, name: str) -> str:
    """Return the best published figure beside ours, else the best baseline, in words."""
    for kind, figures in (("paper", evaluation.paper), ("baseline", evaluation.baselines)):
        values = {model: _of_metric(sets, "force_rmse").get(name) for model, sets in figures.items()}
        known = {model: value for model, value in values.items() if value is not None}
        if known:
            best = min(known, key=known.__getitem__)
            return f"{best} ({kind}): {format_number(known[best])}"
    return ""


def _parity(evaluation: Evaluation, name: str, label: str) -> list[Picture]:
    pictures = []
    forces, true_forces = (evaluation.array(name, key) for key in ("forces", "forces_reference"))
    if forces is not None and true_forces is not None and forces.size:
        figure = plots.parity(1e3 * true_forces, 1e3 * forces, "force", "meV/Å")
        pictures.append(Picture(figure, f"{label}: {forces.size} force components; colour is their density."))
    energy, true_energy, atoms = (evaluation.array(name, key) for key in ("energy", "energy_reference", "atoms"))
    if energy is not None and true_energy is not None and energy.size:
        one_size = atoms is None or np.unique(atoms).size == 1
        scale = 1.0 if one_size else np.asarray(atoms, float)
        predicted, reference = energy / scale, true_energy / scale
        mean = reference.mean()
        what = "energy" if one_size else "energy per atom"
        figure = plots.parity(1e3 * (reference - mean), 1e3 * (predicted - mean), what, "meV")
        pictures.append(Picture(figure, f"{label}: {energy.size} energies, less the mean of the reference."))
    numbers = evaluation.array(name, "numbers")
    if numbers is not None and forces is not None and true_forces is not None and forces.size:
        figure = plots.element_errors(numbers, 1e3 * (forces - true_forces), "meV/Å")
        pictures.append(Picture(figure, f"{label}: errors of the force components by element."))
    return pictures


def _symmetry(folder: Path) -> Section:
    title = "Symmetry and conservation of energy"
    path = folder / "check.json"
    if not path.is_file():
        return Section(title, f"Not checked yet: `intertwine check {folder}` does it.")
    data = read_json(path, f"write it again with `intertwine check {folder}`")
    try:
        measured, conservative = data["equivariance"], data.get("conservativeness")
        equivariance = measured["rows"]
        rows = [
            [r["output"], r["part"], format_number(r["relative"]), format_number(r["epsilons"]), r["verdict"]]
            for r in equivariance
        ]
        facts = []
        if equivariance:
            worst = measured["worst"]
            passed = measured["passed"]
            note = f"{worst['output']} under {worst['part']}, {measured['dtype']}"
            facts.append(Fact("Largest symmetry error", format_number(worst["relative"]), "", note, _status(passed)))
        tables = [Table(["output", "under", "relative error", "in epsilons", "verdict"], rows)] if rows else []
        if conservative:
            asymmetry, mismatch = conservative["jacobian_asymmetry"], conservative["energy_mismatch"]
            verdict = _status(conservative["passed"])
            note = "0 if the forces are a gradient"
            facts.append(Fact("Force-Jacobian asymmetry", format_number(asymmetry), "", note, verdict))
            tables.append(
                Table(
                    ["conservation", "relative error"],
                    [
                        ["asymmetry of the force Jacobian", format_number(asymmetry)],
                        ["forces against differences of the energy", format_number(mismatch)],
                    ],
                )
            )
    except (KeyError, TypeError, AttributeError) as error:
        fix = f"write it again with `intertwine check {folder}`"
        raise DataError(f"{path} does not hold a check", got=repr(error), fix=fix) from error
    text = (
        "Inputs are transformed by random elements of the group, and the outputs are compared with the "
        "transformed outputs. An error of a few machine epsilons is rounding; a broken symmetry is many "
        "orders larger.\n\n"
        "Forces that are the gradient of one energy have a symmetric Jacobian and agree with differences of "
        "the energy. If they do not, a simulation creates or loses energy."
    )
    return Section(title, text, tables=tables, facts=facts)


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


def _training(folder: Path) -> Section:
    title = "Training"
    path = folder / "metrics.csv"
    columns = read_columns(path) if path.is_file() else {}
    x = next((name for name in ("epoch", "step") if name in columns), None)
    if x is None or not columns[x].size:
        return Section(title, "No training history yet: `intertwine train` writes it.")
    wanted = {
        "loss": {"training": "train_loss", "validation": "validation_loss"},
        "force RMSE<br>meV/Å": {"validation": "validation_force_rmse"},
        "energy RMSE<br>meV": {"validation": "validation_energy_rmse"},
        "learning rate": {"learning rate": "learning_rate"},
    }
    panels = {
        panel: {
            label: (columns[x], columns[name])
            for label, name in curves.items()
            if name in columns and np.isfinite(columns[name]).any()
        }
        for panel, curves in wanted.items()
    }
    panels = {panel: curves for panel, curves in panels.items() if curves}
    seconds = columns.get("seconds", np.array([]))
    text = f"{int(np.nanmax(columns[x]))} {x}s"
    if np.isfinite(seconds).any():
        text += f" in {format_duration(float(np.nanmax(seconds)))}"
    best = columns.get("validation_force_rmse")
    if best is not None and np.isfinite(best).any():
        text += f"; the lowest validation force RMSE was reached at {x} {int(columns[x][np.nanargmin(best)])}"
    return Section(title, text + ".", [Picture(plots.learning_curves(panels, x), wide=True)] if panels else [])


def _labels(sets: Sequence[str]) -> dict[str, str]:
    """Return short names of the test sets: the temperature alone where that tells them apart."""
    kelvin = {name: re.search(r"(\d+)\s*K$", name) for name in sets}
    short = {name: f"{match[1]}\N{NO-BREAK SPACE}K" if match else name for name, match in kelvin.items()}
    return short if len(set(short.values())) == len(short) else {name: name for name in sets}


def _status(passed: bool) -> Any:
    return "good" if passed else "bad"
