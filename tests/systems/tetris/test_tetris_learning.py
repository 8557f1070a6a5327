"""Learning the eight shapes: all products but the plain Gaunt product get all of them right, and that one never does.

Measured over seeds 0 to 4 and lmax 1 and 2: no model is below its highest accuracy after step 115 (seed 1, lmax 1: 70).
"""

import pytest
import torch

from intertwine.groups import SO
from intertwine.systems.tetris.data import SHAPES
from intertwine.systems.tetris.settings import PRODUCT_NAMES

CHIRAL_1, CHIRAL_2 = list(SHAPES).index("chiral_1"), list(SHAPES).index("chiral_2")
COMPLETE = [name for name in PRODUCT_NAMES if name != "gaunt"]


def learn(model, shapes, steps, seed=0):
    """Train full-batch, turned anew in every step; return the accuracy at every step."""
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    rng = torch.Generator().manual_seed(seed)
    history = []
    for _ in range(steps):
        turned = shapes.moved(SO(3).sample(8, rng=rng, dtype=shapes.positions.dtype))
        scores = model(**turned.inputs())
        history.append(int((scores.argmax(-1) == shapes.labels).sum()) / 8)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(scores, shapes.labels).backward()
        optimizer.step()
    return history


SIZES = {"multiplicity": 2, "product_channels": 4, "radial_width": 16, "embedding": 8}


@pytest.mark.parametrize("product", COMPLETE)
def test_complete_products_get_all_eight_right_and_tell_mirror_images_apart(product, build, shapes):
    single = shapes.to(torch.float32)
    model = build(product, seed=1, dtype=torch.float32, **SIZES)
    assert learn(model, single, 120)[-1] == 1.0
    reflected = model(**single.moved(-torch.eye(3)[None]).inputs()).argmax(-1)
    assert reflected[CHIRAL_1] == CHIRAL_2
    assert reflected[CHIRAL_2] == CHIRAL_1
    assert (reflected[2:] == shapes.labels[2:]).all()


def test_gaunt_gets_seven_right_and_never_more(build, shapes):
    model = build("gaunt", seed=1, dtype=torch.float32, **SIZES)
    history = learn(model, shapes.to(torch.float32), 120)
    assert history[-1] == max(history) == 0.875


@pytest.mark.slow
@pytest.mark.parametrize("lmax", [1, 2])
@pytest.mark.parametrize("product", PRODUCT_NAMES)
@pytest.mark.parametrize("seed", range(5))
def test_every_seed_ends_where_the_product_allows(product, lmax, seed, build, shapes):
    model = build(product, seed=seed, dtype=torch.float32, lmax=lmax, **SIZES)
    history = learn(model, shapes.to(torch.float32), 250, seed)
    assert history[-1] == max(history) == (0.875 if product == "gaunt" else 1.0)
