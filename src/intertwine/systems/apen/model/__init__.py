"""The network: parts seen one at a time in their own frames, and the partitions that votes predict."""

from intertwine.systems.apen.model.baselines import DGCNN, Baseline, PointNet, VNPointNet
from intertwine.systems.apen.model.network import APEN
from intertwine.systems.apen.model.pieces import PartitionScores, PieceReport, degenerate_parts
from intertwine.systems.apen.model.prediction import Prediction, predict_partition
from intertwine.systems.apen.model.set_network import SetNetwork

__all__ = [
    "APEN",
    "DGCNN",
    "Baseline",
    "PartitionScores",
    "PieceReport",
    "PointNet",
    "Prediction",
    "SetNetwork",
    "VNPointNet",
    "degenerate_parts",
    "predict_partition",
]
