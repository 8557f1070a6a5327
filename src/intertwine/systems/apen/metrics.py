"""The scores of classes of points, of classes of clouds and of partitions, as torchmetrics.

Intersection over union (IoU) of a class: points that have it and are given it, over points that have it or are given
it. Sums are kept in whole numbers or float64 and add up over batches and processes.
"""

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torchmetrics import Metric, MetricCollection

from intertwine.errors import DataError, MissingExtraError, ShapeError
from intertwine.partitions import mixing, uncertainty
from intertwine.systems.apen.data.batch import PartBatch
from intertwine.training.metrics import Mean

__all__ = [
    "CloudAccuracy",
    "Delta",
    "InstanceIoU",
    "MeanIoU",
    "MeanUncertainty",
    "MixedCells",
    "MixedClouds",
    "MixedPoints",
    "PartCount",
    "PointAccuracy",
    "PooledIoU",
    "VoteDistance",
    "assign",
    "cloud_metrics",
    "instance_metrics",
    "partition_metrics",
    "segmentation_metrics",
]

_MOST_CLASSES = 1024


def segmentation_metrics() -> MetricCollection:
    """Return the scores of classes of points; all are updated with ``(logits, batch)``."""
    return _together(miou=MeanIoU(), pooled_miou=PooledIoU(), accuracy=PointAccuracy())


def cloud_metrics() -> MetricCollection:
    """Return the score of classes of clouds, which is updated with ``(logits, batch)``."""
    return _together(cloud_accuracy=CloudAccuracy())


def instance_metrics(*, one_to_one: bool = False) -> MetricCollection:
    """Return the scores of a predicted partition; all are updated with ``(parts, batch)``.

    Args:
        one_to_one: also that of parts matched one to one, which needs scipy.
    """
    if one_to_one:
        return _together(instance_iou=InstanceIoU(), instance_iou_matched=InstanceIoU(one_to_one=True))
    return _together(instance_iou=InstanceIoU())


def partition_metrics() -> MetricCollection:
    """Return how a partition mixes true parts (lambda), and its size; all are updated with ``(parts, batch)``."""
    return _together(
        mixed_cells=MixedCells(), mixed_clouds=MixedClouds(), mixed_points=MixedPoints(), parts=PartCount()
    )


class MeanIoU(Mean):
    """Mean over clouds of the mean IoU of the classes that the cloud has or is given: the published score."""

    higher_is_better = True

    def values(self, predictions: Float[Tensor, "points classes"], batch: PartBatch) -> Float[Tensor, " clouds"]:
        """Return the mean IoU of each cloud.

        Raises:
            DataError: if the batch has no labels, or one that the scores have no class for.
        """
        hit, union = _overlaps(predictions, batch)
        present = union > 0
        scores = torch.where(present, hit / union.clamp(min=1), 0.0).sum(1)
        held = present.sum(1)
        return (scores / held)[held > 0]


class PooledIoU(Metric):
    """Mean over classes of their IoU over the points of all clouds; classes that never occur do not count."""

    is_differentiable = False
    full_state_update = False
    higher_is_better = True
    hit: Tensor
    union: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("hit", "union"):
            self.add_state(name, torch.zeros(_MOST_CLASSES, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, predictions: Float[Tensor, "points classes"], batch: PartBatch) -> None:
        """Add a batch; errors are those of `MeanIoU`."""
        hit, union = _overlaps(predictions, batch)
        if hit.shape[1] > len(self.hit):
            raise ShapeError("too many classes to pool", got=hit.shape[1], expected=f"at most {len(self.hit)}")
        self.hit[: hit.shape[1]] += hit.sum(0).long()
        self.union[: hit.shape[1]] += union.sum(0).long()

    def compute(self) -> Tensor:
        """Return the mean; NaN before the first update."""
        present = self.union > 0
        return (self.hit[present].double() / self.union[present]).mean()


class PointAccuracy(Mean):
    """Share of points that are given their class."""

    higher_is_better = True

    def values(self, predictions: Float[Tensor, "points classes"], batch: PartBatch) -> Float[Tensor, " points"]:
        """Return 1 for each point that is right and 0 for each other; errors are those of `MeanIoU`."""
        return (predictions.argmax(-1) == _labels(predictions, batch)).double()


class CloudAccuracy(Mean):
    """Share of clouds that are given their class."""

    higher_is_better = True

    def values(self, predictions: Float[Tensor, "clouds classes"], batch: PartBatch) -> Float[Tensor, " clouds"]:
        """Return 1 for each cloud that is right and 0 for each other.

        Raises:
            DataError: if the classes of the clouds are not known.
        """
        return (predictions.argmax(-1) == _known(batch.subjects, "classes of the clouds", predictions)).double()


class InstanceIoU(Mean):
    """Mean over clouds of the mean over true parts of the IoU with the predicted part that is matched with each.

    Args:
        one_to_one: each predicted part is matched with at most one true part, so that the sum of the IoU is largest
            (the Hungarian method); a true part that is left over scores zero. Otherwise each true part takes the
            predicted part with which its IoU is largest.
    """

    higher_is_better = True

    def __init__(self, *, one_to_one: bool = False) -> None:
        super().__init__()
        self.one_to_one = one_to_one

    def values(self, predictions: Int64[Tensor, " points"], batch: PartBatch) -> Float[Tensor, " clouds"]:
        """Return the score of each cloud.

        Raises:
            DataError: if the true parts are not known.
            MissingExtraError: if parts are matched one to one, and scipy is not installed.
        """
        truth = _known(batch.instances, "true parts", predictions)
        scores = []
        for cloud in range(batch.num_graphs):
            inside = batch.graph_index == cloud
            if bool(inside.any()):
                overlap = _part_overlaps(truth[inside], predictions[inside])
                if self.one_to_one:
                    rows, columns = assign(overlap.cpu().numpy())
                    scores.append(overlap[rows, columns].sum() / len(overlap))
                else:
                    scores.append(overlap.amax(1).mean())
        return torch.stack(scores) if scores else torch.zeros(0, dtype=torch.float64)


class MixedCells(Mean):
    """Share of the parts of a partition that mix true parts."""

    higher_is_better = False

    def values(self, predictions: Int64[Tensor, " points"], batch: PartBatch) -> Float[Tensor, " parts"]:
        """Return 1 for each part that mixes true parts; errors are those of `MixedClouds`."""
        return mixing(predictions, _known(batch.instances, "true parts", predictions)).mixed.double()


class MixedClouds(Mean):
    """Share of clouds whose partition is no subpartition of the true one: an estimate of lambda."""

    higher_is_better = False

    def values(self, predictions: Int64[Tensor, " points"], batch: PartBatch) -> Float[Tensor, " clouds"]:
        """Return 1 for each cloud that has a part that mixes true parts, and 0 for each other.

        Raises:
            DataError: if the true parts are not known.
        """
        truth = _known(batch.instances, "true parts", predictions)
        ids = torch.unique(predictions, return_inverse=True)[1]
        bad = mixing(ids, truth).mixed[ids]
        return torch.bincount(batch.graph_index[bad], minlength=batch.num_graphs).clamp(max=1).double()


class MixedPoints(Mean):
    """Share of points that are in parts that mix true parts."""

    higher_is_better = False

    def values(self, predictions: Int64[Tensor, " points"], batch: PartBatch) -> Float[Tensor, " points"]:
        """Return 1 for each point in such a part; errors are those of `MixedClouds`."""
        ids = torch.unique(predictions, return_inverse=True)[1]
        return mixing(ids, _known(batch.instances, "true parts", predictions)).mixed[ids].double()


class PartCount(Mean):
    """Mean number of parts of a cloud."""

    def values(self, predictions: Int64[Tensor, " points"], batch: PartBatch) -> Float[Tensor, " clouds"]:
        """Return the number of parts of each cloud."""
        pairs = torch.unique(torch.stack([batch.graph_index, predictions]), dim=1)
        return torch.bincount(pairs[0], minlength=batch.num_graphs).double()


class MeanUncertainty(Mean):
    """Mean over points of what is missing from the probability of their most probable part: delta-bar."""

    higher_is_better = False

    def values(self, predictions: Float[Tensor, " points"], batch: PartBatch) -> Float[Tensor, " points"]:
        """Return the uncertainty of each point, from the probability of its most probable part."""
        return 1 - predictions.double()


class Delta(Mean):
    """Mean over clouds of the probability that a partition that is drawn differs from the most probable one."""

    higher_is_better = False

    def values(
        self, predictions: tuple[Float[Tensor, " rows"], Int64[Tensor, " rows"]], batch: PartBatch
    ) -> Float[Tensor, " clouds"]:
        """Return the probability of each cloud, of the largest probability of what draws as one, and its cloud."""
        top, cloud = predictions
        return uncertainty(top.double().clamp(max=1), cloud, batch.num_graphs)


class VoteDistance(Mean):
    """Mean distance of votes from the centroids of the true parts, in the unit of length."""

    higher_is_better = False

    def values(self, predictions: Float[Tensor, "points 3"], batch: PartBatch) -> Float[Tensor, " points"]:
        """Return the distance of each vote.

        Raises:
            DataError: if the true parts are not known.
        """
        centres = _known(batch.centres, "centres of the true parts", predictions)
        return (predictions.double() - centres.double()).norm(dim=-1)


def _together(**metrics: Metric) -> MetricCollection:
    # each metric has its own sums: groups would only save a little and share their state
    return MetricCollection(dict(metrics), compute_groups=False)  # pyright: ignore[reportArgumentType]


def _known(values: Tensor | None, what: str, predictions: Tensor) -> Tensor:
    if values is None:
        raise DataError(f"the {what} are not known", got="a batch without them", fix="use `intertwine predict`")
    if len(values) != len(predictions):
        raise ShapeError(
            "predictions do not fit the batch", got=tuple(predictions.shape), expected=f"({len(values)}, ...)"
        )
    return values


def _labels(predictions: Tensor, batch: PartBatch) -> Int64[Tensor, " points"]:
    labels = _known(batch.labels, "labels of the points", predictions)
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < predictions.shape[1]:
        raise DataError(
            "a label is out of range",
            got=f"{int(labels.min())} to {int(labels.max())}",
            expected=f"0 to {predictions.shape[1] - 1}, the classes of the network",
        )
    return labels


def _overlaps(
    predictions: Float[Tensor, "points classes"], batch: PartBatch
) -> tuple[Float[Tensor, "clouds classes"], Float[Tensor, "clouds classes"]]:
    """Return for each cloud and class how many points have it and are given it, and how many have or are given it."""
    labels, given, classes = _labels(predictions, batch), predictions.argmax(-1), predictions.shape[1]

    def counts(values: Tensor, cloud: Tensor) -> Tensor:
        flat = torch.bincount(cloud * classes + values, minlength=batch.num_graphs * classes)
        return flat.unflatten(0, (batch.num_graphs, classes)).double()

    right = labels == given
    hit = counts(labels[right], batch.graph_index[right])
    return hit, counts(labels, batch.graph_index) + counts(given, batch.graph_index) - hit


def _part_overlaps(truth: Int64[Tensor, " points"], found: Int64[Tensor, " points"]) -> Float[Tensor, "true predicted"]:
    """Return the IoU of each true part with each predicted part, for one cloud."""
    rows, columns = (torch.unique(ids, return_inverse=True)[1] for ids in (truth, found))
    height, width = int(rows.max()) + 1, int(columns.max()) + 1
    both = torch.bincount(rows * width + columns, minlength=height * width).unflatten(0, (height, width)).double()
    return both / (both.sum(1, keepdim=True) + both.sum(0) - both)


def assign(overlap: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and columns matched one to one so that the sum of their entries is largest.

    Raises:
        MissingExtraError: if scipy is not installed.
    """
    try:
        from scipy.optimize import linear_sum_assignment
    except ImportError as error:
        raise MissingExtraError("matching parts needs scipy", fix="pip install 'intertwine[points]'") from error
    return linear_sum_assignment(overlap, maximize=True)
