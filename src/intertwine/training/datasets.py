"""Finding data files by name: in place, in the user's data folder, or beside the checkout."""

import os
from pathlib import Path

from intertwine.errors import DataError

__all__ = ["find_data"]


def find_data(name: str | Path) -> Path:
    """Return the path of a data file or folder.

    Looked for in this order: the path as given; ``$INTERTWINE_DATA/<name>``; ``../shared/data/<name>``
    beside the checkout; ``tests/data/<name>`` in the checkout.

    Raises:
        DataError: naming every place that was looked at; or if INTERTWINE_DATA does not name a folder, because
            data from elsewhere would then be taken for what the user meant.
    """
    checkout = Path(__file__).resolve().parents[3]
    places = [Path(name).expanduser()]
    if folder := os.environ.get("INTERTWINE_DATA"):
        if not Path(folder).expanduser().is_dir():
            raise DataError(
                "INTERTWINE_DATA does not name a folder", got=folder, fix="correct it, or unset it to use other places"
            )
        places.append(Path(folder).expanduser() / name)
    places += [checkout.parent / "shared" / "data" / name, checkout / "tests" / "data" / name]
    for place in places:
        if place.exists():
            return place
    raise DataError(
        f"there is no data file `{name}`",
        got=name,
        expected="one of\n" + "\n".join(f"            {place}" for place in places),
        fix="give the path of your file, or set INTERTWINE_DATA to the folder that holds it",
    )
