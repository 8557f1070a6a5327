"""The dense SO(2) layer of eSCN and EquiformerV2: for each m, one linear map over all degrees l >= m and channels.

For m > 0 two real matrices act on the pair of components (+m, -m) as one complex number would:
``out_{+m} = W_r x_{+m} - W_i x_{-m}``, ``out_{-m} = W_i x_{+m} + W_r x_{-m}``. For m = 0 there is one matrix, and a
bias. Every such map is a convolution with an edge over all Clebsch-Gordan paths, even and odd; so parity is not kept.
(Passaro and Zitnick, ICML 2023; Liao, Wood, Das, Smidt, ICLR 2024.)
"""

from math import sqrt
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.errors import RepresentationError, ShapeError
from intertwine.groups import SO
from intertwine.products.so2.edge_frames import EdgeFrame, EdgeFrameMap, EdgeFrames
from intertwine.products.so2.paths import paths_from_so2
from intertwine.representations import Irreps
from intertwine.representations.actions import IrrepsTensor, Vector
from intertwine.representations.so2 import SO2Irreps, SO2IrrepsTensor
from intertwine.symmetry import Symmetry

__all__ = ["SO2Linear", "SO2LinearConvolution"]


@final
class SO2Linear(nn.Module):
    """A linear map of features in an edge frame that commutes with turns about the edge.

    Features are in the order of `EdgeFrameMap`: for each m, all entries with l >= m, channel fast, first +m, then -m.
    Weights are standard normal and divided at use by the square root of the incoming channels, for m > 0 also by
    sqrt(2), so that unit variance stays unit variance. Outputs with m beyond the input's are zero.

    Args:
        irreps_in, irreps_out: irreps of the features outside the frame (parities play no part).
        mmax: largest m that is kept in input and output; all if None.
        extra: number of further invariant outputs, written from m = 0 alongside (gates, attention logits).
        bias: whether m = 0 has a bias, zero at first.
        rng: generator of the initial weights.

    Example:
        >>> layer = SO2Linear("8x0e + 8x1o", "4x0e + 4x1o", mmax=1)
        >>> layer.so2_irreps_in, layer.so2_irreps_out, layer.factor_numel
        (SO2Irreps('16x0 + 8x1'), SO2Irreps('8x0 + 4x1'), 24)
    """

    def __init__(
        self,
        irreps_in: "str | Irreps",
        irreps_out: "str | Irreps",
        mmax: int | None = None,
        extra: int = 0,
        bias: bool = True,
        rng: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.map_in, self.map_out = EdgeFrameMap(irreps_in, mmax), EdgeFrameMap(irreps_out, mmax)
        self.irreps_in, self.irreps_out = self.map_in.irreps, self.map_out.irreps
        self.so2_irreps_in, self.so2_irreps_out = self.map_in.so2_irreps, self.map_out.so2_irreps
        if extra < 0:
            raise RepresentationError("a layer cannot have fewer than no extra outputs", got=extra)
        self.extra = extra
        self._in = [entry.mul for entry in self.so2_irreps_in]
        self._out = [entry.mul for entry in self.so2_irreps_out]
        self.factor_numel = sum(self._in)
        """Length of the factors that `forward` takes: one for each m, entry with l >= m, and channel of the input."""
        self.weight_0 = nn.Parameter(torch.randn(self._in[0], self._out[0] + extra, generator=rng))
        self.bias = nn.Parameter(torch.zeros(self._out[0] + extra)) if bias else None
        self._shared = min(len(self._in), len(self._out))
        for m in range(1, self._shared):
            weight = torch.randn(self._in[m], 2 * self._out[m], generator=rng)
            self.register_parameter(f"weight_{m}", nn.Parameter(weight))

    @property
    def symmetry(self) -> Symmetry:
        """SO(2), the turns about the edge, acts on input and output by their frequencies; factors are invariant."""
        out = SO2Irreps([(self.extra, 0)]) + self.so2_irreps_out if self.extra else self.so2_irreps_out
        return Symmetry(
            SO(2),
            inputs={"x": SO2IrrepsTensor(self.so2_irreps_in, "ir_mul")},
            output=SO2IrrepsTensor(out, "ir_mul"),
        )

    def forward(
        self, x: Float[Tensor, "edges dim_in"], factors: Float[Tensor, "edges factors"] | None = None
    ) -> Float[Tensor, "edges dim_out"]:
        """Return the mixed features; with ``extra`` outputs, these come first on the feature axis.

        Args:
            x: features in the frame.
            factors: multiply the inputs first (a radial network), the same for +m and -m.

        Raises:
            ShapeError: if features or factors do not fit.
        """
        expected = (*x.shape[:-1], self.factor_numel)
        if x.shape[-1] != self.so2_irreps_in.dim or (factors is not None and factors.shape != expected):
            raise ShapeError(
                "a linear map in an edge frame got features or factors that do not fit",
                got={"x": tuple(x.shape), "factors": None if factors is None else tuple(factors.shape)},
                expected=f"(..., {self.so2_irreps_in.dim}) for {self.so2_irreps_in}, (..., {self.factor_numel})",
            )
        parts = list(x.split([entry.dim for entry in self.so2_irreps_in], dim=-1))
        scales = [None] * len(parts) if factors is None else list(factors.split(self._in, dim=-1))
        invariant = parts[0] if scales[0] is None else parts[0] * scales[0]
        outputs = [invariant @ (self.weight_0 * self._in[0] ** -0.5)]
        if self.bias is not None:
            outputs[0] = outputs[0] + self.bias
        if self.extra:  # further invariants first
            main, more = outputs[0].split([self._out[0], self.extra], dim=-1)
            outputs = [more, main]
        for m in range(1, len(self._out)):
            if m >= self._shared:
                outputs.append(x.new_zeros(*x.shape[:-1], 2 * self._out[m]))
                continue
            pair, scale = parts[m].unflatten(-1, (2, self._in[m])), scales[m]
            if scale is not None:
                pair = pair * scale.unsqueeze(-2)
            mixed = pair @ (getattr(self, f"weight_{m}") * (2 * self._in[m]) ** -0.5)
            (real_plus, imaginary_plus), (real_minus, imaginary_minus) = (
                row.split(self._out[m], dim=-1) for row in mixed.unbind(-2)
            )
            outputs += [real_plus - imaginary_minus, imaginary_plus + real_minus]
        return torch.cat(outputs, dim=-1)

    def path_weights(
        self, entry_in: int, entry_out: int, normalization: str = "component"
    ) -> Float[Tensor, "paths channels_in channels_out"]:
        """Return the layer, between two entries, as weights of Clebsch-Gordan paths: to inspect a trained layer.

        The path of filter degree ``|l_in - l_out| + p`` contributes
        ``weights[p, u, w] sqrt(2 l_out + 1) C(x_u, Y(r))`` to output channel w; bias, factors and extra apart.

        Raises:
            RepresentationError: if ``mmax`` cuts off components of either entry: then there are no such weights.
        """
        a, b = self.irreps_in[entry_in], self.irreps_out[entry_out]
        reach = min(a.ir.l, b.ir.l)
        if reach > min(self.map_in.mmax, self.map_out.mmax):
            raise RepresentationError(
                "a truncated SO(2) layer is not a sum of Clebsch-Gordan paths",
                got={"in": a.ir, "out": b.ir, "mmax": self.map_in.mmax},
                expected=f"mmax of at least {reach}",
            )
        real, imaginary = [], []
        for m in range(reach + 1):
            rows = self._place(self.map_in, entry_in, m)
            weight = self.get_parameter(f"weight_{m}").narrow(0, rows, a.mul) * self._scale(m)
            columns = self._place(self.map_out, entry_out, m)
            real.append(weight.narrow(1, columns, b.mul))
            if m:
                imaginary.append(weight.narrow(1, self._out[m] + columns, b.mul))
        stacked = torch.stack(real + imaginary, dim=-1)
        return paths_from_so2(stacked, a.ir.l, b.ir.l, normalization).movedim(-1, 0)

    def _scale(self, m: int) -> float:
        return 1 / sqrt(self._in[m] * (2 if m else 1))

    @staticmethod
    def _place(side: EdgeFrameMap, entry: int, m: int) -> int:
        """Where the channels of an entry begin among those of frequency m."""
        return sum(side.irreps[other].mul for other in side.members[m] if other < entry)


@final
class SO2LinearConvolution(nn.Module):
    """`SO2Linear` between features outside the frames: turn in, mix, turn back.

    Args:
        irreps_in, irreps_out, mmax, bias, rng: as for `SO2Linear`; a bias acts on the scalars of the frame.
        layout: memory layout of the features outside the frame.
    """

    def __init__(
        self,
        irreps_in: "str | Irreps",
        irreps_out: "str | Irreps",
        mmax: int | None = None,
        bias: bool = True,
        layout: str = "ir_mul",
        rng: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.linear = SO2Linear(irreps_in, irreps_out, mmax, bias=bias, rng=rng)
        self.irreps_in, self.irreps_out = self.linear.irreps_in, self.linear.irreps_out
        self.map_in = EdgeFrameMap(irreps_in, mmax, layout)
        self.map_out = EdgeFrameMap(irreps_out, mmax, layout)
        self.frames = EdgeFrames(max(self.irreps_in.lmax, self.irreps_out.lmax))

    @property
    def symmetry(self) -> Symmetry:
        """SO(3) acts on x by its irreps and turns the vectors; factors are invariant."""
        return Symmetry(
            SO(3),
            inputs={"x": IrrepsTensor(self.irreps_in, self.map_in.layout), "y": Vector()},
            output=IrrepsTensor(self.irreps_out, self.map_out.layout),
        )

    def forward(
        self,
        x: Float[Tensor, "edges dim_in"],
        y: "Float[Tensor, 'edges 3'] | EdgeFrame",
        factors: Float[Tensor, "edges factors"] | None = None,
    ) -> Float[Tensor, "edges dim_out"]:
        """Return the convolution; ``y`` are vectors of the edges, none of length zero, or their frames.

        Raises:
            ShapeError: if features, vectors or factors do not fit.
        """
        frame = y if isinstance(y, EdgeFrame) else self.frames(y)
        return self.map_out.out_of(self.linear(self.map_in.into(x, frame), factors), frame)
