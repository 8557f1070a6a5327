"""``intertwine predict``: applies a run's model to the user's files."""

from pathlib import Path

from rich.console import Console

from intertwine.cli.parsing import add_options_of, command_parser, first_positional
from intertwine.errors import DataError
from intertwine.training.run import open_run

__all__ = ["main"]


def main(words: list[str], console: Console) -> int | None:
    """Predict on files, and name the files that were written."""
    parser = command_parser("predict", "Apply a run to files of your own")
    parser.add_argument("run", help="Folder of the run.")
    parser.add_argument("files", nargs="+", help="Files to read.")
    parser.add_argument("--output", type=str, default="predictions", help="Folder to write to.")
    if (name := first_positional(words)) is None:
        parser.parse_args(words)
    run = open_run(str(name))
    predict = run.system().load("predict")
    options = add_options_of(parser, predict, skip=("run", "files", "output", "console"))
    args = parser.parse_args(words)
    files = [Path(file).expanduser() for file in args.files]
    if missing := [str(file) for file in files if not file.exists()]:
        raise DataError("there are no such files", got=", ".join(missing), fix="check the paths")
    output = Path(args.output).expanduser()
    written = predict(run, files, output=output, **{option: args[option] for option in options})
    for path in written:
        console.print(f"written to {path}", highlight=False, soft_wrap=True)
    return 0
