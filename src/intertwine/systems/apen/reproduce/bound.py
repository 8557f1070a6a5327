"""The bound on the error of approximate pieces, on a cloud of twelve points whose parts are nearly certain.

A point's part is drawn: with probability eps it moves with the other part, which is moved by 1 / eps. What depends on
the most probable partition only (phi_III of the paper) changes with a probability that vanishes; what weighs points
by their probabilities (phi_I) does not, because a small share of a far point is not small.

Source: Atzmon et al., Approximately Piecewise E(3) Equivariant Point Networks, ICLR 2024, theorem 1; the example is
ours.
"""

from dataclasses import dataclass
from typing import Literal, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.frames import Memberships, PCAFrame, PiecewiseFrameAverage
from intertwine.graphs import segment_sum

__all__ = ["BoundExample", "bound_example"]

_MATRIX = ((0.3, -0.2, 0.5), (0.1, 0.7, -0.4), (-0.6, 0.2, 0.1))
_SHIFT = (0.1, -0.2, 0.3)
_UNCERTAIN = 5
"""The point whose part is not certain."""


@final
@dataclass(frozen=True)
class BoundExample:
    """Expected errors of two layers, and the bound that one of them keeps.

    Args:
        eps: probability that the uncertain point is in the other part.
        hard: error of the most probable partition.
        soft: error of parts weighted by their probabilities.
        bound: twice the largest size of the output times the uncertainty.
    """

    eps: float
    hard: float
    soft: float
    bound: float


class _Toy(nn.Module):
    """Half of a map of each point, and half of its mean over the part."""

    def forward(self, position: Tensor, part: Tensor, parts: int, inside: Tensor | None = None) -> dict[str, Tensor]:
        mapped = torch.tanh(position @ torch.tensor(_MATRIX).to(position) + torch.tensor(_SHIFT).to(position))
        share = torch.ones_like(mapped[:, 0]) if inside is None else inside
        total = segment_sum(share, part, parts)
        pooled = segment_sum(share.unsqueeze(1) * mapped, part, parts) / total.clamp(min=1e-300).unsqueeze(1)
        return {"out": 0.5 * mapped + 0.5 * pooled.index_select(0, part)}


def bound_example(eps: float) -> BoundExample:
    """Return the expected errors of both layers where one of twelve points is uncertain with probability ``eps``."""
    points, certain = _cloud()
    shares = torch.nn.functional.one_hot(certain, 2).double()
    shares[_UNCERTAIN] = torch.tensor([1 - eps, eps], dtype=torch.float64)
    shift = torch.tensor([0.0, 1 / eps, 0.0], dtype=torch.float64)
    errors = {}
    for variant in ("hard", "soft"):
        before = _layer(points, shares, variant)
        found = 0.0
        for drawn, probability in ((0, 1 - eps), (1, eps)):
            part = certain.clone()
            part[_UNCERTAIN] = drawn
            moved = points + (part == 1).unsqueeze(1) * shift
            found += probability * float((_layer(moved, shares, variant) - before).norm())
        errors[variant] = found
    largest = points.numel() ** 0.5  # every entry lies between -1 and 1
    return BoundExample(eps, errors["hard"], errors["soft"], 2 * largest * eps)


def _cloud() -> tuple[Float[Tensor, "12 3"], Tensor]:
    i = torch.arange(6, dtype=torch.float64).unsqueeze(1)
    j = torch.arange(3, dtype=torch.float64)
    first = torch.cos((i + 1) * (j + 2) * 0.9) + 0.06 * i * j
    offset = torch.tensor([3.0, 0.0, 0.0], dtype=torch.float64)
    second = torch.sin((i + 2) * (j + 1) * 0.8) + offset + 0.05 * i * (2 - j)
    return torch.cat([first, second]), torch.arange(2).repeat_interleave(6)


def _layer(points: Tensor, shares: Tensor, variant: Literal["hard", "soft"] | str) -> Tensor:
    average = PiecewiseFrameAverage(
        _Toy(), PCAFrame("E(3)", degenerate="ignore"), inputs={"position": "point"}, outputs={"out": "scalar"}
    )
    if variant == "hard":
        return average(shares.argmax(1), position=points)["out"]
    point, part = (shares > 0).nonzero().unbind(1)
    weight = shares[point, part]
    return average(Memberships(point, part, 2, len(points), weight, weight), position=points)["out"]
