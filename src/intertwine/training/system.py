"""What a system is: texts, and the dotted names of its parts, imported only when used.

A system's ``__init__.py`` imports this module and nothing else, so that listing all systems stays cheap::

    SYSTEM = System(
        name="potential",
        package=__name__,
        summary="Interatomic potentials with selectable tensor products",
        recipe=".settings:PotentialRecipe",
        data=".data:make_data",
        module=".training:make_module",
        evaluate=".evaluate:evaluate",
        check=".check:check",
        predict=".predict:predict",
        report=".report:sections",
        reproduce=".reproduce:reproduce",
        models=(".model:Potential",),
        verbs={"md": Verb("Run molecular dynamics", ".md:add_arguments", ".md:main")},
        recipes={"3bpa": RecipeInfo("3BPA, 300 K", data=("botnet-3bpa-acac/3bpa/train_300K.xyz",))},
    )

A dotted name is ``package.module:attribute``; one that starts with a dot is relative to ``package``.
The parts have these signatures (``Run`` is `intertwine.training.run.Run`):

=============  =======================================================================================
``recipe``     frozen dataclass with fields ``data``, ``model``, ``training: TrainingSettings``, ``seed``
``data``       ``(recipe) -> LightningDataModule``; its ``setup("fit")`` may be called twice
``module``     ``(recipe, data, *, rng: torch.Generator) -> TrainingModule``; ``rng`` initialises the model
``evaluate``   ``(run, *, device: str = "cpu") -> intertwine.reporting.Evaluation``
``check``      ``(run, *, trials: int, rng: torch.Generator) -> intertwine.symmetry.CheckReport``
``predict``    ``(run, files: list[Path], *, output: Path, device: str = "cpu") -> list[Path]``
``report``     ``(run) -> list[intertwine.reporting.Section]``
``reproduce``  ``(scale, *, folder: Path, seeds: tuple[int, ...] | None, console) -> list[ResultRow]``
=============  =======================================================================================

``reproduce`` trains below ``folder`` (runs are kept there); the command writes its rows to ``results/``.
``run.model()`` gives ``evaluate``, ``check``, ``predict`` and ``report`` the trained network, and
``run.recipe()`` its recipe. When ``module`` is called, ``data`` is set up: statistics of it are at hand.
"""

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from intertwine.errors import ConfigError

__all__ = ["RecipeInfo", "System", "Verb", "load_name"]

SCALES = ("paper", "cpu", "smoke")
"""The scales of a recipe: the paper's setting, and its overrides."""


@dataclass(frozen=True)
class Verb:
    """A command of the domain, for example ``intertwine md``.

    Args:
        summary: its one line in ``intertwine --help``.
        arguments: dotted name of ``(parser: jsonargparse.ArgumentParser) -> None``, which adds the options.
        run: dotted name of ``(args: jsonargparse.Namespace, console: rich.console.Console) -> int | None``;
            what it returns is the exit status, None is success. Errors of `intertwine.errors` are printed
            for it.
    """

    summary: str
    arguments: str
    run: str


@dataclass(frozen=True)
class RecipeInfo:
    """What a list of recipes says about one of them without reading it.

    Args:
        summary: one line.
        data: names that `intertwine.training.datasets.find_data` resolves; empty when data are generated.
    """

    summary: str
    data: tuple[str, ...] = ()


@dataclass(frozen=True)
class System:
    """One published system: its texts and the dotted names of its parts (see the module's page)."""

    name: str
    package: str
    summary: str
    recipe: str
    data: str
    module: str
    evaluate: str | None = None
    check: str | None = None
    predict: str | None = None
    report: str | None = None
    reproduce: str | None = None
    models: tuple[str, ...] = ()
    verbs: Mapping[str, Verb] = field(default_factory=dict)
    recipes: Mapping[str, RecipeInfo] = field(default_factory=dict)
    paper: str = ""

    def load(self, part: str) -> Any:
        """Import and return one part, for example ``system.load("recipe")``.

        Raises:
            ConfigError: if this system has no such part.
        """
        name = getattr(self, part)
        if name is None:
            raise ConfigError(
                f"the system `{self.name}` has no `{part}`",
                got=part,
                expected=", ".join(p for p in _PARTS if getattr(self, p) is not None),
            )
        return load_name(name, self.package)

    def load_verb(self, verb: str) -> tuple[Any, Any]:
        """Import and return the two functions of a verb: the one that adds options, and the one that runs."""
        found = self.verbs[verb]
        return load_name(found.arguments, self.package), load_name(found.run, self.package)

    def model_names(self) -> list[str]:
        """Return the absolute dotted names of the networks that may be built from a saved model's config."""
        return [_absolute(name, self.package) for name in self.models]

    def recipe_files(self) -> dict[str, dict[str, Path]]:
        """Return the files of the recipes: ``{"3bpa": {"paper": Path, "cpu": Path, "smoke": Path}}``."""
        folder = Path(str(files(self.package))) / "recipes"
        found: dict[str, dict[str, Path]] = {}
        for path in sorted(folder.glob("*.yaml")):
            name, _, scale = path.stem.partition(".")
            found.setdefault(name, {})[scale or "paper"] = path
        return found


_PARTS = ("recipe", "data", "module", "evaluate", "check", "predict", "report", "reproduce")


def load_name(name: str, package: str | None = None) -> Any:
    """Return the object that ``package.module:attribute`` names.

    Raises:
        ConfigError: if the name is not of this form, or names nothing.
    """
    module_name, colon, attribute = name.partition(":")
    if not (module_name and colon and attribute):
        raise ConfigError("this is not a dotted name", got=name, expected="package.module:attribute")
    try:
        module = importlib.import_module(module_name, package)
    except ModuleNotFoundError as error:
        absolute = _absolute(name, package).partition(":")[0]
        if error.name is None or not (absolute + ".").startswith(error.name + "."):
            raise
        raise ConfigError(
            f"there is no module `{absolute}`",
            got=name,
            expected="package.module:attribute of something that can be imported",
            fix="check the spelling, and that its folder is on PYTHONPATH",
        ) from error
    try:
        return getattr(module, attribute)
    except AttributeError as error:
        from intertwine.training.words import nearest

        names = [n for n in vars(module) if not n.startswith("_")]
        raise ConfigError(
            f"the module `{module.__name__}` has no `{attribute}`",
            got=name,
            expected=", ".join(names) if len(names) < 12 else None,
            fix=nearest(attribute, names),
        ) from error


def _absolute(name: str, package: str | None) -> str:
    module_name, _, attribute = name.partition(":")
    return f"{importlib.util.resolve_name(module_name, package)}:{attribute}"
