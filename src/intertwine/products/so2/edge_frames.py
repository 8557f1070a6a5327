"""Edge frames: the rotation that turns an edge onto the polar axis, and features seen in that frame.

R is a rotation with ``R r / |r| = e_y``; in its frame the harmonics of the edge have no component but m = 0. The turn
gamma about the axis is arbitrary, and what is built from a frame must not depend on it. R is the smallest turn onto
the nearer pole (then half a turn onto e_y): a rational function of the vector in each of the two charts, so that
derivatives of any order are finite everywhere, on the poles and where the charts meet.
"""

from collections.abc import Sequence
from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.errors import RepresentationError, ShapeError
from intertwine.representations import Irreps, wigner_3j
from intertwine.representations.layout import check_layout, join_blocks, split_blocks
from intertwine.representations.so2 import SO2Irreps, SO2IrrepsTensor
from intertwine.representations.tables import TableModule

__all__ = ["EdgeFrame", "EdgeFrameMap", "EdgeFrames", "edge_rotation"]


class EdgeFrame(NamedTuple):
    """The frames of a batch of edges.

    Args:
        matrices: for each degree l from 0, the Wigner matrices of the rotations, ``(edges, 2l + 1, 2l + 1)``.
        present: 1 for edges with a direction, 0 for vectors of length zero, ``(edges,)``.
    """

    matrices: tuple[Tensor, ...]
    present: Tensor


def edge_rotation(
    vectors: Float[Tensor, "*batch 3"], gamma: Float[Tensor, "*batch"] | None = None
) -> Float[Tensor, "*batch 3 3"]:
    """Return rotations R with ``R r = |r| e_y``; the zero vector has the identity and zero gradient.

    Args:
        vectors: Cartesian (x, y, z), of any length.
        gamma: further turn about the y axis in radians, none if None.

    Raises:
        ShapeError: if the last axis is not of length 3.

    Example:
        >>> (edge_rotation(torch.tensor([0.0, 0.0, 2.0])) @ torch.tensor([0.0, 0.0, 2.0])).tolist()
        [0.0, 2.0, 0.0]
    """
    if vectors.shape[-1:] != (3,):
        raise ShapeError("an edge frame needs vectors", got=tuple(vectors.shape), expected="(..., 3)")
    square = vectors.square().sum(-1, keepdim=True)
    is_zero = square == 0
    # The inner `where` keeps the square root away from zero, so that its infinite slope never meets a zero.
    length = torch.where(is_zero, torch.ones_like(square), square).sqrt()
    x, y, z = torch.where(is_zero, torch.zeros_like(vectors), vectors / length).unbind(-1)
    y = y + is_zero.squeeze(-1).to(y.dtype)
    one = torch.ones_like(y)
    # The nearer pole: its sign is constant within a chart, and 1 + |y| is never small.
    side = torch.where(y < 0, -one, one)
    inverse = 1 / (one + side * y)
    rows = [
        torch.stack([one - x * x * inverse, -side * x, -x * z * inverse], dim=-1),
        torch.stack([x, y, z], dim=-1),
        torch.stack([-side * x * z * inverse, -z, side * (one - z * z * inverse)], dim=-1),
    ]
    if gamma is not None:
        cos, sin = gamma.cos().unsqueeze(-1), gamma.sin().unsqueeze(-1)
        rows = [cos * rows[0] + sin * rows[2], rows[1], cos * rows[2] - sin * rows[0]]
    return torch.stack(rows, dim=-2)


class EdgeFrames(TableModule):
    """Frames of edges, with the Wigner matrices of all degrees up to ``lmax``.

    The matrices are those of `wigner_D_upto`, by the same recursion; the tables are buffers, so that it compiles,
    exports and moves to a device. Compute it once and hand it to every layer.

    Args:
        lmax: largest degree.

    Example:
        >>> frame = EdgeFrames(2)(torch.tensor([[0.0, 1.0, 0.0]]))
        >>> [tuple(matrix.shape) for matrix in frame.matrices]
        [(1, 1, 1), (1, 3, 3), (1, 5, 5)]
    """

    def __init__(self, lmax: int) -> None:
        super().__init__()
        if lmax < 0:
            raise RepresentationError("a degree cannot be negative", got=lmax)
        self.lmax = lmax
        for degree in range(1, lmax):
            lift = wigner_3j(degree, 1, degree + 1, dtype=torch.float64) * (2 * degree + 3) ** 0.5
            self.add_table(f"lift_{degree}", lift)

    def forward(self, vectors: Float[Tensor, "edges 3"], gamma: Float[Tensor, " edges"] | None = None) -> EdgeFrame:
        """Return the frames of the vectors; ``gamma`` as for `edge_rotation`.

        Raises:
            ShapeError: if the last axis is not of length 3.
        """
        rotation = edge_rotation(vectors, gamma)
        matrices = [torch.ones_like(rotation[..., :1, :1]), rotation]
        for degree in range(1, self.lmax):
            lift = getattr(self, f"lift_{degree}")
            half = (matrices[-1] @ lift.flatten(1)).unflatten(-1, lift.shape[1:])  # (a, j, n)
            half = torch.einsum("...ajn,...ij->...ain", half, rotation)
            matrices.append(lift.flatten(0, 1).mT @ half.flatten(-3, -2))
        present = (vectors != 0).any(-1).to(vectors.dtype)
        return EdgeFrame(tuple(matrices[: self.lmax + 1]), present)


@final
class EdgeFrameMap:
    """Moves features into edge frames, sorted by m, and back.

    In a frame, features are irreps of the turns about the edge: frequency m holds, for every entry with l >= m and
    every channel, the pair of components (+m, -m), first all of +m, then all of -m (layout ``ir_mul`` of `SO2Irreps`).
    The way back is the transpose: without truncation, the inverse.

    Args:
        irreps: irreps of the features; parities are kept by no turn and play no part.
        mmax: largest m that is kept; all of them if None.
        layout: memory layout of the features outside the frame.

    Raises:
        RepresentationError: if ``mmax`` is negative.

    Example:
        >>> EdgeFrameMap("8x0e + 8x1o + 8x2e", mmax=1).so2_irreps
        SO2Irreps('24x0 + 16x1')
    """

    def __init__(self, irreps: "str | Irreps", mmax: int | None = None, layout: str = "mul_ir") -> None:
        self.irreps, self.layout = Irreps(irreps), check_layout(layout)
        if mmax is not None and mmax < 0:
            raise RepresentationError("a frame keeps the components |m| <= mmax", got=mmax, expected=">= 0")
        self.mmax = self.irreps.lmax if mmax is None else min(mmax, self.irreps.lmax)
        self.members = [
            [place for place, entry in enumerate(self.irreps) if entry.ir.l >= m] for m in range(self.mmax + 1)
        ]
        self.so2_irreps = SO2Irreps(
            [(sum(self.irreps[place].mul for place in found), m) for m, found in enumerate(self.members)]
        )

    @property
    def representation(self) -> SO2IrrepsTensor:
        """How features in a frame answer to a turn about the edge."""
        return SO2IrrepsTensor(self.so2_irreps, "ir_mul")

    def into(self, x: Float[Tensor, "edges dim"], frame: EdgeFrame) -> Float[Tensor, "edges dim_so2"]:
        """Return the features of each edge, seen in its frame.

        Raises:
            ShapeError: if the features do not fit the irreps.
            RepresentationError: if the frame has too few degrees.
        """
        self._check(frame)
        rows = []
        for entry, block in zip(self.irreps, split_blocks(x, self.irreps, self.layout), strict=True):
            rows.append((self._kept(frame, entry.ir.l) @ block).unbind(-2))
        parts = []
        for m, found in enumerate(self.members):
            for sign in (1, -1) if m else (1,):
                parts += [rows[place][len(rows[place]) // 2 + sign * m] for place in found]
        return torch.cat(parts, dim=-1)

    def out_of(self, z: Float[Tensor, "edges dim_so2"], frame: EdgeFrame) -> Float[Tensor, "edges dim"]:
        """Return features outside the frames; components with |m| > mmax were not kept and count as zero.

        Raises:
            ShapeError: if the features do not fit.
            RepresentationError: if the frame has too few degrees.
        """
        self._check(frame)
        if z.shape[-1] != self.so2_irreps.dim:
            raise ShapeError(
                "features in an edge frame do not fit their irreps",
                got=tuple(z.shape),
                expected=f"(..., {self.so2_irreps.dim}) for {self.so2_irreps}",
            )
        order = [
            (place, sign * m)
            for m, found in enumerate(self.members)
            for sign in ((1, -1) if m else (1,))
            for place in found
        ]
        parts = dict(zip(order, z.split([self.irreps[place].mul for place, _ in order], dim=-1), strict=True))
        blocks = []
        for place, entry in enumerate(self.irreps):
            reach = min(entry.ir.l, self.mmax)
            rows = torch.stack([parts[place, m] for m in range(-reach, reach + 1)], dim=-2)
            blocks.append(self._kept(frame, entry.ir.l).mT @ rows)
        return join_blocks(blocks, self.layout)

    def _kept(self, frame: EdgeFrame, degree: int) -> Tensor:
        return kept_rows(frame.matrices, degree, self.mmax)

    def _check(self, frame: EdgeFrame) -> None:
        check_degrees(frame, self.irreps.lmax)


def kept_rows(matrices: Sequence[Tensor], degree: int, mmax: int) -> Tensor:
    """Return the rows |m| <= mmax of the Wigner matrices of one degree."""
    reach = min(degree, mmax)
    matrix = matrices[degree]
    return matrix if reach == degree else matrix.narrow(-2, degree - reach, 2 * reach + 1)


def check_degrees(frame: EdgeFrame, lmax: int) -> None:
    """Raise a RepresentationError unless the frames have matrices up to ``lmax``."""
    if len(frame.matrices) <= lmax:
        raise RepresentationError(
            "edge frames without Wigner matrices of the degrees needed",
            got=f"degrees up to {len(frame.matrices) - 1}",
            expected=f"up to {lmax}",
            fix=f"make the frames with EdgeFrames({lmax})",
        )
