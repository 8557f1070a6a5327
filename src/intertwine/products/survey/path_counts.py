"""Numbers of couplings and of degrees of freedom in closed form, for the setting with all degrees in both inputs.

Inputs hold each degree up to L once, with natural parity; outputs go up to 2 L, or up to L where cut. `expressivity`
counts the same by numerical rank, and tests hold both against enumeration. (Definition: Xie et al., "The
Price of Freedom", ICML 2025, for the Clebsch-Gordan, Gaunt and matrix products; the others are counted here.)
"""

from typing import Literal

from intertwine.errors import ConfigError

__all__ = ["count_paths", "expressivity_closed_form"]

Kind = Literal["all", "even", "odd"]


def count_paths(lmax: int, kind: Kind = "all", *, cut: bool = False) -> int:
    """Return how many triples (l1, l2, l3) couple, l1 and l2 up to L.

    Args:
        lmax: L.
        kind: those with l1 + l2 + l3 ``even`` (natural parity stays natural), ``odd``, or ``all``.
        cut: l3 up to L instead of 2 L.

    Raises:
        ConfigError: if the kind is unknown or L is negative.

    Example:
        >>> [count_paths(lmax) for lmax in range(5)]
        [1, 6, 19, 44, 85]
    """
    if kind not in ("all", "even", "odd") or lmax < 0:
        raise ConfigError(
            "there is no such number of paths",
            got={"lmax": lmax, "kind": kind},
            expected="lmax >= 0, kind all, even or odd",
        )
    n = lmax + 1
    if cut:
        every = n * (n * n + 1) // 2
        even = (4 * n**3 + 6 * n**2 + 4 * n + 1 - (-1) ** n) // 16
    else:
        every = n * (2 * n * n + 1) // 3
        even = n * (n + 1) * (2 * n + 1) // 6
    return {"all": every, "even": even, "odd": every - even}[kind]


def expressivity_closed_form(product: str, lmax: int, *, cut: bool = False, slots: bool = False) -> int | None:
    """Return the expressivity of a product by its name in the registry, or None where no closed form is known.

    Clebsch-Gordan products have one degree of freedom a path. Products whose weights multiply, w1_l1 w2_l2 w3_l3, have
    one a weight, less the redundant scales; and never more than couplings.

    Args:
        product: a name of the registry, without aliases.
        lmax: L; inputs hold each degree up to L once, outputs all that the product can write.
        cut: outputs up to L instead of 2 L.
        slots: of the vector-spherical product, with a weight for each slot (j, l) of the vector fields, instead of one
            for each degree j.

    Example:
        >>> expressivity_closed_form("gaunt_grid", 4), count_paths(4, "even")
        (17, 55)
    """
    paths = {kind: count_paths(lmax, kind, cut=cut) for kind in ("all", "even", "odd")}
    one_parity, both_parities = (3 * lmax, 4 * lmax) if cut else (4 * lmax, 6 * lmax)
    if product in ("clebsch_gordan_dense", "clebsch_gordan_sparse"):
        return paths["all"]
    if product.startswith("gaunt_") and product not in ("gaunt_curl", "gaunt_complete"):
        return min(one_parity + 1, paths["even"])
    if product == "matrix":
        return min(one_parity + 1, paths["all"])
    if product == "gaunt_curl":
        return min(max(one_parity - (2 if cut else 3), 0), paths["odd"])
    if product in ("gaunt_complete", "matrix_parity", "low_rank"):
        return min(max(both_parities + (1 if cut else 0), 1), paths["all"])
    if product == "vector_spherical" and not slots:
        return min(both_parities + (1 if cut else 0), paths["all"] - 1)
    if product == "vector_spherical" and not cut:
        return min(12 * lmax - 3, paths["all"] - 1) if lmax else 0
    return None
