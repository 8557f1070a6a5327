"""The ways in which layers compute a Gaunt product, by name, and what a product of two features can write."""

from collections.abc import Callable
from typing import Literal

from intertwine.errors import RepresentationError
from intertwine.products.gaunt.curl import GauntComplete
from intertwine.products.gaunt.fourier import GauntFourier, GauntFourierFFT
from intertwine.products.gaunt.grid import GauntDense, GauntGrid
from intertwine.products.gaunt.separable import GauntGridSeparable
from intertwine.products.gaunt.sphere_product import SphereNormalization, SphereProduct
from intertwine.representations import Irreps

__all__ = ["BACKENDS", "Backend", "Coupled", "make_sphere_product"]

Backend = Literal["grid", "separable", "fourier", "fourier_fft", "dense"]
Coupled = Literal["even", "all"]
"""Which couplings: ``even`` is the Gaunt product, ``all`` adds those of odd l1 + l2 + l3, on the grid."""

BACKENDS: dict[str, Callable[..., SphereProduct]] = {
    "grid": GauntGrid,
    "separable": GauntGridSeparable,
    "fourier": GauntFourier,
    "fourier_fft": GauntFourierFFT,
    "dense": GauntDense,
}
"""Classes by the name of the way to compute; the numbers are the same up to rounding."""


def make_sphere_product(
    irreps_in1: Irreps,
    irreps_in2: Irreps,
    irreps_out: Irreps | None = None,
    *,
    backend: str = "grid",
    couplings: str = "even",
    normalization: SphereNormalization = "component",
) -> SphereProduct:
    """Return the product of two functions on the sphere that a layer needs.

    Raises:
        RepresentationError: if there is no such way to compute it, or the product refuses the irreps.
    """
    if backend not in BACKENDS or couplings not in ("even", "all") or (couplings == "all" and backend != "grid"):
        raise RepresentationError(
            "there is no such Gaunt product",
            got={"backend": backend, "couplings": couplings},
            expected=f"backend {', '.join(BACKENDS)}; couplings even, or all with the backend grid",
        )
    kind = GauntComplete if couplings == "all" else BACKENDS[backend]
    return kind(irreps_in1, irreps_in2, irreps_out, normalization=normalization)
