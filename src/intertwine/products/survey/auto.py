"""``auto``: the fastest product on the machine at hand among those that lose nothing, by measurement.

The candidates are timed once for given irreps, batch, channels, dtype and device; the table is kept in the user's
cache folder. A product that loses couplings, or ties their strengths, is taken only where the caller allows it, and
the choice then says what is missing. One irrep in each input is never sent through a grid: Clebsch-Gordan is the
better way there.
"""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from intertwine.products.product import Product
from intertwine.products.survey.bench_table import write_text
from intertwine.products.survey.catalogue import PRODUCTS
from intertwine.products.survey.comparison import Candidate, candidates, random_inputs
from intertwine.products.survey.couplings import Triple
from intertwine.products.survey.measure import Direction, call_of, time_calls
from intertwine.products.survey.registry import find_product
from intertwine.products.survey.setting import Setting, given_setting
from intertwine.representations import Irreps

__all__ = ["Choice", "cache_file", "choose_product"]

_SURE = ("clebsch_gordan_dense", "clebsch_gordan_sparse")


@dataclass(frozen=True)
class Choice:
    """What was chosen, and why.

    Args:
        name: of the product.
        product: the product itself, on the CPU in the default dtype.
        seconds: median time of one call of each candidate.
        lost: couplings that the group allows between the irreps and the chosen product does not have.
        tied: degrees of freedom that it does not have although their couplings interact.
        left_out: names of further products, and why they were no candidates.
        cached: whether the times were measured before.
    """

    name: str
    product: Product
    seconds: dict[str, float]
    lost: tuple[Triple, ...] = ()
    tied: int = 0
    left_out: dict[str, str] = field(default_factory=dict)
    cached: bool = False

    def make(self) -> Product:
        """Return the product."""
        return self.product

    @property
    def text(self) -> str:
        """One paragraph: the choice with what it costs, the times, and who was left out."""
        times = ", ".join(
            f"{name} {1e3 * value:.3g} ms" for name, value in sorted(self.seconds.items(), key=lambda item: item[1])
        )
        lines = [f"{self.name} ({times}{', measured before' if self.cached else ''})"]
        if self.lost:
            lines.append(f"it loses {', '.join(f'{a} x {b} -> {c}' for a, b, c in self.lost)}")
        if self.tied:
            lines.append(f"it ties couplings together: {self.tied} degrees of freedom fewer than couplings")
        if self.product.group_name == "SO(3)":
            lines.append("it commutes with rotations only, not with reflections: SO(3) only")
        lines += [f"not {name}: {reason}" for name, reason in self.left_out.items()]
        return "\n".join(lines)


def choose_product(
    irreps_in1: "str | Irreps",
    irreps_in2: "str | Irreps",
    irreps_out: "str | Irreps | None" = None,
    *,
    batch: int = 1024,
    channels: int = 1,
    dtype: torch.dtype = torch.float32,
    device: "torch.device | str" = "cpu",
    direction: Direction = "forward",
    allow_lost_couplings: bool = False,
    allow_tied_couplings: bool = False,
    names: Sequence[str] | None = None,
    cache: bool = True,
    repetitions: int = 20,
) -> Choice:
    """Return the fastest product for given irreps on this machine, by measurement.

    Args:
        irreps_in1, irreps_in2: irreps of the inputs, multiplicity 1 each.
        irreps_out: the irreps that are needed; None takes all that the inputs give.
        batch, channels, dtype, device, direction: what is timed.
        allow_lost_couplings: accept products without some couplings, such as Gaunt products (no odd ones), and with
            tied strengths.
        allow_tied_couplings: accept products that have every coupling, but not with independent strengths.
        names: consider only these; products that commute with SO(3) only, or approximately, must be named.
        cache: use and keep measured times.
        repetitions: see `time_calls`.

    Raises:
        RepresentationError: if no path writes what is needed.
        ConfigError: if there is no product of a name.
    """
    setting = given_setting(irreps_in1, irreps_in2, irreps_out)
    setting.require_paths()
    if names is None:
        names = [
            entry.name for entry in PRODUCTS.values()
            if entry.kind == "product" and entry.group == "O(3)" and entry.exact
        ]  # fmt: skip
    names = [find_product(name).name for name in names]
    kept, left_out = {}, {}
    for candidate in candidates(setting, list(dict.fromkeys(names))):
        name = candidate.entry.name
        reason = _objection(candidate, allow_lost_couplings, allow_tied_couplings)
        if reason:
            left_out[name] = reason
        else:
            kept[name] = candidate
    if not kept:  # nothing that was named can do it without loss
        kept = {candidate.entry.name: candidate for candidate in candidates(setting, _SURE)}
    key = _key(setting, batch, channels, dtype, torch.device(device), direction)
    stored = _load().get(key, {}) if cache else {}
    seconds = {name: stored[name] for name in kept if _is_time(stored.get(name))}
    known = len(seconds) == len(kept)
    if not known:
        seconds = _measure(kept, batch, channels, dtype, torch.device(device), direction, repetitions)
        if cache:
            _store(key, seconds)
    name = min(seconds, key=lambda item: seconds[item])
    chosen = kept[name]
    product = chosen.product
    if product is None:
        raise RuntimeError("a candidate without a product was timed")
    found = chosen.expressivity
    return Choice(name, product.to(torch.get_default_dtype()), seconds, found.lost, found.tied, left_out, known)


def cache_file() -> Path:
    """Return the file of measured times: ``products.json`` in the folder ``intertwine`` of the user's cache."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "intertwine" / "products.json"


def _objection(candidate: Candidate, lost: bool, tied: bool) -> str:
    """Why a product is no candidate, or nothing."""
    if candidate.product is None:
        return candidate.reason
    name, setting = candidate.entry.name, candidate.setting
    if len(setting.irreps_in1) == len(setting.irreps_in2) == 1 and name not in _SURE:
        return "one irrep in each input: a single path never goes through another basis"
    missing = candidate.expressivity
    if missing.lost and not lost:
        a, b, c = missing.lost[0]
        more = f" and {len(missing.lost) - 1} more couplings" if len(missing.lost) > 1 else ""
        return f"it loses {a} x {b} -> {c}{more}"
    if not missing.complete and not (lost or tied):
        return f"it ties couplings together: {missing.rank} degrees of freedom of {missing.paths}"
    return ""


def _measure(
    kept: dict[str, Candidate],
    batch: int,
    channels: int,
    dtype: torch.dtype,
    device: torch.device,
    direction: Direction,
    repetitions: int,
) -> dict[str, float]:
    calls = {}
    for name, candidate in kept.items():
        if candidate.product is not None:
            product = candidate.product.to(device, dtype)
            calls[name] = call_of(product, *random_inputs(product, batch, channels, dtype, device), direction)
    timings = time_calls(
        calls, repetitions=repetitions, seconds=0.5, warmup_calls=60, warmup_seconds=0.5, device=device
    )
    for candidate in kept.values():
        if candidate.product is not None:
            candidate.product.to("cpu")
    return {name: timing.median for name, timing in timings.items()}


def _key(setting: Setting, batch: int, channels: int, dtype: torch.dtype, device: torch.device, direction: str) -> str:
    if device.type == "cuda":
        machine = torch.cuda.get_device_name(device)
    else:
        machine = f"{_cpu()} with {torch.get_num_threads()} threads"
    irreps = " ; ".join(map(str, (setting.irreps_in1, setting.irreps_in2, setting.irreps_out)))
    return " | ".join([irreps, f"{batch} x {channels}", str(dtype), direction, machine, f"torch {torch.__version__}"])


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.lower().startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()


def _load() -> dict[str, Any]:
    """Return what the file holds; a file that is missing, damaged or of another shape counts as empty."""
    try:
        content = json.loads(cache_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(content, dict):
        return {}
    return {key: value for key, value in content.items() if isinstance(value, dict)}


def _store(key: str, seconds: dict[str, float]) -> None:
    """Add a table to the file; where the folder cannot be written, times are measured again next time."""
    content = _load()
    content[key] = content.get(key, {}) | seconds
    try:
        write_text(cache_file(), json.dumps(content, indent=1) + "\n")
    except OSError:
        return


def _is_time(value: Any) -> bool:
    return isinstance(value, float) and 0 < value < float("inf")
