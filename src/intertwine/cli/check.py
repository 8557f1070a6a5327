"""``intertwine check``: symmetry errors of a run's model, or of any module by import path."""

from pathlib import Path

from rich.console import Console

from intertwine.cli.parsing import add_options_of, command_parser, first_positional
from intertwine.training.run import open_run

__all__ = ["main"]


def main(words: list[str], console: Console) -> int | None:
    """Check a run or a module; status 1 if it fails."""
    parser = command_parser("check", "Measure the symmetry of a run, or of any module by import path")
    parser.add_argument("target", help="Folder of a run, or package.module:factory.")
    parser.add_argument("--trials", type=int, default=8, help="Group elements drawn of each kind.")
    parser.add_argument("--seed", type=int, default=0, help="Seed of the elements.")
    name = first_positional(words)
    if name is None or (":" in name and not Path(name).exists()):
        return _check_module(parser, words, console)
    run = open_run(name)
    check = run.system().load("check")
    options = add_options_of(parser, check, skip=("run", "trials", "rng", "console"))
    args = parser.parse_args(words)
    import torch

    rng = torch.Generator().manual_seed(args.seed)
    report = check(run, trials=args.trials, rng=rng, **{option: args[option] for option in options})
    from intertwine.reporting.run_page import write_check

    write_check(run.folder, report)
    return _show(report, console)


def _check_module(parser, words: list[str], console: Console) -> int:
    parser.add_argument("--group", type=str, help='Group, such as "SE(3)", if the module declares none.')
    parser.add_argument("--inputs", type=str, help='How inputs transform: "positions=permuted(point)".')
    parser.add_argument("--outputs", type=str, help='How outputs transform: "energy=invariant, forces=vector".')
    parser.add_argument("--tolerance", type=float, help="Relative error up to which the law counts as kept.")
    args = parser.parse_args(words)
    import torch

    from intertwine.symmetry import check_factory

    report = check_factory(
        args.target,
        group=args.group,
        inputs=args.inputs,
        output=args.outputs,
        trials=args.trials,
        rng=torch.Generator().manual_seed(args.seed),
        tolerance=args.tolerance,
    )
    return _show(report, console)


def _show(report, console: Console) -> int:
    console.print(report.text, markup=False, highlight=False, soft_wrap=True)
    return 0 if report.passed else 1
