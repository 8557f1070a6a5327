"""Recipes: YAML files that fix a system's data, model and training, checked whole before anything starts.

``<name>.yaml`` is the paper's setting; ``<name>.cpu.yaml`` and ``<name>.smoke.yaml`` are merged over it. A
file of your own may say ``extends: potential/3bpa`` (and ``scale: cpu``) and give only what differs. Top
keys are ``system`` and the fields of the system's recipe dataclass. Sections merge key by key; lists and free
mappings are replaced whole.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

from intertwine.errors import ConfigError
from intertwine.training.registry import get_system, system_names
from intertwine.training.schema import Keys, Problem, convert, plain, section_type
from intertwine.training.system import SCALES, System
from intertwine.training.words import nearest
from intertwine.training.yaml_lines import Place, read_yaml

__all__ = ["LoadedRecipe", "RecipeError", "load_recipe", "recipe_from_dict", "recipe_to_dict", "recipe_type"]

_META = ("system", "extends", "scale")


class RecipeError(ConfigError):
    """All problems of a recipe, in ``problems``: ``(place, keys, text)``; place is None off a file."""

    def __init__(self, source: str, problems: list[tuple[Place | None, Problem]]) -> None:
        self.problems = [(place, ".".join(p.keys), p.text) for place, p in problems]
        files = {place.file for place, _ in problems if place is not None}
        rows = []
        for place, problem in problems:
            where = "" if place is None else f"line {place.line}"
            if place is not None and len(files) > 1:
                where = f"{Path(place.file).name} {where}"
            rows.append((where, ".".join(problem.keys), problem.text))
        number = ("no", "one", "two", "three", "four", "five", "six")
        count = number[len(rows)] if len(rows) < len(number) else str(len(rows))
        title = f"{count} problem{'s' if len(rows) > 1 else ''} in {source}"
        widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
        columns = [[f"{w:<{widths[0]}}", f"{k:<{widths[1]}}", text] for w, k, text in rows]
        self._lines = [title, *("  " + "  ".join(part for part in row if part) for row in columns)]
        super().__init__(
            title,
            got=", ".join(keys for _, keys, _ in self.problems),
            fix="nothing was started; the full schema is printed by `intertwine train RECIPE --print_schema`",
        )

    def __str__(self) -> str:
        return "\n".join([f"ConfigError[{self.code}]: {self._lines[0]}", *self._lines[1:], f"  {self.fix}"])


@dataclass(frozen=True)
class LoadedRecipe:
    """A checked recipe with where it came from.

    Args:
        system: the system it is for.
        recipe: the instance of the system's recipe dataclass.
        name: ``system/recipe``, or the stem of the user's file.
        scale: ``paper``, ``cpu`` or ``smoke``.
    """

    system: System
    recipe: Any
    name: str
    scale: str

    def to_dict(self) -> dict[str, Any]:
        """Return the resolved recipe as plain data, as `Run` stores it."""
        return recipe_to_dict(self.system, self.recipe)

    def changed(self, overrides: Mapping[str, Any]) -> "LoadedRecipe":
        """Return this recipe with some fields replaced, named by dotted keys such as ``model.width``.

        Raises:
            RecipeError: listing every override that is wrong.
        """
        data = plain(self.recipe)
        for dotted, value in overrides.items():
            *sections, last = dotted.split(".")
            inside = data
            for key in sections:
                inside = inside.setdefault(key, {})
                if not isinstance(inside, dict):
                    raise RecipeError("the overrides", [(None, Problem((dotted,), f"`{key}` is not a section"))])
            inside[last] = value
        recipe = recipe_from_dict(self.system, data, source="the overrides")
        return LoadedRecipe(self.system, recipe, self.name, self.scale)


def load_recipe(name: str | Path, scale: str | None = None) -> LoadedRecipe:
    """Read and check a recipe.

    Args:
        name: ``system/recipe``, or the path of a YAML file.
        scale: ``paper``, ``cpu`` or ``smoke``; the paper's when not given, or the one that the file names.

    Raises:
        RecipeError: listing every problem with its line.
        ConfigError: if there is no such recipe or scale.
    """
    if scale is not None and scale not in SCALES:
        raise ConfigError(
            f"there is no scale `{scale}`", got=scale, expected=", ".join(SCALES), fix=nearest(scale, SCALES)
        )
    path = Path(name).expanduser()
    if path.suffix in (".yaml", ".yml") or path.is_file():
        system, data, places, scale = _user_file(path, scale)
        label = path.stem
        source = path.name
    else:
        system, files, label = _find(str(name))
        scale = scale or "paper"
        data, places, source = _stack(system, files, label, scale)
    return LoadedRecipe(system, _checked(system, data, places, source), label, scale)


def recipe_type(system: System) -> type:
    """Return the recipe dataclass of a system."""
    return system.load("recipe")


def recipe_to_dict(system: System, recipe: Any) -> dict[str, Any]:
    """Return a recipe as plain data, with the key ``system`` first."""
    return {"system": system.name, **plain(recipe)}


def recipe_from_dict(system: System, data: Mapping[str, Any], *, source: str = "the recipe") -> Any:
    """Return the recipe that plain data describe.

    Raises:
        RecipeError: listing every problem.
    """
    return _checked(system, dict(data), {}, source)


def _checked(system: System, data: dict[str, Any], places: Mapping[Keys, Place], source: str) -> Any:
    data = {key: value for key, value in data.items() if key not in _META}
    recipe, problems = convert(data, recipe_type(system))
    if not problems:
        return recipe

    def place_of(keys: Keys) -> Place | None:
        # A missing key has no line of its own: the nearest section that is in the file has one.
        return next((places[keys[:n]] for n in range(len(keys), -1, -1) if keys[:n] in places), None)

    located = [(place_of(problem.keys), problem) for problem in problems]
    located.sort(key=lambda row: (row[0].file, row[0].line) if row[0] else ("", 0))
    raise RecipeError(source, located)


def _find(name: str) -> tuple[System, dict[str, Path], str]:
    system_name, _, recipe_name = name.partition("/")
    system = get_system(system_name)
    recipes = system.recipe_files()
    if recipe_name not in recipes:
        every = [f"{s}/{r}" for s in system_names() for r in get_system(s).recipe_files()]
        raise ConfigError(
            f"there is no recipe `{name}`",
            got=name,
            expected=", ".join(f"{system_name}/{recipe}" for recipe in recipes) or "a YAML file",
            fix=nearest(name, every) or "`intertwine recipes` lists them; a path of a YAML file is accepted too",
        )
    return system, recipes[recipe_name], f"{system_name}/{recipe_name}"


def _stack(system: System, files: dict[str, Path], label: str, scale: str) -> tuple[dict, dict, str]:
    if scale not in files or "paper" not in files:
        raise ConfigError(
            f"the recipe `{label}` has no scale `{scale}`",
            got=scale,
            expected=", ".join(files),
            fix="choose one of them",
        )
    data, places = read_yaml(files["paper"])
    if scale != "paper":
        data, places = _merge(recipe_type(system), data, places, *read_yaml(files[scale]))
    return data, places, files[scale].name


def _user_file(path: Path, scale: str | None) -> tuple[System, dict, dict, str]:
    data, places = read_yaml(path)
    if "extends" in data:
        system, files, label = _find(str(data["extends"]))
        scale = scale or str(data.get("scale", "paper"))
        base, base_places, _ = _stack(system, files, label, scale)
        if data.get("system", system.name) != system.name:
            raise ConfigError(
                f"{path.name} extends a recipe of another system", got=data["system"], expected=system.name
            )
        data, places = _merge(recipe_type(system), base, base_places, data, places)
        return system, data, places, scale
    if "system" not in data:
        raise ConfigError(
            f"{path.name} does not say which system it is for",
            got=", ".join(data) or "an empty file",
            expected="the key `system`, or `extends: system/recipe`",
            fix="add the line `system: ` with one of " + ", ".join(system_names()),
        )
    return get_system(str(data["system"])), data, places, scale or "paper"


def _merge(
    cls: type | None, base: dict, base_places: Mapping, over: dict, over_places: Mapping, keys: Keys = ()
) -> tuple[dict, dict]:
    """Merge two files; ``cls`` is the dataclass here, whose sections merge while all else is replaced."""
    hints = get_type_hints(cls) if cls is not None else {}
    data, places = dict(base), dict(base_places)
    for key, value in over.items():
        here = (*keys, key)
        section = section_type(hints.get(key))
        if section is not None and isinstance(value, dict) and isinstance(data.get(key), dict):
            data[key], places = _merge(section, data[key], places, value, over_places, here)
            continue
        data[key] = value
        places = {k: v for k, v in places.items() if k[: len(here)] != here}
        places |= {k: v for k, v in over_places.items() if k[: len(here)] == here}
    return data, places
