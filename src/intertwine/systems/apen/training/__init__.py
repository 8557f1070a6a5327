"""Losses of classes, of votes and of parts, and what trains a network on them."""

from intertwine.systems.apen.training.losses import ApenTraining, build_network, make_module, vote_loss
from intertwine.systems.apen.training.matching import matched_parts

__all__ = ["ApenTraining", "build_network", "make_module", "matched_parts", "vote_loss"]
