"""The report of a trained network: errors beside trivial predictions, particles in space, symmetry and training.

Everything is read from the files of the run folder, so a report needs neither the model nor the data. A part whose file
is missing says which command writes it.
"""

from typing import Any

from intertwine.reporting.page import Section
from intertwine.reporting.particle_accuracy import particle_accuracy
from intertwine.reporting.run_page import run_folder, symmetry_section, training_section

__all__ = ["sections"]

_PANELS = {
    "squared error": {"training": "train_loss", "validation": "validation_loss"},
    "mean distance": {"validation": "validation_mean_distance"},
    "learning rate": {"learning rate": "learning_rate"},
}
_SYMMETRY = (
    "Particles are turned, mirrored, moved and renamed by random elements of the group, and the predictions are "
    "compared with the transformed ones. An error of a few machine epsilons is rounding; a broken symmetry is many "
    "orders larger."
)


def sections(run: Any) -> list[Section]:
    """Return the sections of the report: accuracy, predictions in space, symmetry, training.

    Args:
        run: the folder, or a run that has it as ``folder``.

    Raises:
        DataError: if a file is there but damaged.
    """
    folder = run_folder(run)
    return [
        *particle_accuracy(folder),
        symmetry_section(folder, _SYMMETRY),
        training_section(folder, _PANELS, lowest=("validation_loss", "validation error")),
    ]
