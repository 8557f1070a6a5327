"""Which law a tensor obeys, inferred from its values before and after a network's inputs were transformed.

Candidates are the representations that can be read off a shape (invariant, vector, point, Cartesian tensor,
along any axis; permuted along one or two axes), and the irreps that the network's modules name. The first
that fits is the answer.
"""

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from intertwine.errors import IntertwineError
from intertwine.groups import Element, Group
from intertwine.representations import (
    AlongAxis,
    Cartesian,
    Invariant,
    Irreps,
    IrrepsTensor,
    NodeIndices,
    Permuted,
    Point,
    Representation,
    Vector,
)

__all__ = ["LawFinder", "declared_irreps"]


def declared_irreps(modules: Iterable[nn.Module]) -> list[IrrepsTensor]:
    """Return the irreps that modules name in attributes such as ``irreps_in``, in their layout, once each."""
    found: dict[IrrepsTensor, None] = {}
    for module in modules:
        layout = getattr(module, "layout", "mul_ir")
        for name, value in vars(module).items():
            if name.startswith("irreps"):
                try:
                    found[IrrepsTensor(str(value), layout if layout == "ir_mul" else "mul_ir")] = None
                except IntertwineError:
                    continue
    return [law for law in found if any(entry.ir.l > 0 or entry.ir.p < 0 for entry in Irreps(law.irreps))]


@dataclass(frozen=True)
class LawFinder:
    """Finds the law of a tensor under given elements.

    Args:
        group: the group.
        elements: the elements with which the inputs of the network were transformed.
        irreps: irreps that may occur on the last axis.
        declared: representations that the network's symmetries name; tried last.
        tolerance: largest relative deviation from a law.
    """

    group: Group
    elements: Sequence[Element]
    irreps: Sequence[IrrepsTensor]
    declared: Sequence[Representation]
    tolerance: float

    def find(self, before: Tensor, after: Sequence[Tensor]) -> tuple[Representation | None, float]:
        """Return the first law from ``before`` to each of ``after``, or None; and the smallest deviation."""
        closest, smallest = None, math.inf
        for law in itertools.chain(self._candidates(before), self.declared):
            error = self._deviation(law, before, after, stop=self.tolerance)
            if error <= self.tolerance:
                return law, error
            if error < smallest:
                closest, smallest = law, error
        return None, smallest if closest is None else self._deviation(closest, before, after, stop=math.inf)

    def _deviation(self, law: Representation, before: Tensor, after: Sequence[Tensor], stop: float) -> float:
        """Largest relative deviation from one law, or the first that exceeds ``stop``."""
        worst = 0.0
        for element, moved in zip(self.elements, after, strict=True):
            if moved.shape != before.shape:
                return math.inf
            if before.numel() == 0:
                continue
            try:
                expected = law.apply(self.group, element, before)
            except IntertwineError:  # the law does not fit this shape or type
                return math.inf
            if moved.dtype == torch.bool:
                worst = max(worst, float((expected != moved).any()))
            else:
                size = float(expected.abs().max()) or float(moved.abs().max()) or 1.0
                worst = max(worst, _nan_is_worst(float((expected - moved).abs().max()) / size))
            if worst > stop:
                break
        return worst

    def _candidates(self, x: Tensor) -> Iterator[Representation]:
        items = self.group.permutation(self.elements[0])
        count = None if items is None else len(items)
        moving = [axis for axis in range(x.ndim) if x.shape[axis] == count]
        choices = [(), *((axis,) for axis in moving), *itertools.combinations(moving, 2)]
        inner = [(Invariant(), ())]
        if x.is_floating_point():
            inner += self._linear_candidates(x)
        elif count is not None and x.dtype != torch.bool:
            yield NodeIndices()
        for law, used in inner:
            for axes in choices:
                if not set(axes) & set(used):
                    yield Permuted(axes, law) if axes else law

    def _linear_candidates(self, x: Tensor) -> list[tuple[Representation, tuple[int, ...]]]:
        """Laws of the linear part and the translation, with the axes on which they act."""
        matrix = self.group.linear(self.elements[0])
        if matrix is None:
            return []
        size, last = len(matrix), x.ndim - 1
        found: list[tuple[Representation, tuple[int, ...]]] = [(Cartesian(0, pseudo=True), ())]
        for axis in reversed(range(x.ndim)):
            if x.shape[axis] == size:
                for law in (Vector(), Point(), Vector(pseudo=True)):
                    found.append((law if axis == last else AlongAxis(axis, law), (axis,)))
        if x.ndim > 1 and x.shape[-2:] == (size, size):
            found += [(Cartesian(2, pseudo), (last - 1, last)) for pseudo in (False, True)]
        if x.ndim and size == 3 and self.group.orthogonal:
            found += [(law, (last,)) for law in self.irreps if law.irreps.dim == x.shape[-1]]
        return found


def _nan_is_worst(value: float) -> float:
    return math.inf if math.isnan(value) else value
