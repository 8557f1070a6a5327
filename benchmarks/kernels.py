"""Time the fused kernels beside e3nn, cuEquivariance and our own references, one process, warm, in turns.

Run by `make bench`, in the environment of e3nn 0.6; where cuEquivariance is not installed it is left out. Cases:

- channelwise: the product of message passing with weights a sample, 64 channels, all degrees up to L, both parities of
  the output; forward, forward and backward, double backward; e3nn's layout and ours.
- message passing: the fused sum over edges beside our own product followed by a sum, 2,000 atoms and 40,000 edges.
- harmonics, symmetric contraction, grid product: beside e3nn, cuEquivariance or the reference.

Each peer computes the same function, its layout and the order of its paths undone before the comparison: the rows
`difference_to_PEER`. Where that is 1e-5 or more of the largest value nothing is timed. For each kernel the fraction of
the machine's measured bandwidth and arithmetic peak stands beside its time.
"""

import argparse
import shlex
import sys
import time
import warnings
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import torch
from interleave import Timing, interleave, peak_memory, ratios

from intertwine.kernels import grid_product, use_reference
from intertwine.nn import message_passing
from intertwine.products import ChannelwiseTensorProduct, SymmetricContraction
from intertwine.products.survey.machine import MachineLimits, measure_machine
from intertwine.reporting.results import ResultFile, ResultRow, Target
from intertwine.representations import Irreps, SphericalHarmonics, convert_layout
from intertwine.training.memory import keep_freed_memory

CHECKOUT = Path(__file__).parents[1]
OURS, CUE = "intertwine", "cuequivariance"
EQUAL = Target("<", 1e-5)
TARGETS = {"forward": 20.0, "forward_backward": 15.0, "double_backward": 8.0}


def derivatives(function: Callable, inputs: list[torch.Tensor]) -> dict[str, Callable[[], object]]:
    """Return the three tasks of a function: forward, forward and backward, and the derivative of the derivative."""
    plain = [a.detach() for a in inputs]
    leaves = [a.detach().clone().requires_grad_() for a in inputs]
    with torch.no_grad():
        g = torch.randn_like(function(*plain))
    along = [torch.randn_like(a) for a in inputs]

    def forward() -> object:
        with torch.no_grad():
            return function(*plain)

    def backward() -> object:
        return torch.autograd.grad(function(*leaves), leaves, g)

    def double() -> object:
        first = torch.autograd.grad(function(*leaves), leaves, g, create_graph=True)
        return torch.autograd.grad(first, leaves, along)

    return {"forward": forward, "forward_backward": backward, "double_backward": double}


def difference(a: torch.Tensor, b: torch.Tensor) -> float:
    """Return the largest difference relative to the largest value."""
    return float((a - b).abs().max() / b.abs().max())


def equal(case: str, peer: str, values: torch.Tensor, expected: torch.Tensor) -> ResultRow:
    """Return the row of how far ours are from a peer's; end the program where they are not the same function."""
    found = difference(values, expected)
    if not EQUAL.accepts(found):
        raise SystemExit(f"{case}: differs from {peer} by {found:.2g} of the largest, not less than {EQUAL.value:g}")
    return ResultRow(case, f"difference_to_{peer}", found, "", target=EQUAL)


def has_cue() -> bool:
    """Whether cuEquivariance is installed."""
    return find_spec("cuequivariance_torch") is not None


def compare(
    case: str, contenders: dict[str, Callable[[], object]], options: argparse.Namespace, target: float | None = None
) -> tuple[list[ResultRow], dict[str, Timing]]:
    """Time contenders in turns; return the rows of times and of the ratio to the first peer."""
    times = interleave(contenders, rounds=options.rounds, warmup=options.warmup)
    peers = {name: 1e3 * timing.median for name, timing in times.items() if name != OURS}
    ours = times[OURS]
    rows = [ResultRow(case, "time_median", 1e3 * ours.median, "ms", 1e3 * ours.stdev, baselines=peers)]
    for metric, percent in (("time_p10", 10), ("time_p90", 90)):
        others = {name: 1e3 * timing.percentile(percent) for name, timing in times.items() if name != OURS}
        rows.append(ResultRow(case, metric, 1e3 * ours.percentile(percent), "ms", baselines=others))
    for name in peers:
        ratio = ratios(times[name], ours)
        spread = (ratio.percentile(90) - ratio.percentile(10)) / 2
        wanted = Target(">=", target) if target is not None and name == next(iter(peers)) else None
        rows.append(ResultRow(case, f"speed_ratio_to_{name}", ratio.median, "x", spread, target=wanted))
    return rows, times


def limits(
    case: str, seconds: float, flops: float, numbers: float, machine: MachineLimits, size: int = 4
) -> list[ResultRow]:
    """Return how much of the machine's bandwidth and of its arithmetic peak a time amounts to."""
    return [
        ResultRow(case, "fraction_of_bandwidth", numbers * size / seconds / machine.bandwidth_bytes_s, ""),
        ResultRow(case, "fraction_of_peak", flops / seconds / machine.peak_flops_s, ""),
    ]


def channelwise(
    lmax: int, samples: int, channels: int, machine: MachineLimits, options: argparse.Namespace
) -> list[ResultRow]:
    """The channel-wise product beside e3nn (and cuEquivariance where it is installed)."""
    from e3nn import o3

    harmonics = Irreps.spherical_harmonics(lmax)
    features = Irreps([(channels, ir) for _, ir in harmonics])
    kept = " + ".join(f"{degree}{parity}" for degree in range(lmax + 1) for parity in "eo")
    products = {
        layout: ChannelwiseTensorProduct(features, harmonics, kept, layout=layout) for layout in ("mul_ir", "ir_mul")
    }
    ours = products["mul_ir"]
    paths = [(p.in1, p.in2, p.out, "uvu", True) for p in ours.problem.paths]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer = o3.TensorProduct(
            str(features), str(harmonics), str(ours.irreps_out), paths, shared_weights=False, internal_weights=False
        )
    x, y = torch.randn(samples, features.dim), torch.randn(samples, harmonics.dim)
    w = torch.randn(samples, ours.weight_numel)
    fast = convert_layout(x, features, "mul_ir", "ir_mul")
    inputs = {"e3nn": [x, y, w], OURS: [x, y, w], "channel_fast": [fast, y, w]}
    functions = {"e3nn": peer, OURS: ours, "channel_fast": products["ir_mul"]}
    case = f"channelwise_l{lmax}_{channels}x{samples}"
    rows = [equal(case, "e3nn", ours(x, y, w), peer(x, y, w))]
    if has_cue():
        from cue_peer import channelwise_product

        cue = channelwise_product(products["ir_mul"])
        functions[CUE], inputs[CUE] = cue.module, [fast, y, w[:, cue.weights]]
        rows.append(equal(case, CUE, products["ir_mul"](fast, y, w)[:, cue.outputs], cue.module(*inputs[CUE])))
    tasks = {name: derivatives(function, inputs[name]) for name, function in functions.items()}
    dims = [(p.coupling_dims[0], p.coupling_dims[1]) for p in _paths(ours)]
    work = 2 * samples * channels * sum(a * b + a for a, b in dims)
    moved = {"forward": 1, "forward_backward": 2, "double_backward": 5}  # how often inputs and outputs pass the memory
    numbers = x.numel() + y.numel() + w.numel() + samples * ours.irreps_out.dim
    for task, target in TARGETS.items():
        contenders = {name: tasks[name][task] for name in tasks}
        found, times = compare(f"{case}/{task}", contenders, options, target if lmax in (2, 3) else None)
        rows += found
        factor = {"forward": 1, "forward_backward": 4, "double_backward": 12}[task]
        rows += limits(f"{case}/{task}", times[OURS].median, work * factor, numbers * moved[task], machine)
    return rows


def _paths(product: ChannelwiseTensorProduct) -> list:
    from types import SimpleNamespace

    entries = [product.problem.entries(path) for path in product.problem.paths]
    return [SimpleNamespace(coupling_dims=(a.ir.dim, c.ir.dim)) for a, _, c in entries]


def fused_messages(machine: MachineLimits, options: argparse.Namespace) -> list[ResultRow]:
    """The fused sum over edges beside our kernel for the product followed by a sum, and beside the reference."""
    from intertwine.graphs import segment_sum

    atoms, edges, channels = 2000, 40000, 32
    harmonics = Irreps.spherical_harmonics(2)
    features = Irreps([(channels, ir) for _, ir in Irreps.spherical_harmonics(1)])
    product = ChannelwiseTensorProduct(features, harmonics, "0e + 1o + 2e", layout="ir_mul")
    destination = torch.arange(atoms).repeat_interleave(edges // atoms)
    edge_index = torch.stack([torch.randint(atoms, (edges,)), destination])
    inputs = [
        torch.randn(atoms, features.dim),
        torch.randn(edges, harmonics.dim),
        torch.randn(edges, product.weight_numel),
    ]

    def fused(x: torch.Tensor, y: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        return message_passing(product, x, y, w, edge_index)

    def unfused(x: torch.Tensor, y: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        return segment_sum(product(x.index_select(0, edge_index[0]), y, w), edge_index[1], atoms)

    def plain(x: torch.Tensor, y: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        with use_reference():
            return fused(x, y, w)

    tasks = {name: derivatives(f, inputs) for name, f in (("unfused", unfused), ("reference", plain), (OURS, fused))}
    case, rows = f"message_passing_{atoms}_atoms_{edges}_edges", []
    if has_cue():
        from cue_peer import channelwise_product

        cue = channelwise_product(product)
        permuted = [inputs[0], inputs[1], inputs[2][:, cue.weights]]

        def peer(x: torch.Tensor, y: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
            return cue.module(x, y, w, indices_1=edge_index[0], indices_out=edge_index[1], size_out=atoms)

        rows.append(equal(case, CUE, fused(*inputs)[:, cue.outputs], peer(*permuted)))
        tasks[CUE] = derivatives(peer, permuted)
    for task in TARGETS:
        contenders = {name: tasks[name][task] for name in tasks}
        rows += compare(f"{case}/{task}", contenders, options, 2.0)[0]
        memory = {name: peak_memory(call) / 2**20 for name, call in contenders.items()}
        peers = {name: value for name, value in memory.items() if name != OURS}
        rows.append(ResultRow(f"{case}/{task}", "peak_memory", memory[OURS], "MiB", baselines=peers))
        share = memory[OURS] / memory["unfused"]
        rows.append(ResultRow(f"{case}/{task}", "memory_share", share, "", target=Target("<", 1 / 3)))
    return rows


def others(machine: MachineLimits, options: argparse.Namespace) -> list[ResultRow]:
    """Harmonics and symmetric contraction beside their peers, symmetric contraction and grid product the references."""
    from e3nn import o3

    rows = []
    vectors = torch.randn(40000, 3)
    module = SphericalHarmonics(range(4), normalize=True, normalization="component")

    def peer(r: torch.Tensor) -> torch.Tensor:
        return o3.spherical_harmonics(list(range(4)), r, True, "component")

    functions, case = {"e3nn": peer, OURS: module}, "harmonics_l3_40000"
    if has_cue():
        from cue_peer import harmonics

        functions[CUE] = harmonics(3)
    rows += [equal(case, name, module(vectors), f(vectors)) for name, f in functions.items() if name != OURS]
    tasks = {name: derivatives(f, [vectors]) for name, f in functions.items()}
    for task in TARGETS:
        rows += compare(f"{case}/{task}", {name: t[task] for name, t in tasks.items()}, options)[0]
    contraction = SymmetricContraction(
        "64x0e + 64x1o + 64x2e + 64x3o", "64x0e + 64x1o", 3, 4, "ir_mul", torch.Generator().manual_seed(0)
    )
    types = torch.randint(4, (500,))

    def polynomials(x: torch.Tensor) -> torch.Tensor:
        return contraction(x, types)

    def reference(x: torch.Tensor) -> torch.Tensor:
        with use_reference():
            return contraction(x, types)

    features = torch.randn(500, contraction.irreps_in.dim)
    functions, case = {"reference": reference, OURS: polynomials}, "symmetric_contraction_l3_500_atoms"
    if has_cue():
        from cue_peer import symmetric_contraction

        cue = symmetric_contraction(contraction)
        functions[CUE] = lambda x: cue(x, types)
        rows.append(equal(case, CUE, polynomials(features), cue(features, types)))
    tasks = {name: derivatives(f, [features]) for name, f in functions.items()}
    for task in TARGETS:
        rows += compare(f"{case}/{task}", {name: t[task] for name, t in tasks.items()}, options)[0]
    for lmax, points in ((2, 28), (4, 91), (6, 190)):
        dim = (lmax + 1) ** 2
        tables = [torch.randn(points, dim) for _ in range(3)]
        x, y = torch.randn(2000, dim, 16), torch.randn(2000, dim, 16)

        def grid(x: torch.Tensor, y: torch.Tensor, tables: list = tables) -> torch.Tensor:
            return grid_product(x, y, *tables)

        def gemm(x: torch.Tensor, y: torch.Tensor, tables: list = tables) -> torch.Tensor:
            return grid_product.reference(x, y, *tables)

        tasks = {name: derivatives(f, [x, y]) for name, f in (("reference", gemm), (OURS, grid))}
        for task in TARGETS:
            case = f"grid_product_l{lmax}_32000/{task}"
            found, times = compare(case, {name: t[task] for name, t in tasks.items()}, options)
            factor = {"forward": 1, "forward_backward": 8 / 3, "double_backward": 16 / 3}[task]
            rows += found + limits(case, times[OURS].median, factor * 6 * 32000 * points * dim, 0, machine)[1:]
    return rows


def main() -> None:
    """Measure, print, and write the results file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=30, help="rounds that count")
    parser.add_argument("--warmup", type=int, default=5, help="rounds before them")
    parser.add_argument("--output", type=Path, default=CHECKOUT / "results" / "bench-kernels.json")
    options = parser.parse_args()
    start = time.perf_counter()
    # as every command of this library does, for all contenders: else page faults of fresh outputs are timed
    keep_freed_memory()
    torch.manual_seed(0)
    machine = measure_machine()
    rows = [
        ResultRow("machine", "bandwidth", machine.bandwidth_bytes_s / 1e9, "GB/s"),
        ResultRow("machine", "peak_float32", machine.peak_flops_s / 1e9, "GFLOP/s"),
    ]
    for lmax in (1, 2, 3):
        rows += channelwise(lmax, 2000, 64, machine, options)
    rows += fused_messages(machine, options)
    rows += others(machine, options)
    measured = ResultFile.collect(
        shlex.join(["python", "benchmarks/kernels.py", *sys.argv[1:]]), rows, time.perf_counter() - start
    )
    for name in ("e3nn", "cuequivariance-torch"):
        if find_spec(name.replace("-", "_")) is not None:
            try:
                measured = _with_version(measured, name, version(name))
            except PackageNotFoundError:
                continue
    measured.write(options.output)
    for row in rows:
        print(f"{row.case:<52} {row.metric:<28} {row.value:>10.4g} {row.unit:<8} {dict(row.baselines) or ''}")
    print(f"written: {options.output}")


def _with_version(measured: ResultFile, name: str, number: str) -> ResultFile:
    from dataclasses import replace

    hardware = dict(measured.hardware) | {"threads": torch.get_num_threads()}
    return replace(measured, versions=dict(measured.versions) | {name: number}, hardware=hardware)


if __name__ == "__main__":
    main()
