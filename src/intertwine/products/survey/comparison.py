"""Products side by side in one setting: what each expresses, what it loses, what it costs, how long it takes.

Every product is built for the irreps of the setting's output that it can write, so that none is charged for zeros, and
none is credited for couplings that it does not compute.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product as product_of

import torch

from intertwine.errors import ConfigError, RepresentationError
from intertwine.products.product import Product
from intertwine.products.survey.bench_table import BenchRow
from intertwine.products.survey.catalogue import ProductEntry
from intertwine.products.survey.couplings import allowed_triples, fold
from intertwine.products.survey.expressivity import Expressivity, expressivity
from intertwine.products.survey.machine import MachineLimits
from intertwine.products.survey.measure import Backend, Direction, Timing, call_of, require_couplings, time_calls
from intertwine.products.survey.registry import find_product, list_products, make_product
from intertwine.products.survey.setting import Setting
from intertwine.representations import Irreps

__all__ = ["Candidate", "bench_products", "candidates", "fit_product", "random_inputs"]

_OF_MEMORY = 0.5
"""Part of the machine's memory that the intermediates of one call may take by our count."""


@dataclass(frozen=True)
class Candidate:
    """A product in a setting.

    Args:
        entry: of the catalogue.
        product: built for the setting; None where it couples nothing there.
        setting: the setting.
        reason: why there is no product.
    """

    entry: ProductEntry
    product: Product | None
    setting: Setting
    reason: str = ""

    @cached_property
    def expressivity(self) -> Expressivity:
        """Degrees of freedom and couplings between the irreps of the setting."""
        group = self.entry.group
        # SO(3) does not tell parities apart, and the space has each of its irreps once
        spaces = [
            Irreps(sorted(set(fold(irreps, group).irreps)))
            for irreps in (self.setting.irreps_in1, self.setting.irreps_in2, self.setting.irreps_out)
        ]
        if self.product is None:
            allowed = tuple(allowed_triples(spaces[0], spaces[1], spaces[2], group))
            return Expressivity(0, 0, len(allowed), (), allowed, group)
        return expressivity(self.product, *spaces)

    @cached_property
    def interactions(self) -> int:
        """The number of triples of the setting that interact."""
        return len(self.expressivity.interactable)


def fit_product(name: str, setting: Setting) -> tuple[Product | None, str]:
    """Return a product for those outputs of a setting that it can write, and the reason where there are none."""
    entry = find_product(name)
    try:
        everything = make_product(name, setting.irreps_in1, setting.irreps_in2)
        wanted = set(fold(setting.irreps_out, entry.group).irreps)
        kept = [ir for ir in dict.fromkeys(everything.irreps_out.irreps) if ir in wanted]
        product = make_product(name, setting.irreps_in1, setting.irreps_in2, Irreps(kept)) if kept else None
        if product is not None:
            require_couplings(product)
            return product, ""
    except RepresentationError as error:
        return None, error.message
    return None, "nothing that it writes is asked for"


def candidates(setting: Setting, names: Sequence[str] | None = None) -> list[Candidate]:
    """Return the products of some names for a setting; by default all that are exact."""
    names = [entry.name for entry in list_products("product") if entry.exact] if names is None else list(names)
    found = []
    for name in names:
        product, reason = fit_product(name, setting)
        found.append(Candidate(find_product(name), product, setting, reason))
    return found


def random_inputs(
    product: Product,
    batch: int,
    channels: int,
    dtype: torch.dtype = torch.float32,
    device: "torch.device | str" = "cpu",
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return standard normal inputs ``(batch, channels, dim)`` of a product, from a generator of their own."""
    rng = torch.Generator().manual_seed(0)
    x = product.irreps_in1.random(batch, channels, rng=rng, dtype=dtype)
    y = product.irreps_in2.random(batch, channels, rng=rng, dtype=dtype)
    return x.to(device), y.to(device)


def bench_products(
    settings: Iterable[Setting],
    names: Sequence[str] | None = None,
    *,
    directions: Sequence[Direction] = ("forward",),
    backends: Sequence[Backend] = ("eager",),
    channels: int = 1,
    batch: int = 10_000,
    dtype: torch.dtype = torch.float32,
    device: "torch.device | str" = "cpu",
    repetitions: int = 50,
    seconds: float = 5.0,
    commit: str = "",
    limits: MachineLimits | None = None,
    report: Callable[[str], None] = lambda text: None,
) -> Iterator[BenchRow]:
    """Time products in settings; yields a row for each product, direction and backend of a setting.

    All products of a setting are timed in turn. A setting without an allowed path, and a product that couples nothing
    in a setting, are reported and left out; so is a call that would not fit into memory.

    Args:
        settings: where to compare.
        names: products (default: all that are exact).
        directions, backends: what to time of each.
        channels, batch: leading axes of the inputs.
        dtype, device: of tables and inputs.
        repetitions, seconds: see `time_calls`.
        commit: of the code, for the rows.
        limits: of the machine, for the rows.
        report: takes a sentence about what is done or left out.

    Raises:
        ConfigError: if batch or channels are less than 1.
    """
    if batch < 1 or channels < 1:
        raise ConfigError("a benchmark needs samples", got={"batch": batch, "channels": channels}, expected=">= 1 each")
    device = torch.device(device)
    shape = (batch, channels)
    for setting in settings:
        where = setting.title
        if not setting.paths:
            report(f"{where}: no allowed path, expressivity 0; nothing is timed")
            continue
        found = {}
        for candidate in candidates(setting, names):
            if candidate.product is None:
                report(f"{where}, {candidate.entry.name}: left out, {candidate.reason}")
            else:
                found[candidate.entry.name] = _Ready.of(candidate, device, dtype)
        for direction, backend in product_of(directions, backends):
            fitting = {name: ready for name, ready in found.items() if ready.fits(shape, direction)}
            for name in found.keys() - fitting.keys():
                report(f"{where}, {name}, {direction}: left out, it would not fit into memory")
            if backend == "compiled":
                torch.compiler.reset()  # each degree is a module of its own, and the number of variants is bounded
            calls = {name: ready.call(shape, direction, backend) for name, ready in fitting.items()}
            report(f"{where}, {direction}, {backend}: timing {len(calls)} products")
            timings = time_calls(calls, repetitions=repetitions, seconds=seconds, device=device)
            for name, timing in timings.items():
                yield found[name].row(shape, direction, backend, timing, commit, limits)


@dataclass(frozen=True)
class _Ready:
    """A product on its device, with all counts that are taken before it goes there."""

    candidate: Candidate
    product: Product
    device: torch.device
    dtype: torch.dtype

    @classmethod
    def of(cls, candidate: Candidate, device: torch.device, dtype: torch.dtype) -> "_Ready":
        _ = candidate.expressivity  # counted on the CPU, in float64
        if candidate.product is None:
            raise RepresentationError(candidate.reason)
        return cls(candidate, candidate.product.to(device, dtype), device, dtype)

    def fits(self, shape: tuple[int, int], direction: str) -> bool:
        """Whether what a derivative keeps fits into memory; a forward call frees what it has used."""
        if direction == "forward" or self.device.type != "cpu":
            return True
        return self.product.bytes(self.dtype) * shape[0] * shape[1] < _OF_MEMORY * _memory()

    def call(self, shape: tuple[int, int], direction: Direction, backend: Backend) -> Callable[[], object]:
        return call_of(self.product, *random_inputs(self.product, *shape, self.dtype, self.device), direction, backend)

    def row(
        self,
        shape: tuple[int, int],
        direction: str,
        backend: str,
        timing: Timing,
        commit: str,
        limits: MachineLimits | None,
    ) -> BenchRow:
        setting, name = self.candidate.setting, self.candidate.entry.name
        shown = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else self.device.type
        return BenchRow(
            setting.lmax, setting.name, name, backend, shape[1], shape[0], str(self.dtype).partition(".")[2], shown,
            timing.median, self.product.flops(), self.product.bytes(self.dtype),
            self.candidate.expressivity.rank, self.candidate.interactions, direction, setting.outputs,
            timing.p10, timing.p90, timing.repetitions, timing.warmup_calls, timing.steady,
            "perf_counter", torch.get_num_threads(), str(torch.__version__), commit,
            None if limits is None else limits.peak_flops_s,
            None if limits is None else limits.bandwidth_bytes_s,
        )  # fmt: skip


def _memory() -> float:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return float("inf")
