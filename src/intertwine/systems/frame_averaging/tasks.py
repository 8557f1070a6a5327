"""The parts of the system for each of its tasks: the recipe says which, and only that one is imported."""

from pathlib import Path
from typing import Any, Literal

from intertwine.errors import ConfigError
from intertwine.training.system import load_name
from intertwine.training.words import nearest

__all__ = ["check", "evaluate", "make_data", "make_module", "predict_files", "reproduce", "sections"]

_PACKAGE = __name__.rpartition(".")[0]


def _part(room: str, task: str, name: str) -> Any:
    return load_name(f".{room}.{task}:{name}", _PACKAGE)


def make_data(recipe: Any) -> Any:
    """Return the data of a recipe."""
    return _part("data", recipe.task, "make_data")(recipe)


def make_module(recipe: Any, data: Any, *, rng: Any) -> Any:
    """Return the untrained network of a recipe, with its loss."""
    return _part("training", recipe.task, "make_module")(recipe, data, rng=rng)


def evaluate(run: Any, *, device: str = "cpu") -> Any:
    """Return the errors of a finished run on its test sets."""
    return _part("evaluate", run.recipe().task, "evaluate")(run, device=device)


def check(run: Any, *, trials: int = 8, rng: Any) -> Any:
    """Return how well the network of a run keeps the symmetry that it declares."""
    return _part("evaluate", run.recipe().task, "check")(run, trials=trials, rng=rng)


def predict_files(run: Any, files: Any, *, output: Any, device: str = "cpu") -> Any:
    """Apply the network of a run to files and return the files written."""
    return _part("predict", run.recipe().task, "predict_files")(run, files, output=output, device=device)


def sections(run: Any) -> Any:
    """Return the sections of the report of a run."""
    return _part("report", run.recipe().task, "sections")(run)


def reproduce(
    scale: Any,
    *,
    folder: Path,
    seeds: tuple[int, ...] | None = None,
    console: Any = None,
    case: Literal["particles", "normals", "graphs", "digits", "all"] = "all",
    networks: tuple[str, ...] | None = None,
    minutes: float | None = None,
) -> list[Any]:
    """Run the card's experiments and return their rows.

    Args:
        scale: scale of the recipes.
        folder: where the runs are kept.
        seeds: of initial weights and data order; the card's are 0, 1 and 2.
        console: where to show progress.
        case: one task, or all.
        networks: only these of a task, by the names of their rows (of graphs the experiments, of digits the frames).
        minutes: most minutes that each network trains (particles); its curve so far is then among the rows.

    Raises:
        ConfigError: if minutes are given for another task, or there is no such network; before anything runs.
    """
    if minutes is not None and case != "particles":
        raise ConfigError("only particles train for a given time", got=f"minutes {minutes:g}, case {case}")
    tasks = ("particles", "normals", "graphs", "digits") if case == "all" else (case,)
    for task in tasks:
        _check_networks(task, networks)
    rows = []
    chosen: dict[str, Any] = {} if networks is None else {"cases": networks}
    if minutes is not None:
        chosen["minutes"] = minutes
    for task in tasks:
        rows += _part("reproduce", task, "reproduce")(scale, folder=folder, seeds=seeds, console=console, **chosen)
    return rows


def _check_networks(task: str, networks: tuple[str, ...] | None) -> None:
    known = tuple(_part("reproduce", task, "CASES"))
    for name in known[:1] if networks is None else networks or ("",):
        if name not in known:
            raise ConfigError(
                f"{task} have no network `{name}`",
                got=", ".join(networks or ()) or "no name",
                expected=", ".join(known),
                fix=nearest(name, known) or "name the task with case: each has its own",
            )
