"""How many independent equivariant bilinear maps an operation gives, and which irreps it lets interact.

Expressivity of T for spaces X, Y, Z: the dimension of the set of all Lin_Z o T o (Lin_X, Lin_Y) while the three
equivariant linear maps vary. It is the rank of the Jacobian of the couplings by the weights of those maps, at random
weights, and works for any bilinear operation. k operations side by side have the rank of their Jacobians side by side.
(Xie, Daigavane, Kotak, Smidt, "The Price of Freedom", ICML 2025.)
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.errors import RepresentationError
from intertwine.products.product import Product
from intertwine.products.survey.couplings import (
    Bilinear,
    Couplings,
    Triple,
    allowed_triples,
    couplings_of,
    dense_map,
    fold,
    project,
)
from intertwine.representations import Irrep, Irreps

__all__ = ["Expressivity", "expressivity", "layer_expressivity"]

_RANK_THRESHOLD = 1e-9
"""Singular values below this part of the largest count as zero."""


@dataclass(frozen=True)
class Expressivity:
    """What an operation can express between three spaces.

    Args:
        rank: the dimension of the set of maps that it gives.
        weights: how many weights were varied.
        paths: the dimension of the set of all equivariant bilinear maps, sum of mul1 mul2 mul3 over allowed couplings.
        interactable: the triples of irreps that couple for some weights.
        lost: the triples that the group allows and the operation does not couple.
        group: the group whose irreps were told apart.
        tied: how many degrees of freedom are missing although their couplings interact.
    """

    rank: int
    weights: int
    paths: int
    interactable: tuple[Triple, ...]
    lost: tuple[Triple, ...]
    group: str = "O(3)"
    tied: int = 0

    @property
    def complete(self) -> bool:
        """Whether every equivariant bilinear map can be had."""
        return self.rank == self.paths


def expressivity(
    operation: "Product | Bilinear | str",
    irreps_in1: "str | Irreps | None" = None,
    irreps_in2: "str | Irreps | None" = None,
    irreps_out: "str | Irreps | None" = None,
    *,
    inner: "tuple[str | Irreps, str | Irreps, str | Irreps] | None" = None,
    copies: int = 1,
    group: str | None = None,
    layout: str = "mul_ir",
    tolerance: float = 1e-8,
    draws: int = 3,
    rng: torch.Generator | None = None,
) -> Expressivity:
    """Return the expressivity of a fixed bilinear operation between the spaces X, Y and Z.

    Args:
        operation: a `Product`, the name of one, or any bilinear callable.
        irreps_in1, irreps_in2, irreps_out: X, Y and Z, multiplicities included. A `Product` takes each of its own
            irreps once where they are not given; a callable needs them.
        inner: the irreps that a callable itself takes and gives, where they differ from X, Y and Z.
        copies: how many operations stand side by side, each with linear maps of its own.
        group: ``O(3)`` or ``SO(3)``, which does not tell parities apart; the product's own, else ``O(3)``.
        layout: memory layout of a callable's features.
        tolerance: relative part of a callable that may lie outside of the couplings.
        draws: how often weights are drawn; the largest rank counts.
        rng: generator of the weights (default: a new one with seed 0).

    Raises:
        RepresentationError: if irreps are missing.
        SymmetryError: if a callable is not bilinear or not equivariant.

    Example:
        >>> from intertwine.products.clebsch_gordan_products import ClebschGordanDense
        >>> expressivity(ClebschGordanDense("0e + 1o", "0e + 1o")).rank
        6
    """
    given = (irreps_in1, irreps_in2, irreps_out)
    if isinstance(operation, str):
        # the registry knows the subject of this module, not its use
        from intertwine.products.survey.registry import make_product

        if irreps_in1 is None or irreps_in2 is None:
            raise RepresentationError("a product by its name needs the irreps of its inputs", got=given)
        operation = make_product(operation, irreps_in1, irreps_in2, irreps_out)
    if isinstance(operation, Product):
        group = group or operation.group_name
        own = (operation.irreps_in1, operation.irreps_in2, operation.irreps_out)
        spaces = [
            _distinct(fold(mine, group)) if value is None else fold(value, group)
            for value, mine in zip(given, own, strict=True)
        ]
        found = couplings_of(operation, group=group)
    else:
        group = group or "O(3)"
        if any(value is None for value in given):
            raise RepresentationError(
                "a callable does not say its irreps",
                got=given,
                expected="irreps_in1, irreps_in2 and irreps_out, multiplicities included",
            )
        spaces = [fold(Irreps(value), group) for value in given if value is not None]
        found = couplings_of(operation, inner or spaces, group=group, layout=layout, tolerance=tolerance)
    multiplicities = [_multiplicities(space) for space in spaces]
    rng = torch.Generator().manual_seed(0) if rng is None else rng
    rank, weights = 0, 0
    for _ in range(draws):
        jacobian = torch.cat([_jacobian(found, multiplicities, rng) for _ in range(copies)], dim=1)
        rank, weights = max(rank, _rank(jacobian)), jacobian.shape[1]
        if rank == min(jacobian.shape):
            break
    return _result(rank, weights, found.triples(), spaces, group)


def layer_expressivity(
    layer: nn.Module,
    irreps_in1: "str | Irreps",
    irreps_in2: "str | Irreps",
    irreps_out: "str | Irreps",
    *,
    group: str = "O(3)",
    layout: str = "mul_ir",
    draws: int = 3,
    rng: torch.Generator | None = None,
) -> Expressivity:
    """Return the expressivity of a bilinear layer that has weights of its own: the rank by its parameters.

    Args:
        layer: ``z = layer(x, y)``, bilinear for fixed parameters; a copy of it is used, in float64.
        irreps_in1, irreps_in2, irreps_out: irreps of its features, multiplicities included.
        group: ``O(3)`` or ``SO(3)``.
        layout: memory layout of its features.
        draws: how often the parameters are drawn, standard normal; the largest rank counts.
        rng: generator of the parameters (default: a new one with seed 0).

    Raises:
        SymmetryError: if the layer is not bilinear or not equivariant.
    """
    layer = deepcopy(layer).double().eval()
    in1, in2, out = Irreps(irreps_in1), Irreps(irreps_in2), Irreps(irreps_out)
    rng = torch.Generator().manual_seed(0) if rng is None else rng
    parameters = [parameter for parameter in layer.parameters() if parameter.requires_grad]
    rank, triples = 0, set()
    for _ in range(draws):
        with torch.no_grad():
            for parameter in parameters:
                parameter.copy_(torch.randn(parameter.shape, generator=rng, dtype=torch.float64))
            found = couplings_of(layer, (in1, in2, out), group=group, layout=layout)
        triples |= set(found.triples())
        if parameters:
            with torch.enable_grad():
                constants = project(dense_map(layer, in1, in2), in1, in2, out, group=group, layout=layout)[1]
            rank = max(rank, _rank(_rows(constants, parameters)))
    spaces = [fold(irreps, group) for irreps in (in1, in2, out)]
    return _result(rank, sum(parameter.numel() for parameter in parameters), sorted(triples), spaces, group)


def _result(rank: int, weights: int, triples: list[Triple], spaces: list[Irreps], group: str) -> Expressivity:
    allowed = allowed_triples(spaces[0], spaces[1], spaces[2], group)
    counts = [_multiplicities(space) for space in spaces]
    freedom = {(a, b, c): counts[0][a] * counts[1][b] * counts[2][c] for a, b, c in allowed}
    met = set(triples)
    interactable = tuple(triple for triple in allowed if triple in met)
    lost = tuple(triple for triple in allowed if triple not in met)
    tied = sum(freedom[triple] for triple in interactable) - rank
    return Expressivity(rank, weights, sum(freedom.values()), interactable, lost, group, tied)


def _jacobian(
    couplings: Couplings, multiplicities: list[dict[Irrep, int]], rng: torch.Generator
) -> Float[Tensor, "couplings weights"]:
    """Derivative of the couplings between copies u, v, w of X, Y and Z by the weights of random linear maps.

    c[u, v, w] = sum over rows of  constant * W1[a, u] W2[b, v] W3[c, w], where a, b, c are the copies inside; so a row
    adds  constant * W2[b, v] W3[c, w]  to the derivative by W1[a, u], for every u, and likewise for the others.
    """
    sides = (couplings.copies1, couplings.copies2, couplings.copies3)
    counts = [[count.get(ir, 0) for ir in side] for side, count in zip(sides, multiplicities, strict=True)]
    weights = [[torch.randn(n, generator=rng, dtype=torch.float64).numpy() for n in side] for side in counts]
    columns, width = [], 0  # of the first weight of every copy
    for side in counts:
        columns.append([width + sum(side[:place]) for place in range(len(side))])
        width += sum(side)
    blocks: dict[Triple, np.ndarray] = {}
    for row, constant in zip(couplings.places.tolist(), couplings.constants.tolist(), strict=True):
        number = [counts[side][place] for side, place in enumerate(row)]
        factors = [weights[side][place] for side, place in enumerate(row)]
        triple = (sides[0][row[0]], sides[1][row[1]], sides[2][row[2]])
        block = blocks.get(triple)
        if block is None:
            block = blocks[triple] = np.zeros((*number, width))
        for side, place in enumerate(row):
            left, right = (factors[other] for other in range(3) if other != side)
            change = constant * np.outer(left, right)
            by_copy = np.moveaxis(block, side, 0)  # a view; the other two axes keep their order
            for copy in range(number[side]):
                by_copy[copy, :, :, columns[side][place] + copy] += change
    rows = [block.reshape(-1, width) for block in blocks.values()]
    return torch.from_numpy(np.concatenate(rows)) if rows else torch.zeros(0, width, dtype=torch.float64)


def _rows(values: Tensor, parameters: Sequence[Tensor]) -> Float[Tensor, "values weights"]:
    if not values.requires_grad:
        return values.new_zeros(len(values), sum(parameter.numel() for parameter in parameters))
    rows = []
    for value in values:
        gradients = torch.autograd.grad(value, parameters, retain_graph=True, materialize_grads=True)
        rows.append(torch.cat([gradient.reshape(-1) for gradient in gradients]))
    return torch.stack(rows) if rows else values.new_zeros(0, 0)


def _rank(jacobian: Tensor) -> int:
    if not jacobian.numel():
        return 0
    values = torch.linalg.svdvals(jacobian)
    return int((values > _RANK_THRESHOLD * values.max()).sum()) if float(values.max()) > 0 else 0


def _multiplicities(irreps: Irreps) -> dict[Irrep, int]:
    counts: dict[Irrep, int] = {}
    for mul, ir in irreps:
        counts[ir] = counts.get(ir, 0) + mul
    return counts


def _distinct(irreps: Irreps) -> Irreps:
    return Irreps(sorted({ir for _, ir in irreps}))
