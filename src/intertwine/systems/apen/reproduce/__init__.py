"""The card's experiments."""

from intertwine.systems.apen.reproduce.experiment import reproduce

__all__ = ["reproduce"]
