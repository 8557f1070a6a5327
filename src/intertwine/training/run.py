"""A run: the folder that a recipe makes.

It holds ``recipe.yaml`` (resolved), ``versions.json``, ``metrics.csv``, ``checkpoints/last`` and
``checkpoints/best``, ``model/`` (the best weights), and what later commands add: ``evaluation.json``,
``check.json``, ``report.html``.
"""

import csv
import datetime
import itertools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from intertwine.errors import ConfigError
from intertwine.reporting.files import write_text
from intertwine.training.recipes import LoadedRecipe, load_recipe
from intertwine.training.system import System
from intertwine.training.versions import environment
from intertwine.training.words import nearest

__all__ = ["Run", "create_run", "open_run"]


@dataclass(frozen=True)
class Run:
    """A run's folder, and what is in it; make one with `open_run`.

    Args:
        folder: where it is.
    """

    folder: Path

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.folder.resolve().name

    @property
    def last(self) -> Path:
        """The checkpoint to resume from."""
        return self.folder / "checkpoints" / "last"

    @property
    def best(self) -> Path:
        """The checkpoint with the lowest monitored value."""
        return self.folder / "checkpoints" / "best"

    @property
    def model_folder(self) -> Path:
        """The saved model of a finished run."""
        return self.folder / "model"

    @property
    def finished(self) -> bool:
        """Whether training has ended and the model is saved."""
        return (self.model_folder / "config.json").exists()

    def loaded(self) -> LoadedRecipe:
        """Return the checked recipe together with its system, name and scale."""
        loaded = load_recipe(self.folder / "recipe.yaml")
        about = self.versions()
        return LoadedRecipe(loaded.system, loaded.recipe, about["recipe"], about["scale"])

    def recipe(self) -> Any:
        """Return the recipe."""
        return self.loaded().recipe

    def system(self) -> System:
        """Return the system that made it."""
        return self.loaded().system

    def versions(self) -> dict[str, Any]:
        """Return what ``versions.json`` says: packages, commit, conventions, recipe and scale, date."""
        return json.loads((self.folder / "versions.json").read_text(encoding="utf-8"))

    def metrics(self) -> list[dict[str, float | None]]:
        """Return the rows of ``metrics.csv``; a value that was not measured in an epoch is None."""
        path = self.folder / "metrics.csv"
        if not path.exists():
            return []
        with path.open(newline="", encoding="utf-8") as file:
            return [{k: float(v) if v else None for k, v in row.items()} for row in csv.DictReader(file)]

    def model(self, device: str = "cpu") -> Any:
        """Return the trained network, in evaluation mode.

        Raises:
            ConfigError: if training has not finished.
            CheckpointError: if the saved model cannot be read.
        """
        from intertwine.training.pretrained import load_pretrained

        if not self.finished:
            raise ConfigError(
                f"the run `{self.name}` has not finished: it has no model yet",
                got=self.folder,
                expected="a folder `model` in it",
                fix=f"go on with `intertwine train --resume {self.folder}`",
            )
        return load_pretrained(self.model_folder).to(device)


def open_run(folder: str | Path) -> Run:
    """Return an existing run.

    Raises:
        ConfigError: if the folder is missing or is not a run.
    """
    path = Path(folder).expanduser()
    if not path.is_dir():
        siblings = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise ConfigError(
            f"there is no run `{folder}`",
            got=folder,
            expected="the folder of a run",
            fix=nearest(path.name, siblings) or "`intertwine train SYSTEM/RECIPE` makes one",
        )
    missing = [name for name in ("recipe.yaml", "versions.json") if not (path / name).exists()]
    if missing:
        raise ConfigError(
            f"`{folder}` is not a run",
            got=f"a folder without {' and '.join(missing)}",
            expected="a folder made by `intertwine train`",
        )
    return Run(path)


def create_run(loaded: LoadedRecipe, folder: str | Path | None = None) -> Run:
    """Make the folder of a new run and write its recipe and versions.

    Args:
        loaded: the recipe.
        folder: where; ``runs/<system>-<recipe>-<scale>-<date>-<time>`` when not given.

    Raises:
        ConfigError: if the folder holds something already.
    """
    now = datetime.datetime.now().astimezone()
    if folder is None:
        stem = f"{loaded.name.replace('/', '-')}-{loaded.scale}-{now:%Y%m%d-%H%M%S}"
        names = (stem + (f"-{n}" if n else "") for n in itertools.count())
        path = next(p for p in map(Path("runs").joinpath, names) if not p.exists())
    else:
        path = Path(folder).expanduser()
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise ConfigError(
            f"`{path}` exists and is not empty",
            got=path,
            expected="a new or empty folder",
            fix=f"choose another --output, or go on with `intertwine train --resume {path}`",
        )
    path.mkdir(parents=True, exist_ok=True)
    about = {
        "recipe": loaded.name,
        "scale": loaded.scale,
        "created": now.isoformat(timespec="seconds"),
        **environment(),
    }
    write_text(path / "versions.json", json.dumps(about, indent=2) + "\n")
    write_recipe(loaded, path)
    return Run(path)


def write_recipe(loaded: LoadedRecipe, folder: Path) -> None:
    """Write a resolved recipe into a run's folder."""
    write_text(folder / "recipe.yaml", yaml.safe_dump(loaded.to_dict(), sort_keys=False))
