"""The catalogue of equivariant products: what each is, which couplings it keeps, for which group, and where it stands.

Data only; `intertwine.products.survey.registry` builds products from it. Paths count as kept where the coupling
constant does not vanish for the smallest tables that hold the irreps. Costs are for all degrees up to L in both inputs
and in the output, per sample.
"""

import importlib
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["ALIASES", "PRODUCTS", "Couples", "Kind", "ProductEntry"]

Kind = Literal["product", "convolution", "many_body"]
Couples = Literal["all", "even", "odd", "all but 6j zeros", "all but (0, 0, 0)"]

_PRICE = 'Xie et al., "The Price of Freedom", ICML 2025'
_GAUNT_PAPER = "Luo, Chen and Krishnapriyan, ICLR 2024"
_E3X = "Unke and Maennel, 2024 (e3x)"


@dataclass(frozen=True)
class ProductEntry:
    """One product of the catalogue.

    Args:
        name: its name.
        target: where its class is, ``module:class`` below `intertwine.products`.
        couples: which couplings it keeps, by the sum l1 + l2 + l3.
        cost: asymptotic operations with all degrees up to L.
        summary: one line.
        source: the paper.
        loses: what it cannot do, in words.
        kind: ``product`` (a `Product`), ``convolution`` (features with an edge direction) or ``many_body``.
        tied: whether the strengths of its couplings are tied, so that it has fewer degrees of freedom than couplings.
        group: ``O(3)``, or ``SO(3)`` where it does not keep track of parity.
        exact: whether it commutes with its group up to rounding; what does not is compared only when named.
        harmonic: whether its second input is a direction in space, whose harmonics have parity (-1)^l.
    """

    name: str
    target: str
    couples: Couples
    cost: str
    summary: str
    source: str
    loses: str = "nothing"
    kind: Kind = "product"
    tied: bool = True
    group: Literal["O(3)", "SO(3)"] = "O(3)"
    exact: bool = True
    harmonic: bool = False

    @property
    def aliases(self) -> list[str]:
        """Its further names."""
        return [alias for alias, name in ALIASES.items() if name == self.name]

    @property
    def path(self) -> str:
        """The dotted path of the class."""
        return f"intertwine.products.{self.target.replace(':', '.')}"

    def load(self) -> Any:
        """Import and return the class."""
        module, _, name = self.path.rpartition(".")
        return getattr(importlib.import_module(module), name)

    def keeps(self, l1: int, l2: int, l3: int) -> bool:
        """Return whether three degrees that satisfy the triangle rule couple.

        Zeros of the 6j symbol depend on the matrix size; they are not looked up here.
        """
        even = (l1 + l2 + l3) % 2 == 0
        return {
            "all": True,
            "even": even,
            "odd": not even,
            "all but 6j zeros": True,
            "all but (0, 0, 0)": (l1, l2, l3) != (0, 0, 0),
        }[self.couples]


_ODD = "couplings with l1 + l2 + l3 odd, such as the cross product of two vectors"
_TIED = "independent strengths: the weights of couplings multiply"


def _gaunt(
    name: str, target: str, cost: str, summary: str, kind: Kind = "product", harmonic: bool = False
) -> ProductEntry:
    return ProductEntry(name, target, "even", cost, summary, _GAUNT_PAPER, f"{_ODD}; {_TIED}", kind, harmonic=harmonic)


_ENTRIES = (
    ProductEntry(
        "clebsch_gordan_dense", "clebsch_gordan_products:ClebschGordanDense", "all", "L^6",
        "every path on its own, full coupling tensors", _PRICE, tied=False,
    ),
    ProductEntry(
        "clebsch_gordan_sparse", "clebsch_gordan_products:ClebschGordanSparse", "all", "L^5",
        "every path on its own, non-zero coefficients", _PRICE, tied=False,
    ),
    _gaunt("gaunt_dense", "gaunt.grid:GauntDense", "L^6", "functions on the sphere multiplied, by the full tensor"),
    _gaunt("gaunt_grid", "gaunt.grid:GauntGrid", "L^4", "functions on the sphere multiplied, on a grid by matrices"),
    _gaunt("gaunt_grid_separable", "gaunt.separable:GauntGridSeparable", "L^3", "the same, one angle after the other"),
    _gaunt("gaunt_fourier", "gaunt.fourier:GauntFourier", "L^4", "functions on the torus multiplied, by convolution"),
    _gaunt("gaunt_fourier_fft", "gaunt.fourier:GauntFourierFFT", "L^3", "the same, by fast Fourier transforms"),
    ProductEntry(
        "gaunt_curl", "gaunt.curl:GauntCurl", "odd", "L^4", "r . (grad f x grad g) on the sphere",
        "Bochkarev et al., 2026, arXiv 2605.15073",
        f"couplings with l1 + l2 + l3 even, such as the scalar product of two vectors; {_TIED}",
    ),
    ProductEntry(
        "gaunt_complete", "gaunt.curl:GauntComplete", "all", "L^4", "Gaunt and its curl together", _PRICE, _TIED
    ),
    ProductEntry(
        "matrix", "matrix:MatrixProduct", "all but 6j zeros", "L^4", "features as matrices, multiplied", _E3X,
        f"parity; {_TIED}", group="SO(3)",
    ),
    ProductEntry(
        "matrix_parity", "matrix:ParityMatrixProduct", "all but 6j zeros", "L^4",
        "matrices of even and of odd features, multiplied", _E3X, _TIED,
    ),
    ProductEntry(
        "vector_spherical", "vector_spherical:VectorSphericalProduct", "all but (0, 0, 0)", "L^4",
        "cross product of vector fields on the sphere", "Xie et al., 2026, arXiv 2602.21466",
        f"scalar x scalar; {_TIED}",
    ),
    ProductEntry(
        "low_rank", "low_rank:LowRankProduct", "all", "rank L^2",
        "all paths summed, by few products of numbers, approximately",
        "Kolda and Bader, SIAM Review 2009", f"exact equivariance, by an error that it reports; {_TIED}", exact=False,
    ),
    ProductEntry(
        "channelwise", "channelwise:ChannelwiseTensorProduct", "all", "L^5", "Clebsch-Gordan with weights a sample",
        "Batzner et al., Nature Communications 2022", kind="convolution", tied=False,
    ),
    ProductEntry(
        "so2", "so2.convolution:SO2Convolution", "all", "L^3", "convolution in the frame of the edge",
        "Passaro and Zitnick, ICML 2023", kind="convolution", tied=False, harmonic=True,
    ),
    _gaunt(
        "gaunt_convolution", "gaunt.convolution:GauntConvolution", "L^3", "Gaunt product with the harmonics of an edge",
        "convolution", harmonic=True,
    ),
    ProductEntry(
        "symmetric_contraction", "symmetric_contraction:SymmetricContraction", "all", "L^(3 n)",
        "all n-fold symmetric couplings of one feature", "Batatia et al., NeurIPS 2022", kind="many_body", tied=False,
    ),
    _gaunt(
        "gaunt_many_body", "gaunt.many_body:GauntManyBody", "n L^3", "n-fold power of a function on the sphere",
        "many_body",
    ),
)  # fmt: skip

PRODUCTS: dict[str, ProductEntry] = {entry.name: entry for entry in _ENTRIES}
"""The products by name, in the order in which they are listed."""

ALIASES = {
    "clebsch_gordan": "clebsch_gordan_dense",
    "cgtp": "clebsch_gordan_dense",
    "cgtp_dense": "clebsch_gordan_dense",
    "cgtp_sparse": "clebsch_gordan_sparse",
    "gtp": "gaunt_grid",
    "gtp_grid": "gaunt_grid",
    "gtp_fourier": "gaunt_fourier_fft",
    "gtp_curl": "gaunt_curl",
    "gaunt": "gaunt_grid",
    "mtp": "matrix",
    "vstp": "vector_spherical",
    "vstp_grid": "vector_spherical",
    "vgtp": "vector_spherical",
    "escn": "so2",
    "cp": "low_rank",
}
"""Further names, those of the papers among them."""
