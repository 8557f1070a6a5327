"""Clebsch-Gordan tensor products with weights: the reference, path by path.

z_w = sum over paths of  factor * sum_{u v} weight_{u v w} C(x_u, y_v),  with C the coupling tensor of norm 1.
Weights are stored as in e3nn 0.6 (path after path, flat), so that they can be exchanged with it.
"""

from collections.abc import Sequence
from math import prod

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.errors import RepresentationError, ShapeError
from intertwine.groups import O
from intertwine.products.paths import Path, Problem, all_paths, as_paths
from intertwine.representations import Irreps, wigner_3j
from intertwine.representations.actions import IrrepsTensor
from intertwine.representations.layout import check_layout, join_blocks, split_blocks
from intertwine.representations.tables import TableModule
from intertwine.symmetry import Symmetry

__all__ = ["ElementwiseTensorProduct", "FullyConnectedTensorProduct", "TensorProduct"]

# blocks are (component, channel): i u, j v -> k w; z stands for the batch, C has the axes i j k
_EQUATIONS = {
    "uvw": "ziu,zjv,ijk,{w}uvw->zkw",
    "uvu": "ziu,zjv,ijk,{w}uv->zku",
    "uvv": "ziu,zjv,ijk,{w}uv->zkv",
    "uuw": "ziu,zju,ijk,{w}uw->zkw",
    "uuu": "ziu,zju,ijk,{w}u->zku",
    "uvuv": "ziu,zjv,ijk,{w}uv->zkuv",
}
_UNWEIGHTED = {
    "uvw": "ziu,zjv,ijk->zk",
    "uvu": "ziu,zjv,ijk->zku",
    "uvv": "ziu,zjv,ijk->zkv",
    "uuw": "ziu,zju,ijk->zk",
    "uuu": "ziu,zju,ijk->zku",
    "uvuv": "ziu,zjv,ijk->zkuv",
}


class TensorProduct(TableModule):
    """A tensor product along given paths, bilinear in its two inputs and linear in its weights.

    Args:
        irreps_in1, irreps_in2, irreps_out: irreps of inputs and output.
        paths: `Path` values, or tuples ``(in1, in2, out, mode, weighted, variance)``.
        weights: ``internal`` (a parameter), ``shared`` (given to every call, one for the whole batch) or ``sample``
            (given to every call, one a sample).
        irrep_normalization, path_normalization: see `Problem`.
        layout: memory layout of inputs and output.
        rng: generator of the initial internal weights, which are standard normal.

    Example:
        >>> product = TensorProduct("1o", "1o", "0e", [(0, 0, 0, "uvw")])
        >>> product(torch.ones(5, 3), torch.ones(5, 3)).shape
        torch.Size([5, 1])
    """

    def __init__(
        self,
        irreps_in1: "str | Irreps",
        irreps_in2: "str | Irreps",
        irreps_out: "str | Irreps",
        paths: Sequence[Path | tuple],
        *,
        weights: str = "internal",
        irrep_normalization: str = "component",
        path_normalization: str = "element",
        layout: str = "mul_ir",
        rng: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if weights not in ("internal", "shared", "sample"):
            raise RepresentationError("unknown kind of weights", got=weights, expected="internal, shared or sample")
        self.problem = Problem(
            Irreps(irreps_in1),
            Irreps(irreps_in2),
            Irreps(irreps_out),
            as_paths(paths),
            irrep_normalization,
            path_normalization,
        )
        self.layout = check_layout(layout)
        self.weights = weights
        self.weight_numel = self.problem.weight_numel
        if weights == "internal":
            self.weight = nn.Parameter(torch.randn(self.weight_numel, generator=rng))
        for index, path in enumerate(self.problem.paths):
            a, b, c = self.problem.entries(path)
            table = wigner_3j(a.ir.l, b.ir.l, c.ir.l, dtype=torch.float64) * self.problem.factor(path)
            self.add_table(f"coupling_{index}", table)

    @property
    def symmetry(self) -> Symmetry:
        """O(3) acts on both inputs and on the output by their irreps."""
        problem = self.problem
        return Symmetry(
            O(3),
            inputs={
                "x": IrrepsTensor(problem.irreps_in1, self.layout),
                "y": IrrepsTensor(problem.irreps_in2, self.layout),
            },
            output=IrrepsTensor(problem.irreps_out, self.layout),
        )

    def forward(
        self,
        x: Float[Tensor, "*batch dim1"],
        y: Float[Tensor, "*batch dim2"],
        weight: Float[Tensor, "*weight_batch numel"] | None = None,
    ) -> Float[Tensor, "*batch dim_out"]:
        """Return the product; leading axes of ``x`` and ``y`` broadcast.

        Raises:
            ShapeError: if features or weights do not fit.
        """
        problem = self.problem
        batch = torch.broadcast_shapes(x.shape[:-1], y.shape[:-1])
        x = x.expand(*batch, x.shape[-1]).flatten(0, -2) if batch else x.unsqueeze(0)
        y = y.expand(*batch, y.shape[-1]).flatten(0, -2) if batch else y.unsqueeze(0)
        weight = self._weight(weight, batch, len(x))
        xs = split_blocks(x, problem.irreps_in1, self.layout)
        ys = split_blocks(y, problem.irreps_in2, self.layout)
        outputs: list[Tensor | None] = [None] * len(problem.irreps_out)
        start = 0
        for index, path in enumerate(problem.paths):
            operands = [xs[path.in1], ys[path.in2], getattr(self, f"coupling_{index}")]
            equation = _UNWEIGHTED[path.mode]
            if path.weighted:
                shape = problem.weight_shape(path)
                part = weight[..., start : start + prod(shape)].unflatten(-1, shape)
                start += prod(shape)
                operands.append(part)
                equation = _EQUATIONS[path.mode].format(w="z" if part.dim() > len(shape) else "")
            term = torch.einsum(equation, *operands)
            _, _, out = problem.entries(path)
            term = term.reshape(len(x), out.ir.dim, out.mul)
            previous = outputs[path.out]
            outputs[path.out] = term if previous is None else previous + term
        blocks = [
            x.new_zeros(len(x), entry.ir.dim, entry.mul) if block is None else block
            for block, entry in zip(outputs, problem.irreps_out, strict=True)
        ]
        return join_blocks(blocks, self.layout).reshape(*batch, problem.irreps_out.dim)

    def _weight(self, weight: Tensor | None, batch: tuple[int, ...], count: int) -> Tensor:
        if self.weights == "internal":
            if weight is not None:
                raise ShapeError("this product holds its own weights", fix="build it with weights='shared' or 'sample'")
            return self.weight
        expected = (self.weight_numel,) if self.weights == "shared" else (*batch, self.weight_numel)
        if weight is None or tuple(weight.shape) != expected:
            raise ShapeError(
                f"a product with {self.weights} weights needs them at every call",
                got=None if weight is None else tuple(weight.shape),
                expected=expected,
            )
        return weight if self.weights == "shared" else weight.reshape(count, self.weight_numel)


class FullyConnectedTensorProduct(TensorProduct):
    """All paths between all channels (mode ``uvw``); same arguments as `TensorProduct`, without paths."""

    def __init__(
        self, irreps_in1: "str | Irreps", irreps_in2: "str | Irreps", irreps_out: "str | Irreps", **options
    ) -> None:
        a, b, c = Irreps(irreps_in1), Irreps(irreps_in2), Irreps(irreps_out)
        super().__init__(a, b, c, all_paths(a, b, c), **options)


class ElementwiseTensorProduct(TensorProduct):
    """Channel by channel without weights (mode ``uuu``): both inputs have the same multiplicities.

    Args:
        irreps_in1, irreps_in2: irreps with as many irreps in all; entries are split where multiplicities differ.
        filter_out: keep only these irreps of the output.
    """

    def __init__(
        self,
        irreps_in1: "str | Irreps",
        irreps_in2: "str | Irreps",
        filter_out: "str | Irreps | None" = None,
        **options,
    ) -> None:
        a, b = _align(Irreps(irreps_in1), Irreps(irreps_in2))
        allowed = None if filter_out is None else set(Irreps(filter_out).irreps)
        out, paths = [], []
        for index, (left, right) in enumerate(zip(a, b, strict=True)):
            for ir in left.ir * right.ir:
                if allowed is None or ir in allowed:
                    paths.append(Path(index, index, len(out), "uuu", weighted=False))
                    out.append((left.mul, ir))
        super().__init__(a, b, Irreps(out), paths, **options)


def _align(a: Irreps, b: Irreps) -> tuple[Irreps, Irreps]:
    """Split entries until both sides have the same multiplicities."""
    if a.num_irreps != b.num_irreps:
        raise RepresentationError(
            "an element-wise product needs as many irreps on both sides",
            got={"in1": f"{a} ({a.num_irreps})", "in2": f"{b} ({b.num_irreps})"},
        )
    left, right = [], []
    rest_a, rest_b = [tuple(entry) for entry in a], [tuple(entry) for entry in b]
    while rest_a:
        (mul_a, ir_a), (mul_b, ir_b) = rest_a.pop(0), rest_b.pop(0)
        mul = min(mul_a, mul_b)
        left.append((mul, ir_a))
        right.append((mul, ir_b))
        if mul_a > mul:
            rest_a.insert(0, (mul_a - mul, ir_a))
        if mul_b > mul:
            rest_b.insert(0, (mul_b - mul, ir_b))
    return Irreps(left), Irreps(right)
