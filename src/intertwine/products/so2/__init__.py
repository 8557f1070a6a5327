"""Convolutions with an edge in its own frame, where rotations about the edge are all that is left: SO(2)."""

__all__: list[str] = []
