"""Colours of classes and parts: many that differ, the same for the same number."""

import colorsys

import numpy as np
from jaxtyping import Int64, UInt8

__all__ = ["class_colours", "hex_colours"]

_GOLDEN = 0.618033988749895


def class_colours(labels: Int64[np.ndarray, " points"]) -> UInt8[np.ndarray, "points 3"]:
    """Return a colour for each point, the same for points of the same label.

    Hues advance by the golden section, so that neighbouring numbers look unlike each other.
    """
    kinds, place = np.unique(labels, return_inverse=True)
    table = np.array([_colour(int(kind)) for kind in kinds], dtype=np.uint8).reshape(-1, 3)
    return table[place.reshape(-1)]


def hex_colours(labels: Int64[np.ndarray, " points"]) -> list[str]:
    """Return the same colours as text, for figures."""
    return [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in class_colours(labels)]


def _colour(number: int) -> tuple[int, int, int]:
    hue = (number * _GOLDEN) % 1
    saturation, value = (0.65, 0.85) if number % 2 == 0 else (0.45, 0.95)
    r, g, b = colorsys.hsv_to_rgb(hue, saturation, value)
    return round(255 * r), round(255 * g), round(255 * b)
