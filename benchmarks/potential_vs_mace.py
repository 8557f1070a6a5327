"""Time our MACE-type network beside mace-torch: the same weights, the same atoms, one process.

Run by `make bench`, in an environment of its own. The input is five configurations of 3BPA (135 atoms) with
neighbours within 5 Å; finding neighbours is outside of the timing for both. Two things are timed:

- inference: energies and forces;
- training step: energies and forces, gradient of the force error, Adam.

Our network is the converted one of mace-torch, so that both compute the same function. The row `max_difference` says
how equal they are: the largest error of an interaction energy or a force component, in parts of the largest one. Where
that is more than 1e-5 nothing is timed. The row `parameters` differs: mace-torch has linearly dependent couplings.
"""

import argparse
import shlex
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import ase.io
import torch
from interleave import interleave, peak_memory, ratios
from mace_peer import MaceSetting, build_model, make_graphs, make_loader
from torch import Tensor, nn

from intertwine.graphs import AtomGraph, collate
from intertwine.reporting.results import ResultFile, ResultRow, Target
from intertwine.systems.potential.convert import from_mace

CHECKOUT = Path(__file__).parents[1]
DATA = CHECKOUT / "tests" / "data" / "botnet-3bpa-acac" / "3bpa" / "train_300K.xyz"
OURS, PEER = "intertwine", "mace-torch"
DTYPES = {"float32": torch.float32, "float64": torch.float64}
SETTING = MaceSetting(channels=64, hidden_lmax=1, max_ell=3, correlation=3, interactions=2)
FRAMES = 5
EQUAL, FASTER = Target("<=", 1e-5), Target(">=", 4.0)


@dataclass(frozen=True)
class Contender:
    """A network on its input. ``predict(training)`` returns ``energy`` and ``forces``."""

    model: nn.Module
    predict: Callable[[bool], dict[str, Tensor]]
    edges: int


@dataclass(frozen=True)
class Problem:
    """The configurations, and what is true of them."""

    frames: list[ase.Atoms]
    isolated: dict[int, float]
    forces: Tensor
    dtype: torch.dtype
    device: str


def problem(dtype: torch.dtype, device: str) -> Problem:
    """Read the configurations."""
    frames = ase.io.read(DATA, index=f":{FRAMES}")
    atoms = ase.io.read(DATA.parent / "iso_atoms.xyz", index=":")
    isolated = {int(atom.numbers[0]): float(atom.get_potential_energy()) for atom in atoms}
    forces = torch.cat([torch.tensor(frame.get_forces()) for frame in frames])
    return Problem(frames, dict(sorted(isolated.items())), forces.to(device, dtype), dtype, device)


def build(given: Problem) -> dict[str, Contender]:
    """Return mace-torch's model, and ours with its weights."""
    graphs = make_graphs(given.frames, list(given.isolated), SETTING.cutoff, given.dtype)
    batch = next(iter(make_loader(graphs, len(graphs)))).to(given.device).to_dict()
    edges = batch["edge_index"].shape[1]
    neighbours = edges / len(given.forces)
    peer = build_model(SETTING, given.isolated, mean_neighbours=neighbours, dtype=given.dtype)
    ours = from_mace(peer).to(given.device)
    peer = peer.to(given.device)
    inputs = our_inputs(given)

    def predict_peer(training: bool) -> dict[str, Tensor]:
        if peer.training != training:
            peer.train(training)
        return peer(batch, training=training, compute_force=True)

    def predict_ours(training: bool) -> dict[str, Tensor]:
        if ours.training != training:
            ours.train(training)
        with torch.set_grad_enabled(training):
            return ours(**inputs)

    return {
        OURS: Contender(ours, predict_ours, inputs["edge_index"].shape[1]),
        PEER: Contender(peer, predict_peer, edges),
    }


def our_inputs(given: Problem) -> dict[str, Tensor]:
    """Return the batch that our network takes."""
    index = {number: place for place, number in enumerate(given.isolated)}
    graphs = [
        AtomGraph.build(
            torch.tensor(frame.positions, dtype=given.dtype),
            torch.tensor([index[number] for number in frame.numbers.tolist()]),
            SETTING.cutoff,
        )
        for frame in given.frames
    ]
    return collate(graphs).to(given.device).inputs()


def max_difference(contenders: dict[str, Contender], given: Problem) -> float:
    """Return the largest error of ours against the peer, in parts of the largest value; energies without the atoms'."""
    ours, peer = contenders[OURS].predict(False), contenders[PEER].predict(False)
    known = contenders[OURS].model.atomic_energies  # in float32 mace-torch rounds them, which forces do not see
    isolated = [sum(known[number] for number in frame.numbers.tolist()) for frame in given.frames]
    interaction = ours["energy"].cpu() - torch.tensor(isolated, dtype=torch.float64)
    pairs = [(interaction, peer["interaction_energy"].detach().cpu()), (ours["forces"], peer["forces"].detach())]
    return max(float((a.double() - b.double()).abs().max() / b.abs().max()) for a, b in pairs)


# --- what is measured -------------------------------------------------------------------------------------


def training_step(contender: Contender, forces: Tensor) -> Callable[[], Tensor]:
    """Return a function that makes one optimiser step on the mean squared force error."""
    # A rate of zero would let neither side skip work, yet keeps both networks where they are for all rounds.
    optimizer = torch.optim.Adam(contender.model.parameters(), lr=0.0)

    def step() -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        loss = (contender.predict(True)["forces"] - forces).square().mean()
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
        rows.append(ResultRow(case, "speed_ratio", ratio.median, "x", spread, target=FASTER))
    return rows


def compare(options: argparse.Namespace) -> list[ResultRow]:
    """Build the networks, check that they are equal, and measure both tasks in each dtype."""
    rows = []
    for name in options.dtype:
        given = problem(DTYPES[name], options.device)
        both = build(given)
        if both[OURS].edges != both[PEER].edges:
            raise SystemExit(f"the networks see different edges: {both[OURS].edges} and {both[PEER].edges}")
        case = f"3bpa_{len(given.forces)}_atoms_{name}"
        difference = max_difference(both, given)
        if not EQUAL.accepts(difference):
            raise SystemExit(f"{case}: outputs differ by {difference:.2g} of the largest, more than {EQUAL.value:g}")
        rows.append(ResultRow(case, "max_difference", difference, "", target=EQUAL))
        contenders = {who: both[who] for who in options.only}
        numbers = {who: _parameters(contender) for who, contender in contenders.items()}
        peers = {who: value for who, value in numbers.items() if who != OURS}
        rows.append(ResultRow(case, "parameters", numbers.get(OURS), "", baselines=peers))
        infer = {who: (lambda c=c: c.predict(False)) for who, c in contenders.items()}
        step = {who: training_step(c, given.forces) for who, c in contenders.items()}
        rows += measure(f"{case}/inference", infer, options) + measure(f"{case}/training_step", step, options)
    return rows


def _parameters(contender: Contender) -> int:
    return sum(p.numel() for p in contender.model.parameters())


def main() -> None:
    """Measure, print, and write the results file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", nargs="+", choices=[OURS, PEER], default=[OURS, PEER], help="what to time")
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
