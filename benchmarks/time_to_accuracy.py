"""Train mace-torch and our potential on 3BPA for the same time, and compare their force errors.

Run in the environment of `make bench`. For every seed, one after the other, in one process, with the same threads:

- mace-torch for N seconds (default 420): 32x0e + 32x1o, harmonics to degree 2, correlation 2, two layers, cutoff 5 Å,
  batches of 5, Adam with AMSGrad and a cosine schedule from 1e-2 to zero over the N seconds, weights 1 on the energy
  and 1000 on the forces. Model, statistics, batches, optimiser groups, loss and step are mace-torch's own, in float32.
  Reading, finding neighbours (once), building the model and validating are not counted.
- our recipe `potential/3bpa` at scale `cpu` for N / 3 and for N seconds, its clock as `intertwine train` counts:
  training, validation and checkpoints.

Both train on the same nine tenths of the data (seed 1 of the split), and are tested on the same files. What happens
once a process, compilation by TorchScript there and of kernels here, is over before a clock starts.
"""

import argparse
import shlex
import sys
import tempfile
import time
from contextlib import nullcontext
from dataclasses import replace
from importlib.metadata import version
from math import cos, pi
from pathlib import Path
from statistics import fmean
from typing import Any

import ase
import ase.io
import torch
from mace_peer import RESIDUAL, MaceSetting, build_model, default_dtype, make_graphs, make_loader
from torch import nn

from intertwine.reporting.results import ResultFile, ResultRow, Target
from intertwine.systems.potential.evaluate import evaluate
from intertwine.training.datasets import find_data
from intertwine.training.recipes import LoadedRecipe, load_recipe
from intertwine.training.sampling import split
from intertwine.training.trainer import train

CHECKOUT = Path(__file__).parents[1]
PEER = "mace-torch"
SETTING = MaceSetting(channels=32, hidden_lmax=1, max_ell=2, correlation=2, interactions=2, cutoff=5.0, first=RESIDUAL)
DTYPE = torch.float32
BATCH, LEARNING_RATE, WEIGHT_DECAY, GRADIENT_CLIP, EMA = 5, 1e-2, 5e-7, 10.0, 0.99
WARM = 3
"""Steps before the clock starts that leave the weights as they are."""
WEIGHTS = {"energy_weight": 1.0, "forces_weight": 1000.0}
OUTPUTS = {"forces": True, "virials": False, "stress": False}
AT_EQUAL_TIME = 0.75
"""Our error at equal time has to be this part of the peer's, or less."""


# --- the peer -----------------------------------------------------------------------------------------------


def train_peer(recipe: LoadedRecipe, seconds: float, seed: int, ema: bool) -> dict[str, float]:
    """Train mace-torch, and return its force errors (meV/Å) by test set, and its ``steps``."""
    with default_dtype(DTYPE):  # whatever it makes while training is of this dtype too
        from mace import modules
        from mace.tools.train import take_step
        from torch_ema import ExponentialMovingAverage

        settings = recipe.recipe.data
        frames = ase.io.read(find_data(settings.train), index=":")
        kept, held = split(len(frames), settings.validation_fraction, settings.split_seed)
        atoms = ase.io.read(find_data(settings.isolated_atoms), index=":")
        isolated = {int(atom.numbers[0]): float(atom.get_potential_energy()) for atom in atoms}
        graphs = make_graphs([frames[i] for i in kept], list(isolated), SETTING.cutoff, DTYPE)
        loader = make_loader(graphs, BATCH, shuffle=True, seed=seed)
        energies = torch.tensor([[isolated[number] for number in sorted(isolated)]]).numpy()
        shift, scale = modules.scaling_classes["rms_forces_scaling"](loader, energies)
        model = build_model(
            SETTING,
            isolated,
            mean_neighbours=modules.compute_avg_num_neighbors(loader),
            scale=scale.item(),
            shift=shift.item(),
            dtype=DTYPE,
            seed=seed,
        )
        optimizer = peer_optimizer(model)
        average = ExponentialMovingAverage(model.parameters(), decay=EMA) if ema else None
        loss = modules.WeightedEnergyForcesLoss(**WEIGHTS)
        for batch, _ in zip(loader, range(WARM), strict=False):  # TorchScript compiles in its first calls
            loss(pred=model(batch.to_dict(), training=True), ref=batch).backward()
        optimizer.zero_grad(set_to_none=True)
        steps, began = 0, time.perf_counter()
        while (fraction := (time.perf_counter() - began) / seconds) < 1:
            for batch in loader:
                for group in optimizer.param_groups:
                    group["lr"] = LEARNING_RATE * (1 + cos(pi * fraction)) / 2
                take_step(model, loss, batch, optimizer, average, OUTPUTS, GRADIENT_CLIP, torch.device("cpu"))
                steps += 1
                fraction = (time.perf_counter() - began) / seconds
                if fraction >= 1:
                    break
        found = {"steps": float(steps)}
        model.eval()
        with average.average_parameters() if average is not None else nullcontext():
            sets = {name: ase.io.read(find_data(file), index=":") for name, file in settings.test.items()}
            for name, frames_of_set in ({"validation": [frames[i] for i in held]} | sets).items():
                found[name] = peer_error(model, frames_of_set, list(isolated))
        return found


def peer_optimizer(model: nn.Module) -> torch.optim.Optimizer:
    """Return Adam on mace-torch's own groups of parameters: products and linear maps decay."""
    from mace.tools.scripts_utils import get_params_options

    arguments = argparse.Namespace(
        lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY, amsgrad=True, beta=0.9, lr_params_factors="{}", freeze=None
    )
    return torch.optim.Adam(**get_params_options(arguments, model))


def peer_error(model: nn.Module, frames: list[ase.Atoms], numbers: list[int]) -> float:
    """Return the root mean square error of force components, meV/Å."""
    total, count = 0.0, 0
    for batch in make_loader(make_graphs(frames, numbers, SETTING.cutoff, DTYPE), 10):
        error = model(batch.to_dict(), training=False)["forces"].detach() - batch.forces
        total, count = total + float(error.double().square().sum()), count + error.numel()
    return 1e3 * (total / count) ** 0.5


# --- ours ---------------------------------------------------------------------------------------------------


def train_ours(recipe: LoadedRecipe, seconds: float, seed: int, folder: Path) -> dict[str, float]:
    """Train our recipe, and return its force errors (meV/Å) by test set, its ``steps`` and ``seconds`` of training."""
    run = train(recipe, folder, overrides={"training.max_minutes": seconds / 60, "seed": seed})
    rows = [row for row in evaluate(run).rows if row.metric == "force_rmse"]
    metrics = run.metrics()
    validated = [value for row in metrics if (value := row["validation_force_rmse"]) is not None]
    last = {name: float(metrics[-1][name] or 0) for name in ("step", "seconds")}
    found = {"steps": last["step"], "seconds": last["seconds"], "validation": min(validated)}
    return found | {row.set: row.value for row in rows}


# --- the comparison -----------------------------------------------------------------------------------------


def compare(options: argparse.Namespace) -> list[ResultRow]:
    """Train everything, and return the rows: errors at a third of the time, and at equal time."""
    recipe = load_recipe("potential/3bpa", scale=options.scale)
    third = options.seconds / 3
    found: dict[str, dict[int, dict[str, float]]] = {"peer": {}, "third": {}, "equal": {}}
    with tempfile.TemporaryDirectory() as folder:
        few = {"data.train_limit": 10, "training.epochs": 1}
        train(recipe, Path(folder) / "warm", overrides=few)  # kernels are compiled and check themselves
        for seed in options.seeds:
            found["peer"][seed] = train_peer(recipe, options.seconds, seed, options.ema)
            say(f"{PEER}, {options.seconds:g} s", seed, found["peer"][seed])
            for name in options.ours:
                seconds = third if name == "third" else options.seconds
                found[name][seed] = train_ours(recipe, seconds, seed, Path(folder) / f"{name}-{seed}")
                say(f"intertwine, {seconds:g} s", seed, found[name][seed])
    rows = []
    for name in options.ours:
        for test_set in (*recipe.recipe.data.test, "validation"):
            ours = {seed: errors[test_set] for seed, errors in found[name].items()}
            peer = fmean(errors[test_set] for errors in found["peer"].values())
            limit = peer * (AT_EQUAL_TIME if name == "equal" else 1.0)
            target = Target("<=", limit) if test_set == "dev_300K" else None
            case = f"3bpa/{test_set}/{name}_time"
            fields: dict[str, Any] = {"unit": "meV/Å", "baselines": {PEER: peer}, "target": target}
            rows.append(ResultRow.over_seeds(case, "force_rmse", ours, **fields))
        steps, used = ({seed: e[key] for seed, e in found[name].items()} for key in ("steps", "seconds"))
        peer = fmean(errors["steps"] for errors in found["peer"].values())
        case = f"3bpa/{name}_time"
        rows.append(ResultRow.over_seeds(case, "training_time", used, unit="s", baselines={PEER: options.seconds}))
        rows.append(ResultRow.over_seeds(case, "steps", steps, baselines={PEER: peer}))
    return rows


def say(who: str, seed: int, found: dict[str, float]) -> None:
    """Print one training's numbers when it is over."""
    print(f"{who}, seed {seed}: " + "  ".join(f"{name} {value:.4g}" for name, value in found.items()), flush=True)


def main() -> None:
    """Measure, print, and write the results file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=420.0, help="training time N of mace-torch")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="seeds of weights and order of the data")
    parser.add_argument("--ours", nargs="+", choices=["third", "equal"], default=["third", "equal"], help="our times")
    parser.add_argument("--ema", action="store_true", help="average mace-torch's weights (its default is not to)")
    parser.add_argument("--scale", choices=["cpu", "smoke"], default="cpu", help="scale of our recipe")
    parser.add_argument("--threads", type=int, help="CPU threads of torch (default: its own choice)")
    parser.add_argument("--output", type=Path, default=CHECKOUT / "results" / "bench-time-to-accuracy.json")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    start = time.perf_counter()
    rows = compare(options)
    command = shlex.join(["python", "benchmarks/time_to_accuracy.py", *sys.argv[1:]])
    measured = ResultFile.collect(command, rows, time.perf_counter() - start)
    versions = dict(measured.versions) | {PEER: version("mace-torch")}
    hardware = dict(measured.hardware) | {"threads": torch.get_num_threads()}
    replace(measured, versions=versions, hardware=hardware).write(options.output)
    for row in rows:
        peers = "  ".join(f"{name} {value:.4g}" for name, value in row.baselines.items())
        met = {None: "", True: "met", False: "missed"}[row.meets_target]
        print(f"{row.case:<28} {row.metric:<14} {row.value:>10.4g} {row.unit:<6} {peers}  {met}")
    print(f"written: {options.output}")


if __name__ == "__main__":
    main()
