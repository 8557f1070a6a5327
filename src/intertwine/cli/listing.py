"""``intertwine systems`` and ``intertwine recipes``: what there is."""

import os

from rich.console import Console
from rich.table import Table
from rich.text import Text

from intertwine.cli.parsing import command_parser
from intertwine.errors import DataError
from intertwine.training.datasets import find_data
from intertwine.training.registry import get_system, system_names
from intertwine.training.system import SCALES, RecipeInfo

__all__ = ["recipes", "systems"]


def systems(words: list[str], console: Console) -> None:
    """List the systems with their recipes and their own commands."""
    command_parser("systems", "List the systems").parse_args(words)
    table = _table("system", "what it is", "recipes", "data", "commands")
    for system in map(get_system, system_names()):
        names = list(system.recipe_files())
        there = [_data_present(system.recipes.get(name, RecipeInfo("")))[0] for name in names]
        data = "present" if all(there) else f"present for {sum(there)} of {len(there)}"
        verbs = ", ".join(system.verbs)
        table.add_row(system.name, system.summary, ", ".join(names), data if names else "", verbs)
    console.print(table)


def recipes(words: list[str], console: Console) -> None:
    """List the recipes with their scales and whether their data is present."""
    parser = command_parser("recipes", "List the recipes, their scales, and whether their data is present")
    parser.add_argument("system", nargs="?", help="Only those of this system.")
    chosen = parser.parse_args(words).system
    table = _table("recipe", "what it is", "scales", "data")
    missing = False
    for system in map(get_system, [chosen] if chosen else system_names()):
        for name, files in system.recipe_files().items():
            info = system.recipes.get(name, RecipeInfo(""))
            present, text = _data_present(info)
            missing = missing or not present
            style = "" if present else "yellow"
            table.add_row(
                f"{system.name}/{name}",
                info.summary,
                " ".join(scale for scale in SCALES if scale in files),
                Text(text, style=style),
            )
    console.print(table)
    console.print("train one with: intertwine train RECIPE --scale cpu", style="dim", highlight=False)
    if missing and "INTERTWINE_DATA" not in os.environ:
        console.print(
            "missing data is looked for below the folder that INTERTWINE_DATA names",
            style="dim",
            highlight=False,
        )


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _data_present(info: RecipeInfo) -> tuple[bool, str]:
    absent = []
    for name in info.data:
        try:
            find_data(name)
        except DataError:
            absent.append(name)
    if absent:
        more = f" and {len(absent) - 1} more" if len(absent) > 1 else ""
        return False, f"needs {absent[0]}{more}"
    return True, "present" if info.data else "generated"
