"""Scores of a trained network, the law of pieces on its test sets, and the check of its symmetry."""

from intertwine.systems.apen.evaluate.scores import apply_network, check, evaluate, measure_set

__all__ = ["apply_network", "check", "evaluate", "measure_set"]
