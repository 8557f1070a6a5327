"""Where clouds come from: for each source of a recipe the clouds to train, validate and test on, and their classes."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

import torch
from jaxtyping import Int64
from torch import Tensor

from intertwine.errors import DataError
from intertwine.systems.apen.data.batch import CloudSet
from intertwine.systems.apen.data.dynlab import read_dynlab
from intertwine.systems.apen.data.files import folder_classes, read_scans
from intertwine.systems.apen.data.floor import find_floors
from intertwine.systems.apen.data.human import read_bodies
from intertwine.systems.apen.data.human_clouds import HumanClouds, split_bodies
from intertwine.systems.apen.data.multibody import read_multibody, read_multibody_item
from intertwine.systems.apen.data.rooms import read_scene
from intertwine.systems.apen.data.scans import Scan, ScanClouds, one_shot
from intertwine.systems.apen.settings import DataSettings
from intertwine.training.datasets import find_data
from intertwine.training.sampling import generator, split

__all__ = ["CloudSplit", "read_split"]

_PLACES = {"human": "apen_human", "rooms": "apen_rooms/rooms.npz", "dynlab": "dynlab", "multibody": "multibody"}


@final
@dataclass(frozen=True)
class CloudSplit:
    """The clouds of a recipe.

    Args:
        train, validation, test: clouds; there may be none to test on.
        point_classes: names of the classes of points.
        cloud_classes: names of the classes of clouds.
    """

    train: CloudSet
    validation: CloudSet
    test: CloudSet | None
    point_classes: tuple[str, ...]
    cloud_classes: tuple[str, ...]


def read_split(settings: DataSettings) -> CloudSplit:
    """Read the clouds of a source and divide them.

    Raises:
        DataError: if files are missing or damaged, or hold fewer clouds than asked for.
    """
    if settings.source == "human":
        return _human(settings)
    scans: dict[str, Callable[[DataSettings], CloudSplit]] = {
        "rooms": _rooms,
        "dynlab": _dynlab,
        "multibody": _multibody,
        "files": _files,
    }
    return scans[settings.source](settings)


def _place(settings: DataSettings) -> Path:
    return find_data(settings.path or _PLACES[settings.source])


def _human(settings: DataSettings) -> CloudSplit:
    bodies = read_bodies(_place(settings))
    known, tested = split_bodies(bodies, settings)
    first, second = _held_out(known.shape[1], settings)

    def clouds(pairs: Int64[Tensor, "2 clouds"], points: int | None) -> HumanClouds:
        return HumanClouds(bodies, pairs[0], pairs[1], points or 0, labels=settings.labels, kind=settings.pose)

    train = clouds(known[:, first], settings.points)
    test = clouds(tested[:, _some(tested.shape[1], settings, "test")], settings.evaluation_points)
    return CloudSplit(
        train, clouds(known[:, second], settings.evaluation_points), test, train.class_names, bodies.subjects
    )


def _rooms(settings: DataSettings) -> CloudSplit:
    scene = read_scene(_place(settings), settings.scene)
    return _one_shot(scene.scans, scene.class_names, settings)


def _dynlab(settings: DataSettings) -> CloudSplit:
    folder = _place(settings)
    if (folder / "meta.json").is_file() and str(settings.scene).isdigit():
        scans = read_multibody_item(folder, int(settings.scene)).scans
    else:
        scans = read_dynlab(folder, settings.scene)
    scans, numbers = _numbered(scans)
    return _one_shot(scans, tuple(f"object {number}" for number in numbers), settings)


def _one_shot(scans: Sequence[Scan], names: tuple[str, ...], settings: DataSettings) -> CloudSplit:
    """Return the split that learns from one scan: its validation has only other points of the same scan."""
    learnt, others = one_shot(scans, settings.configuration)
    test = [others[place] for place in _some(len(others), settings, "test")] if others else []
    points = settings.evaluation_points
    return CloudSplit(
        _scans(learnt, settings.points, settings),
        _scans(learnt, points, settings),
        _scans(test, points, settings) if test else None,
        names,
        (),
    )


def _multibody(settings: DataSettings) -> CloudSplit:
    folder = _place(settings)
    train, test = (read_multibody(folder, names) for names in (settings.train, settings.test))
    classes = max(_largest(train), _largest(test)) + 1
    return _divided(train, test, tuple(f"part {number + 1}" for number in range(classes)), (), settings)


def _files(settings: DataSettings) -> CloudSplit:
    train, test = (read_scans(names, find_data) for names in (settings.train, settings.test))
    folders = folder_classes(list(train))

    def sorted_in(found: dict[Path, Scan]) -> list[Scan]:
        if len(folders) < 2 or any(path.parent.name not in folders for path in found):
            return list(found.values())  # the folders are no classes
        return [replace(scan, subject=folders.index(path.parent.name)) for path, scan in found.items()]

    classes = max(_largest(train.values()), _largest(test.values())) + 1
    return _divided(sorted_in(train), sorted_in(test), tuple(str(n) for n in range(classes)), folders, settings)


def _divided(
    train: list[Scan],
    test: list[Scan],
    point_classes: tuple[str, ...],
    cloud_classes: tuple[str, ...],
    settings: DataSettings,
) -> CloudSplit:
    if not train:
        raise DataError("there is no cloud to train on", got=settings.train, expected="at least one")
    first, second = _held_out(len(train), settings)
    points = settings.evaluation_points
    tested = [test[place] for place in _some(len(test), settings, "test")] if test else []
    return CloudSplit(
        _scans([train[place] for place in first], settings.points, settings),
        _scans([train[place] for place in second], points, settings),
        _scans(tested, points, settings) if tested else None,
        point_classes,
        cloud_classes,
    )


def _scans(scans: Sequence[Scan], points: int | None, settings: DataSettings) -> ScanClouds:
    known = find_floors(scans, settings) if settings.remove_floor else scans
    return ScanClouds(known, points)


def _held_out(count: int, settings: DataSettings) -> tuple[list[int], list[int]]:
    """Return the clouds to train on and those to validate with; a single one serves for both."""
    if count == 1:
        return [0], [0]
    train, validation = split(count, settings.validation_fraction, settings.seed)
    kept = [int(train[place]) for place in _some(len(train), settings, "train")]
    return sorted(kept), sorted(validation.tolist())


def _some(count: int, settings: DataSettings, kind: str) -> list[int]:
    """Return as many of the clouds as are asked for, drawn."""
    asked = settings.train_clouds if kind == "train" else settings.test_clouds
    if asked is None:
        return list(range(count))
    if asked > count:
        raise DataError(
            f"there are fewer clouds to {kind} on than asked for",
            got=f"{count} clouds",
            expected=f"at least {asked}",
            fix=f"lower data.{kind}_clouds, or leave it empty to take all",
        )
    order = torch.randperm(count, generator=generator(settings.seed, kind, "clouds"))
    return sorted(order[:asked].tolist())


def _numbered(scans: Sequence[Scan]) -> tuple[list[Scan], list[int]]:
    """Return the scans with labels from 0 without gaps, and the numbers that these had."""
    held = [scan.labels for scan in scans if scan.labels is not None]
    numbers, places = torch.unique(torch.cat(held), return_inverse=True)
    labels = places.split([len(scan.points) for scan in scans])
    return [replace(scan, labels=mine) for scan, mine in zip(scans, labels, strict=True)], numbers.tolist()


def _largest(scans: Iterable[Scan]) -> int:
    return max((int(scan.labels.max()) for scan in scans if scan.labels is not None), default=-1)
