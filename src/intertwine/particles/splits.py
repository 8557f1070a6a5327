"""The samples of a recipe: read from the files that it names, simulated where it names none."""

from collections.abc import Callable
from pathlib import Path

from intertwine.errors import DataError
from intertwine.particles.files import read_samples
from intertwine.particles.samples import Samples
from intertwine.particles.settings import ParticleDataSettings
from intertwine.particles.simulation import Split, simulated_samples

__all__ = ["hold_out", "test_sets", "training_sets"]

Find = Callable[[str], Path]
"""Returns the path of a file that a recipe names; `intertwine.training.find_data` does."""


def training_sets(settings: ParticleDataSettings, find: Find) -> tuple[Samples, Samples]:
    """Return the samples to train on and those to validate with, with targets.

    Args:
        settings: names of files or the simulation, frames, numbers of samples.
        find: finds the files.

    Raises:
        DataError: if a file is damaged, or holds fewer samples than asked for.
    """
    if settings.train is None:
        train = _simulated(settings, "train", settings.train_samples)
    else:
        train = _read(settings, settings.train, find)
    if settings.validation is not None:
        held = _read(settings, settings.validation, find)
    elif settings.train is None:
        held = _simulated(settings, "validation", settings.validation_samples)
    else:
        train, held = hold_out(train, settings.validation_fraction)
    return train.part(stop=settings.train_samples), held.part(stop=settings.validation_samples)


def test_sets(settings: ParticleDataSettings, find: Find) -> dict[str, Samples]:
    """Return the test sets by name; none where training samples are read from a file and no test file is named.

    Args and errors are those of `training_sets`.
    """
    if not settings.test and settings.train is None:
        frames = {"test": (settings.start_frame, settings.end_frame), **settings.test_frames}
        count = settings.test_samples
        return {name: simulated_samples(settings.simulation, "test", count, *pair) for name, pair in frames.items()}
    files = settings.test.items()
    return {name: _read(settings, file, find).part(stop=settings.test_samples) for name, file in files}


def hold_out(samples: Samples, fraction: float) -> tuple[Samples, Samples]:
    """Split off the end of the samples: at least one, and never all.

    Raises:
        DataError: if there are fewer than two.
    """
    if len(samples) < 2:
        raise DataError(
            f"{samples.where}: a split needs at least two samples",
            got=f"{len(samples)} sample",
            fix="give more training samples, or a validation file",
        )
    kept = len(samples) - min(max(round(fraction * len(samples)), 1), len(samples) - 1)
    return samples.part(stop=kept), samples.part(start=kept)


def _simulated(settings: ParticleDataSettings, split: Split, count: int | None) -> Samples:
    return simulated_samples(settings.simulation, split, count, settings.start_frame, settings.end_frame)


def _read(settings: ParticleDataSettings, file: str, find: Find) -> Samples:
    return read_samples(find(file), settings.start_frame, settings.end_frame)
