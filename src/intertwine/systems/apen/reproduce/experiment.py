"""The card's experiments: the law of pieces against the first partition, the bound, body parts, rooms and subjects."""

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from intertwine.errors import ConfigError
from intertwine.reporting import PaperFigure, ResultRow, Target
from intertwine.systems.apen.data import read_scene
from intertwine.systems.apen.reproduce.bound import WIDTHS, bound_example, mixture_example
from intertwine.systems.apen.reproduce.curve import piece_curve
from intertwine.training.datasets import find_data
from intertwine.training.experiment import count_weights, measure_run, record, train_timed
from intertwine.training.page import write_run_page
from intertwine.training.recipes import load_recipe
from intertwine.training.run import Run

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["reproduce"]

Case = Literal["pieces", "bound", "human", "rooms", "subjects", "all"]
Results = dict[tuple[str, str], dict[int, float]]

Networks = dict[str, dict[str, object]]

_POINTNET: Networks = {"pointnet": {"model.network": "pointnet"}}
_UNMOVED: Networks = {"pointnet-unmoved": {"model.network": "pointnet", "data.augmentation": "none"}}
_FRAMED: Networks = {"fa-pointnet": {"model.network": "fa_pointnet", "model.contact": 0}}
_STRICT: Networks = {"apen-strict": {"model.contact": 0}}
_EXACT_PARTS: Networks = {"apen-exact-parts": {"model.partition": "oracle", "model.contact": 0}}
_APEN: Networks = {"apen": {}}
_NETWORKS = {
    "human": _POINTNET | _FRAMED | _EXACT_PARTS | _STRICT | _APEN,
    "rooms": _POINTNET | _UNMOVED | _EXACT_PARTS | _APEN,
    "subjects": _POINTNET | _APEN,
}
_COMPARED = ("pointnet", "pointnet-unmoved", "fa-pointnet", "apen-strict")
_RECIPES = {"human": "human-parts", "rooms": "rooms", "subjects": "human-subjects"}
_SCORES = {"human": "miou", "rooms": "miou", "subjects": "cloud_accuracy"}
_EXACT = Target("<", 1e-8)
_SOURCE = "Atzmon et al., ICLR 2024, table {}, on data that cannot be shipped (from a summary)"
_PAPER = {
    ("human/apen", "miou"): (0.935, 1),
    ("human/pointnet", "miou"): (0.801, 1),
    ("subjects/apen", "cloud_accuracy"): (0.714, 3),
    ("subjects/pointnet", "cloud_accuracy"): (0.185, 3),
}


def reproduce(
    scale: Literal["paper", "cpu", "smoke"],
    *,
    folder: Path,
    seeds: tuple[int, ...] | None = None,
    console: "Console | None" = None,
    case: Case = "all",
    scenes: tuple[str, ...] = ("0", "1"),
    networks: tuple[str, ...] | None = None,
) -> list[ResultRow]:
    """Run the experiments and return their rows.

    Args:
        scale: scale of the recipes.
        folder: where the runs are kept.
        seeds: of initial weights, points and order; the card's are 0, 1 and 2.
        console: where to show progress.
        case: one experiment, or all.
        scenes: rooms to learn, each from one scan.
        networks: only these of what is trained, by the names of their rows.

    Raises:
        ConfigError: if a case has no such network; before anything runs.
        DataError: if there is no such scene; before anything runs.
    """
    known = {network for name in _RECIPES if case in (name, "all") for network in _NETWORKS[name]}
    unknown = [network for network in networks or () if network not in known]
    if unknown:
        raise ConfigError(
            "there are no such networks", got=", ".join(unknown), expected=", ".join(sorted(known)) or "none"
        )
    if case in ("rooms", "all"):
        for scene in scenes:
            read_scene(find_data("apen_rooms/rooms.npz"), scene)
    rows: list[ResultRow] = []
    if case in ("bound", "all"):
        rows += _bound_rows()
    if case in ("pieces", "all"):
        rows += _piece_rows(scale)
    for name in _RECIPES:
        if case in (name, "all"):
            rows += _train_rows(name, scale, Path(folder), seeds or (0, 1, 2), console, scenes, networks)
    return rows


def _bound_rows() -> list[ResultRow]:
    examples = {f"bound/eps={eps:g}": bound_example(eps) for eps in (1e-1, 1e-2, 1e-3, 1e-4)}
    examples |= {f"bound/sigma={sigma:g}": mixture_example(sigma) for sigma in WIDTHS}
    rows = []
    for case, found in examples.items():
        known = {"lambda": found.mixed, "delta": found.uncertainty, "bound": found.bound}
        rows.append(ResultRow(case, "error_hard", found.hard, baselines=known, target=Target("<", found.bound)))
        rows.append(ResultRow(case, "error_soft", found.soft, baselines=known))
    return rows


def _piece_rows(scale: str) -> list[ResultRow]:
    """Return the error of an untrained network on rigid bodies against the cells that it begins from."""
    points = 512 if scale == "smoke" else 2048
    curve = piece_curve(points, clouds=2 if scale == "smoke" else 4)
    rows = []
    for name, report in curve.items():
        case = f"pieces/{name}"
        exact = name in ("oracle", "singletons")
        mixed = {"points in mixed cells": report.mixed_points[0]}
        rows.append(ResultRow(case, "piece_error", report.error, baselines=mixed, target=_EXACT if exact else None))
    by_cells = [report.error for name, report in curve.items() if name.startswith("cells=")]
    rows.append(
        ResultRow(
            "pieces/fewest cells over most", "error_ratio", by_cells[0] / by_cells[-1], "x", target=Target(">=", 5.0)
        )
    )
    rises = sum(b > a for a, b in pairwise(by_cells))
    rows.append(ResultRow("pieces/steps at which the error rises", "count", float(rises), target=Target("==", 0.0)))
    return rows


def _train_rows(
    name: str,
    scale: str,
    folder: Path,
    seeds: tuple[int, ...],
    console: "Console | None",
    scenes: tuple[str, ...],
    networks: tuple[str, ...] | None,
) -> list[ResultRow]:
    loaded = load_recipe(f"apen/{_RECIPES[name]}", scale=scale)
    cases = [f"scene{scene}" for scene in scenes] if name == "rooms" else [""]
    results: Results = {}
    for seed in seeds:
        for part in cases:
            for network, changed in _NETWORKS[name].items():
                if networks is not None and network not in networks:
                    continue
                label = "-".join(filter(None, (name, part, network)))
                changes = {"seed": seed, **changed}
                if part:
                    changes["data.scene"] = part.removeprefix("scene")
                title = f"apen/{_RECIPES[name]}: {label}, scale {scale}, seed {seed}"
                run, seconds = train_timed(
                    loaded, folder / f"{label}-{scale}-seed{seed}", changes, title=title, console=console
                )
                found = _measure(run, seed, console)
                key = "/".join(filter(None, (name, part, network)))
                record(results, seed, {(key, metric): value for metric, value in found.items()})
                record(results, seed, {(key, "training_time"): seconds / 60})
    rows = [_row(key, values) for key, values in results.items()]
    return [*rows, *_differences(name, cases, results, scale)]


def _measure(run: Run, seed: int, console: "Console | None") -> dict[str, float]:
    evaluation, checked = measure_run(run, seed)
    shown = ("miou", "pooled_miou", "accuracy", "cloud_accuracy", "instance_iou", "piece_error")
    found: dict[str, float] = {}
    for metric in shown:
        values = [row.value for row in evaluation.rows if row.metric == metric]
        if values:
            found[metric] = sum(values) / len(values)
    found["symmetry_error"] = checked.equivariance.worst.relative
    found["weights"] = count_weights(run)
    page = write_run_page(run)
    if console is not None:
        score = next(found[m] for m in ("cloud_accuracy", "miou") if m in found)
        console.print(f"score {score:.3f}, page: {page}", highlight=False, soft_wrap=True)
    return found


def _row(key: tuple[str, str], values: dict[int, float]) -> ResultRow:
    case, metric = key
    fields: dict[str, object] = {"unit": "min" if metric == "training_time" else ""}
    if key in _PAPER:
        value, table = _PAPER[key]
        fields["paper"] = PaperFigure(value, _SOURCE.format(table), verified=False)
    if metric == "symmetry_error":
        fields["target"] = _EXACT
    if metric == "miou" and case.startswith("rooms") and case.endswith("/apen"):
        fields["target"] = Target(">", 0.85)
    return ResultRow.over_seeds(case, metric, values, **fields)


def _differences(name: str, cases: list[str], results: Results, scale: str) -> list[ResultRow]:
    """Return how much better APEN is than each other network, by seed."""
    score = _SCORES[name]
    asked = {"human": 0.05, "subjects": 0.20}.get(name)
    rows = []
    for part in cases:
        ours = results.get(("/".join(filter(None, (name, part, "apen"))), score))
        for network in _COMPARED:
            theirs = results.get(("/".join(filter(None, (name, part, network))), score))
            if ours is None or theirs is None:
                continue
            case = "/".join(filter(None, (name, part, f"apen above {network}")))
            met = None if asked is None or scale == "smoke" or "strict" in network else Target(">=", asked)
            rows.append(ResultRow.over_seeds(case, score, {s: ours[s] - theirs[s] for s in ours}, target=met))
    return rows
