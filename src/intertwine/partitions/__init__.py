"""Partitions of points into parts: initial ones, finer and coarser ones, and mixtures that predict them."""

__all__: list[str] = []
