"""Settings of frame averaging: the one source of help texts, the recipes' schema and the reference page."""

from intertwine.systems.frame_averaging.settings.digits import DigitsTask
from intertwine.systems.frame_averaging.settings.framing import FrameSettings, make_frame
from intertwine.systems.frame_averaging.settings.graphs import GraphsTask
from intertwine.systems.frame_averaging.settings.normals import NormalsTask
from intertwine.systems.frame_averaging.settings.particles import ParticlesTask
from intertwine.systems.frame_averaging.settings.recipe import FrameAveragingRecipe

__all__ = [
    "DigitsTask",
    "FrameAveragingRecipe",
    "FrameSettings",
    "GraphsTask",
    "NormalsTask",
    "ParticlesTask",
    "make_frame",
]
