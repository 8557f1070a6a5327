"""Clouds of points and meshes: files, samples of surfaces, neighbours, farthest points."""

__all__: list[str] = []
