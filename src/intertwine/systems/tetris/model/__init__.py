"""The network of the tetris system: tensors in, tensors out, symmetry declared."""

from intertwine.systems.tetris.model.classes import ClassTable, MirroredClasses
from intertwine.systems.tetris.model.messages import ChannelMessages, PathMessages, make_messages
from intertwine.systems.tetris.model.network import ShapeClassifier

__all__ = [
    "ChannelMessages",
    "ClassTable",
    "MirroredClasses",
    "PathMessages",
    "ShapeClassifier",
    "make_messages",
]
