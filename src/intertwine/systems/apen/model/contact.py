"""What parts that touch tell each other: invariant features go from part to part, and to the points of contact.

Strictly, a part may not know of any other. But in a body or a mechanism most motions keep what touches: where a part
ends, and what the next one looks like, stays the same when joints turn. Features that go from part to part over
contacts alone, without any coordinate, are invariant under all such motions, and a point that touches a neighbour tells
its own part in which direction that neighbour lies, which the part's motion carries along.
"""

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from intertwine.nn.perceptron import affine_map
from intertwine.points import cloud_sizes, ragged_neighbours
from intertwine.systems.apen.model.set_network import ACTIVATIONS, make_norm, segment_max

__all__ = ["Contact", "near_points"]


class Contact(nn.Module):
    """Exchanges scalars between parts that touch: those with a point among the nearest of a point of the other.

    Law: invariant under motions of the whole cloud, and under motions of its parts that change no contact.

    Args:
        scalars: features of each point.
        rounds: how far features go: from a part to the next, and so on.
        norm, activation: names, see `make_norm` and `ACTIVATIONS`.
        rng: generator of the initial weights.
    """

    def __init__(
        self, scalars: int, rounds: int, *, norm: str, activation: str, rng: torch.Generator | None = None
    ) -> None:
        super().__init__()

        def block(inputs: int) -> nn.Sequential:
            return nn.Sequential(
                affine_map(inputs, scalars, rng=rng), make_norm(norm, scalars), ACTIVATIONS[activation]()
            )

        self.parts = nn.ModuleList(block(2 * scalars) for _ in range(rounds))
        self.points = block(3 * scalars)

    def forward(
        self,
        scalars: Float[Tensor, "points scalars"],
        part: Int64[Tensor, " points"],
        near: Int64[Tensor, "points k"],
    ) -> Float[Tensor, "points scalars"]:
        """Return scalars that know what their part and the parts it touches look like.

        Args:
            scalars: of each point.
            part: partition, numbered without gaps.
            near: the nearest points of each point.
        """
        parts = int(part.max()) + 1 if len(part) else 0
        touched = part[near]
        other = touched != part.unsqueeze(1)
        point, _ = other.nonzero().unbind(1)
        pairs = torch.unique(part[point] * parts + touched[other]) if parts else touched[other]
        own, its = pairs // max(parts, 1), pairs % max(parts, 1)
        seen = segment_max(scalars, part, parts)
        # contact is mutual, also where only one of two points is among the nearest of the other
        here, there = torch.cat([own, its]), torch.cat([its, own])
        for block in self.parts:
            seen = seen + segment_max(block(torch.cat([seen[here], seen[there]], dim=1)), here, parts)
        told = segment_max(seen[touched[other]], point, len(part))
        return scalars + self.points(torch.cat([scalars, seen[part], told], dim=1))


def near_points(
    positions: Float[Tensor, "points 3"], k: int, batch: Int64[Tensor, " points"]
) -> Int64[Tensor, "points k"]:
    """Return the ``k`` nearest points of each point in its own cloud, itself first, as places in the one tensor.

    In clouds of fewer points each has all of them, and is its own neighbour in the places left: it does not touch
    itself. Each cloud is searched as if it were alone.
    """
    sizes = cloud_sizes(batch)[batch].clamp(max=k)
    found = torch.arange(len(batch), device=batch.device).unsqueeze(1).repeat(1, k)
    for size in sizes.unique().tolist():
        rows = (sizes == size).nonzero().flatten()
        found[rows, :size] = rows[ragged_neighbours(positions[rows], size, batch[rows])]
    return found
