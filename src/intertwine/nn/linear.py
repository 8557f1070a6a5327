"""Linear maps that commute with O(3): channels of equal irreps are mixed, components never.

Weights are standard normal and are divided by the square root of the number of incoming channels at use, as in e3nn
0.6, whose flat order of weights (path after path, input channel slow) is kept.
"""

from math import prod

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from intertwine.groups import O
from intertwine.representations import Irreps
from intertwine.representations.actions import IrrepsTensor
from intertwine.representations.layout import check_layout, join_blocks, merge_sources, sources_of, split_blocks
from intertwine.symmetry import Symmetry

__all__ = ["Linear", "TypedLinear"]


class _IrrepsLinear(nn.Module):
    """What both linear maps share: which input entries feed which output entry, and the weights."""

    def __init__(
        self,
        irreps_in: "str | Irreps",
        irreps_out: "str | Irreps",
        layout: str,
        copies: tuple[int, ...],
        rng: torch.Generator | None,
    ) -> None:
        super().__init__()
        self.irreps_in, self.irreps_out = Irreps(irreps_in), Irreps(irreps_out)
        self.layout = check_layout(layout)
        self._sources = sources_of(self.irreps_in, self.irreps_out)
        self._shapes = [
            (sum(self.irreps_in[i].mul for i in found), target.mul)
            for target, found in zip(self.irreps_out, self._sources, strict=True)
        ]
        numel = sum(map(prod, self._shapes))
        self.weight = nn.Parameter(torch.randn(*copies, numel, generator=rng))

    @property
    def symmetry(self) -> Symmetry:
        """O(3) acts on input and output by their irreps."""
        return Symmetry(
            O(3),
            inputs={"x": IrrepsTensor(self.irreps_in, self.layout)},
            output=IrrepsTensor(self.irreps_out, self.layout),
        )

    def _blocks(self, x: Tensor) -> list[Tensor]:
        """For each output entry the blocks that feed it, side by side."""
        return merge_sources(split_blocks(x, self.irreps_in, self.layout), self._sources)

    def _weights(self, weight: Tensor) -> list[Tensor]:
        parts = weight.split([prod(shape) for shape in self._shapes], dim=-1)
        return [part.unflatten(-1, shape) * shape[0] ** -0.5 for part, shape in zip(parts, self._shapes, strict=True)]


class Linear(_IrrepsLinear):
    """One linear map for all samples.

    Args:
        irreps_in, irreps_out: irreps; every irrep of the output must be in the input.
        layout: memory layout of input and output.
        rng: generator of the initial weights.

    Raises:
        RepresentationError: if an output irrep is missing in the input.

    Example:
        >>> Linear("4x0e + 2x1o", "1o")(torch.ones(5, 10)).shape
        torch.Size([5, 3])
    """

    def __init__(
        self,
        irreps_in: "str | Irreps",
        irreps_out: "str | Irreps",
        layout: str = "mul_ir",
        rng: torch.Generator | None = None,
    ) -> None:
        super().__init__(irreps_in, irreps_out, layout, (), rng)

    def forward(self, x: Float[Tensor, "*batch dim_in"]) -> Float[Tensor, "*batch dim_out"]:
        """Return the mixed channels."""
        return join_blocks(
            [block @ w for block, w in zip(self._blocks(x), self._weights(self.weight), strict=True)],
            self.layout,
        )


class TypedLinear(_IrrepsLinear):
    """A linear map for each type of sample (species of atom); equal to a product with a one-hot vector.

    Args:
        irreps_in, irreps_out, layout, rng: as for `Linear`.
        num_types: number of types.
    """

    def __init__(
        self,
        irreps_in: "str | Irreps",
        irreps_out: "str | Irreps",
        num_types: int,
        layout: str = "mul_ir",
        rng: torch.Generator | None = None,
    ) -> None:
        super().__init__(irreps_in, irreps_out, layout, (num_types,), rng)
        self.num_types = num_types

    def forward(self, x: Float[Tensor, "batch dim_in"], types: Int[Tensor, " batch"]) -> Float[Tensor, "batch dim_out"]:
        """Return the channels of each sample, mixed by the weights of its type."""
        weights = self._weights(self.weight)
        return join_blocks(
            [block @ w.index_select(0, types) for block, w in zip(self._blocks(x), weights, strict=True)],
            self.layout,
        )
