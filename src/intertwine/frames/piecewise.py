"""Averages over a frame of each part: networks that follow parts that move on their own.

With a partition Z of the points and a network that sees one part at a time, averaged over the frame of that part, the
output follows the motion of each part; so it does if Z is finer than what really moves. If Z mixes two things that
move, it does not.

Source: Atzmon, Huang, Williams, Litany, Approximately Piecewise E(3) Equivariant Point Networks, ICLR 2024, section 3.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self, final

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from intertwine.errors import ShapeError
from intertwine.frames.folding import weighted_mean
from intertwine.frames.frame import Frames
from intertwine.frames.pca import PCAFrame
from intertwine.frames.transport import kind_of
from intertwine.graphs import segment_sum
from intertwine.groups import Element, Group

__all__ = ["Memberships", "PiecewiseFrameAverage", "move_parts", "piecewise_error"]


@final
@dataclass(frozen=True)
class Memberships:
    """Which points are in which parts, and how much.

    Args:
        point: a point for each membership.
        part: the part, from 0 to ``parts`` - 1.
        parts: number of parts; some may be empty.
        points: number of points.
        inside: how much the point counts in the part's centroid, covariance and pools; fully where not given.
        outside: weight of the part in the point's output; 1 where not given.
    """

    point: Int64[Tensor, " memberships"]
    part: Int64[Tensor, " memberships"]
    parts: int
    points: int
    inside: Float[Tensor, " memberships"] | None = None
    outside: Float[Tensor, " memberships"] | None = None

    @classmethod
    def of(cls, part: Int64[Tensor, " points"]) -> Self:
        """Return the memberships of a partition: each point in one part.

        Raises:
            ShapeError: if parts are not whole numbers from 0, one for each point.
        """
        if part.ndim != 1 or part.dtype != torch.int64 or (len(part) and int(part.min()) < 0):
            raise ShapeError(
                "a partition gives a part to each point",
                got=f"{tuple(part.shape)} of {part.dtype}",
                expected="(points,) of torch.int64, numbers from 0",
            )
        parts = int(part.max()) + 1 if len(part) else 0
        return cls(torch.arange(len(part), device=part.device), part, parts, len(part))

    @property
    def hard(self) -> bool:
        """Whether each point is in one part, in the order of the points."""
        return self.inside is None and self.outside is None


@final
class PiecewiseFrameAverage(nn.Module):
    """A network applied to each part in the coordinates of that part's frame, averaged, and mapped back.

    Law: if each part moves by an element of the frame's group of its own, outputs of its points move with it; those of
    other parts stay as they are, to the bit.

    The network gets the inputs by name, in a tensor with a row for each membership and frame, ``part``, the part of
    each row (each frame of a part is a part of its own), their number ``parts``, and ``inside``, how much each row
    counts, or None. It must mix rows of the same part only.

    Parts of one point or on a line need no care with the frames of E(3): averages over all signs of an axis have no
    component along axes that a part does not fix.

    Args:
        backbone: returns a tensor by name of output, with a row for each of its rows.
        frame: PCA frames of the parts; degenerate parts are its policy's to handle.
        inputs: kind of each input, see `FrameAverage`; the first ``point`` gives the frames.
        outputs: kind of each output.
    """

    def __init__(
        self, backbone: nn.Module, frame: PCAFrame, *, inputs: Mapping[str, str], outputs: Mapping[str, str]
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.frame = frame
        self._inputs = {name: kind_of(kind) for name, kind in inputs.items()}
        self._outputs = {name: kind_of(kind) for name, kind in outputs.items()}
        points = [name for name, kind in inputs.items() if kind == "point"]
        if not points:
            raise ShapeError("no input gives the frames of the parts", got=dict(inputs), expected="one of kind point")
        self._source = points[0]

    def forward(self, part: Int64[Tensor, " points"] | Memberships, **inputs: Tensor) -> dict[str, Tensor]:
        """Return the outputs of all points.

        Args:
            part: the part of each point, or memberships of points in several parts.
            inputs: with a row for each point.

        Raises:
            ShapeError: if there is not a row for each point.
            NumericsError: if a coordinate is not finite.
        """
        members = part if isinstance(part, Memberships) else Memberships.of(part)
        for name, values in inputs.items():
            if name not in self._inputs or len(values) != members.points:
                raise ShapeError(
                    f"`{name}` does not fit the partition",
                    got=f"{name} {tuple(values.shape)}",
                    expected=f"{members.points} rows; inputs {', '.join(self._inputs)}",
                )
        rows = {name: values if members.hard else values[members.point] for name, values in inputs.items()}
        frames = self.frames(members, rows[self._source])
        count = frames.count

        def folded(values: Tensor) -> Tensor:
            return values.transpose(0, 1).flatten(0, 1)

        framed = {name: folded(self._inputs[name].into(values, frames, members.part)) for name, values in rows.items()}
        shifts = members.parts * torch.arange(count, device=members.part.device)
        inside = None if members.inside is None else members.inside.repeat(count)
        found = self.backbone(
            **framed, part=(members.part + shifts[:, None]).flatten(), parts=members.parts * count, inside=inside
        )
        return {name: self._averaged(name, found[name], frames, members) for name in self._outputs}

    def frames(self, members: Memberships, points: Float[Tensor, "memberships d"]) -> Frames:
        """Return the frame of each part."""
        return self.frame.of_segments(points, members.part, members.parts, weights=members.inside)

    def _averaged(self, name: str, values: Tensor, frames: Frames, members: Memberships) -> Tensor:
        by_row = values.unflatten(0, (frames.count, len(members.part))).transpose(0, 1)
        back = self._outputs[name].back(by_row, frames, members.part)
        mean = weighted_mean(back, frames.weights.index_select(0, members.part))
        if members.outside is not None:
            mean = mean * members.outside.reshape(-1, *[1] * (mean.ndim - 1))
        return mean if members.hard else segment_sum(mean, members.point, members.points)


def move_parts(
    group: Group, elements: Element, points: Float[Tensor, "points d"], part: Int64[Tensor, " points"]
) -> Float[Tensor, "points d"]:
    """Return points moved with their parts, each part by an element of its own.

    Args:
        group: E(d) or a subgroup.
        elements: one for each part.
        points: before the motion.
        part: the part of each.
    """
    return group.apply(elements[part].to(points.dtype), points)


@torch.no_grad()
def piecewise_error(
    function: Callable[[Tensor], Tensor],
    points: Float[Tensor, "points d"],
    part: Int64[Tensor, " points"],
    group: Group,
    *,
    output: str = "vector",
    trials: int = 8,
    rng: torch.Generator,
) -> float:
    """Return the relative error of the law of pieces: ``E |f(g X) - g f(X)| / E |f(X)|`` over motions of all parts.

    Where the function is zero, the error is not relative.

    Args:
        function: from points to a row for each point.
        points: a cloud.
        part: what moves together.
        group: of the motions.
        output: how rows of the function transform: point, vector, scalar or irreps.
        trials: motions drawn.
        rng: source of the motions.
    """
    law: Any = kind_of(output).representation
    parts = int(part.max()) + 1 if len(part) else 0
    before = function(points)
    errors = []
    for _ in range(trials):
        elements = group.sample(parts, rng=rng, dtype=torch.float64)
        after = function(move_parts(group, elements, points, part))
        expected = before.clone()
        for place in range(parts):
            chosen = part == place
            expected[chosen] = law.apply(group, elements[place], before[chosen])
        errors.append((after - expected).flatten(1).norm(dim=1).mean())
    size = before.flatten(1).norm(dim=1).mean()
    mean = torch.stack(errors).mean()
    return float(mean / size if size > 0 else mean)
