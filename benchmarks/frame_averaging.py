"""A training step of FA-PointNet beside the same network run once per frame, and beside vector neurons of equal width.

Run by `make bench`. `ours` folds all frames into one batch and never writes the pooled features of all points;
`loop` is the network as it is written in the papers, run in a Python loop over the eight elements of the frame, with
the same canonical coordinates and the same mean; `folded` is that network on all frames as one batch, where it fits
into memory. Weights are equal, and the outputs in evaluation are compared before anything is timed. Besides, the time
of the frames alone as a share of the forward pass, and the most memory that a step holds.
"""

import argparse
import copy
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from interleave import interleave, peak_memory, ratios
from torch import Tensor, nn

from intertwine.frames import PCAFrame
from intertwine.nn import PointNet
from intertwine.reporting.results import ResultFile, ResultRow, Target
from intertwine.systems.frame_averaging.metrics.normals import normal_errors
from intertwine.systems.frame_averaging.model.pointnet import PointNetNormals
from intertwine.systems.frame_averaging.model.vn_pointnet import VNPointNetNormals
from intertwine.systems.frame_averaging.settings.normals import NormalsModelSettings

CHECKOUT = Path(__file__).parents[1]
FRAME = PCAFrame("E(3)", degenerate="ignore")


class PlainNormals(nn.Module):
    """The network as it is written in the papers, averaged over frames one by one or all at once."""

    def __init__(self, fused: PointNetNormals, at_once: bool) -> None:
        super().__init__()
        self.network = PointNet(fused=False)
        self.network.load_state_dict(fused.backbone.state_dict())
        self.at_once = at_once

    def forward(self, points: Tensor) -> Tensor:
        """Return unit normals."""
        frames = FRAME(points)
        centred = points - frames.translation.unsqueeze(1)
        if self.at_once:
            seen = (centred.unsqueeze(1) @ frames.linear).flatten(0, 1)
            mean = (self.network(seen).unflatten(0, frames.linear.shape[:2]) @ frames.linear.mT).mean(1)
        else:
            elements = frames.linear.unbind(1)
            mean = torch.stack([self.network(centred @ linear) @ linear.mT for linear in elements]).mean(0)
        return nn.functional.normalize(mean, dim=-1)


def step(model: nn.Module, points: Tensor, normals: Tensor) -> Callable[[], object]:
    """Return a training step without the optimiser, as a call without arguments."""

    def call() -> None:
        model.zero_grad(set_to_none=True)
        normal_errors(model(points), normals).mean().backward()

    return call


def forward(model: nn.Module, points: Tensor) -> Callable[[], object]:
    """Return a forward pass in evaluation."""

    def call() -> None:
        with torch.no_grad():
            model(points)

    return call


def clouds(batch: int, count: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return random clouds with well separated axes, and random normals."""
    points = torch.randn(batch, count, 3, generator=rng) * torch.tensor([1.0, 1.5, 2.2])
    return points, nn.functional.normalize(torch.randn(batch, count, 3, generator=rng), dim=-1)


def compare(models: dict[str, nn.Module], points: Tensor) -> float:
    """Return the largest difference of outputs in evaluation between ours and the loop."""
    with torch.no_grad():
        found = {name: models[name].eval()(points[:2]) for name in ("ours", "loop")}
    for model in models.values():
        model.train()
    return float((found["ours"] - found["loop"]).abs().max())


def training_rows(case: str, models: dict[str, nn.Module], data: tuple[Tensor, Tensor], options) -> list[ResultRow]:
    """Time training steps in turns; a ratio above 1 means that ours is faster."""
    calls = {name: step(model, *data) for name, model in models.items()}
    times = interleave(calls, rounds=options.rounds, warmup=options.warmup)
    medians = {name: 1e3 * timing.median for name, timing in times.items()}
    rows = [ResultRow(case, "step_median", medians.pop("ours"), "ms", 1e3 * times["ours"].stdev, baselines=medians)]
    for name in medians:
        ratio = ratios(times[name], times["ours"])
        spread = (ratio.percentile(90) - ratio.percentile(10)) / 2
        target = Target(">", 3.0) if name == "loop" else None
        rows.append(ResultRow(case, f"speed_to_{name}", ratio.median, "x", spread, target=target))
    return rows


def forward_rows(case: str, models: dict[str, nn.Module], points: Tensor, options) -> list[ResultRow]:
    """Time forward passes in evaluation, and frames alone, in turns."""
    for model in models.values():
        model.eval()
    calls = {name: forward(model, points) for name, model in models.items()}
    calls["frames"] = lambda: FRAME(points)
    times = interleave(calls, rounds=options.rounds, warmup=options.warmup)
    share = ratios(times["frames"], times["ours"])
    medians = {name: 1e3 * timing.median for name, timing in times.items()}
    spread = 100 * (share.percentile(90) - share.percentile(10)) / 2
    ours = medians.pop("ours")
    return [
        ResultRow(case, "forward_median", ours, "ms", 1e3 * times["ours"].stdev, baselines=medians),
        ResultRow(case, "frames_share_of_forward", 100 * share.median, "%", spread, target=Target("<", 5.0)),
    ]


def memory_rows(case: str, models: dict[str, nn.Module], data: tuple[Tensor, Tensor]) -> list[ResultRow]:
    """Measure the most memory that a first training step holds beyond weights and data, gradients included.

    Of copies, because ours keeps memory for the next step.
    """
    held = {name: peak_memory(step(copy.deepcopy(model).train(), *data)) / 1e6 for name, model in models.items()}
    return [ResultRow(case, "peak_memory", held.pop("ours"), "MB", baselines=held)]


def main() -> None:
    """Measure, print, and write the results file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--batch", type=int, default=32, help="clouds of a step")
    parser.add_argument("--small-batch", type=int, default=4, help="clouds of a step with all frames in one batch")
    parser.add_argument("--points", type=int, default=1024, help="points of a cloud")
    parser.add_argument("--rounds", type=int, default=5, help="rounds that count")
    parser.add_argument("--warmup", type=int, default=1, help="rounds before them")
    parser.add_argument("--output", type=Path, default=CHECKOUT / "results" / "bench-frame-averaging.json")
    options = parser.parse_args()
    start = time.perf_counter()
    rng = torch.Generator().manual_seed(0)
    ours = PointNetNormals(NormalsModelSettings(), rng=rng)
    models: dict[str, nn.Module] = {"ours": ours, "loop": PlainNormals(ours, at_once=False)}
    vectors = VNPointNetNormals(NormalsModelSettings(network="vn_pointnet"), rng=rng)
    folded = PlainNormals(ours, at_once=True)
    rows = []
    small, large = (f"fa_pointnet/{b}_clouds/{options.points}_points" for b in (options.small_batch, options.batch))
    data = clouds(options.small_batch, options.points, rng)
    rows.append(ResultRow(small, "difference_from_loop", compare(models, data[0]), target=Target("<", 1e-4)))
    everything = models | {"folded": folded, "vector_neurons": vectors}
    rows += training_rows(small, everything, data, options)
    rows += memory_rows(small, everything, data)
    del everything, folded
    data = clouds(options.batch, options.points, rng)
    rows += training_rows(large, models | {"vector_neurons": vectors}, data, options)
    rows += forward_rows(large, models | {"vector_neurons": vectors}, data[0], options)
    command = shlex.join(["python", "benchmarks/frame_averaging.py", *sys.argv[1:]])
    ResultFile.collect(command, rows, time.perf_counter() - start).write(options.output)
    for row in rows:
        print(f"{row.case:<36} {row.metric:<26} {row.value:>10.4g} {row.unit:<3} {dict(row.baselines) or ''}")
    print(f"written: {options.output}")


if __name__ == "__main__":
    main()
