"""The actions of ``intertwine products``: lists, compares, explains, checks, measures and draws products."""

import importlib
from collections.abc import Callable

from rich.console import Console

from intertwine.cli.parsing import command_parser
from intertwine.errors import ConfigError
from intertwine.training.words import nearest

__all__ = ["main"]

ACTIONS = {
    "list": ("what there is", "describe:list_all"),
    "compare": ("one setting side by side", "compare:compare"),
    "explain": ("one path", "describe:explain_path"),
    "check": ("law, reference, ranks", "check:check"),
    "bench": ("measure into a file", "bench:bench"),
    "plot": ("draw such a file, or what products do", "plot:plot"),
}


def main(words: list[str], console: Console) -> int | None:
    """Run one of the actions."""
    parser = command_parser(
        "products",
        "Compare tensor products: paths, expressivity, cost, measured speed. "
        + " ".join(f"{name}: {text};" for name, (text, _) in ACTIONS.items()).rstrip(";"),
        usage=f"{{{','.join(ACTIONS)}}} ...        intertwine products ACTION --help",
    )
    parser.add_argument("action", help=f"One of {', '.join(ACTIONS)}.")
    if not words or words[0].startswith("-"):
        parser.parse_args(words)
    if words[0] not in ACTIONS:
        raise ConfigError(
            f"there is no action `{words[0]}` of `intertwine products`",
            got=words[0],
            expected=", ".join(ACTIONS),
            fix=nearest(words[0], ACTIONS),
        )
    module, _, function = ACTIONS[words[0]][1].partition(":")
    action: Callable[[list[str], Console], int] = getattr(
        importlib.import_module(f"intertwine.cli.products.{module}"), function
    )
    return action(words[1:], console)
