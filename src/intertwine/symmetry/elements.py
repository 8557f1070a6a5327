"""Which elements a check draws: from the whole group, and from each kind of element that the group has.

Drawn one kind at a time, errors tell which law is broken. "Reflections" are all elements of determinant -1,
not mirrors
alone: two mirrors make a rotation, so a map that keeps every mirror keeps every rotation, and nothing is
    hidden.
"""

from typing import Any

import torch
from torch import Tensor

from intertwine.groups import Element, Group, ProductGroup, homogeneous

__all__ = ["WHOLE", "draw_parts", "move_element"]

WHOLE = "all"
"""Name of the part that holds elements of the whole group."""

_POOL = 64
"""Elements drawn from one factor before they are sorted by determinant."""


def draw_parts(group: Group, trials: int, *, rng: torch.Generator, dtype: torch.dtype) -> dict[str, list[Element]]:
    """Return ``trials`` elements of each kind that the group has, and of the whole group.

    Kinds are ``rotations``, ``reflections``, ``linear maps`` (where they are not orthogonal),
    ``translations`` and ``permutations``. A group with one kind gives the whole group only.
    """
    whole = _unstack(group.sample(trials, rng=rng, dtype=dtype), trials)
    factors = group.factors if isinstance(group, ProductGroup) else (group,)
    parts: dict[str, list[Element]] = {}
    for place, factor in enumerate(factors):
        for kind, elements in _kinds(factor, trials, rng, dtype).items():
            if isinstance(group, ProductGroup):
                still = group.identity(dtype=dtype)
                elements = [(*still[:place], element, *still[place + 1 :]) for element in elements]
            parts[kind] = elements
    return {WHOLE: whole} if len(parts) < 2 else parts | {WHOLE: whole}


def move_element(element: Element, device: torch.device | str) -> Element:
    """Return an element on another device."""
    if isinstance(element, tuple):
        return tuple(move_element(part, device) for part in element)
    return element.to(device)


def _kinds(factor: Group, trials: int, rng: torch.Generator, dtype: torch.dtype) -> dict[str, list[Element]]:
    pool = factor.sample(max(_POOL, 2 * trials), rng=rng, dtype=dtype)
    linear, translation = factor.linear(pool), factor.translation(pool)
    kinds: dict[str, Any] = {}
    if linear is not None:
        maps = pool if translation is None else homogeneous(linear, torch.zeros_like(translation))
        sign = torch.linalg.det(linear).sign()
        moving = (linear - torch.eye(linear.shape[-1], dtype=linear.dtype)).flatten(1).abs().amax(1) > 0
        kinds["rotations" if factor.orthogonal else "linear maps"] = maps[(sign > 0) & moving]
        kinds["reflections"] = maps[sign < 0]
    if translation is not None:
        size = translation.shape[-1]
        kinds["translations"] = homogeneous(torch.eye(size, dtype=dtype), translation)
    if factor.permutation(pool) is not None:
        kinds["permutations"] = pool
    return {kind: list(elements[:trials]) for kind, elements in kinds.items() if len(elements) > 0}


def _unstack(elements: Element | Tensor, count: int) -> list[Element]:
    if isinstance(elements, tuple):
        columns = [_unstack(part, count) for part in elements]
        return list(zip(*columns, strict=True))
    return [elements[place] for place in range(count)]
