"""Time the kernels for CUDA beside their references, e3nn, cuEquivariance and OpenEquivariance, in turns, warm.

Run it on a machine with a CUDA device: ``python benchmarks/gpu_kernels.py``. Peers that are not installed are left out;
one that is installed and fails is a row without a value. Elsewhere it says so, ends with status 2 and writes nothing.

Each case has three tasks: forward, forward and backward, and the derivative of the derivative. Each contender has the
layout it likes best, so that no conversion is timed. Beside our times stands the fraction of the device's bandwidth:
the bytes of inputs and outputs, each counted once, over the time and over what a plain addition reaches here.
"""

import argparse
import shlex
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from interleave import interleave, peak_memory, ratios
from kernels import derivatives, difference
from torch import Tensor

from intertwine.kernels import grid_product, use_reference
from intertwine.kernels.gpu import register
from intertwine.nn import message_passing
from intertwine.products import ChannelwiseTensorProduct, SymmetricContraction
from intertwine.products.survey.machine import MachineLimits, measure_machine
from intertwine.reporting.results import ResultFile, ResultRow, Target
from intertwine.representations import Irreps, SphericalHarmonics, convert_layout

CHECKOUT = Path(__file__).parents[1]
OURS, REFERENCE = "intertwine", "reference"
PEERS = {"e3nn": "e3nn", "cuequivariance": "cuequivariance-torch", "openequivariance": "openequivariance"}
DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16}
PASSES = {"forward": 1.0, "forward_backward": 2.0, "double_backward": 4.0}
"""How often all inputs and outputs have to pass the memory, at the least."""

Builder = Callable[[], tuple[Callable[..., Tensor], list[Tensor]]]
"""Makes a contender: a function, and the inputs it differentiates by."""


@dataclass(frozen=True)
class Setting:
    """What all cases share."""

    dtype: torch.dtype
    device: str
    rounds: int
    warmup: int
    machine: MachineLimits

    def draw(self, *shape: int) -> Tensor:
        """Return normal numbers."""
        return torch.randn(*shape, device=self.device).to(self.dtype)


def without_kernels(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return the same function by the reference."""

    def call(*arguments: Tensor) -> Tensor:
        with use_reference():
            return function(*arguments)

    return call


def measure(case: str, builders: dict[str, Builder], setting: Setting) -> list[ResultRow]:
    """Build what can be built, compare with the reference, and time every task."""
    tasks, rows, values = {}, [], {}
    for name, build in builders.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                function, inputs = build()
                tasks[name] = derivatives(function, inputs)
                for call in tasks[name].values():
                    call()
                values[name] = function(*inputs).detach()
        except ImportError:
            continue
        except Exception as error:
            print(f"{case}: {name} fails: {error}", file=sys.stderr)
            rows.append(ResultRow(case, f"time_of_{name}", None, "ms"))
    if OURS not in tasks:
        return rows
    error = difference(values[OURS].double(), values[REFERENCE].double())
    bound = {torch.float32: 1e-4, torch.float64: 1e-11, torch.bfloat16: 5e-2}[setting.dtype]
    rows.append(ResultRow(case, "difference_to_reference", error, "", target=Target("<", bound)))
    numbers = sum(a.numel() for a in builders[OURS]()[1]) + values[OURS].numel()
    for task, passes in PASSES.items():
        calls = {name: functions[task] for name, functions in tasks.items()}
        times = interleave(calls, rounds=setting.rounds, warmup=setting.warmup, device=setting.device)
        where, ours = f"{case}/{task}", times[OURS]
        for metric, pick in (("median", 50), ("p10", 10), ("p90", 90)):
            peers = {name: 1e3 * timing.percentile(pick) for name, timing in times.items() if name != OURS}
            spread = 1e3 * ours.stdev if pick == 50 else None
            rows.append(ResultRow(where, f"time_{metric}", 1e3 * ours.percentile(pick), "ms", spread, baselines=peers))
        for name in calls.keys() - {OURS}:
            ratio = ratios(times[name], ours)
            spread = (ratio.percentile(90) - ratio.percentile(10)) / 2
            rows.append(ResultRow(where, f"speed_ratio_to_{name}", ratio.median, "x", spread))
        memory = {name: peak_memory(call, setting.device) / 2**20 for name, call in calls.items()}
        mine = memory.pop(OURS)
        rows.append(ResultRow(where, "peak_memory", mine, "MiB", baselines=memory))
        share = passes * numbers * setting.dtype.itemsize / ours.median / setting.machine.bandwidth_bytes_s
        rows.append(ResultRow(where, "fraction_of_bandwidth", share, ""))
    return rows


# --- cases ------------------------------------------------------------------------------------------------


def messages(setting: Setting, channels: int, lmax_in: int, lmax: int, atoms: int, edges: int) -> list[ResultRow]:
    """The product with weights an edge, summed over the edges of a node."""
    features = Irreps([(channels, ir) for _, ir in Irreps.spherical_harmonics(lmax_in)])
    harmonics = Irreps.spherical_harmonics(lmax)
    kept = " + ".join(f"{degree}{parity}" for degree in range(lmax + 1) for parity in "eo")
    product = ChannelwiseTensorProduct(features, harmonics, kept, layout="ir_mul").to(setting.device, setting.dtype)
    destination = torch.arange(atoms, device=setting.device).repeat_interleave(edges // atoms)
    source = torch.randint(atoms, destination.shape, device=setting.device)
    edge_index = torch.stack([source, destination])
    x, y = setting.draw(atoms, features.dim), setting.draw(edges, harmonics.dim)
    w = setting.draw(edges, product.weight_numel)
    slow = convert_layout(x, features, "ir_mul", "mul_ir")
    paths = [(path.in1, path.in2, path.out, "uvu", True) for path in product.problem.paths]
    irreps = [str(features), str(harmonics), str(product.irreps_out)]

    def ours() -> tuple[Callable[..., Tensor], list[Tensor]]:
        return lambda x, y, w: message_passing(product, x, y, w, edge_index), [x, y, w]

    def reference() -> tuple[Callable[..., Tensor], list[Tensor]]:
        return without_kernels(ours()[0]), [x, y, w]

    def e3nn() -> tuple[Callable[..., Tensor], list[Tensor]]:
        from e3nn import o3

        options = {"shared_weights": False, "internal_weights": False}
        peer = o3.TensorProduct(*irreps, paths, **options).to(setting.device, setting.dtype)

        def call(x: Tensor, y: Tensor, w: Tensor) -> Tensor:
            message = peer(x.index_select(0, source), y, w)
            return message.new_zeros(atoms, message.shape[1]).index_add(0, destination, message)

        return call, [slow, y, w]

    def cuequivariance() -> tuple[Callable[..., Tensor], list[Tensor]]:
        import cuequivariance as cue
        import cuequivariance_torch as cuet

        wanted = [cue.O3(degree, sign) for degree in range(lmax + 1) for sign in (1, -1)]
        peer = cuet.ChannelWiseTensorProduct(
            cue.Irreps("O3", irreps[0]), cue.Irreps("O3", irreps[1]), wanted, layout=cue.ir_mul,
            shared_weights=False, internal_weights=False, device=setting.device, dtype=setting.dtype,
        )  # fmt: skip

        def call(x: Tensor, y: Tensor, w: Tensor) -> Tensor:
            return peer(x, y, w, indices_1=source, indices_out=destination, size_out=atoms)

        return call, [x, y, setting.draw(edges, peer.weight_numel)]

    def openequivariance() -> tuple[Callable[..., Tensor], list[Tensor]]:
        import numpy as np
        import openequivariance as oeq

        kind = np.float64 if setting.dtype == torch.float64 else np.float32
        problem = oeq.TPProblem(
            *map(oeq.Irreps, irreps), paths, shared_weights=False, internal_weights=False, irrep_dtype=kind,
            weight_dtype=kind, layout="ir_mul",
        )  # fmt: skip
        peer = oeq.TensorProductConv(problem, deterministic=True)
        order = source.argsort(stable=True)
        return lambda x, y, w: peer(x, y, w, destination, source, order), [x, y, w]

    builders = {REFERENCE: reference, OURS: ours}
    if setting.dtype != torch.bfloat16:
        builders |= {"e3nn": e3nn, "cuequivariance": cuequivariance, "openequivariance": openequivariance}
    case = f"messages_l{lmax_in}_l{lmax}_{channels}x{edges}_{str(setting.dtype)[6:]}"
    return measure(case, builders, setting)


def harmonics(setting: Setting, lmax: int, count: int) -> list[ResultRow]:
    """Spherical harmonics of many vectors."""
    module = SphericalHarmonics(range(lmax + 1), normalize=True, normalization="component").to(setting.device)
    vectors = [setting.draw(count, 3)]

    def e3nn() -> tuple[Callable[..., Tensor], list[Tensor]]:
        from e3nn import o3

        return lambda r: o3.spherical_harmonics(list(range(lmax + 1)), r, True, "component"), vectors

    def cuequivariance() -> tuple[Callable[..., Tensor], list[Tensor]]:
        import cuequivariance_torch as cuet

        return cuet.SphericalHarmonics(list(range(lmax + 1)), True, device=setting.device), vectors

    builders = {REFERENCE: lambda: (without_kernels(module), vectors), OURS: lambda: (module, vectors)}
    if setting.dtype != torch.bfloat16:
        builders |= {"e3nn": e3nn, "cuequivariance": cuequivariance}
    return measure(f"harmonics_l{lmax}_{count}_{str(setting.dtype)[6:]}", builders, setting)


def polynomials(setting: Setting, channels: int, lmax: int, atoms: int) -> list[ResultRow]:
    """Symmetric contraction of correlation 3 to scalars and vectors, four species."""
    entries = [f"{channels}x{degree}{'eo'[degree % 2]}" for degree in range(lmax + 1)]
    features, out = " + ".join(entries), " + ".join(entries[:2])
    rng = torch.Generator().manual_seed(0)
    module = SymmetricContraction(features, out, 3, 4, "ir_mul", rng).to(setting.device, setting.dtype)
    types = torch.randint(4, (atoms,), device=setting.device)
    x = [setting.draw(atoms, module.irreps_in.dim)]

    def cuequivariance() -> tuple[Callable[..., Tensor], list[Tensor]]:
        import cuequivariance as cue
        import cuequivariance_torch as cuet

        peer = cuet.SymmetricContraction(
            cue.Irreps("O3", features), cue.Irreps("O3", out), 3, 4, layout=cue.ir_mul, device=setting.device,
            dtype=setting.dtype,
        )  # fmt: skip
        return lambda x: peer(x, types), x

    def ours(x: Tensor) -> Tensor:
        return module(x, types)

    builders = {REFERENCE: lambda: (without_kernels(ours), x), OURS: lambda: (ours, x)}
    if setting.dtype != torch.bfloat16:
        builders |= {"cuequivariance": cuequivariance}
    return measure(f"symmetric_l{lmax}_{channels}x{atoms}_{str(setting.dtype)[6:]}", builders, setting)


def grids(setting: Setting, lmax: int, points: int, channels: int, batch: int) -> list[ResultRow]:
    """The product on a grid, beside three matrix products and one product of values."""
    dim = (lmax + 1) ** 2
    tables = [setting.draw(points, dim) for _ in range(3)]
    inputs = [setting.draw(batch, dim, channels) for _ in range(2)]

    def ours(x: Tensor, y: Tensor) -> Tensor:
        return grid_product(x, y, *tables)

    builders = {REFERENCE: lambda: (without_kernels(ours), inputs), OURS: lambda: (ours, inputs)}
    return measure(f"grid_l{lmax}_{channels}x{batch}_{str(setting.dtype)[6:]}", builders, setting)


def run(setting: Setting, shrink: int = 1) -> list[ResultRow]:
    """Measure all cases in one dtype; ``shrink`` divides their sizes."""
    atoms, edges = 2000 // shrink, 40000 // shrink
    rows = []
    for channels, lmax_in, lmax in ((64, 0, 3), (64, 1, 3), (128, 1, 3), (64, 2, 2), (33, 1, 3)):
        rows += messages(setting, channels, lmax_in, lmax, atoms, edges)
    for lmax in (3, 6):
        rows += harmonics(setting, lmax, 400_000 // shrink)
    for lmax in (2, 3):
        rows += polynomials(setting, 64, lmax, atoms)
    for lmax, points in ((2, 28), (4, 91), (6, 190)):
        rows += grids(setting, lmax, points, 64, atoms)
    return rows


def main() -> int:
    """Measure, print, and write the results file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--dtype", nargs="+", choices=list(DTYPES), default=list(DTYPES))
    parser.add_argument("--rounds", type=int, default=50, help="rounds that count")
    parser.add_argument("--warmup", type=int, default=10, help="rounds before them")
    parser.add_argument("--output", type=Path, default=CHECKOUT / "results" / "bench-gpu.json")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("this benchmark needs a CUDA device, and PyTorch finds none; nothing was written", file=sys.stderr)
        return 2
    register()
    start = time.perf_counter()
    torch.manual_seed(0)
    rows = []
    for name in options.dtype:
        machine = measure_machine(DTYPES[name], "cuda")
        rows.append(ResultRow(f"machine_{name}", "bandwidth", machine.bandwidth_bytes_s / 1e9, "GB/s"))
        rows.append(ResultRow(f"machine_{name}", "peak", machine.peak_flops_s / 1e9, "GFLOP/s"))
        rows += run(Setting(DTYPES[name], "cuda", options.rounds, options.warmup, machine))
    command = shlex.join(["python", "benchmarks/gpu_kernels.py", *sys.argv[1:]])
    measured = ResultFile.collect(command, rows, time.perf_counter() - start)
    versions = dict(measured.versions)
    for name, package in PEERS.items():
        try:
            versions[name] = version(package)
        except PackageNotFoundError:
            continue
    replace(measured, versions=versions).write(options.output)
    for row in rows:
        value = "-" if row.value is None else f"{row.value:.4g}"
        print(f"{row.case:<52} {row.metric:<32} {value:>10} {row.unit:<8} {dict(row.baselines) or ''}")
    print(f"written: {options.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
