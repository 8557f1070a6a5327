"""Where each convolution with an edge wins: Clebsch-Gordan, SO(2) and Gaunt over edges, degree and channels.

Run by `make bench`. Features, harmonics and output have all degrees up to L in natural parity, every product has
weights an edge, and what depends on the edge alone (harmonics or frames) is computed inside of the timing. The Gaunt
products lose the odd couplings; the others do not. Besides, the product of two features on the grid beside the same
product in the Fourier basis, at every degree.
"""

import argparse
import shlex
import sys
import time
from pathlib import Path

import torch
from interleave import interleave, ratios

from intertwine.products import ChannelwiseTensorProduct, GauntConvolution, SO2Convolution
from intertwine.products.survey.registry import make_product
from intertwine.reporting.results import ResultFile, ResultRow, Target
from intertwine.representations import Irreps, SphericalHarmonics

CHECKOUT = Path(__file__).parents[1]
CG = "clebsch_gordan"


def contenders(lmax: int, channels: int, edges: int) -> dict:
    """Return the convolutions as calls without arguments."""
    harmonics = Irreps.spherical_harmonics(lmax)
    irreps = Irreps([(channels, ir) for _, ir in harmonics])
    x, r = torch.randn(edges, irreps.dim), torch.randn(edges, 3)
    sphere = SphericalHarmonics(harmonics, normalization="component")
    direct = ChannelwiseTensorProduct(irreps, harmonics, harmonics, layout="ir_mul")
    turned = SO2Convolution(irreps, harmonics, harmonics, layout="ir_mul", normalization="component", sum_paths=True)
    gaunt = GauntConvolution(irreps, lmax, lmax_out=lmax, variant="direct")
    rotated = GauntConvolution(irreps, lmax, lmax_out=lmax, variant="rotated_grid")
    weights = {module: torch.randn(edges, module.weight_numel) for module in (direct, turned, gaunt, rotated)}
    return {
        CG: lambda: direct(x, sphere(r), weights[direct]),
        "so2": lambda: turned(x, r, weights[turned]),
        "gaunt_direct": lambda: gaunt(x, r, weights[gaunt]),
        "gaunt_rotated": lambda: rotated(x, r, weights[rotated]),
    }


def convolution(lmax: int, channels: int, edges: int, options: argparse.Namespace) -> list[ResultRow]:
    """Time all convolutions in turns; a ratio above 1 means that Clebsch-Gordan is slower."""
    with torch.no_grad():
        times = interleave(contenders(lmax, channels, edges), rounds=options.rounds, warmup=options.warmup)
    case = f"convolution/l{lmax}/{channels}_channels/{edges}_edges"
    medians = {name: 1e3 * timing.median for name, timing in times.items()}
    rows = [ResultRow(case, "time_median", medians.pop(CG), "ms", 1e3 * times[CG].stdev, baselines=medians)]
    for name in medians:
        ratio = ratios(times[CG], times[name])
        spread = (ratio.percentile(90) - ratio.percentile(10)) / 2
        rows.append(ResultRow(case, f"speed_of_{name}", ratio.median, "x", spread))
    return rows


def interaction(lmax: int, samples: int, options: argparse.Namespace) -> list[ResultRow]:
    """Time the product of two features, one channel, all outputs to 2L."""
    names = ("gaunt_grid", "gaunt_fourier", "gaunt_fourier_fft", "clebsch_gordan_dense", "clebsch_gordan_sparse")
    irreps = Irreps.spherical_harmonics(lmax)
    even = Irreps.spherical_harmonics(2 * lmax)
    products = {name: make_product(name, irreps, irreps, even) for name in names}
    x, y = torch.randn(samples, irreps.dim), torch.randn(samples, irreps.dim)
    with torch.no_grad():
        calls = {name: (lambda product=product: product(x, y)) for name, product in products.items()}
        times = interleave(calls, rounds=options.rounds, warmup=options.warmup)
    case = f"interaction/l{lmax}/{samples}_samples"
    medians = {name: 1e3 * timing.median for name, timing in times.items()}
    ours = medians.pop("gaunt_grid")
    rows = [ResultRow(case, "time_median", ours, "ms", 1e3 * times["gaunt_grid"].stdev, baselines=medians)]
    for name in medians:
        ratio = ratios(times[name], times["gaunt_grid"])
        spread = (ratio.percentile(90) - ratio.percentile(10)) / 2
        target = Target(">", 1.0) if name.startswith("gaunt_fourier") else None
        rows.append(ResultRow(case, f"grid_speed_to_{name}", ratio.median, "x", spread, target=target))
    return rows


def main() -> None:
    """Measure, print, and write the results file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=15, help="rounds that count")
    parser.add_argument("--warmup", type=int, default=3, help="rounds before them")
    parser.add_argument("--output", type=Path, default=CHECKOUT / "results" / "bench-convolutions.json")
    options = parser.parse_args()
    start = time.perf_counter()
    torch.manual_seed(0)
    rows = []
    for lmax in range(1, 9):
        rows += interaction(lmax, 2000 if lmax < 6 else 500, options)
    for edges in (1, 10, 100, 1000, 10000):
        rows += convolution(2, 16, edges, options)
    for lmax in (1, 3, 4, 6):
        rows += convolution(lmax, 16, 1000, options)
    for channels in (1, 64):
        rows += convolution(2, channels, 1000, options)
        rows += convolution(4, channels, 1000, options)
    command = shlex.join(["python", "benchmarks/convolutions.py", *sys.argv[1:]])
    ResultFile.collect(command, rows, time.perf_counter() - start).write(options.output)
    for row in rows:
        print(f"{row.case:<44} {row.metric:<38} {row.value:>10.4g} {row.unit:<3} {dict(row.baselines) or ''}")
    print(f"written: {options.output}")


if __name__ == "__main__":
    main()
