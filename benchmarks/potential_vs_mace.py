"""Time our MACE-type network beside mace-torch: equal settings, equal atoms, one process.

Run by `make bench`, in an environment of its own. The input is five configurations of 3BPA (135 atoms) with
neighbours within 5 Å; finding neighbours is outside of the timing for both. Two things are timed:

- inference: energies and forces;
- training step: energies and forces, gradient of the force error, Adam.

Both networks have the same settings and random weights, not the same weights; the rows `parameters` and
`forces_finite` say how far they are comparable.
"""

import argparse
import shlex
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import ase.io
import numpy as np
import torch
from interleave import interleave, peak_memory, ratios
from torch import Tensor, nn

from intertwine.graphs import AtomGraph, collate
from intertwine.reporting.results import ResultFile, ResultRow, Target

CHECKOUT = Path(__file__).parents[1]
DATA = CHECKOUT / "tests" / "data" / "botnet-3bpa-acac" / "3bpa" / "train_300K.xyz"
OURS, PEER = "intertwine", "mace-torch"
DTYPES = {"float32": torch.float32, "float64": torch.float64}


@dataclass(frozen=True)
class Setting:
    """What both networks share."""

    channels: int = 64
    hidden_lmax: int = 1
    max_ell: int = 3
    correlation: int = 3
    interactions: int = 2
    num_bessel: int = 8
    polynomial_cutoff: int = 5
    cutoff: float = 5.0
    radial_mlp: tuple[int, ...] = (64, 64, 64)
    readout_mlp: int = 16
    frames: int = 5


@dataclass(frozen=True)
class Problem:
    """The configurations, and the statistics that both networks are given."""

    frames: list[ase.Atoms]
    species: tuple[int, ...]
    isolated: dict[int, float]
    forces: Tensor
    mean_neighbours: float
    dtype: torch.dtype
    device: str


@dataclass(frozen=True)
class Contender:
    """A network on its input. ``predict(training)`` returns energies and forces."""

    model: nn.Module
    predict: Callable[[bool], tuple[Tensor, Tensor]]
    edges: int


def problem(setting: Setting, dtype: torch.dtype, device: str) -> Problem:
    """Read the configurations."""
    frames = ase.io.read(DATA, index=f":{setting.frames}")
    atoms = ase.io.read(DATA.parent / "iso_atoms.xyz", index=":")
    isolated = {int(atom.numbers[0]): float(atom.get_potential_energy()) for atom in atoms}
    batch = _collate(frames, tuple(sorted(isolated)), setting, torch.float64)
    forces = torch.cat([torch.tensor(frame.get_forces()) for frame in frames])
    mean_neighbours = batch.edge_index.shape[1] / len(batch.positions)
    return Problem(frames, tuple(sorted(isolated)), isolated, forces.to(device, dtype), mean_neighbours, dtype, device)


def _collate(frames: list[ase.Atoms], species: tuple[int, ...], setting: Setting, dtype: torch.dtype):
    index = {number: place for place, number in enumerate(species)}
    graphs = [
        AtomGraph.build(
            torch.tensor(frame.positions, dtype=dtype),
            torch.tensor([index[number] for number in frame.numbers.tolist()]),
            setting.cutoff,
        )
        for frame in frames
    ]
    return collate(graphs)


# --- the two adapters: the only places that know how a network is built and called -----------------------


def build_ours(setting: Setting, given: Problem) -> Contender:
    """Return our network."""
    from intertwine.systems.potential.model import Potential
    from intertwine.systems.potential.settings import ModelSettings

    batch = _collate(given.frames, given.species, setting, given.dtype).to(given.device)
    settings = ModelSettings(
        architecture="mace",
        cutoff=setting.cutoff,
        layers=setting.interactions,
        channels=setting.channels,
        hidden_lmax=setting.hidden_lmax,
        harmonics_lmax=setting.max_ell,
        correlation=setting.correlation,
        radial_size=setting.num_bessel,
        radial_power=setting.polynomial_cutoff,
        radial_widths=setting.radial_mlp,
        readout_width=setting.readout_mlp,
    )
    model = Potential(
        settings,
        atomic_energies=given.isolated,
        mean_neighbours=given.mean_neighbours,
        rng=torch.Generator().manual_seed(0),
    ).to(given.device, given.dtype)
    inputs = batch.inputs()

    def predict(training: bool) -> tuple[Tensor, Tensor]:
        if model.training != training:
            model.train(training)
        with torch.set_grad_enabled(training):
            result = model(**inputs)
        return result["energy"], result["forces"]

    return Contender(model, predict, batch.edge_index.shape[1])


def build_mace(setting: Setting, given: Problem) -> Contender:
    """Return mace-torch's ScaleShiftMACE, with the blocks that its training command chooses by default."""
    import mace  # noqa: F401  first: it lets torch read the tables that its version of e3nn stores as a pickle

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of TorchScript, which e3nn 0.4.4 uses
        from e3nn import o3
        from mace import data, modules, tools

    default = torch.get_default_dtype()
    torch.set_default_dtype(given.dtype)  # mace-torch creates its weights and data in the default dtype
    try:
        torch.manual_seed(0)
        table = tools.AtomicNumberTable(list(given.species))
        keys = data.KeySpecification(info_keys={"energy": "energy"}, arrays_keys={"forces": "forces"})
        configurations = [data.config_from_atoms(frame, key_specification=keys) for frame in given.frames]
        graphs = [data.AtomicData.from_config(c, z_table=table, cutoff=setting.cutoff) for c in configurations]
        loader = tools.torch_geometric.dataloader.DataLoader(graphs, batch_size=len(graphs), shuffle=False)
        batch = next(iter(loader)).to(given.device).to_dict()
        hidden = [f"{setting.channels}x{l}{'eo'[l % 2]}" for l in range(setting.hidden_lmax + 1)]  # noqa: E741
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = modules.ScaleShiftMACE(
                r_max=setting.cutoff,
                num_bessel=setting.num_bessel,
                num_polynomial_cutoff=setting.polynomial_cutoff,
                max_ell=setting.max_ell,
                interaction_cls=modules.interaction_classes["RealAgnosticResidualInteractionBlock"],
                interaction_cls_first=modules.interaction_classes["RealAgnosticInteractionBlock"],
                num_interactions=setting.interactions,
                num_elements=len(given.species),
                hidden_irreps=o3.Irreps(" + ".join(hidden)),
                MLP_irreps=o3.Irreps(f"{setting.readout_mlp}x0e"),
                radial_MLP=list(setting.radial_mlp),
                gate=torch.nn.functional.silu,
                correlation=setting.correlation,
                atomic_energies=np.array([[given.isolated[number] for number in given.species]]),
                avg_num_neighbors=given.mean_neighbours,
                atomic_numbers=list(given.species),
                atomic_inter_scale=1.0,
                atomic_inter_shift=0.0,
            ).to(given.device)
    finally:
        torch.set_default_dtype(default)

    def predict(training: bool) -> tuple[Tensor, Tensor]:
        if model.training != training:
            model.train(training)
        result = model(batch, training=training, compute_force=True)
        return result["energy"], result["forces"]

    return Contender(model, predict, batch["edge_index"].shape[1])


BUILDERS = {OURS: build_ours, PEER: build_mace}


# --- what is measured -------------------------------------------------------------------------------------


def training_step(contender: Contender, forces: Tensor) -> Callable[[], Tensor]:
    """Return a function that makes one optimiser step on the mean squared force error."""
    # A rate of zero would let neither side skip work, yet keeps both networks where they are for all rounds.
    optimizer = torch.optim.Adam(contender.model.parameters(), lr=0.0)

    def step() -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        _, predicted = contender.predict(True)
        loss = (predicted - forces).square().mean()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def measure(case: str, calls: dict[str, Callable[[], object]], options: argparse.Namespace) -> list[ResultRow]:
    """Return the rows of one task: times of each, and their ratio."""
    times = interleave(calls, rounds=options.rounds, warmup=options.warmup, device=options.device)
    memory = {name: peak_memory(call, options.device) / 2**20 for name, call in calls.items()}
    both = OURS in times and PEER in times

    def row(metric: str, unit: str, numbers: dict[str, float], spread: float | None = None) -> ResultRow:
        peers = {name: number for name, number in numbers.items() if name != OURS}
        return ResultRow(case, metric, numbers.get(OURS), unit, spread if OURS in times else None, baselines=peers)

    rows = [
        row(
            "time_median",
            "ms",
            {name: 1e3 * timing.median for name, timing in times.items()},
            1e3 * times[OURS].stdev if OURS in times else None,
        )
    ]
    for metric, percent in (("time_p10", 10), ("time_p90", 90)):
        rows.append(row(metric, "ms", {name: 1e3 * timing.percentile(percent) for name, timing in times.items()}))
    rows.append(row("peak_memory", "MiB", memory))
    if both:
        ratio = ratios(times[PEER], times[OURS])
        spread = (ratio.percentile(90) - ratio.percentile(10)) / 2
        rows.append(ResultRow(case, "speed_ratio", ratio.median, "x", spread, target=Target(">", 1.0)))
    return rows


def compare(options: argparse.Namespace) -> list[ResultRow]:
    """Build the networks, check them, and measure both tasks in each dtype."""
    setting, rows = Setting(), []
    for name in options.dtype:
        given = problem(setting, DTYPES[name], options.device)
        contenders = {who: BUILDERS[who](setting, given) for who in options.only}
        if len({contender.edges for contender in contenders.values()}) != 1:
            raise SystemExit(f"the networks see different edges: { {w: c.edges for w, c in contenders.items()} }")
        case = f"3bpa_{len(given.forces)}_atoms_{name}"
        for metric, unit, number in (("parameters", "", _parameters), ("forces_finite", "", _finite)):
            numbers = {who: number(contender) for who, contender in contenders.items()}
            peers = {who: value for who, value in numbers.items() if who != OURS}
            target = Target("==", 1) if metric == "forces_finite" else None
            rows.append(ResultRow(case, metric, numbers.get(OURS), unit, baselines=peers, target=target))
        infer = {who: (lambda c=c: c.predict(False)) for who, c in contenders.items()}
        step = {who: training_step(c, given.forces) for who, c in contenders.items()}
        rows += measure(f"{case}/inference", infer, options) + measure(f"{case}/training_step", step, options)
    return rows


def _parameters(contender: Contender) -> int:
    return sum(p.numel() for p in contender.model.parameters())


def _finite(contender: Contender) -> int:
    energy, forces = contender.predict(False)
    return int(bool(energy.isfinite().all() and forces.isfinite().all() and forces.abs().max() > 0))


def main() -> None:
    """Measure, print, and write the results file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", nargs="+", choices=list(BUILDERS), default=list(BUILDERS), help="contenders to run")
    parser.add_argument("--dtype", nargs="+", choices=list(DTYPES), default=["float32", "float64"])
    parser.add_argument("--rounds", type=int, default=50, help="rounds that count")
    parser.add_argument("--warmup", type=int, default=10, help="rounds before them")
    parser.add_argument("--threads", type=int, help="CPU threads of torch (default: its own choice)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--output", type=Path, default=CHECKOUT / "results" / "bench-potential.json")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    start = time.perf_counter()
    rows = compare(options)
    command = shlex.join(["python", "benchmarks/potential_vs_mace.py", *sys.argv[1:]])
    measured = ResultFile.collect(command, rows, time.perf_counter() - start)
    versions = dict(measured.versions) | {PEER: version("mace-torch")}
    hardware = dict(measured.hardware) | {"threads": torch.get_num_threads()}
    replace(measured, versions=versions, hardware=hardware).write(options.output)
    for row in rows:
        peers = "  ".join(f"{name} {value:.4g}" for name, value in row.baselines.items())
        ours = "-" if row.value is None else f"{row.value:.4g}"
        print(f"{row.case:<42} {row.metric:<14} {ours:>10} {row.unit:<4} {peers}")
    print(f"written: {options.output}")


if __name__ == "__main__":
    main()
