"""The MACE-type network on 3BPA with its many-body product as Clebsch-Gordan, Gaunt on a grid, Gaunt in Fourier space.

Run by `make bench-training`. Per product: force errors at three temperatures after a fixed number of epochs in float64
from the same seeds, time and memory of a training step in float32, and the number of parameters. The two Gaunt
products are one function computed in two ways: their errors must agree.
(Luo, Chen, Krishnapriyan, ICLR 2024; Xie, Daigavane, Kotak, Smidt, ICML 2025.)
"""

import argparse
import shlex
import sys
import time
from pathlib import Path

import torch
from interleave import interleave, peak_memory, ratios

from intertwine.reporting.results import ResultFile, ResultRow, Target
from intertwine.systems.potential.data import make_data
from intertwine.systems.potential.evaluate import evaluate
from intertwine.systems.potential.training import make_module
from intertwine.training.recipes import load_recipe
from intertwine.training.trainer import train

CHECKOUT = Path(__file__).parents[1]
PRODUCTS = ("clebsch_gordan", "gaunt_grid", "gaunt_fourier")


def settings(product: str, seed: int, options: argparse.Namespace) -> dict:
    """Return what differs from the recipe `potential/3bpa` at scale cpu."""
    return {
        "model.product": product,
        "model.channels": options.channels,
        "training.max_minutes": None,
        "training.epochs": options.epochs,
        "training.schedule": "cosine",
        "training.precision": "64",
        "seed": seed,
    }


def accuracy(options: argparse.Namespace) -> list[ResultRow]:
    """Train with every product and seed; return errors, and how far the Gaunt products differ."""
    found: dict[str, dict[tuple[str, str], dict[int, float]]] = {}
    for product in PRODUCTS:
        for seed in options.seeds:
            folder = options.folder / f"{product}-seed{seed}"
            run = train(load_recipe("potential/3bpa", scale="cpu"), folder, overrides=settings(product, seed, options))
            for row in evaluate(run).rows:
                if row.metric in ("force_rmse", "energy_rmse"):
                    found.setdefault(product, {}).setdefault((row.set, row.metric), {})[seed] = row.value
            print(product, seed, {key: values[seed] for key, values in found[product].items()}, flush=True)
    rows = []
    for product, results in found.items():
        for (name, metric), values in results.items():
            unit = "meV/Å" if metric == "force_rmse" else "meV"
            rows.append(ResultRow.over_seeds(f"{product}/{name}", metric, values, unit=unit))
    worst = max(
        abs(found["gaunt_grid"][key][seed] / found["gaunt_fourier"][key][seed] - 1)
        for key in found["gaunt_grid"]
        for seed in options.seeds
    )
    rows.append(ResultRow("gaunt_grid_against_fourier", "relative_difference", worst, target=Target("<", 1e-3)))
    return rows


def cost(options: argparse.Namespace) -> list[ResultRow]:
    """Time and memory of a training step, and the number of parameters."""
    steps, rows, sizes = {}, [], {}
    for product in PRODUCTS:
        loaded = load_recipe("potential/3bpa", scale="cpu")
        recipe = loaded.changed(settings(product, 0, options) | {"training.precision": "32"}).recipe
        data = make_data(recipe)
        data.setup("fit")
        module = make_module(recipe, data, rng=torch.Generator().manual_seed(0))
        batch = next(iter(data.train_dataloader())).to(dtype=torch.float32)
        optimizer = torch.optim.Adam(module.parameters(), lr=0.0)

        def step(module=module, batch=batch, optimizer=optimizer) -> None:
            optimizer.zero_grad(set_to_none=True)
            module.loss(batch)[0].backward()
            optimizer.step()

        steps[product] = step
        sizes[product] = sum(p.numel() for p in module.model.parameters())
    times = interleave(steps, rounds=options.rounds, warmup=options.warmup)
    for product in PRODUCTS:
        timing = times[product]
        rows += [
            ResultRow(f"{product}/training_step", "time_median", 1e3 * timing.median, "ms", 1e3 * timing.stdev),
            ResultRow(f"{product}/training_step", "peak_memory", peak_memory(steps[product]) / 2**20, "MiB"),
            ResultRow(product, "parameters", sizes[product]),
        ]
    ratio = ratios(times["gaunt_fourier"], times["gaunt_grid"])
    rows.append(
        ResultRow("gaunt_grid_against_fourier", "step_speed_ratio", ratio.median, "x", target=Target(">=", 1.2))
    )
    return rows


def main() -> None:
    """Measure, print, and write the results file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--channels", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=20, help="rounds of the timing that count")
    parser.add_argument("--warmup", type=int, default=4, help="rounds before them")
    parser.add_argument("--folder", type=Path, default=CHECKOUT / "runs" / "products")
    parser.add_argument("--output", type=Path, default=CHECKOUT / "results" / "bench-potential-products.json")
    options = parser.parse_args()
    start = time.perf_counter()
    rows = cost(options) + accuracy(options)
    command = shlex.join(["python", "benchmarks/potential_products.py", *sys.argv[1:]])
    ResultFile.collect(command, rows, time.perf_counter() - start).write(options.output)
    for row in rows:
        print(f"{row.case:<36} {row.metric:<22} {row.value:>10.4g} {row.unit}")
    print(f"written: {options.output}")


if __name__ == "__main__":
    main()
