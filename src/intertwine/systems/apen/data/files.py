"""A user's own clouds: files with a label at each point, or folders of them."""

from collections.abc import Callable, Sequence
from pathlib import Path

from intertwine.errors import DataError
from intertwine.points import CLOUD_SUFFIXES, read_cloud
from intertwine.systems.apen.data.scans import Scan, make_scan

__all__ = ["folder_classes", "read_scans"]


def read_scans(names: Sequence[str], find: Callable[[str], Path] = Path) -> dict[Path, Scan]:
    """Return the clouds of files, and of all files of clouds in folders and in their folders, by path.

    Points that have the same ``instance`` are one true part; where a file has none, those of the same ``label``.

    Args:
        names: of files and folders.
        find: where a name lies.

    Raises:
        DataError: if a file is missing or damaged, a label is negative, or a folder holds no cloud.
    """
    found: dict[Path, Scan] = {}
    for name in names:
        place = find(name)
        paths = [place]
        if place.is_dir():
            paths = sorted(path for path in place.rglob("*") if path.suffix.lower() in CLOUD_SUFFIXES)
            if not paths:
                raise DataError("there is no cloud in this folder", got=place, expected=", ".join(CLOUD_SUFFIXES))
        for path in paths:
            cloud = read_cloud(path)
            label = path.name if not place.is_dir() else str(path.relative_to(place))
            found[path] = make_scan(label, cloud.points, cloud.labels, cloud.instances)
    return found


def folder_classes(paths: Sequence[Path]) -> tuple[str, ...]:
    """Return the classes of clouds that are sorted into folders: the names of the folders, in alphabetical order."""
    return tuple(sorted({path.parent.name for path in paths}))
