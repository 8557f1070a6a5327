"""What every comparison of potentials shares: the configurations, our input, the two tasks, and how they are timed.

The configurations are five of 3BPA (135 atoms); finding neighbours is outside of the timing. The tasks:

- inference: energies and forces;
- training step: energies and forces, gradient of the force error, Adam.
"""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import ase
import ase.io
import torch
from interleave import interleave, peak_memory, ratios
from torch import Tensor, nn

from intertwine.graphs import AtomGraph, collate
from intertwine.reporting.results import ResultFile, ResultRow, Target

__all__ = [
    "CHECKOUT",
    "DTYPES",
    "OURS",
    "Contender",
    "Problem",
    "measure_tasks",
    "our_inputs",
    "predictor",
    "read_problem",
    "write",
]

CHECKOUT = Path(__file__).parents[1]
DATA = CHECKOUT / "tests" / "data" / "botnet-3bpa-acac" / "3bpa" / "train_300K.xyz"
OURS = "intertwine"
DTYPES = {"float32": torch.float32, "float64": torch.float64}
FRAMES = 5


@dataclass(frozen=True)
class Contender:
    """A network on its input. ``predict(training)`` returns ``energy`` and ``forces``."""

    model: nn.Module
    predict: Callable[[bool], dict[str, Tensor]]
    edges: int

    @property
    def parameters(self) -> int:
        """How many numbers it learns."""
        return sum(p.numel() for p in self.model.parameters())


@dataclass(frozen=True)
class Problem:
    """The configurations, and what is true of them."""

    frames: list[ase.Atoms]
    isolated: dict[int, float]
    forces: Tensor
    dtype: torch.dtype
    device: str

    @property
    def case(self) -> str:
        """Name of the case in the results."""
        return f"3bpa_{len(self.forces)}_atoms_{str(self.dtype).removeprefix('torch.')}"


def read_problem(dtype: torch.dtype, device: str) -> Problem:
    """Read the configurations."""
    frames = ase.io.read(DATA, index=f":{FRAMES}")
    atoms = ase.io.read(DATA.parent / "iso_atoms.xyz", index=":")
    isolated = {int(atom.numbers[0]): float(atom.get_potential_energy()) for atom in atoms}
    forces = torch.cat([torch.tensor(frame.get_forces()) for frame in frames])
    return Problem(frames, dict(sorted(isolated.items())), forces.to(device, dtype), dtype, device)


def our_inputs(given: Problem, cutoff: float) -> dict[str, Tensor]:
    """Return the batch that our network takes."""
    index = {number: place for place, number in enumerate(given.isolated)}
    graphs = [
        AtomGraph.build(
            torch.tensor(frame.positions, dtype=given.dtype),
            torch.tensor([index[number] for number in frame.numbers.tolist()]),
            cutoff,
        )
        for frame in given.frames
    ]
    return collate(graphs).to(given.device).inputs()


def predictor(model: nn.Module, inputs: Mapping[str, Tensor]) -> Callable[[bool], dict[str, Tensor]]:
    """Return the function ``predict(training)`` of our network."""

    def predict(training: bool) -> dict[str, Tensor]:
        if model.training != training:
            model.train(training)
        with torch.set_grad_enabled(training):
            return model(**inputs)

    return predict


# --- what is measured -------------------------------------------------------------------------------------


def measure_tasks(
    case: str, contenders: Mapping[str, Contender], forces: Tensor, options: argparse.Namespace, **ratio: object
) -> list[ResultRow]:
    """Return the rows of both tasks, the parameters first; ``ratio`` goes to `measure`."""
    rows = [_row(case, "parameters", "", {name: contender.parameters for name, contender in contenders.items()})]
    infer = {name: (lambda c=c: c.predict(False)) for name, c in contenders.items()}
    step = {name: training_step(c, forces) for name, c in contenders.items()}
    for task, calls in (("inference", infer), ("training_step", step)):
        rows += measure(f"{case}/{task}", calls, options, **ratio)
    return rows


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


def measure(
    case: str,
    calls: Mapping[str, Callable[[], object]],
    options: argparse.Namespace,
    *,
    metric: str = "speed_ratio",
    target: Target | None = None,
) -> list[ResultRow]:
    """Return the rows of one task: times of each, and our ratio to each peer.

    Args:
        case: name of the case.
        calls: the task of each contender.
        options: of the command: rounds, warmup, device.
        metric: name of the ratio; ``{}`` in it stands for the name of the peer.
        target: of the ratio.
    """
    times = interleave(calls, rounds=options.rounds, warmup=options.warmup, device=options.device)
    memory = {name: peak_memory(call, options.device) / 2**20 for name, call in calls.items()}
    medians = {name: 1e3 * timing.median for name, timing in times.items()}
    spread = 1e3 * times[OURS].stdev if OURS in times else None
    rows = [_row(case, "time_median", "ms", medians, spread)]
    for name, percent in (("time_p10", 10), ("time_p90", 90)):
        rows.append(_row(case, name, "ms", {who: 1e3 * timing.percentile(percent) for who, timing in times.items()}))
    rows.append(_row(case, "peak_memory", "MiB", memory))
    for peer in [name for name in times if name != OURS and OURS in times]:
        ratio = ratios(times[peer], times[OURS])
        spread = (ratio.percentile(90) - ratio.percentile(10)) / 2
        rows.append(ResultRow(case, metric.format(peer), ratio.median, "x", spread, target=target))
    return rows


def _row(case: str, metric: str, unit: str, numbers: Mapping[str, float], spread: float | None = None) -> ResultRow:
    peers = {name: number for name, number in numbers.items() if name != OURS}
    return ResultRow(case, metric, numbers.get(OURS), unit, spread, baselines=peers)


def write(rows: list[ResultRow], command: str, seconds: float, packages: tuple[str, ...], output: Path) -> None:
    """Write the results file with the versions of the peers, and print the rows."""
    measured = ResultFile.collect(command, rows, seconds)
    versions = dict(measured.versions) | {package: version(package) for package in packages}
    hardware = dict(measured.hardware) | {"threads": torch.get_num_threads()}
    replace(measured, versions=versions, hardware=hardware).write(output)
    for row in rows:
        peers = "  ".join(f"{name} {value:.4g}" for name, value in row.baselines.items())
        ours = "-" if row.value is None else f"{row.value:.4g}"
        print(f"{row.case:<42} {row.metric:<30} {ours:>10} {row.unit:<4} {peers}")
    print(f"written: {output}")
