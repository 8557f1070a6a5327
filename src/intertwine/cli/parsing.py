"""What the commands share in reading their arguments."""

from argparse import HelpFormatter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from jsonargparse import ArgumentParser

from intertwine.errors import ConfigError
from intertwine.training.words import nearest

__all__ = ["add_options_of", "command_parser", "first_positional", "refuse_unknown"]


def command_parser(name: str, description: str, usage: str | None = None) -> ArgumentParser:
    """Return the parser of a command; wrong usage ends with status 2."""
    return ArgumentParser(
        prog=f"intertwine {name}",
        description=description + ".",
        usage=usage and f"intertwine {name} {usage}",
        formatter_class=HelpFormatter,
    )


def add_options_of(parser: ArgumentParser, function: Callable[..., Any], skip: Iterable[str]) -> list[str]:
    """Add an option for each further parameter of a system's function, and return their names.

    So a system's ``predict`` may take ``batch_size: int = 16``, and the command gets ``--batch_size``.
    """
    return parser.add_function_arguments(function, skip=set(skip), as_group=False)


def first_positional(words: Sequence[str], flags: Iterable[str] = ()) -> str | None:
    """Return the first argument that is neither an option nor the value of one, or None.

    Args:
        words: the arguments.
        flags: options without a value; ``--help`` is one.
    """
    no_value = {"-h", "--help", *flags}
    place = 0
    while place < len(words):
        word = words[place]
        if not word.startswith("-"):
            return word
        place += 1 if word in no_value or "=" in word else 2
    return None


def refuse_unknown(command: str, words: Sequence[str], known: Sequence[str]) -> None:
    """Refuse options that a command does not know, naming the nearest one of each.

    Raises:
        ConfigError: naming all of them.
    """
    given = [word.partition("=")[0] for word in words if word.startswith("--")]
    hints = {option: nearest(option, known) or "see --help" for option in given if option not in known}
    if hints:
        raise ConfigError(
            f"unknown option{'s' if len(hints) > 1 else ''} of `intertwine {command}`",
            got=", ".join(hints),
            fix="; ".join(f"{option}: {hint}" for option, hint in hints.items()),
        )
