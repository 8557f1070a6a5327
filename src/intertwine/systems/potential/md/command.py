"""The command ``intertwine md``."""

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from intertwine.errors import ConfigError
from intertwine.systems.potential.md.settings import MDSettings
from intertwine.training.schema import field_docs

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace
    from rich.console import Console

    from intertwine.systems.potential.md.simulation import MDResult

__all__ = ["add_arguments", "main"]


def add_arguments(parser: "ArgumentParser") -> None:
    """Add the options of ``intertwine md RUN STRUCTURE``."""
    parser.add_argument("run", type=str, help="folder of a run, or of a saved model")
    parser.add_argument("structure", type=str, help="file with the first frame (extended XYZ, CIF, ...)")
    parser.add_argument("--frame", type=int, default=0, help="which frame of the file, from 0")
    hints, docs = get_type_hints(MDSettings), field_docs(MDSettings)
    for field in fields(MDSettings):
        name = "--" + field.name.replace("_", "-")
        parser.add_argument(name, type=hints[field.name], default=field.default, help=docs[field.name])
    parser.add_argument(
        "--output", type=str | None, default=None, help="trajectory; RUN/md/<ensemble>.extxyz when empty"
    )
    parser.add_argument("--restart", action="store_true", help="go on with the files of --output")
    parser.add_argument("--device", type=str, default="cpu", help="where to compute")
    parser.add_argument(
        "--precision", type=str | None, default=None, help="32 or 64; that of the saved model when empty"
    )


def main(args: "Namespace", console: "Console") -> int:
    """Run the command and return its exit status."""
    import torch
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from intertwine.atoms import read_frames
    from intertwine.systems.potential.calculator import IntertwineCalculator
    from intertwine.systems.potential.md.simulation import run_md
    from intertwine.training.datasets import find_data

    settings = MDSettings(**{field.name: getattr(args, field.name) for field in fields(MDSettings)})
    dtypes = {None: None, "32": torch.float32, "64": torch.float64}
    if args.precision not in dtypes:
        raise ConfigError("this precision is not known", got=args.precision, expected="32, 64, or empty")
    frames = read_frames(find_data(args.structure))
    if not -len(frames) <= args.frame < len(frames):
        raise ConfigError(
            f"{args.structure} has no frame {args.frame}", got=args.frame, expected=f"0 to {len(frames) - 1}"
        )
    atoms = frames[args.frame].atoms
    calculator = IntertwineCalculator(args.run, device=args.device, dtype=dtypes[args.precision])
    output = _output(args)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("step {task.completed:.0f}/{task.total:.0f}"),
        TextColumn("{task.fields[speed]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(settings.ensemble.upper(), total=settings.steps, speed="")

        def progress(step: int, temperature: float) -> None:
            rate = (bar.tasks[0].speed or 0) * settings.time_step * 1e-6 * 86400
            bar.update(task, completed=step, speed=f"{temperature:.0f} K  {rate:.3g} ns/day")

        try:
            result = run_md(calculator, atoms, settings, output=output, restart=args.restart, progress=progress)
        except KeyboardInterrupt:
            console.print(f"stopped; the same command with --restart goes on with {output}")
            return 130
    _report(result, settings, console)
    return 0


def _output(args: Any) -> Path:
    if args.output is not None:
        return Path(args.output).expanduser()
    run = Path(args.run).expanduser()
    folder = run / "md" if (run / "recipe.yaml").exists() else Path()
    return folder / f"{args.ensemble}.extxyz"


def _report(result: "MDResult", settings: MDSettings, console: "Console") -> None:
    length = result.columns["time_fs"][-1] / 1000
    temperature = result.columns["temperature_k"].mean()
    console.print(
        f"{length:.4g} ps of {len(result.atoms)} atoms, mean temperature {temperature:.0f} K, "
        f"{result.ns_per_day:.3g} ns/day",
        highlight=False,
    )
    if result.drift_mev_per_atom_ps is not None:
        console.print(
            f"total energy: drift {result.drift_mev_per_atom_ps:.3g} meV/atom/ps, "
            f"largest deviation {result.max_deviation_mev_per_atom:.3g} meV/atom",
            highlight=False,
        )
    for path in result.files:
        console.print(f"wrote {path}", highlight=False, soft_wrap=True)
