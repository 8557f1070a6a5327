"""Batches from which points are left out, and what a network found in them put back together for scores."""

from dataclasses import replace

import torch
from jaxtyping import Bool
from torch import Tensor

from intertwine.errors import DataError
from intertwine.systems.apen.data.batch import PartBatch, make_batch

__all__ = ["leave_out", "restore"]


def leave_out(batch: PartBatch, floor: Bool[Tensor, " points"]) -> PartBatch:
    """Return a batch without some points, which it keeps aside for scores.

    Raises:
        DataError: if nothing is left of a cloud.
    """
    kept = ~floor
    before, after = (
        torch.bincount(index, minlength=batch.num_graphs) for index in (batch.graph_index, batch.graph_index[kept])
    )
    empty = ((before > 0) & (after == 0)).nonzero().flatten().tolist()
    if empty:
        raise DataError(
            "nothing is left of a cloud",
            got=f"only points that are left out, in clouds {empty} of the batch",
            expected="other points",
            fix="draw more points (data.points), or set data.remove_floor to false",
        )
    left = make_batch(
        batch.positions[kept],
        batch.graph_index[kept],
        batch.num_graphs,
        labels=None if batch.labels is None else batch.labels[kept],
        parts=None if batch.instances is None else batch.instances[kept],
        subjects=batch.subjects,
    )
    return replace(left, whole=batch, kept=kept)


def restore(
    found: dict[str, Tensor], batch: PartBatch, *, segments: bool = True
) -> tuple[dict[str, Tensor], PartBatch]:
    """Return what a network found, and the batch, with the points that were left out; unchanged if there are none.

    Points that were left out have class 0, a part of their own in each cloud, certainly, and vote for where they are.

    Args:
        found: what the network returned for the batch.
        batch: as the network saw it.
        segments: whether its logits are of points, and not of clouds.
    """
    whole, kept = batch.whole, batch.kept
    if whole is None or kept is None:
        return found, batch
    device = found["logits"].device
    place = kept.nonzero().flatten().to(device)
    made = dict(found)
    if segments:
        background = found["logits"].new_zeros(len(kept), found["logits"].shape[1])
        background[:, 0] = 1
        made["logits"] = background.index_copy(0, place, found["logits"])
    if "parts" in found:
        first = found["parts"].amax() + 1
        floors = (first + whole.graph_index.to(device)).expand(len(found["parts"]), -1)
        made["parts"] = floors.index_copy(1, place, found["parts"])
        where = whole.positions.to(found["votes"]).expand(len(found["votes"]), -1, -1)
        made["votes"] = where.index_copy(1, place, found["votes"])
        sure = found["certainty"].new_ones(len(found["certainty"]), len(kept))
        made["certainty"] = sure.index_copy(1, place, found["certainty"])
    return made, whole
