"""Affine maps and perceptrons of numbers without a direction, with initial weights from a generator.

Weights and biases are uniform in ±1/√(inputs), as torch initialises `torch.nn.Linear`, so that published settings of
the learning rate mean the same.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

__all__ = ["affine_map", "perceptron"]


def affine_map(inputs: int, outputs: int, *, bias: bool = True, rng: torch.Generator | None = None) -> nn.Linear:
    """Return an affine map.

    Args:
        inputs, outputs: numbers that it takes and gives.
        bias: whether it adds a constant.
        rng: generator of the initial weights.
    """
    made = nn.Linear(inputs, outputs, bias=bias, device="meta").to_empty(device="cpu")
    bound = max(inputs, 1) ** -0.5
    for weight in made.parameters():
        nn.init.uniform_(weight, -bound, bound, generator=rng)
    return made


def perceptron(
    sizes: Sequence[int],
    *,
    activation: type[nn.Module] = nn.SiLU,
    last: bool = False,
    rng: torch.Generator | None = None,
) -> nn.Sequential:
    """Return affine maps with an activation after each but the last.

    Args:
        sizes: widths from input to output.
        activation: a module without weights.
        last: whether the last map has an activation too.
        rng: generator of the initial weights.
    """
    layers: list[nn.Module] = []
    for a, b in pairwise(sizes):
        layers += [affine_map(a, b, rng=rng), activation()]
    return nn.Sequential(*(layers if last else layers[:-1]))
