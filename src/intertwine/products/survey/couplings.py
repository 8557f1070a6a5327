"""What a bilinear operation does, coupling by coupling: its constants on the couplings C that the group allows.

Every equivariant bilinear map is a sum of ``constant * C(x_a, y_b) -> z_c`` over copies a, b, c of irreps (Schur). Any
operation is taken apart here: a `Product`, or a callable with the irrep features it takes and gives, multiplicities
included. What does not fit into couplings is an error, because then the operation is not bilinear or not equivariant.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.errors import RepresentationError, ShapeError, SymmetryError
from intertwine.products.product import Product
from intertwine.representations import Irrep, Irreps, wigner_3j
from intertwine.representations.layout import split_blocks

__all__ = ["Couplings", "Triple", "allowed_triples", "couplings_of", "dense_map", "fold", "project"]

Triple = tuple[Irrep, Irrep, Irrep]
Bilinear = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Couplings:
    """The couplings of an operation, one row each.

    Args:
        copies1, copies2, copies3: the irrep of every copy in the two inputs and in the output.
        places: ``(number, 3)``, which copies each row joins.
        constants: ``(number,)`` in float64.
    """

    copies1: tuple[Irrep, ...]
    copies2: tuple[Irrep, ...]
    copies3: tuple[Irrep, ...]
    places: Tensor
    constants: Tensor

    def triples(self, threshold: float = 1e-10) -> list[Triple]:
        """The triples of irreps that interact: some constant is larger than ``threshold``."""
        found = {
            (self.copies1[a], self.copies2[b], self.copies3[c])
            for (a, b, c), constant in zip(self.places.tolist(), self.constants.tolist(), strict=True)
            if abs(constant) > threshold
        }
        return sorted(found)


def fold(irreps: "str | Irreps", group: str) -> Irreps:
    """Return irreps as the group tells them apart: for ``SO(3)``, which has no inversion, all of natural parity.

    Raises:
        RepresentationError: if the group is neither ``O(3)`` nor ``SO(3)``.
    """
    if group not in ("O(3)", "SO(3)"):
        raise RepresentationError("irreps of another group", got=group, expected="O(3) or SO(3)")
    irreps = Irreps(irreps)
    return irreps if group == "O(3)" else Irreps([(mul, Irrep(ir.l, (-1) ** ir.l)) for mul, ir in irreps])


def allowed_triples(in1: Irreps, in2: Irreps, out: Irreps, group: str = "O(3)") -> list[Triple]:
    """The triples of irreps that the group allows to couple, each once, sorted."""
    a, b, c = (sorted({ir for mul, ir in fold(irreps, group) if mul}) for irreps in (in1, in2, out))
    return [(x, y, z) for x in a for y in b for z in c if _couples(x, y, z, group)]


def couplings_of(
    operation: "Product | Bilinear",
    irreps: "Sequence[str | Irreps] | None" = None,
    *,
    group: str | None = None,
    layout: str = "mul_ir",
    tolerance: float = 1e-8,
) -> Couplings:
    """Return the couplings of an operation.

    Args:
        operation: a `Product`, or any callable ``z = operation(x, y)`` that takes float64 and broadcastable batches.
        irreps: the irreps of x, y and z, multiplicities included; a `Product` knows its own.
        group: ``O(3)`` or ``SO(3)``; the product's own, else ``O(3)``.
        layout: memory layout of the callable's features.
        tolerance: part of the map, relative to its largest entry, that may lie outside of all couplings.

    Raises:
        RepresentationError: if irreps are needed and not given.
        ShapeError: if the result does not fit its irreps.
        SymmetryError: if the operation is not bilinear, or does not commute with the group.
    """
    if isinstance(operation, Product):
        return _of_product(operation, operation.group_name if group is None else group)
    if irreps is None or len(irreps) != 3:
        raise RepresentationError(
            "a callable does not say its irreps", got=irreps, expected="three: those of x, of y and of the result"
        )
    group = group or "O(3)"
    in1, in2, out = (Irreps(value) for value in irreps)
    dense = dense_map(operation, in1, in2)
    if dense.shape[-1] != out.dim:
        raise ShapeError(
            "the operation returns something else than its irreps say",
            got=f"{dense.shape[-1]} components",
            expected=f"{out.dim} for {out}",
        )
    _check_bilinear(operation, dense, in1, in2, tolerance)
    places, constants, rest = project(dense, in1, in2, out, group=group, layout=layout)
    if float(rest) > tolerance * max(float(dense.abs().max()), 1e-300):
        raise SymmetryError(
            f"the operation does not commute with {group}: part of it is no coupling",
            got=f"{float(rest):.2g} outside of the couplings, {float(dense.abs().max()):.2g} in all",
            expected=f"{in1} with {in2} into {out}, features in the layout {layout}",
            fix="check the irreps and the layout; a map that mixes parities commutes with SO(3) only: group='SO(3)'",
        )
    return Couplings(_copies(in1, group), _copies(in2, group), _copies(out, group), places, constants)


def _of_product(product: Product, group: str) -> Couplings:
    found = product.interactions()
    places = torch.tensor([(item.in1, item.in2, item.out) for item in found], dtype=torch.int64).reshape(-1, 3)
    constants = torch.tensor([item.constant for item in found], dtype=torch.float64)
    first, second, third = (
        _copies(irreps, group) for irreps in (product.irreps_in1, product.irreps_in2, product.irreps_out)
    )
    return Couplings(first, second, third, places, constants)


def dense_map(operation: Bilinear, in1: Irreps, in2: Irreps) -> Float[Tensor, "dim1 dim2 dim3"]:
    """Return a bilinear operation as one float64 tensor, found by multiplying basis vectors."""
    a, b = torch.eye(in1.dim, dtype=torch.float64), torch.eye(in2.dim, dtype=torch.float64)
    x = a[:, None].expand(-1, len(b), -1).reshape(-1, in1.dim)
    y = b[None].expand(len(a), -1, -1).reshape(-1, in2.dim)
    return operation(x, y).reshape(in1.dim, in2.dim, -1)


def project(
    dense: Float[Tensor, "dim1 dim2 dim3"],
    in1: Irreps,
    in2: Irreps,
    out: Irreps,
    *,
    group: str = "O(3)",
    layout: str = "mul_ir",
) -> tuple[Tensor, Tensor, Tensor]:
    """Return a dense map's couplings: copies joined ``(number, 3)``, constants ``(number,)`` and the largest rest.

    Differentiable in ``dense``.

    Raises:
        ShapeError: if ``dense`` does not fit the irreps.
    """
    # the axis that is split into (component, channel) comes last: first x, then y, then z
    blocks = [
        split_blocks(block.permute(2, 3, 1, 0), in2, layout)
        for block in split_blocks(dense.permute(1, 2, 0), in1, layout)
    ]
    places, constants, rests = [], [], []
    start1 = [sum(entry.mul for entry in in1[:i]) for i in range(len(in1))]
    start2 = [sum(entry.mul for entry in in2[:i]) for i in range(len(in2))]
    start3 = [sum(entry.mul for entry in out[:i]) for i in range(len(out))]
    for i, (mul1, ir1) in enumerate(in1):
        for j, (mul2, ir2) in enumerate(in2):
            parts = split_blocks(blocks[i][j].permute(0, 1, 3, 4, 2), out, layout)
            for k, (mul3, ir3) in enumerate(out):
                part = parts[k]  # (component1, channel1, component2, channel2, component3, channel3)
                if _couples(ir1, ir2, ir3, group):
                    table = wigner_3j(ir1.l, ir2.l, ir3.l, dtype=torch.float64)
                    found = torch.einsum("iujvkw,ijk->uvw", part, table)
                    copies = torch.cartesian_prod(torch.arange(mul1), torch.arange(mul2), torch.arange(mul3))
                    places.append(copies.reshape(-1, 3) + torch.tensor([start1[i], start2[j], start3[k]]))
                    constants.append(found.reshape(-1))
                    part = part - torch.einsum("uvw,ijk->iujvkw", found, table)
                if part.numel():
                    rests.append(part.detach().abs().max())
    empty = dense.new_zeros(0)
    return (
        torch.cat(places) if places else torch.zeros(0, 3, dtype=torch.int64),
        torch.cat(constants) if constants else empty,
        torch.stack(rests).max() if rests else empty.sum(),
    )


def _couples(a: Irrep, b: Irrep, c: Irrep, group: str) -> bool:
    return abs(a.l - b.l) <= c.l <= a.l + b.l and (group == "SO(3)" or a.p * b.p == c.p)


def _copies(irreps: Irreps, group: str) -> tuple[Irrep, ...]:
    return tuple(ir for mul, ir in fold(irreps, group) for _ in range(mul))


def _check_bilinear(operation: Bilinear, dense: Tensor, in1: Irreps, in2: Irreps, tolerance: float) -> None:
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(5, in1.dim, generator=rng, dtype=torch.float64)
    y = torch.randn(5, in2.dim, generator=rng, dtype=torch.float64)
    expected = torch.einsum("zi,zj,ijk->zk", x, y, dense)
    error = float((operation(x, y) - expected).abs().max()) if expected.numel() else 0.0
    size = float(dense.abs().max()) * max(float(x.abs().sum(-1).max() * y.abs().sum(-1).max()), 1.0)
    if error > tolerance * max(size, 1e-300):
        kind = "a module with a bias, a nonlinearity or dropout" if isinstance(operation, nn.Module) else "it"
        raise SymmetryError(
            "the operation is not bilinear: its values on a basis do not give its other values",
            got=f"difference of {error:.2g}",
            expected="z linear in x and linear in y",
            fix=f"{kind} cannot be counted in couplings; pass the bilinear part alone",
        )
