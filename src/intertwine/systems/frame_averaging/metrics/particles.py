"""The errors by which predicted positions are compared: those of all systems that predict positions."""

from intertwine.training.position_metrics import MeanDistance, PositionMAE, PositionMSE, position_metrics

__all__ = ["MeanDistance", "PositionMAE", "PositionMSE", "position_metrics"]
