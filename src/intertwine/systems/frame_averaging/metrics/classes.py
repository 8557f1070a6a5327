"""How often scores name the right class, as a torchmetrics metric, and what scores mean."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy
from torchmetrics import MetricCollection

from intertwine.training.metrics import Mean

__all__ = ["ClassAccuracy", "class_metrics", "classes_of", "entropies", "probabilities"]


class ClassAccuracy(Mean):
    """The part of the items whose class has the highest score, from 0 to 1.

    Of one score, the logit of the second of two classes, zero and less names the first.
    """

    higher_is_better = True

    def values(self, scores: Float[Tensor, "items scores"], labels: Int64[Tensor, " items"]) -> Tensor:
        """Return 1 for each item that is right, 0 for the others."""
        return (classes_of(scores.detach()) == labels).double()


def class_metrics() -> MetricCollection:
    """Return what a table of a classifier shows, by name."""
    return MetricCollection({"accuracy": ClassAccuracy()}, compute_groups=False)


def classes_of(scores: Float[Tensor, "*batch scores"]) -> Int64[Tensor, "*batch"]:
    """Return the classes that scores name."""
    return (scores[..., 0] > 0).long() if scores.shape[-1] == 1 else scores.argmax(-1)


def probabilities(scores: Float[Tensor, "*batch scores"]) -> Float[Tensor, "*batch classes"]:
    """Return the probabilities of the classes, in float64."""
    scores = scores.double()
    if scores.shape[-1] == 1:
        return torch.cat([(-scores).sigmoid(), scores.sigmoid()], dim=-1)
    return scores.softmax(-1)


def entropies(scores: Float[Tensor, "items scores"], labels: Int64[Tensor, " items"]) -> Float[Tensor, " items"]:
    """Return the cross entropy of each item: binary for one score."""
    if scores.shape[-1] == 1:
        return binary_cross_entropy_with_logits(scores[:, 0], labels.to(scores), reduction="none")
    return cross_entropy(scores, labels, reduction="none")
