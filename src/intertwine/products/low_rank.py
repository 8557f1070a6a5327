"""A Clebsch-Gordan product of low rank: z = C ((A x) * (B y)), with few products of numbers; approximately equivariant.

The coupling tensor, all paths summed into one entry an irrep, is approximated by a sum of R products of vectors (a
canonical polyadic decomposition), found by alternating least squares. The approximation breaks the symmetry by as much
as it misses: `error` and `symmetry_error` say how far. A Gaunt product on a grid is such a sum too, and equivariant.
(Kolda and Bader, "Tensor decompositions and applications", SIAM Review 2009, 3.4.)
"""

from functools import cache
from math import sqrt
from typing import ClassVar, Literal, final

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.errors import RepresentationError
from intertwine.groups import O
from intertwine.products.product import Interaction, Product
from intertwine.representations import Irreps, irreps_matrix, wigner_3j

__all__ = ["LowRankProduct", "coupling_sum", "decompose"]

Factors = tuple[Tensor, Tensor, Tensor]
Normalization = Literal["component", "norm", "none"]


def coupling_sum(
    irreps_in1: Irreps, irreps_in2: Irreps, irreps_out: Irreps, normalization: Normalization = "component"
) -> Float[Tensor, "dim1 dim2 dim_out"]:
    """Return the tensor of all paths between the entries, each with the factor of the normalization, in float64.

    The factor is sqrt(2 l3 + 1) for ``component``, sqrt((2 l1 + 1)(2 l2 + 1)) for ``norm``, 1 for ``none``.
    """
    table = torch.zeros(irreps_in1.dim, irreps_in2.dim, irreps_out.dim, dtype=torch.float64)
    for i, a in zip(irreps_in1.slices(), irreps_in1.irreps, strict=True):
        for j, b in zip(irreps_in2.slices(), irreps_in2.irreps, strict=True):
            for k, c in zip(irreps_out.slices(), irreps_out.irreps, strict=True):
                if c in a * b:
                    factor = {"component": c.dim, "norm": a.dim * b.dim, "none": 1}[normalization]
                    table[i, j, k] = sqrt(factor) * wigner_3j(a.l, b.l, c.l, dtype=torch.float64)
    return table


def decompose(table: Float[Tensor, "n1 n2 n3"], rank: int, sweeps: int = 300, starts: int = 2) -> tuple[Factors, float]:
    """Return matrices with ``table ~ sum_r A[:, r] B[:, r] C[:, r]``, and the relative error in the Frobenius norm.

    Alternating least squares from seeded starts, so the same numbers every time; the best start counts. No more than a
    local minimum is promised. A rank of ``n1 n2`` or more is exact and takes no sweeps.

    Args:
        table: the tensor, float64.
        rank: number of terms.
        sweeps: most sweeps over the three factors; fewer if the error no longer falls.
        starts: number of starts.
    """
    n1, n2, n3 = table.shape
    if rank >= n1 * n2:
        first, second = torch.eye(n1, dtype=table.dtype), torch.eye(n2, dtype=table.dtype)
        exact = (first.repeat_interleave(n2, dim=1), second.repeat(1, n1), table.reshape(-1, n3).mT.contiguous())
        padded = [torch.nn.functional.pad(factor, (0, rank - n1 * n2)) for factor in exact]
        return (padded[0], padded[1], padded[2]), 0.0
    found = [_alternate(table, rank, sweeps, seed) for seed in range(starts)]
    return min(found, key=lambda result: result[1])


def _alternate(table: Tensor, rank: int, sweeps: int, seed: int) -> tuple[Factors, float]:
    rng = torch.Generator().manual_seed(seed)
    factors = [torch.randn(n, rank, generator=rng, dtype=table.dtype) for n in table.shape]
    flat = [table.movedim(axis, 0).flatten(1) for axis in range(3)]
    size, before, error = float(table.norm()), float("inf"), float("inf")
    for sweep in range(sweeps):
        for axis in range(3):
            first, second = (factors[other] for other in range(3) if other != axis)
            pairs = (first[:, None] * second[None]).flatten(0, 1)
            gram = (first.mT @ first) * (second.mT @ second)
            # a little damping keeps terms that grow against each other in check
            damping = 1e-8 * gram.diagonal().mean() * torch.eye(rank, dtype=table.dtype)
            factors[axis] = torch.linalg.solve(gram + damping, (flat[axis] @ pairs).mT).mT
            if axis < 2:  # lengths go to the last factor
                factors[axis] = factors[axis] / factors[axis].norm(dim=0).clamp(min=1e-30)
            else:
                error = float((factors[axis] @ pairs.mT - flat[axis]).norm()) / size
        if sweep % 20 == 19:
            if before - error < 1e-4 * error or error < 1e-12:
                break
            before = error
    return (factors[0], factors[1], factors[2]), error


@cache
def _decomposed(
    irreps_in1: Irreps, irreps_in2: Irreps, irreps_out: Irreps, normalization: Normalization, rank: int
) -> tuple[Factors, float]:
    table = coupling_sum(irreps_in1, irreps_in2, irreps_out, normalization)
    affordable = int(_EFFORT / (6 * table.numel() * rank))
    return decompose(table, rank, sweeps=max(20, min(300, affordable // 2)))


_EFFORT = 3e10
"""Operations that building a product may take, about: some seconds. Large tensors get fewer sweeps for it."""


@final
class LowRankProduct(Product):
    """An approximation of the sum of all Clebsch-Gordan paths by ``rank`` products of two numbers.

    Its `symmetry` names the law that it approximates: it keeps it up to `symmetry_error`, which is no rounding. That is
    at most about twice `error`, and may be far less, for a map with other constants can be equivariant too. The
    decomposition is computed when the product is built, once for the same irreps and rank, in seconds: fewer sweeps for
    large tensors, where a better one may exist.

    Args:
        irreps_in1, irreps_in2: irreps of the inputs, multiplicity 1 each, any parities.
        irreps_out: what to write, each path summed into the entries of its irrep; None writes every irrep once.
        rank: number of products; None takes twice the largest of the three dimensions, or what is exact if less.
        normalization: of the paths, as for `coupling_sum`.

    Raises:
        RepresentationError: if an output cannot be written, the rank is not positive, or the normalization is unknown.

    Example:
        >>> product = LowRankProduct("0e + 1o", "0e + 1o", "0e + 1o", rank=6)
        >>> product.rank, product.error < 1e-3
        (6, True)
    """

    name: ClassVar[str] = "low_rank"
    factor1: Tensor
    factor2: Tensor
    factor3: Tensor

    def __init__(
        self,
        irreps_in1: "str | Irreps",
        irreps_in2: "str | Irreps",
        irreps_out: "str | Irreps | None" = None,
        *,
        rank: int | None = None,
        normalization: Normalization = "component",
    ) -> None:
        if normalization not in ("component", "norm", "none"):
            raise RepresentationError(
                f"the product `{self.name}` has no such normalization",
                got=normalization,
                expected="component, norm or none",
            )
        a, b = Irreps(irreps_in1), Irreps(irreps_in2)
        writable = Irreps([(1, ir) for _, ir in a.tensor_product(b)])
        out = writable if irreps_out is None else Irreps(irreps_out)
        missing = [str(ir) for ir in out.irreps if ir not in writable]
        if missing or not len(out):
            raise RepresentationError(
                f"no path writes {', '.join(missing) or 'anything'}",
                got={"in1": a, "in2": b, "out": out},
                expected=f"out within {writable}",
                code="E203",
            )
        super().__init__(a, b, out)
        self.normalization: Normalization = normalization
        self.rank = min(2 * max(a.dim, b.dim, out.dim), a.dim * b.dim) if rank is None else rank
        if self.rank < 1:
            raise RepresentationError("a decomposition needs a rank of 1 or more", got=rank)
        (first, second, third), self.error = _decomposed(a, b, out, normalization, self.rank)
        """Distance from the exact coupling tensor over its size, both in the Frobenius norm."""
        self.add_table("factor1", first)
        self.add_table("factor2", second)
        self.add_table("factor3", third.mT.contiguous())

    def forward(self, x: Float[Tensor, "*batch dim1"], y: Float[Tensor, "*batch dim2"]) -> Float[Tensor, "*batch dim"]:
        """Return the product; leading axes of ``x`` and ``y`` broadcast.

        Raises:
            ShapeError: if the last axes do not fit the irreps.
        """
        self.check_inputs(x, y)
        return ((x @ self.factor1) * (y @ self.factor2)) @ self.factor3

    @torch.no_grad()
    def symmetry_error(self, trials: int = 8, rng: torch.Generator | None = None, proper: bool | None = None) -> float:
        """Return how far the product is from its law: the largest ``|g T - T| / |T|`` over elements g of O(3).

        T is the map as a tensor, g T the map with inputs and output transformed, the norm that of Frobenius.

        Args:
            trials: number of elements drawn.
            rng: generator of the elements (default: a new one with seed 0).
            proper: only rotations if true, only elements that reflect if false.
        """
        rng = torch.Generator().manual_seed(0) if rng is None else rng
        elements = O(3).sample(trials, rng=rng, dtype=torch.float64)
        if proper is not None:  # in three dimensions -g is of the other kind
            elements = elements * (elements.det().sign() * (1 if proper else -1))[:, None, None]
        first, second, third = (irreps_matrix(i, elements) for i in (self.irreps_in1, self.irreps_in2, self.irreps_out))
        table = self.dense()
        moved = torch.einsum("nai,nbj,nck,ijk->nabc", first, second, third, table)
        return float((moved - table).flatten(1).norm(dim=1).max() / table.norm())

    def interactions(self, threshold: float = 1e-10) -> list[Interaction]:
        """Return the couplings that the irreps allow, with the constants that the approximation gives them.

        Args:
            threshold: smallest absolute constant that counts.
        """
        return [found for found in super().interactions(threshold) if found.ir_out in found.ir1 * found.ir2]

    def flops(self) -> int:
        """Return the operations of three matrix products and one product of numbers."""
        return self.rank * (2 * (self.irreps_in1.dim + self.irreps_in2.dim + self.irreps_out.dim) + 1)

    def traffic(self) -> int:
        """Return the numbers read and written: inputs, output, and three rows of ``rank`` numbers twice."""
        return self.irreps_in1.dim + self.irreps_in2.dim + self.irreps_out.dim + 6 * self.rank
