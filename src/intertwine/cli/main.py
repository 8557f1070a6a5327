"""The ``intertwine`` command: finds the command, runs it, and turns errors into sentences and exit statuses.

Status 0 is success, 1 a failed check or run, 2 wrong usage. Only the chosen command's module is imported, so
that ``intertwine --help`` needs neither torch nor a parser.
"""

import importlib
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TextIO

from intertwine.errors import ConfigError, GroupError, IntertwineError, RepresentationError, SymmetryError
from intertwine.training.registry import get_system, system_names
from intertwine.training.system import Verb
from intertwine.training.words import nearest

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["main"]

COMMANDS = {
    "systems": ("List the systems", "listing:systems"),
    "recipes": ("List the recipes, their scales, and whether their data is present", "listing:recipes"),
    "train": ("Train a recipe, or go on with a run", "train:main"),
    "evaluate": ("Measure a run on its test data", "evaluate:main"),
    "check": ("Measure the symmetry of a run, or of any module by import path", "check:main"),
    "predict": ("Apply a run to files of your own", "predict:main"),
    "report": ("Write a run's HTML page", "report:main"),
    "reproduce": ("Repeat the experiment of a system's card", "reproduce:main"),
    "frames": ("Report how stable the PCA frames of clouds are", "frames:main"),
    "partition": ("Divide a cloud into cells, and report how they mix known parts", "partition:main"),
    "products": ("Compare tensor products: paths, expressivity, cost, measured speed", "products.main:main"),
}


_WRONG_USAGE = (ConfigError, GroupError, RepresentationError, SymmetryError)
"""Errors in what was asked for; status 1 is left to checks and runs that fail."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    try:
        if not words or words[0] in ("-h", "--help"):
            _write_help(sys.stdout)
            return 0 if words else 2
        if words[0] == "--version":
            from intertwine import __version__

            sys.stdout.write(f"intertwine {__version__}\n")
            return 0
        return _run(words[0], words[1:]) or 0
    except SystemExit as exit_:  # how parsers end after --help or wrong usage
        return exit_.code if isinstance(exit_.code, int) else 1
    except IntertwineError as error:
        if debug:
            traceback.print_exc()
        else:
            _complain(str(error))
        return 2 if isinstance(error, _WRONG_USAGE) else 1
    except KeyboardInterrupt as interrupt:
        _complain(": ".join(["interrupted", *map(str, interrupt.args)]))
        return 1
    except BrokenPipeError:  # the reader, such as `head`, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is still buffered is written at exit
        return 0
    except Exception as error:
        if debug:
            raise
        _complain(f"{type(error).__name__}: {error}\n  fix       run the command again with --debug for details")
        return 1


def _run(name: str, words: list[str]) -> int | None:
    if name in COMMANDS:
        module, _, function = COMMANDS[name][1].partition(":")
        command: Callable[[list[str], Console], int | None] = getattr(
            importlib.import_module(f"intertwine.cli.{module}"), function
        )
        return command(words, _console())
    for system_name in system_names():
        system = get_system(system_name)
        if name in system.verbs:
            from intertwine.cli.parsing import command_parser

            add_arguments, run = system.load_verb(name)
            parser = command_parser(name, system.verbs[name].summary)
            add_arguments(parser)
            return run(parser.parse_args(words), _console())
    known = [*COMMANDS, *_verbs()]
    raise ConfigError(
        f"there is no command `{name}`",
        got=name,
        expected=", ".join(known),
        fix=nearest(name, known) or "`intertwine --help` says what each does",
    )


def _verbs() -> dict[str, Verb]:
    return {name: verb for system in map(get_system, system_names()) for name, verb in system.verbs.items()}


def _write_help(out: TextIO) -> None:
    color = out.isatty() and "NO_COLOR" not in os.environ
    bold, cyan, end = ("\x1b[1m", "\x1b[36m", "\x1b[0m") if color else ("", "", "")
    rows = {name: summary for name, (summary, _) in COMMANDS.items()}
    verbs = {name: verb.summary for name, verb in _verbs().items()}
    width = max(map(len, [*rows, *verbs])) + 2
    lines = [
        f"{bold}intertwine{end}: train, check and use published symmetry-aware systems",
        "",
        f"{bold}Usage{end}  intertwine COMMAND [OPTIONS]        intertwine COMMAND --help",
    ]
    for title, group in (("Commands", rows), ("Commands of the systems", verbs)):
        if group:
            lines += ["", f"{bold}{title}{end}"]
            lines += [f"  {cyan}{name:<{width}}{end}{summary}" for name, summary in group.items()]
    lines += [
        "",
        f"{bold}Options{end}",
        f"  {cyan}{'--version':<{width}}{end}Print the version",
        f"  {cyan}{'--debug':<{width}}{end}Show the traceback of an error",
        "",
        f"{bold}Start{end}  intertwine recipes",
    ]
    out.write("\n".join(lines) + "\n")


def _console() -> "Console":
    from rich.console import Console

    class Terminal(Console):
        def on_broken_pipe(self) -> None:
            self.quiet = True
            raise BrokenPipeError  # `main` takes a reader that has gone for no error; rich would end with status 1

    # texts of users (names of files and modules) must appear as they are: no markup, no emoji codes
    return Terminal(markup=False, emoji=False)


def _complain(text: str) -> None:
    bold, end = ("\x1b[1;31m", "\x1b[0m") if sys.stderr.isatty() and "NO_COLOR" not in os.environ else ("", "")
    first, _, rest = text.partition("\n")
    sys.stderr.write(f"{bold}{first}{end}\n{rest}{chr(10) if rest else ''}")


if __name__ == "__main__":
    sys.exit(main())
