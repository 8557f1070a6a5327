"""Signatures of the nodes of a graph, from the projectors of its Laplacian: what a frame of a graph sorts by.

The Laplacian is ``L = D - A`` with ``D`` the row sums. Equal eigenvalues are grouped, and each group has one orthogonal
projector P, whatever basis the solver returns. Column j of the signature is ``diag(P_j)``, eigenvalues ascending. It
moves with the nodes: permuting the graph permutes the rows.

Source: Puny et al., Frame Averaging for Invariant and Equivariant Network Design, ICLR 2022, section 3.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from intertwine.errors import DataError, NumericsError, ShapeError

__all__ = ["Signatures", "check_graphs", "cluster_rows", "laplacian_signatures"]

EIGENVALUE_TOLERANCE, ROW_TOLERANCE = 1e-8, 1e-6
"""Eigenvalues this near to each other, relative to the largest, are equal; entries of signatures, in absolute terms."""
_SAFETY = 10.0
"""A difference that is nearer to its tolerance than this times its rounding error could be either."""


@dataclass(frozen=True)
class Signatures:
    """Signatures of a batch of graphs.

    Args:
        columns: one row for each node; columns beyond the different eigenvalues of a graph are zero.
        eigenvalues: of the Laplacians, ascending; infinite beyond the nodes of a graph.
        noise: rounding error of the entries of each column, which grows where eigenvalues come close.
        distinct: how many different eigenvalues each graph has.
        clear: whether rounding leaves no doubt which eigenvalues are equal.
    """

    columns: Float[Tensor, "graphs nodes columns"]
    eigenvalues: Float[Tensor, "graphs nodes"]
    noise: Float[Tensor, "graphs columns"]
    distinct: Int64[Tensor, " graphs"]
    clear: Bool[Tensor, " graphs"]


def laplacian_signatures(
    adjacency: Float[Tensor, "graphs nodes nodes"],
    mask: Bool[Tensor, "graphs nodes"] | None = None,
    tolerance: float = EIGENVALUE_TOLERANCE,
) -> Signatures:
    """Return the signatures of graphs, computed in float64.

    Graphs may have weights, isolated nodes and several components; edges from a node to itself cancel in the Laplacian.

    Args:
        adjacency: symmetric matrices; entries outside of the mask must be zero.
        mask: which entries are nodes; all where not given.
        tolerance: of equal eigenvalues, relative to the largest.

    Raises:
        ShapeError: if these are not square matrices, or the mask does not fit.
        DataError: if a matrix is not symmetric.
        NumericsError: if a weight is not finite.
    """
    mask = check_graphs(adjacency, mask)
    matrices = adjacency.detach().double()
    graphs, nodes = mask.shape
    if nodes == 0:
        empty = matrices.new_zeros(graphs, 0)
        return Signatures(empty.unsqueeze(-1)[..., :0], empty, empty, mask.sum(-1), mask.new_ones(graphs))
    laplacian = torch.diag_embed(matrices.sum(-1)) - matrices
    # entries without a node get an eigenvalue of their own, above all others (Gershgorin)
    beyond = 2 * matrices.abs().sum(-1).amax(-1, keepdim=True) + 1
    laplacian = laplacian + torch.diag_embed((~mask) * beyond)
    values, vectors = torch.linalg.eigh(laplacian)
    real = torch.arange(nodes, device=mask.device) < mask.sum(-1, keepdim=True)
    largest = values.abs().where(real, 0).amax(-1, keepdim=True)
    gaps, limit = values.diff(dim=-1), tolerance * largest
    starts = torch.zeros_like(real)
    starts[:, 1:] = (gaps > limit) & real[:, 1:]
    group = starts.cumsum(-1)
    squares = vectors.square() * real.unsqueeze(1)
    columns = torch.zeros_like(squares).scatter_add(2, group.unsqueeze(1).expand_as(squares), squares)
    rounding = nodes * torch.finfo(values.dtype).eps * largest
    doubtful = ((gaps - limit).abs() <= _SAFETY * rounding) & (largest > 0) & real[:, 1:]
    distinct = (group[:, -1] + 1) * mask.any(-1)
    # a projector moves by about the rounding error over the distance to the nearest other eigenvalue
    apart = gaps.where(starts[:, 1:].bool(), torch.inf)
    apart = torch.minimum(
        torch.nn.functional.pad(apart, (1, 0), value=torch.inf), torch.nn.functional.pad(apart, (0, 1), value=torch.inf)
    )
    nearest = torch.full_like(values, torch.inf).scatter_reduce(1, group, apart, "amin")
    width = int(distinct.max()) if graphs else 0
    noise = (rounding / nearest).nan_to_num(0.0)
    return Signatures(
        columns[..., :width], values.where(real, torch.inf), noise[:, :width], distinct, ~doubtful.any(-1)
    )


def cluster_rows(
    columns: Float[Tensor, "graphs nodes columns"],
    mask: Bool[Tensor, "graphs nodes"],
    tolerance: float = ROW_TOLERANCE,
    noise: Float[Tensor, "graphs columns"] | None = None,
) -> tuple[Int64[Tensor, "graphs nodes"], Bool[Tensor, " graphs"]]:
    """Return the rank of each row in lexicographic order, equal rows having one, and whether rounding leaves no doubt.

    Entries are never rounded: those of a column are sorted, and a new cluster begins where the next is larger by more
    than ``tolerance``. Rounding would split equal rows wherever their entry is at a boundary of it.

    Args:
        columns: rows to sort, the first column counting most.
        mask: which rows there are; others get ranks after them.
        tolerance: up to which neighbouring entries of a column are equal.
        noise: error of the entries of each column; none where not given.
    """
    graphs, nodes, width = columns.shape
    values, order = columns.masked_fill(~mask.unsqueeze(-1), torch.inf).sort(dim=1)
    gaps = values.diff(dim=1).nan_to_num(0.0, posinf=torch.inf)
    starts = torch.zeros_like(order)
    starts[:, 1:] = gaps > tolerance
    entries = torch.empty_like(order).scatter_(1, order, starts.cumsum(1))
    rows = torch.arange(nodes, device=columns.device).expand(graphs, nodes)
    for column in reversed(range(width)):
        key = entries[:, :, column].gather(1, rows)
        rows = rows.gather(1, key.argsort(dim=1, stable=True))
    rows = rows.gather(1, (~mask).gather(1, rows).to(torch.uint8).argsort(dim=1, stable=True))
    ordered = entries.gather(1, rows.unsqueeze(-1).expand_as(entries))
    differs = torch.zeros_like(rows)
    differs[:, 1:] = (ordered.diff(dim=1) != 0).any(-1)
    ranks = torch.empty_like(rows).scatter_(1, rows, differs.cumsum(1))
    if noise is None:
        return ranks, mask.new_ones(graphs)
    doubtful = (gaps - tolerance).abs() <= _SAFETY * noise.unsqueeze(1)
    return ranks, ~(doubtful & (noise > 0).unsqueeze(1)).flatten(1).any(-1)


def check_graphs(
    adjacency: Tensor, mask: Tensor | None, features: Tensor | None = None
) -> Bool[Tensor, "graphs nodes"]:
    """Return the mask of a batch of graphs, and raise if they are not symmetric matrices of finite numbers."""
    if adjacency.ndim != 3 or adjacency.shape[1] != adjacency.shape[2]:
        raise ShapeError("graphs are square matrices", got=tuple(adjacency.shape), expected="(graphs, nodes, nodes)")
    graphs, nodes, _ = adjacency.shape
    if mask is None:
        mask = torch.ones(graphs, nodes, dtype=torch.bool, device=adjacency.device)
    fits = features is None or (features.ndim == 3 and features.shape[:2] == (graphs, nodes))
    if mask.shape != (graphs, nodes) or mask.dtype != torch.bool or not fits:
        raise ShapeError(
            "the parts of a batch of graphs do not fit together",
            got={
                "adjacency": tuple(adjacency.shape),
                "mask": f"{mask.dtype} {tuple(mask.shape)}",
                "features": None if features is None else tuple(features.shape),
            },
            expected=f"a bool mask ({graphs}, {nodes}), and features ({graphs}, {nodes}, channels)",
        )
    for what, values in (("weight of an edge", adjacency), ("feature of a node", features)):
        if values is not None and not bool(values.isfinite().all()):
            broken = (~values.isfinite()).flatten(1).any(-1).nonzero().flatten()
            raise NumericsError(
                f"a {what} is not a finite number",
                got={"graphs": broken.tolist()[:8]},
                expected="finite numbers",
                fix="leave these graphs out, or correct their data",
            )
    if not torch.equal(adjacency, adjacency.mT):
        broken = (adjacency != adjacency.mT).flatten(1).any(-1).nonzero().flatten()
        raise DataError(
            "a matrix is not symmetric: the graph is directed",
            got={"graphs": broken.tolist()[:8]},
            expected="adjacency[i, j] == adjacency[j, i]",
            fix="use (A + A^T) / 2, or the larger of both, if directions do not matter",
        )
    outside = (adjacency != 0) & ~(mask.unsqueeze(1) & mask.unsqueeze(2))
    if bool(outside.any()):
        raise DataError(
            "an edge ends outside of the mask",
            got={"graphs": outside.flatten(1).any(-1).nonzero().flatten().tolist()[:8]},
            expected="zeros in rows and columns without a node",
        )
    return mask
