"""Scans: clouds that are there as points, some of which are drawn; and the protocol that learns from one of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from intertwine.errors import DataError
from intertwine.systems.apen.data.batch import CloudSet, PartBatch, make_batch
from intertwine.systems.apen.data.left_out import leave_out

__all__ = ["Scan", "ScanClouds", "make_scan", "one_shot"]


@final
@dataclass(frozen=True)
class Scan:
    """A cloud of points and what is known of each.

    Args:
        name: says in errors and pictures which it is.
        points: coordinates.
        labels: class of each point.
        parts: true part of each point, by any number.
        subject: class of the cloud.
        floor: points that networks do not see.
    """

    name: str
    points: Float[Tensor, "points 3"]
    labels: Int64[Tensor, " points"] | None = None
    parts: Int64[Tensor, " points"] | None = None
    subject: int | None = None
    floor: Bool[Tensor, " points"] | None = None


def make_scan(name: str, points: Any, labels: Any = None, parts: Any = None) -> Scan:
    """Return a scan of arrays, in single precision.

    Args:
        name: of the scan.
        points: (points, 3).
        labels: whole numbers from 0.
        parts: whole numbers; the labels where not given.

    Raises:
        DataError: if there is no point, arrays do not fit, a number is not finite, or a label is negative.
    """
    found = torch.as_tensor(points).float()
    if found.ndim != 2 or found.shape[1] != 3 or not len(found) or not bool(found.isfinite().all()):
        raise DataError(f"{name} has no points", got=tuple(found.shape), expected="(points, 3), at least one, finite")
    numbers = {"labels": labels, "parts": labels if parts is None else parts}
    whole: dict[str, Tensor | None] = {}
    for key, values in numbers.items():
        whole[key] = None if values is None else _whole(f"{name}: {key}", torch.as_tensor(values), len(found))
    known = whole["labels"]
    if known is not None and int(known.min()) < 0:
        raise DataError(f"{name}: a label is out of range", got=int(known.min()), expected="classes from 0")
    return Scan(name, found, known, whole["parts"])


class ScanClouds(CloudSet):
    """Scans as clouds: all points of each, or some that are drawn without putting back; without those of a known floor.

    Args:
        scans: all with labels or none, all with parts or none, all with a subject or none.
        points: to draw; all where not given, or where a scan has no more.

    Raises:
        DataError: if something is known of some scans only.
    """

    def __init__(self, scans: Sequence[Scan], points: int | None = None) -> None:
        super().__init__([scan.name for scan in scans])
        self.scans = list(scans)
        self.points = points
        for key in ("labels", "parts", "subject", "floor"):
            lacking = [scan.name for scan in scans if getattr(scan, key) is None]
            if lacking and len(lacking) != len(scans):
                raise DataError(
                    f"some clouds have {key} and others do not",
                    got=f"none in {', '.join(lacking[:4])}{' ...' if len(lacking) > 4 else ''}",
                    expected=f"{key} in all files or in none",
                )

    def draw(self, indices: Sequence[int], rngs: Sequence[torch.Generator]) -> PartBatch:
        """Return newly drawn points of some scans, as one batch."""
        scans = [self.scans[index] for index in indices]
        chosen = [self._chosen(len(scan.points), rng) for scan, rng in zip(scans, rngs, strict=True)]
        sizes = torch.tensor([len(index) for index in chosen])

        def joined(key: str) -> Tensor | None:
            held = [getattr(scan, key) for scan in scans]
            if any(values is None for values in held):
                return None
            return torch.cat([values[index] for values, index in zip(held, chosen, strict=True)])

        points, subjects = joined("points"), [scan.subject for scan in scans if scan.subject is not None]
        batch = make_batch(
            points,  # pyright: ignore[reportArgumentType] - every scan has points
            torch.arange(len(scans)).repeat_interleave(sizes),
            len(scans),
            labels=joined("labels"),
            parts=joined("parts"),
            subjects=torch.tensor(subjects) if len(subjects) == len(scans) else None,
        )
        floor = joined("floor")
        return batch if floor is None else leave_out(batch, floor)

    def _chosen(self, count: int, rng: torch.Generator) -> Int64[Tensor, " points"]:
        if self.points is None or self.points >= count:
            return torch.arange(count)
        return torch.randperm(count, generator=rng)[: self.points]


def one_shot(scans: Sequence[Scan], configuration: int) -> tuple[list[Scan], list[Scan]]:
    """Return the one scan to learn from, and the others, to be tested on.

    Raises:
        DataError: if there is no such scan, or a test scan has a label that the first lacks: nothing could learn it.
    """
    if not 0 <= configuration < len(scans):
        raise DataError("the scene has no such configuration", got=configuration, expected=f"0 to {len(scans) - 1}")
    learnt = scans[configuration]
    others = [scan for place, scan in enumerate(scans) if place != configuration]
    for scan in others:
        if scan.labels is None or learnt.labels is None:
            raise DataError("learning from one scan needs labels", got=f"{scan.name} or {learnt.name} without")
        new = sorted(set(scan.labels.unique().tolist()) - set(learnt.labels.unique().tolist()))
        if new:
            raise DataError(
                f"{scan.name} has labels that {learnt.name}, the scan to learn from, does not have",
                got=new,
                expected=learnt.labels.unique().tolist(),
                fix="choose another data.configuration",
            )
    return [learnt], others


def _whole(name: str, values: Tensor, count: int) -> Int64[Tensor, " points"]:
    if values.shape != (count,) or values.dtype == torch.bool:
        raise DataError(f"{name} do not fit the points", got=tuple(values.shape), expected=f"({count},) whole numbers")
    if values.is_floating_point() and not bool((values == values.round()).all()):
        raise DataError(f"{name} are not whole numbers", got=values.dtype, expected="whole numbers")
    return values.long()
