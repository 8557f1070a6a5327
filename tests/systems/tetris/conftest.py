"""The eight shapes as one batch, and small models of every product."""

import pytest
import torch

from intertwine.systems.tetris.data import MIRROR_PAIR, SHAPES, collate_points, make_graphs, shape_sets
from intertwine.systems.tetris.model import ShapeClassifier
from intertwine.systems.tetris.settings import ModelSettings


@pytest.fixture
def shapes():
    """The eight shapes in float64, with labels in their own order."""
    return collate_points(make_graphs(shape_sets(), ("X",), 1.1, tuple(SHAPES)))


@pytest.fixture
def build():
    """``build(product, seed=0, **settings)`` makes a small float64 model of the eight shapes."""

    def make(product, seed=0, dtype=torch.float64, **settings):
        sizes = {"multiplicity": 1, "product_channels": 2, "radial_width": 8, "embedding": 4} | settings
        return ShapeClassifier(
            ModelSettings(product=product, **sizes),
            classes=tuple(SHAPES),
            mirror_pairs=(MIRROR_PAIR,),
            rng=torch.Generator().manual_seed(seed),
        ).to(dtype)

    return make
