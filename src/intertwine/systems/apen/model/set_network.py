"""The network that sees one part at a time: a PointNet whose maximum is taken over the points of the part."""

from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from intertwine.nn.perceptron import affine_map
from intertwine.systems.apen.settings import ModelSettings

__all__ = ["ACTIVATIONS", "SetNetwork", "make_norm", "segment_max", "set_network"]


ACTIVATIONS: dict[str, type[nn.Module]] = {"silu": nn.SiLU, "relu": nn.ReLU}
"""Nonlinearities by name."""


class SetNetwork(nn.Module):
    """Maps points of parts, in the coordinates of their frames, to votes, vectors and scalars.

    It has no symmetry of space; `PiecewiseFrameAverage` gives it one. It is a function of sets: the order of the points
    does not matter, and points of other parts do not enter. The last map begins with votes of zero, so that untrained
    votes are the centroids of the parts.

    Args:
        vectors_in, scalars_in: features of each point.
        vectors_out, scalars_out: features that it gives.
        widths: of the layers before the maximum.
        hidden: width of the layer after it.
        length: unit in which positions are seen and votes are given; parts are about that large.
        norm, activation: names, see `make_norm` and `ACTIVATIONS`.
        rng: generator of the initial weights.
    """

    def __init__(
        self,
        vectors_in: int,
        scalars_in: int,
        vectors_out: int,
        scalars_out: int,
        *,
        widths: tuple[int, ...],
        hidden: int,
        length: float = 1.0,
        norm: Literal["layer", "batch", "none"] = "layer",
        activation: Literal["silu", "relu"] = "silu",
        rng: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.length = length
        self.sizes = (3, 3 * vectors_out, scalars_out)
        sizes = [3 + 3 * vectors_in + scalars_in, *widths]
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(sizes):
            layers += [affine_map(inputs, outputs, rng=rng), make_norm(norm, outputs), ACTIVATIONS[activation]()]
        self.points = nn.Sequential(*layers)
        self.own = affine_map(widths[-1], hidden, rng=rng)
        self.shared = affine_map(widths[-1], hidden, bias=False, rng=rng)
        self.after = nn.Sequential(make_norm(norm, hidden), ACTIVATIONS[activation]())
        self.last = affine_map(hidden, sum(self.sizes), rng=rng)
        with torch.no_grad():
            self.last.weight[:3] = 0
            self.last.bias[:3] = 0

    def forward(
        self,
        positions: Float[Tensor, "rows 3"],
        vectors: Float[Tensor, "rows vectors 3"],
        scalars: Float[Tensor, "rows scalars"],
        part: Int64[Tensor, " rows"],
        parts: int,
        inside: Float[Tensor, " rows"] | None = None,
    ) -> dict[str, Tensor]:
        """Return ``votes`` (rows, 3), ``vectors`` (rows, vectors, 3) and ``scalars`` (rows, scalars).

        Args:
            positions, vectors, scalars: of each row.
            part: the part of each row, from 0 to ``parts`` - 1.
            parts: number of parts.
            inside: how much each row counts in the maximum over its part; fully where not given.
        """
        own = self.points(torch.cat([positions / self.length, vectors.flatten(1), scalars], dim=1))
        counted = own if inside is None else own * inside.unsqueeze(1).to(own)
        pooled = self.shared(segment_max(counted, part, parts))
        hidden = self.after(self.own(own) + pooled.index_select(0, part))
        votes, turned, kept = self.last(hidden).split(self.sizes, dim=1)
        return {"votes": self.length * votes, "vectors": turned.unflatten(1, (-1, 3)), "scalars": kept}


def set_network(
    settings: ModelSettings, place: int, *, length: float = 1.0, rng: torch.Generator | None = None
) -> SetNetwork:
    """Return the network of a layer: the first sees positions and a constant, the others what the one before gives.

    Args:
        settings: widths, norm and activation.
        place: of the layer, from 0.
        length: unit of positions.
        rng: generator of the initial weights.
    """
    return SetNetwork(
        settings.vectors if place else 0,
        settings.scalars if place else 1,
        settings.vectors,
        settings.scalars,
        widths=settings.widths,
        hidden=settings.hidden,
        length=length,
        norm=settings.norm,
        activation=settings.activation,
        rng=rng,
    )


def segment_max(
    values: Float[Tensor, "rows channels"], index: Int64[Tensor, " rows"], count: int
) -> Float[Tensor, "count channels"]:
    """Return the largest value of each channel in each segment; zeros where a segment is empty."""
    place = index.unsqueeze(1).expand_as(values)
    return values.new_zeros(count, values.shape[1]).scatter_reduce(0, place, values, "amax", include_self=False)


def make_norm(name: str, width: int) -> nn.Module:
    """Return a normalisation of rows: ``layer``, ``batch`` or ``none``."""
    if name == "none":
        return nn.Identity()
    return nn.LayerNorm(width) if name == "layer" else nn.BatchNorm1d(width)
