"""Spherical harmonics on CUDA: the recursion over degrees written out, one vector a lane, all in registers.

Going up, ``Y[to] += value Y[from] r[axis]``. Going down, with d the derivatives by all components,
``dr[axis] += value d[to] Y[from]`` and ``d[from] += value d[to] r[axis]``. Beyond degree 8 or so the components of a
vector no longer fit into registers: the kernels stay right and become slower.

Compiled for sm_80 and sm_90 and run through Triton's interpreter; not run on hardware.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from intertwine.kernels.gpu.launch import launch
from intertwine.kernels.gpu.source import indent, make_kernel, number, total, wide
from intertwine.kernels.gpu.tables import Table, read_table

__all__ = ["gradient", "tangent", "value"]

_LANES = 128
_WARPS = 4


class _Recursion:
    """The terms and scales, and the lines that go up and down."""

    def __init__(self, terms: Table, scales: Table, dtype: torch.dtype) -> None:
        self.terms = [(int(low), int(axis), int(high), value) for low, axis, high, value in terms.rows]
        self.scales = scales.rows
        self.dim = len(scales.rows)
        self.number = str(wide(dtype)).replace("torch", "tl")

    def text(self, name: str, outputs: Sequence[str], inputs: Sequence[str], body: Sequence[str]) -> list[str]:
        """Return a kernel that has the vectors' components as ``r0, r1, r2``."""
        return [
            f"def {name}({', '.join([*outputs, *inputs, 'count'])}):",
            f"    row = tl.program_id(0).to(tl.int64) * {_LANES} + tl.arange(0, {_LANES})",
            "    inside = row < count",
            *indent([*self.read("r", 3), *body]),
        ]

    def read(self, name: str, size: int, scaled: str = "") -> list[str]:
        """Return the lines that read rows of ``size`` numbers, ``scaled`` the name if each has to meet its scale."""
        return [
            f"{scaled or name}{i} = tl.load({name} + row * {size} + {i}, mask=inside, other=0.0).to({self.number})"
            + (f" * {number(self.scales[i])}" if scaled else "")
            for i in range(size)
        ]

    def write(self, pointer: str, name: str, size: int, scaled: bool) -> list[str]:
        """Return the lines that write rows of ``size`` numbers."""
        scales = [f" * {number(self.scales[i])}" if scaled else "" for i in range(size)]
        return [f"tl.store({pointer} + row * {size} + {i}, {name}{i}{scales[i]}, mask=inside)" for i in range(size)]

    def up(self, moving: bool) -> list[str]:
        """Return the lines that compute Y, and its tangent."""
        lines = [f"y{i} = tl.full([{_LANES}], {float(i == 0)}, {self.number})" for i in range(self.dim)]
        if moving:
            lines += [f"ty{i} = tl.zeros([{_LANES}], {self.number})" for i in range(self.dim)]
        for low, axis, high, value in self.terms:
            lines.append(f"y{high} = y{high} + {number(value)} * r{axis} * y{low}")
            if moving:
                parts = [f"{number(value)} * r{axis} * ty{low}", f"{number(value)} * tr{axis} * y{low}"]
                lines.append(f"ty{high} = {total(parts, f'ty{high}')}")
        return lines

    def down(self, moving: bool) -> list[str]:
        """Return the lines that turn the derivatives d by Y into those by r, ``dr``; or, of both, the tangents."""
        lines = [f"dr{axis} = tl.zeros([{_LANES}], {self.number})" for axis in range(3)]
        if moving:
            lines += [f"td{i} = tl.zeros([{_LANES}], {self.number})" for i in range(self.dim)]
        for n, (low, axis, high, value) in reversed(list(enumerate(self.terms))):
            lines.append(f"p{n} = {number(value)} * d{high}")
            parts = [f"p{n} * y{low}"]
            if moving:
                lines.append(f"tp{n} = {number(value)} * td{high}")
                parts = [f"tp{n} * y{low}", f"p{n} * ty{low}"]
                lines.append(f"td{low} = td{low} + tp{n} * r{axis} + p{n} * tr{axis}")
            lines.append(f"dr{axis} = {total(parts, f'dr{axis}')}")
            lines.append(f"d{low} = d{low} + p{n} * r{axis}")
        return lines


@lru_cache(maxsize=128)
def _kernel(kind: str, terms: Table, scales: Table, dtype: torch.dtype) -> Any:
    q = _Recursion(terms, scales, dtype)
    if kind == "value":
        return make_kernel(kind, q.text(kind, ["y"], ["r"], [*q.up(False), *q.write("y", "y", q.dim, True)]))
    if kind == "value_tangent":
        body = [*q.read("tr", 3), *q.up(True), *q.write("dg", "ty", q.dim, True)]
        return make_kernel(kind, q.text(kind, ["dg"], ["r", "tr"], body))
    moving = kind == "gradient_tangent"
    body = [*(q.read("tr", 3) if moving else []), *q.up(moving), *q.read("g", q.dim, "d")]
    body += [*q.down(moving), *q.write("dr", "dr", 3, False)]
    return make_kernel(kind, q.text(kind, ["dr"], ["r", "g", *(["tr"] if moving else [])], body))


def _run(kind: str, out: Tensor, static: Sequence[Any], *tensors: Tensor) -> Tensor:
    terms, scales, _ = static
    count = out.shape[0]
    kernel = _kernel(kind, read_table(terms), read_table(scales), out.dtype)
    launch(kernel, (-(-count // _LANES),), out, *tensors, count, warps=_WARPS)
    return out


def value(inputs: list[Tensor], static: list[Any]) -> Tensor:
    """Return the harmonics."""
    r = inputs[0]
    return _run("value", r.new_empty(r.shape[0], static[1].shape[0]), static, r)


def gradient(inputs: list[Tensor], g: Tensor, static: list[Any], wanted: list[bool]) -> list[Tensor | None]:
    """Return the derivative of ``sum(g Y)`` by the vectors."""
    r = inputs[0]
    return [_run("gradient", torch.empty_like(r), static, r, g) if wanted[0] else None]


def tangent(
    inputs: list[Tensor], g: Tensor, along: list[Tensor | None], static: list[Any], wanted: list[bool]
) -> list[Tensor | None]:
    """Return the derivatives of the gradient, and of the harmonics, along the tangent of the vectors."""
    r, tr = inputs[0], along[0]
    if tr is None:
        return [torch.zeros_like(a) if flag else None for a, flag in zip([r, g], wanted, strict=True)]
    step = _run("gradient_tangent", torch.empty_like(r), static, r, g, tr) if wanted[0] else None
    return [step, _run("value_tangent", torch.empty_like(g), static, r, tr) if wanted[1] else None]
