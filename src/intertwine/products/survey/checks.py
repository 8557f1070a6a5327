"""Checks of products against what the catalogue says of them: the law, a reference, constants, couplings, rank.

Each check is one number and the number that it is held against. The law is that of O(3) under drawn rotations and
reflections; a product that keeps SO(3) only must fail under reflections, or the catalogue is wrong. Couplings and
ranks are held against closed forms (`path_counts`), constants against the symbols that they are made of.
(Luo, Chen, Krishnapriyan, ICLR 2024; Xie, Daigavane, Kotak, Smidt, "The Price of Freedom", ICML 2025.)
"""

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal, cast

import torch
from torch import Tensor

from intertwine.errors import ConfigError
from intertwine.groups import O
from intertwine.products.low_rank import LowRankProduct, coupling_sum
from intertwine.products.product import Product
from intertwine.products.survey.bench_table import write_rows
from intertwine.products.survey.catalogue import ProductEntry
from intertwine.products.survey.check_subjects import Subject, closed_constant, make_subject
from intertwine.products.survey.couplings import allowed_triples
from intertwine.products.survey.expressivity import expressivity
from intertwine.products.survey.path_counts import expressivity_closed_form
from intertwine.products.survey.registry import find_product, list_products
from intertwine.symmetry import Symmetry, equivariance_error

__all__ = ["BOUNDS", "HIGHEST_DEGREE", "CheckRow", "Quantity", "check_product", "check_products", "write_checks"]

Quantity = Literal["rotations", "reflections", "reference", "constants", "couplings", "rank"]

BOUNDS = {torch.float32: 5e-6, torch.float64: 1e-12}
"""Relative errors up to which a law and an agreement count as kept, for degrees up to `HIGHEST_DEGREE`."""
HIGHEST_DEGREE = 6
_BROKEN = 1e-2
"""Relative error from which a law counts as broken, far from every rounding."""


@dataclass(frozen=True)
class CheckRow:
    """One number that was checked.

    Args:
        product: name in the catalogue.
        lmax: largest degree of the inputs.
        check: ``rotations``, ``reflections``: relative equivariance error; ``reference``: relative difference from
            another way to the same numbers; ``constants``: relative difference of the coupling constants from their
            closed form; ``couplings``: how many degrees (l1, l2, l3) couple; ``rank``: independent maps.
        dtype: ``float32`` or ``float64``, in which the product ran; counts are made in float64.
        value: what was found; None if it is not finite.
        relation: how it must stand to the bound.
        bound: what it is held against.
        against: the reference, in words.
    """

    product: str
    lmax: int
    check: Quantity
    dtype: str
    value: float | None
    relation: Literal["<=", ">=", "="]
    bound: float
    against: str = ""

    @property
    def passed(self) -> bool:
        """Whether the value stands to the bound as it must."""
        if self.value is None:
            return False
        kept = {"<=": self.value <= self.bound, ">=": self.value >= self.bound, "=": self.value == self.bound}
        return kept[self.relation]

    @property
    def text(self) -> str:
        """The row as a sentence."""
        value = "not finite" if self.value is None else f"{self.value:.3g}"
        against = f" against {self.against}" if self.against else ""
        wanted = {"<=": "at most ", ">=": "at least ", "=": ""}[self.relation]
        return f"{self.product}: {self.check} in {self.dtype}{against}: {value}, expected {wanted}{self.bound:.3g}"


def check_products(
    names: Sequence[str] | None = None,
    lmax: int = 3,
    dtypes: Sequence[torch.dtype] = tuple(BOUNDS),
    trials: int = 4,
    seed: int = 0,
) -> Iterator[CheckRow]:
    """Check products, by default all that are exact; see `check_product`.

    Raises:
        ConfigError: if there is no such product, or the degree or a dtype has no bound.
    """
    entries = [entry for entry in list_products() if entry.exact] if names is None else [find_product(n) for n in names]
    for entry in entries:
        yield from check_product(entry, lmax, dtypes, trials, torch.Generator().manual_seed(seed))


def check_product(
    entry: ProductEntry,
    lmax: int = 3,
    dtypes: Sequence[torch.dtype] = tuple(BOUNDS),
    trials: int = 4,
    rng: torch.Generator | None = None,
) -> list[CheckRow]:
    """Check one product with all degrees up to ``lmax``.

    Args:
        entry: of the catalogue.
        lmax: largest degree of the inputs, from 1 to `HIGHEST_DEGREE`, to which the bounds were measured.
        dtypes: in which the law and the agreement are measured.
        trials: rotations and reflections drawn.
        rng: generator of inputs, weights and elements (default: a new one with seed 0).

    Raises:
        ConfigError: if the degree or a dtype has no bound, or there are no trials.

    Example:
        >>> from intertwine.products.survey.registry import find_product
        >>> all(row.passed for row in check_product(find_product("gaunt_grid"), lmax=1))
        True
    """
    if not 1 <= lmax <= HIGHEST_DEGREE or trials < 1 or not set(dtypes) <= set(BOUNDS):
        raise ConfigError(
            "there are no bounds for this check",
            got={"lmax": lmax, "trials": trials, "dtypes": ", ".join(map(str, dtypes))},
            expected=f"lmax from 1 to {HIGHEST_DEGREE}, trials >= 1, dtypes float32 or float64",
        )
    rng = torch.Generator().manual_seed(0) if rng is None else rng
    subject = make_subject(entry, lmax, rng)
    rows = []
    if isinstance(subject.module, LowRankProduct):
        rows += _approximation(entry, lmax, subject.module, trials, rng)
    else:
        for dtype in dtypes:
            rows += _law(entry, lmax, subject, dtype, trials, rng)
            rows += _agreement(entry, lmax, subject, dtype)
    if isinstance(subject.module, Product):
        rows += _counts(entry, lmax, subject.module.double())
    return rows


def write_checks(path: str | os.PathLike[str], rows: Sequence[CheckRow]) -> Path:
    """Write the rows and whether each passed, as CSV or JSON by the suffix; returns the path.

    Raises:
        DataError: if the suffix is neither ``.csv`` nor ``.json``.
    """
    return write_rows(path, [asdict(row) | {"passed": row.passed} for row in rows])


def _law(
    entry: ProductEntry, lmax: int, subject: Subject, dtype: torch.dtype, trials: int, rng: torch.Generator
) -> Iterator[CheckRow]:
    module = subject.module.to(dtype)
    inputs = {name: _cast(value, dtype) for name, value in subject.inputs.items()}
    declared = cast("Symmetry", module.symmetry)  # what is in the catalogue declares it; nn.Module does not
    report = equivariance_error(
        module, inputs, symmetry=replace(declared, group=O(3)), trials=trials, rng=rng, dtype=None
    )
    for part in ("rotations", "reflections"):
        found = report.part(part)
        value = None if found.verdict == "zero" else found.relative  # a product that writes zeros keeps any law
        if part == "reflections" and entry.group == "SO(3)":
            yield CheckRow(entry.name, lmax, part, _name(dtype), _finite(value), ">=", _BROKEN)
        else:
            yield CheckRow(entry.name, lmax, part, _name(dtype), _finite(value), "<=", BOUNDS[dtype])


@torch.no_grad()
def _agreement(entry: ProductEntry, lmax: int, subject: Subject, dtype: torch.dtype) -> Iterator[CheckRow]:
    """The reference stays in float64, so that float32 is compared with better numbers."""
    if subject.reference is not None:
        expected = subject.reference(**subject.inputs)
        found = subject.module.to(dtype)(**{name: _cast(value, dtype) for name, value in subject.inputs.items()})
        value = float((found.double() - expected).abs().max() / expected.abs().max())
        row = CheckRow(entry.name, lmax, "reference", _name(dtype), _finite(value), "<=", BOUNDS[dtype])
        yield replace(row, against=subject.against)


def _approximation(
    entry: ProductEntry, lmax: int, product: LowRankProduct, trials: int, rng: torch.Generator
) -> Iterator[CheckRow]:
    """What misses a part of an equivariant map breaks the law by at most about twice that part."""
    rounding = BOUNDS[torch.float64]
    for part in ("rotations", "reflections"):
        value = product.symmetry_error(trials, rng, proper=part == "rotations")
        yield CheckRow(entry.name, lmax, part, "float64", _finite(value), "<=", 2 * product.error + rounding)
    exact = coupling_sum(product.irreps_in1, product.irreps_in2, product.irreps_out, product.normalization)
    value = float((product.dense() - exact).norm() / exact.norm())
    yield CheckRow(
        entry.name, lmax, "reference", "float64", _finite(value), "<=", product.error + rounding,
        "all Clebsch-Gordan paths, summed",
    )  # fmt: skip


def _counts(entry: ProductEntry, lmax: int, product: Product) -> Iterator[CheckRow]:
    constants: dict[tuple[int, int, int], float] = {}
    for item in product.interactions():
        degrees = (item.ir1.l, item.ir2.l, item.ir_out.l)
        constants[degrees] = max(constants.get(degrees, 0.0), abs(item.constant))
    spaces = (product.irreps_in1, product.irreps_in2, product.irreps_in1.tensor_product(product.irreps_in2))
    allowed = [(a.l, b.l, c.l) for a, b, c in allowed_triples(*spaces, entry.group)]
    closed = closed_constant(entry.name, product)
    if closed is not None:
        expected = {degrees: closed(*degrees) for degrees in allowed}
        error = max(abs(constants.get(degrees, 0.0) - size) for degrees, size in expected.items())
        largest = max(expected.values())
        yield CheckRow(
            entry.name, lmax, "constants", "float64", _finite(error / largest), "<=", BOUNDS[torch.float64],
            "their closed form",
        )  # fmt: skip
    found = set(constants)
    kept = {degrees for degrees in allowed if entry.keeps(*degrees) and (closed is None or closed(*degrees) > 1e-10)}
    count = len(found) if found >= kept else len(found & kept)  # one gained does not make up for one lost
    yield CheckRow(entry.name, lmax, "couplings", "float64", count, "=", len(kept), f"{len(allowed)} allowed")
    rank = expressivity_closed_form(entry.name, lmax)
    if rank is not None:
        yield CheckRow(entry.name, lmax, "rank", "float64", expressivity(product).rank, "=", rank, "its closed form")


def _cast(value: Tensor, dtype: torch.dtype) -> Tensor:
    return value.to(dtype) if value.is_floating_point() else value


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
