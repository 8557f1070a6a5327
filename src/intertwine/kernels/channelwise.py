"""Channel-wise tensor products with per-edge weights, summed over the edges of a node, as a family of operators.

    z[d, k u] = sum over edges e into d, paths p, and i, j of  C_p[i, j, k] x[s(e), i u] y[e, j] w[e, p u]

Inside, the channel is fast (layout ``ir_mul``). Without a source index edge e reads row e of x; without a
destination index it writes row e of z, and the result is the plain product. The kernels never hold the message of an
edge; the reference holds all of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from intertwine.errors import ShapeError
from intertwine.kernels.build import load_library
from intertwine.kernels.family import Family, Implementation
from intertwine.kernels.pointers import address, integers, suffix, threads

__all__ = ["ChannelwisePath", "channelwise", "pack_paths"]

_PATH = 10
"""Integers that describe a path."""
_LARGEST = 63
"""The largest dimension of a block: degree 31, for which the CPU kernel has room."""


@dataclass(frozen=True)
class ChannelwisePath:
    """One path: where its blocks begin in the rows of x, y, z and w, and its couplings.

    Args:
        x, y, z, w: offsets.
        channels: number of channels.
        coupling: C, with axes (component of x, of y, of z).
    """

    x: int
    y: int
    z: int
    w: int
    channels: int
    coupling: Float[Tensor, "dim1 dim2 dim3"]


def pack_paths(paths: Sequence[ChannelwisePath]) -> tuple[list[int], Float[Tensor, "terms 4"]]:
    """Return the paths as operators take them: ten places and sizes a path, and (i, j, k, value) of the non-zeros.

    Raises:
        ShapeError: if an irrep of a path has more than 63 components.
    """
    for path in paths:
        if max(path.coupling.shape) > _LARGEST:
            raise ShapeError(
                "a path with an irrep that is too large for the kernels",
                got=f"couplings of shape {tuple(path.coupling.shape)}",
                expected=f"at most {_LARGEST} components (degree 31)",
            )
    rows: list[int] = []
    terms, start = [], 0
    for path in paths:
        coupling = path.coupling.double()
        places = coupling.nonzero()
        terms.append(torch.cat([places.double(), coupling[tuple(places.T)].unsqueeze(-1)], dim=-1))
        dim1, dim2, dim3 = coupling.shape
        stop = start + len(places)
        rows += [path.x, dim1, path.y, dim2, path.z, dim3, path.w, path.channels, start, stop]
        start = stop
    return rows, torch.cat(terms)


def _reference(
    x: Float[Tensor, "rows dim_x"],
    y: Float[Tensor, "edges dim_y"],
    w: Float[Tensor, "edges dim_w"],
    source: Int64[Tensor, " edges"] | None,
    destination: Int64[Tensor, " edges"] | None,
    paths: Sequence[int],
    terms: Float[Tensor, "terms 4"],
    rows: int,
    dim: int,
    slow: bool,
) -> Float[Tensor, "rows dim"]:
    """Form the message of every edge, path by path, and add them up."""
    if source is not None:
        x = x.index_select(0, source)
    outputs = x.new_zeros(len(y), dim)
    for place in range(0, len(paths), _PATH):
        x0, d1, y0, d2, z0, d3, w0, c, first, last = paths[place : place + _PATH]
        table = terms[first:last]
        coupling = y.new_zeros(d1, d2, d3)
        coupling[tuple(table[:, :3].long().T)] = table[:, 3].to(y)
        block = x[:, x0 : x0 + d1 * c]
        block = block.unflatten(-1, (c, d1)).mT if slow else block.unflatten(-1, (d1, c))
        block = torch.einsum("eiu,ej,ijk->eku", block * w[:, None, w0 : w0 + c], y[:, y0 : y0 + d2], coupling)
        block = block.mT if slow else block
        outputs = outputs + torch.nn.functional.pad(block.flatten(1), (z0, dim - z0 - d3 * c))
    return outputs if destination is None else outputs.new_zeros(rows, dim).index_add(0, destination, outputs)


def _shape(inputs: Sequence[Tensor], static: Sequence[Any]) -> tuple[int, int]:
    _, destination, *_, rows, dim, _ = static
    return (inputs[1].shape[0] if destination is None else rows, dim)


def _example(dtype: torch.dtype, device: str) -> tuple[list[Tensor], list[Any]]:
    """Seven edges among three nodes; 19 channels fill one vector of lanes and leave a rest."""
    rng = torch.Generator().manual_seed(0)
    channels = 19

    def draw(*shape: int, dtype: torch.dtype = dtype) -> Tensor:
        return torch.randn(*shape, generator=rng, dtype=dtype)

    coupling = [
        draw(1, 3, 3, dtype=torch.float64),
        draw(3, 3, 5, dtype=torch.float64),
        draw(3, 1, 3, dtype=torch.float64),
    ]
    table = [
        ChannelwisePath(0, 1, 0, 0, channels, coupling[0]),
        ChannelwisePath(channels, 1, 3 * channels, channels, channels, coupling[1]),
        ChannelwisePath(channels, 0, 0, 2 * channels, channels, coupling[2]),
    ]
    paths, terms = pack_paths(table)
    source = torch.tensor([0, 2, 1, 1, 0, 2, 2], device=device)
    destination = torch.tensor([2, 0, 0, 1, 1, 1, 2], device=device)
    inputs = [draw(3, 4 * channels), draw(7, 4), draw(7, 3 * channels)]
    return [a.to(device) for a in inputs], [source, destination, paths, terms.to(device), 3, 8 * channels, False]


channelwise = Family(
    "channelwise",
    inputs=("x", "y", "w"),
    static="Tensor? source, Tensor? destination, int[] paths, Tensor terms, SymInt rows, SymInt dim, bool slow",
    reference=_reference,
    shape=_shape,
    example=_example,
)
"""``channelwise(x, y, w, source, destination, paths, terms, rows, dim, slow)``, see the page of this module."""


def check_rows(inputs: Sequence[Tensor], source: Tensor | None, destination: Tensor | None) -> None:
    """Refuse inputs without one row of y and w, and one index of each kind, an edge.

    Raises:
        ShapeError: if numbers of rows or indices differ.
    """
    x, y, w = inputs
    lengths = {a.shape[0] for a in (w, source, destination, x if source is None else None) if a is not None}
    if lengths != {y.shape[0]}:
        raise ShapeError(
            "a channel-wise product needs one row of harmonics and of weights an edge, and one index of each kind",
            got={name: tuple(a.shape) for name, a in zip("xyw", inputs, strict=True)},
            expected=f"{y.shape[0]} edges",
        )


# --- CPU --------------------------------------------------------------------------------------------------


def _problem(inputs: Sequence[Tensor], static: Sequence[Any]) -> list[Any]:
    """The arguments that all compiled functions begin with."""
    x, y, w = inputs
    source, destination, paths, terms, rows, dim, slow = static
    check_rows(inputs, source, destination)
    edges = y.shape[0]
    out = edges if destination is None else rows
    sizes = (edges, x.shape[0], out, x.shape[1], y.shape[1], dim, w.shape[1], slow)
    return [
        integers(paths), len(paths) // _PATH, address(terms), integers(sizes), address(source), address(destination),
        address(x), address(y), address(w),
    ]  # fmt: skip


def _run(name: str, inputs: Sequence[Tensor], static: Sequence[Any], *arguments: Tensor | None) -> None:
    function = getattr(load_library("channelwise"), f"{name}_{suffix(inputs[0].dtype)}")
    if function(*_problem(inputs, static), *map(address, arguments), threads()):
        raise ShapeError(
            "an edge names a node that is not there",
            got={
                "nodes": len(inputs[0]),
                "largest source": _largest(static[0]),
                "largest destination": _largest(static[1]),
            },
            expected="indices from 0 to the number of nodes - 1",
        )


def _largest(index: Tensor | None) -> int | None:
    return None if index is None else int(index.max())


def _value(inputs: list[Tensor], static: list[Any]) -> Tensor:
    z = inputs[0].new_empty(_shape(inputs, static))
    _run("value", inputs, static, z)
    return z


def _gradient(inputs: list[Tensor], g: Tensor, static: list[Any], wanted: list[bool]) -> list[Tensor | None]:
    found = [torch.empty_like(a) if flag else None for a, flag in zip(inputs, wanted, strict=True)]
    _run("gradient", inputs, static, g, *found)
    return found


def _tangent(
    inputs: list[Tensor], g: Tensor, along: list[Tensor | None], static: list[Any], wanted: list[bool]
) -> list[Tensor | None]:
    found = [torch.empty_like(a) if flag else None for a, flag in zip([*inputs, g], wanted, strict=True)]
    _run("tangent", inputs, static, g, *along, *found)
    return found


channelwise.implement("cpu", Implementation(_value, _gradient, _tangent))
