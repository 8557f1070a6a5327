"""What products do, drawn: two features as functions on the sphere and their products, couplings, Fourier tables.

The numbers are those of the products themselves, all degrees up to L in both inputs, outputs up to 2 L.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from intertwine.errors import ConfigError
from intertwine.reporting.page import Picture, Section, write_page
from intertwine.reporting.picture_files import write_pictures
from intertwine.reporting.product_plots import Degrees, coupling_map, fourier_sparsity, functions_on_sphere

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["DEFAULT_PRODUCTS", "draw_products", "product_sections"]

DEFAULT_PRODUCTS = (
    "clebsch_gordan_dense",
    "gaunt_grid",
    "gaunt_curl",
    "gaunt_complete",
    "matrix_parity",
    "vector_spherical",
)
"""One product of each kind; the others compute the same maps in other ways."""
_HIGHEST = 6
"""Largest degree that is drawn: beyond, rows of the maps become too many to be read."""
_RINGS, _ANGLES = 61, 121


def product_sections(lmax: int = 3, products: Sequence[str] | None = None, seed: int = 0) -> list[Section]:
    """Return the sections of the page: functions on the sphere, couplings, Fourier tables.

    Args:
        lmax: largest degree L of the inputs, 1 to 6.
        products: whose couplings are drawn; by default `DEFAULT_PRODUCTS`.
        seed: of the two standard normal features.

    Raises:
        ConfigError: if there is no such product, it is no product of two features, or the degree is out of range.
    """
    if not 1 <= lmax <= _HIGHEST:
        raise ConfigError("there is no picture of this degree", got=f"lmax = {lmax}", expected=f"1 to {_HIGHEST}")
    return [_sphere(lmax, seed), _couplings(lmax, products), _fourier(lmax)]


def draw_products(
    path: str | os.PathLike[str], lmax: int = 3, products: Sequence[str] | None = None, seed: int = 0
) -> list[Path]:
    """Draw what products do into files and return their paths; arguments as for `product_sections`.

    ``.html`` is one page that stands alone. ``.svg``, ``.png`` and ``.pdf`` are one file a picture: ``sphere``,
    ``couplings``, ``fourier``.

    Raises:
        ConfigError: as for `product_sections`.
        DataError: if the suffix is none of these.
        MissingExtraError: if plotly, or for a static picture its exporter kaleido, is not installed.
    """

    def page(path: Path) -> Path:
        subtitle = f"all degrees up to L = {lmax} in both inputs, outputs up to {2 * lmax}"
        return write_page(
            path, "Equivariant products: what they do", product_sections(lmax, products, seed), subtitle=subtitle
        )

    def figures() -> dict[str, Any]:
        sections = product_sections(lmax, products, seed)
        names = ("sphere", "couplings", "fourier")
        return {name: section.pictures[0].figure for name, section in zip(names, sections, strict=True)}

    return write_pictures(path, page, figures)


# --- functions on the sphere ---------------------------------------------------------------------------------


def _sphere(lmax: int, seed: int) -> Section:
    import torch

    from intertwine.products.survey.registry import make_product
    from intertwine.representations import Irreps

    irreps = Irreps.spherical_harmonics(lmax)
    rng = torch.Generator().manual_seed(seed)
    x, y = (irreps.random(rng=rng, dtype=torch.float64) for _ in range(2))
    points = _mesh()
    f, g = (_values(irreps, feature, points) for feature in (x, y))
    found = {}
    for name in ("gaunt_grid", "gaunt_curl"):
        product = make_product(name, irreps, irreps).double()
        found[name] = _values(product.irreps_out, product(x, y), points)
    difference = float(np.abs(found["gaunt_grid"] - f * g).max())
    curl = "r · (\N{NABLA}f \N{MULTIPLICATION SIGN} \N{NABLA}g)"
    figure = functions_on_sphere(
        points.numpy(),
        {
            "f": f,
            "g": g,
            "f g: gaunt_grid": found["gaunt_grid"],
            f"{curl}: gaunt_curl": found["gaunt_curl"],
        },
    )
    text = (
        "A feature is a list of coefficients of spherical harmonics, so it is a function on the sphere. The Gaunt "
        f"product multiplies the two functions at every point; its curl product, {curl}, is what the Gaunt product "
        "lacks: it vanishes where the gradients are parallel, and changes its sign when f and g change places."
    )
    caption = (
        f"Two standard normal features of degrees 0 to {lmax} (seed {seed}), `integral` harmonics, and their products. "
        f"The third differs from the first times the second by at most {difference:.1g} at the points drawn. Turn the "
        "spheres with the mouse."
    )
    return Section("Functions on the sphere", text, [Picture(figure, caption, wide=True)])


def _mesh() -> "Tensor":
    """Unit vectors (ring, angle, xyz) of a mesh that closes: beta from the pole y, alpha from z towards x."""
    import torch

    beta = torch.linspace(0, torch.pi, _RINGS, dtype=torch.float64)[:, None]
    alpha = torch.linspace(0, 2 * torch.pi, _ANGLES, dtype=torch.float64)
    parts = (beta.sin() * alpha.sin(), beta.cos().expand(-1, _ANGLES), beta.sin() * alpha.cos())
    return torch.stack(parts, dim=-1)


def _values(irreps: Any, feature: "Tensor", points: "Tensor") -> np.ndarray:
    """Values of the function with these coefficients; its irreps have each degree at most once."""
    from intertwine.representations import spherical_harmonics

    return (spherical_harmonics([ir.l for ir in irreps.irreps], points) @ feature).numpy()


# --- couplings -----------------------------------------------------------------------------------------------


def _couplings(lmax: int, products: Sequence[str] | None) -> Section:
    from intertwine.products.survey.couplings import allowed_triples
    from intertwine.products.survey.registry import find_product, make_product
    from intertwine.representations import Irreps

    irreps = Irreps.spherical_harmonics(lmax)
    whole = irreps.tensor_product(irreps)
    constants: dict[str, dict[Degrees, float]] = {}
    allowed: dict[str, list[Degrees]] = {}
    for name in DEFAULT_PRODUCTS if products is None else products:
        entry = find_product(name)
        own = constants.setdefault(entry.name, {})
        for item in make_product(entry.name, irreps, irreps).interactions():
            degrees = (item.ir1.l, item.ir2.l, item.ir_out.l)
            own[degrees] = max(own.get(degrees, 0.0), abs(item.constant))
        allowed[entry.name] = [(a.l, b.l, c.l) for a, b, c in allowed_triples(irreps, irreps, whole, entry.group)]
    figure = coupling_map(constants, allowed)
    text = (
        "Degrees l1 and l2 couple to l3 from |l1 \N{MINUS SIGN} l2| to l1 + l2. What a product cannot express, no "
        "layer with it alone can learn. `intertwine products explain` says why, and what to use instead."
    )
    caption = (
        "Titles count the couplings that a product has, of those that the group allows. Strengths of a product are in "
        "its own normalisation, so that colours are compared within a panel."
    )
    return Section("Which degrees couple", text, [Picture(figure, caption, wide=True)])


# --- Fourier tables ------------------------------------------------------------------------------------------


def _fourier(lmax: int) -> Section:
    from intertwine.products.gaunt.torus import fourier_to_harmonics, harmonics_to_fourier

    figure = fourier_sparsity(
        {
            "harmonics to Fourier": harmonics_to_fourier(lmax).numpy(),
            "Fourier to harmonics, of a product": fourier_to_harmonics(lmax, 2 * lmax).numpy(),
        }
    )
    text = (
        "The Gaunt product in the Fourier basis writes each harmonic as waves e^(i(uθ + vφ)). A harmonic of order m "
        "meets only v = m and v = \N{MINUS SIGN}m, and only frequencies u of the parity of its degree, so that of "
        "(L + 1)² (2L + 1)² entries a number of order L³ remains. The way back integrates over the sphere, which is "
        "half of the torus: frequencies of both parities take part."
    )
    caption = (
        "Empty: entries that vanish. In each block of l, m runs from \N{MINUS SIGN}l at the top to l. The way back is "
        f"that of a product, with frequencies up to {2 * lmax}, cut to degrees up to {lmax}; waves with "
        f"|v| > {lmax} have no entries and are counted but not drawn."
    )
    return Section("Sparsity of the Fourier tables", text, [Picture(figure, caption, wide=True)])
