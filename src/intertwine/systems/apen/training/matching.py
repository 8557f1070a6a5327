"""Predicted parts against true ones: which belongs to which, and how much of it is where it should be."""

import torch
from jaxtyping import Int64
from torch import Tensor

from intertwine.graphs import segment_sum
from intertwine.systems.apen.metrics import assign
from intertwine.systems.apen.model.prediction import Prediction

__all__ = ["matched_parts"]


def matched_parts(prediction: Prediction, instances: Int64[Tensor, " points"]) -> Tensor:
    """Return the mean cross-entropy of the shares Q against the true parts, each matched with one component.

    Points of true parts that got no component of their own do not count.

    Args:
        prediction: of a layer, whose mixture is differentiable.
        instances: true part of each point, numbered without gaps over the batch.
    """
    mixture = prediction.mixture
    shares = mixture.responsibilities.index_select(0, prediction.vote)
    index = mixture.index.index_select(0, prediction.vote)
    components, parts = len(mixture.components), int(instances.max()) + 1
    place = instances.unsqueeze(1) * components + index.clamp(min=0)
    mass = segment_sum(shares.detach().flatten(), place.flatten(), parts * components)
    rows, columns = assign(mass.unflatten(0, (parts, components)).cpu().numpy())
    wanted = torch.full((parts,), -1, dtype=torch.int64, device=index.device)
    wanted[torch.as_tensor(rows, device=index.device)] = torch.as_tensor(columns, device=index.device)
    right = (index == wanted.index_select(0, instances).unsqueeze(1)) & (index >= 0)
    probability = (shares * right).sum(1)
    counted = wanted.index_select(0, instances) >= 0
    return -(probability.clamp(min=1e-12).log() * counted).sum() / counted.sum().clamp(min=1)
