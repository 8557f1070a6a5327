"""The registry of products: built by name, and asked whether a path is possible.

`list_products` and `make_product` serve programs that let their users choose; `explain` answers "can this product
compute 2o x 2o -> 1e?" with the coupling constant, or with the reason and with the products that can.
"""

import difflib
import inspect
import re
from dataclasses import dataclass
from typing import Any

from intertwine.errors import ConfigError, RepresentationError
from intertwine.products.product import Product
from intertwine.products.survey.catalogue import ALIASES, PRODUCTS, Kind, ProductEntry
from intertwine.representations import Irrep, Irreps

__all__ = ["PRODUCTS", "Explanation", "explain", "find_product", "list_products", "make_product", "parse_path"]

_PATH = re.compile(r"^\s*(\d+[eo])\s*(?:x|\*|⊗)\s*(\d+[eo])\s*(?:->|→)\s*(\d+[eo])\s*$")


def list_products(kind: Kind | None = None) -> list[ProductEntry]:
    """Return the products of the catalogue, or those of one kind."""
    return [entry for entry in PRODUCTS.values() if kind is None or entry.kind == kind]


def find_product(name: str) -> ProductEntry:
    """Return the entry of a product by its name or an alias.

    Raises:
        ConfigError: if there is none, naming the nearest.
    """
    entry = PRODUCTS.get(ALIASES.get(name, name))
    if entry is None:
        near = difflib.get_close_matches(name, [*PRODUCTS, *ALIASES, "auto"], n=1, cutoff=0.5)
        raise ConfigError(
            f"there is no product `{name}`",
            got=name,
            expected=", ".join(PRODUCTS),
            fix=f"did you mean `{near[0]}`?" if near else "`intertwine products list` says what each does",
        )
    return entry


def make_product(
    name: str,
    irreps_in1: "str | Irreps",
    irreps_in2: "str | Irreps",
    irreps_out: "str | Irreps | None" = None,
    **options: Any,
) -> Product:
    """Return the product of a name for given irreps.

    Args:
        name: a name of `PRODUCTS` of the kind ``product``, an alias, or ``auto``: the fastest on this machine that
            loses nothing, with the options of `choose_product`.
        irreps_in1, irreps_in2: irreps of the inputs, multiplicity 1 each.
        irreps_out: what to write; None writes everything that the product can.
        options: further arguments of the product's class.

    Raises:
        ConfigError: if there is no such product or no such option, naming the nearest.
        RepresentationError: if the product cannot take or write such irreps.

    Example:
        >>> make_product("clebsch_gordan_dense", "1o", "1o").irreps_out
        Irreps('1x0e + 1x1e + 1x2e')
    """
    if name == "auto":
        from intertwine.products.survey.auto import choose_product  # it measures products that it makes here

        return choose_product(irreps_in1, irreps_in2, irreps_out, **options).make()
    entry = find_product(name)
    kind = entry.load()
    if entry.kind != "product":
        other = "product is a convolution with an edge" if entry.kind == "convolution" else "layer is a many-body power"
        raise ConfigError(
            f"`{name}` takes other inputs than two features: this {other}",
            got=name,
            expected=", ".join(item.name for item in list_products("product")),
            fix=f"build it by its class, {entry.path}",
        )
    parameters = list(inspect.signature(kind).parameters)[3:]
    for option in options:
        if option not in parameters:
            near = difflib.get_close_matches(option, parameters, n=1, cutoff=0.5)
            raise ConfigError(
                f"the product `{entry.name}` has no option `{option}`",
                got=option,
                expected=", ".join(parameters) or "no options",
                fix=f"did you mean `{near[0]}`?" if near else None,
            )
    return kind(Irreps(irreps_in1), Irreps(irreps_in2), None if irreps_out is None else Irreps(irreps_out), **options)


@dataclass(frozen=True)
class Explanation:
    """The answer to whether a product can compute a path.

    Args:
        path: the three irreps.
        product: the name of the product.
        possible: whether it can.
        constant: its coupling constant there, in front of the coupling tensor of norm 1; None where there is none.
        reason: in words.
        instead: products that can.
    """

    path: tuple[Irrep, Irrep, Irrep]
    product: str
    possible: bool
    constant: float | None
    reason: str
    instead: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """One sentence."""
        a, b, c = self.path
        if self.possible:
            constant = "" if self.constant is None else f" with constant {self.constant:.10g}"
            return f"{a} x {b} -> {c} with {self.product}: possible{constant}{'; ' if self.reason else ''}{self.reason}"
        use = f"; use {_either(self.instead)}" if self.instead else ""
        return f"{a} x {b} -> {c} with {self.product}: impossible, {self.reason}{use}"

    def require(self) -> None:
        """Do nothing if the path is possible.

        Raises:
            RepresentationError: if it is not, naming what to use.
        """
        if not self.possible:
            a, b, c = self.path
            raise RepresentationError(
                f"the product `{self.product}` has no path {a} x {b} -> {c}: {self.reason}",
                got={"in1": a, "in2": b, "out": c},
                expected=f"out within {Irreps([(1, ir) for ir in a * b])}",
                fix=f"use {_either(self.instead)}" if self.instead else "change the degree or the parity of the output",
                code="E203",
            )


def parse_path(text: str) -> tuple[Irrep, Irrep, Irrep]:
    """Read a path such as ``"2o x 2o -> 1e"``.

    Raises:
        RepresentationError: if the text is not one.
    """
    match = _PATH.match(text)
    if match is None:
        raise RepresentationError("this is not a path", got=text, expected="two irreps and one: 2o x 2o -> 1e")
    return Irrep.parse(match[1]), Irrep.parse(match[2]), Irrep.parse(match[3])


def explain(path: str, product: str) -> Explanation:
    """Say whether a product computes a path, with which constant, or why not and what does.

    Args:
        path: for example ``"2o x 2o -> 1e"``.
        product: a name of the registry or an alias.

    Raises:
        RepresentationError: if the text is not a path.
        ConfigError: if there is no such product.

    Example:
        >>> explain("1o x 1o -> 1e", "clebsch_gordan").constant
        1.7320508075688772
    """
    triple = parse_path(path)
    a, b, c = triple
    entry = find_product(product)
    if c not in a * b:
        series = ", ".join(map(str, a * b))
        reason = f"the product of {a} and {b} contains only {series}, whatever computes it"
        if entry.group == "SO(3)" and c.l in [ir.l for ir in a * b]:
            reason += f"; `{entry.name}` would write {c.l} without regard to parity and break O(3)"
        return Explanation(triple, entry.name, False, None, reason)
    instead = tuple(
        other.name
        for other in PRODUCTS.values()
        if other.name in _RECOMMENDED and other.name != entry.name and other.keeps(a.l, b.l, c.l)
    )
    reason = _reason(entry, triple)
    if reason:
        return Explanation(triple, entry.name, False, None, reason, instead)
    if entry.kind != "product":
        return Explanation(triple, entry.name, True, None, f"a {entry.kind.replace('_', '-')} operation")
    return _measured(entry, triple, instead)


def _measured(entry: ProductEntry, triple: tuple[Irrep, Irrep, Irrep], instead: tuple[str, ...]) -> Explanation:
    """Build the product for the two irreps and read its constant."""
    a, b, c = triple
    try:
        built = make_product(entry.name, Irreps(a), Irreps(b))
    except RepresentationError as error:
        return Explanation(triple, entry.name, False, None, error.message, instead)
    found = [
        item
        for item in built.interactions()
        if item.ir_out.l == c.l and (entry.group == "SO(3)" or item.ir_out.p == c.p)
    ]
    if not found:
        return Explanation(triple, entry.name, False, None, "its coupling constant vanishes by accident", instead)
    note = "without regard to parity: SO(3) only" if entry.group == "SO(3)" else ""
    note = note if entry.exact else "approximately"
    return Explanation(triple, entry.name, True, found[0].constant, note)


def _reason(entry: ProductEntry, triple: tuple[Irrep, Irrep, Irrep]) -> str:
    """Why the product has no such path, or nothing."""
    a, b, c = triple
    total = f"l1 + l2 + l3 = {a.l} + {b.l} + {c.l} = {a.l + b.l + c.l}"
    odd = (a.l + b.l + c.l) % 2 == 1
    if not entry.keeps(a.l, b.l, c.l):
        if entry.couples == "all but (0, 0, 0)":
            return "the cross product of two radial fields vanishes"
        return f"{total} is {'odd' if odd else 'even'}"
    if entry.harmonic and not b.natural:
        return f"its second factor is a harmonic of the edge, which is {Irrep(b.l, (-1) ** b.l)} at degree {b.l}"
    if entry.kind == "many_body" and a == b and odd:
        return f"it multiplies a feature by itself, and where {total} is odd the coupling is antisymmetric"
    return ""


def _either(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


_RECOMMENDED = (
    "clebsch_gordan_dense",
    "gaunt_grid",
    "gaunt_curl",
    "gaunt_complete",
    "matrix_parity",
    "vector_spherical",
)
"""What to propose instead: one product of each kind, all of O(3)."""
