"""The two memory layouts of features, and the blocks (component, channel) that products work on.

``mul_ir``: multiplicity slow, component fast (e3nn's layout, the public one). ``ir_mul``: component slow, channel fast,
so that inner loops run over channels. Both hold the irreps' entries at the same places of the feature axis.
"""

from typing import Literal, cast

from jaxtyping import Float
from torch import Tensor, cat

from intertwine.errors import RepresentationError, ShapeError
from intertwine.representations.irreps import Irreps

__all__ = [
    "LAYOUTS",
    "Layout",
    "check_layout",
    "convert_layout",
    "join_blocks",
    "merge_sources",
    "sources_of",
    "split_blocks",
]

LAYOUTS = ("mul_ir", "ir_mul")
Layout = Literal["mul_ir", "ir_mul"]


def check_layout(layout: str) -> Layout:
    """Return the layout, or raise RepresentationError if there is none of that name."""
    if layout not in LAYOUTS:
        raise RepresentationError("unknown feature layout", got=layout, expected=" or ".join(LAYOUTS))
    return cast(Layout, layout)


def split_blocks(x: Float[Tensor, "*batch dim"], irreps: Irreps, layout: str) -> list[Float[Tensor, "*batch _ _"]]:
    """Return one block (..., component, channel) an entry of ``irreps``; views, no copy.

    Raises:
        ShapeError: if the last axis is not ``irreps.dim`` long.
    """
    if x.shape[-1] != irreps.dim:
        raise ShapeError(
            "features do not fit their irreps",
            got=tuple(x.shape),
            expected=f"(..., {irreps.dim}) for {irreps}",
        )
    parts = x.split([entry.dim for entry in irreps], dim=-1)
    if layout == "ir_mul":
        return [part.unflatten(-1, (entry.ir.dim, entry.mul)) for part, entry in zip(parts, irreps, strict=True)]
    return [part.unflatten(-1, (entry.mul, entry.ir.dim)).mT for part, entry in zip(parts, irreps, strict=True)]


def join_blocks(blocks: list[Float[Tensor, "*batch _ _"]], layout: str) -> Float[Tensor, "*batch dim"]:
    """Inverse of `split_blocks`."""
    flat = [(block if layout == "ir_mul" else block.mT).flatten(-2) for block in blocks]
    return flat[0] if len(flat) == 1 else cat(flat, dim=-1)


def convert_layout(
    x: Float[Tensor, "*batch dim"], irreps: "Irreps | str", source: str, target: str
) -> Float[Tensor, "*batch dim"]:
    """Return the same features in another layout."""
    if check_layout(source) == check_layout(target):
        return x
    return join_blocks(split_blocks(x, Irreps(irreps), source), target)


def sources_of(irreps_in: Irreps, irreps_out: Irreps) -> list[list[int]]:
    """Return for each entry of the output the places of the input entries with its irrep, which a linear map can mix.

    Raises:
        RepresentationError: if an output irrep is missing in the input.
    """
    sources = [[i for i, source in enumerate(irreps_in) if source.ir == target.ir] for target in irreps_out]
    silent = [str(target.ir) for target, found in zip(irreps_out, sources, strict=True) if not found]
    if silent:
        raise RepresentationError(
            f"a linear map cannot write {', '.join(silent)}: the input has none",
            got={"in": irreps_in, "out": irreps_out},
            fix="drop them from the output, or make them with a tensor product first",
            code="E203",
        )
    return sources


def merge_sources(
    blocks: list[Float[Tensor, "*batch _ _"]], sources: list[list[int]]
) -> list[Float[Tensor, "*batch _ _"]]:
    """Return for each entry of the output the blocks that feed it, their channels side by side."""
    return [blocks[found[0]] if len(found) == 1 else cat([blocks[i] for i in found], dim=-1) for found in sources]
