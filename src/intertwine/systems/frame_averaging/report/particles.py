"""The report of the particles task: errors, particles in space, errors along motions, symmetry and training.

Everything is read from the files of the run folder, so a report needs neither the model nor the data. A part whose file
is missing says which command writes it.
"""

from pathlib import Path
from typing import Any

from intertwine.reporting.evaluation import Evaluation
from intertwine.reporting.numbers import format_number
from intertwine.reporting.page import Fact, Picture, Section, Table
from intertwine.reporting.particle_accuracy import particle_accuracy
from intertwine.reporting.particles import error_along
from intertwine.reporting.run_page import run_folder, symmetry_section, training_section

__all__ = ["sections"]

_PANELS = {
    "loss": {"training": "train_loss", "validation": "validation_loss"},
    "mean distance": {"validation": "validation_mean_distance"},
    "learning rate": {"learning rate": "learning_rate"},
}
_ALONG = (("angle", "turned", "angle, degrees"), ("shift", "moved", "distance"))
_SYMMETRY = (
    "Particles are renamed, and turned, mirrored and moved where the network claims that, by random elements of the "
    "group, and the predictions are compared with the transformed ones. An error of a few machine epsilons is "
    "rounding; a broken symmetry is many orders larger."
)
_MOTIONS = (
    "The same simulations, turned as a whole about one axis, or moved as a whole along a line. Nothing about them has "
    "changed but the coordinates they are written in: a network averaged over frames of E(3) has the same error "
    "everywhere. Simulations of these data have no preferred direction, so that rotations need not raise the error of "
    "a network without symmetry, though they change every single prediction (`rotation error`: the mean squared "
    "difference between the prediction for a turned simulation and the turned prediction)."
)


def sections(run: Any) -> list[Section]:
    """Return the sections of the report: accuracy, predictions in space, motions, symmetry, training.

    Args:
        run: the folder, or a run that has it as ``folder``.

    Raises:
        DataError: if a file is there but damaged.
    """
    folder = run_folder(run)
    return [
        *particle_accuracy(folder),
        *_motions(folder),
        symmetry_section(folder, _SYMMETRY),
        training_section(folder, _PANELS, lowest=("validation_loss", "validation error")),
    ]


def _motions(folder: Path) -> list[Section]:
    """Return the section on turned and moved simulations; none where nothing is evaluated."""
    if not (folder / "evaluation.json").is_file():
        return []
    evaluation = Evaluation.read(folder)
    pictures, rows, facts = [], [], []
    for name in evaluation.sets:
        for motion, end, words in _ALONG:
            steps, errors = evaluation.array(name, f"{motion}s"), evaluation.array(name, f"error_by_{motion}")
            if steps is not None and errors is not None:
                pictures.append(Picture(error_along(steps, errors, f"{name}, {end}", words)))
        apart = evaluation.row(name, "rotation_error")
        of_itself = evaluation.row(name.removesuffix(", turned"), "position_mse")
        error = evaluation.row(name, "position_mse")
        if apart is not None and of_itself is not None and error is not None:
            values = (of_itself.value, error.value, error.value / of_itself.value, apart.value)
            rows.append([name, *map(format_number, values)])
            facts.append(Fact("Error, turned / as it is", format_number(values[2]), "", "1 means no change"))
    if not pictures and not rows:
        return []
    headings = ["test set", "error as it is", "error turned", "ratio", "rotation error"]
    return [Section("Turned and moved", _MOTIONS, pictures, [Table(headings, rows)] if rows else [], facts)]
