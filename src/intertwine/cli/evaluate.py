"""``intertwine evaluate``: a run's figures on its test data, as a table and in ``evaluation.json``."""

from rich.console import Console
from rich.table import Table

from intertwine.cli.parsing import add_options_of, command_parser, first_positional
from intertwine.training.run import open_run

__all__ = ["main"]


def main(words: list[str], console: Console) -> int | None:
    """Evaluate a run and write the result into its folder."""
    parser = command_parser("evaluate", "Measure a run on its test data")
    parser.add_argument("run", help="Folder of the run.")
    if (name := first_positional(words)) is None:
        parser.parse_args(words)
    run = open_run(str(name))
    evaluate = run.system().load("evaluate")
    options = add_options_of(parser, evaluate, skip=("run", "console"))
    args = parser.parse_args(words)
    evaluation = evaluate(run, **{option: args[option] for option in options})
    path = evaluation.write(run.folder)
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in ("case", "metric", "value", "unit"):
        table.add_column(column, justify="right" if column == "value" else "left")
    for row in evaluation.rows:
        table.add_row(row.set, row.metric, f"{row.value:.4g}", row.unit)
    console.print(table)
    console.print(f"written to {path}", style="dim", highlight=False, soft_wrap=True)
    return 0
