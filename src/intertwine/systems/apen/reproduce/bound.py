"""The bound on the error of approximate pieces, on a cloud of twelve points whose parts are not certain.

The true parts are drawn, each point's from its probabilities, and the second is moved far away. What depends on the
most probable partition only (phi_III of the paper) changes with a probability that vanishes as points become certain;
what weighs points by their probabilities (phi_I) does not, because a small share of a far point is not small.

Two such clouds: one in which a single point is in the other part with probability ``eps``, and one in which all points
vote where they are for the centres of a mixture of width ``sigma``.

Source: Atzmon et al., Approximately Piecewise E(3) Equivariant Point Networks, ICLR 2024, theorem 1; the examples are
ours.
"""

from dataclasses import dataclass
from itertools import product
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.frames import Memberships, PCAFrame, PiecewiseFrameAverage
from intertwine.graphs import segment_sum

__all__ = ["WIDTHS", "BoundExample", "bound_example", "mixture_example"]

_MATRIX = ((0.3, -0.2, 0.5), (0.1, 0.7, -0.4), (-0.6, 0.2, 0.1))
_SHIFT = (0.1, -0.2, 0.3)
_UNCERTAIN = 5
"""The point whose part is not certain."""


WIDTHS = (1.0, 0.8, 0.6, 0.5, 0.4, 0.3)
"""Widths of the mixture for which errors and bound are compared."""

_NEVER = 1e-12
"""Probability of a partition below which it is left out."""


@final
@dataclass(frozen=True)
class BoundExample:
    """Expected errors of two layers, and the bound that one of them keeps.

    Args:
        hard: error of the most probable partition.
        soft: error of parts weighted by their probabilities.
        mixed: lambda, the probability that a partition drawn mixes the parts of the cloud; 0 where it is not known to.
        uncertainty: delta, the probability that it is not the most probable one.
        bound: ``(mixed + uncertainty) M`` with M twice the largest size of the output.
    """

    hard: float
    soft: float
    mixed: float
    uncertainty: float
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
    """Return the expected errors where one of twelve points is uncertain with probability ``eps``.

    The second part is moved by ``1 / eps``. The parts drawn are the true ones, so that nothing mixes them.
    """
    points, certain = _cloud()
    shares = torch.nn.functional.one_hot(certain, 2).double()
    shares[_UNCERTAIN] = torch.tensor([1 - eps, eps], dtype=torch.float64)
    return _example(points, shares, 1 / eps, mixed=0.0)


def mixture_example(sigma: float, *, shift: float = 100.0) -> BoundExample:
    """Return the expected errors where points vote where they are, for the centroids of two parts of equal weight.

    Args:
        sigma: width of the mixture.
        shift: how far the second part is moved.
    """
    points, certain = _cloud()
    centres = torch.stack([points[certain == part].mean(0) for part in (0, 1)])
    shares = (-torch.cdist(points, centres).square() / (2 * sigma**2)).softmax(1)
    kept = shares.gather(1, certain.unsqueeze(1)).prod() + shares.gather(1, 1 - certain.unsqueeze(1)).prod()
    return _example(points, shares, shift, mixed=float(1 - kept))


def _example(points: Tensor, shares: Tensor, shift: float, *, mixed: float) -> BoundExample:
    """Return the exact expectation over all partitions that may be drawn."""
    rows = torch.arange(len(points))
    offset = torch.tensor([0.0, shift, 0.0], dtype=points.dtype)
    choices = [share.gt(_NEVER).nonzero().flatten().tolist() for share in shares]
    drawn = torch.tensor(list(product(*choices)))
    probability = shares[rows, drawn].prod(1)
    drawn, probability = drawn[probability > _NEVER], probability[probability > _NEVER]
    moved = points + drawn.unsqueeze(2) * offset
    errors = {}
    for variant in ("hard", "soft"):
        change = _layer(moved, shares, variant) - _layer(points.unsqueeze(0), shares, variant)
        errors[variant] = float((probability * change.flatten(1).norm(dim=1)).sum())
    uncertainty = float(1 - shares.amax(1).prod())
    largest = points.numel() ** 0.5  # every entry lies between -1 and 1
    return BoundExample(errors["hard"], errors["soft"], mixed, uncertainty, 2 * largest * (mixed + uncertainty))


def _cloud() -> tuple[Float[Tensor, "12 3"], Tensor]:
    i = torch.arange(6, dtype=torch.float64).unsqueeze(1)
    j = torch.arange(3, dtype=torch.float64)
    first = torch.cos((i + 1) * (j + 2) * 0.9) + 0.06 * i * j
    offset = torch.tensor([3.0, 0.0, 0.0], dtype=torch.float64)
    second = torch.sin((i + 2) * (j + 1) * 0.8) + offset + 0.05 * i * (2 - j)
    return torch.cat([first, second]), torch.arange(2).repeat_interleave(6)


def _layer(
    clouds: Float[Tensor, "clouds 12 3"], shares: Float[Tensor, "12 2"], variant: str
) -> Float[Tensor, "clouds 12 3"]:
    average = PiecewiseFrameAverage(
        _Toy(), PCAFrame("E(3)", degenerate="ignore"), inputs={"position": "point"}, outputs={"out": "scalar"}
    )
    count, points = clouds.shape[:2]
    first = torch.arange(count).unsqueeze(1)
    if variant == "hard":
        part = (2 * first + shares.argmax(1)).flatten()
        return average(part, position=clouds.flatten(0, 1))["out"].view_as(clouds)
    point, part = (shares > 0).nonzero().unbind(1)
    weight = shares[point, part].repeat(count)
    members = Memberships(
        (points * first + point).flatten(), (2 * first + part).flatten(), 2 * count, points * count, weight, weight
    )
    return average(members, position=clouds.flatten(0, 1))["out"].view_as(clouds)
