"""Gaunt products: features multiplied as functions on the sphere, on a grid or as Fourier series."""

__all__: list[str] = []
