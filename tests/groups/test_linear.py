"""Linear groups: dimension, natural action, and the stated distribution of draws."""

import math

import pytest
import torch

from intertwine.errors import ShapeError
from intertwine.groups import SL, Affine, GLPlus


@pytest.mark.parametrize(
    ("group", "dim"),
    [(GLPlus(2), 4), (GLPlus(3), 9), (SL(2), 3), (SL(3), 8), (Affine(2), 6), (Affine(3), 12)],
    ids=str,
)
def test_dimension(group, dim):
    assert group.dim == dim
    assert group.order is None
    assert not group.orthogonal


def test_convention_affine_maps_act_linearly_then_translate():
    g = torch.tensor([[2.0, 0, 1], [0, 3, 5], [0, 0, 1]])
    assert Affine(2).contains(g)
    assert Affine(2).apply(g, torch.ones(2)).tolist() == [3, 8]


def test_special_linear_maps_keep_volume(rng):
    drawn = SL(3).sample(100, rng=rng, dtype=torch.float64)
    torch.testing.assert_close(torch.linalg.det(drawn), torch.ones(100, dtype=torch.float64), rtol=1e-13, atol=0)


def test_affine_maps_of_both_orientations_are_drawn(rng):
    signs = torch.linalg.det(Affine(2).linear(Affine(2).sample(400, rng=rng, dtype=torch.float64))).sign()
    assert 100 < (signs > 0).sum() < 300


@pytest.mark.parametrize("scale", [0.1, 1.0])
def test_stretches_have_the_stated_scale(scale, rng):
    """The logarithm of g^T g is twice the symmetric normal matrix."""
    drawn = GLPlus(2, stretch_scale=scale).sample(8000, rng=rng, dtype=torch.float64)
    values, vectors = torch.linalg.eigh(drawn.mT @ drawn)
    symmetric = vectors @ torch.diag_embed(values.log() / 2) @ vectors.mT
    assert abs(symmetric[:, 0, 0].std().item() / scale - 1) < 0.04
    assert abs(symmetric[:, 0, 1].std().item() / scale * math.sqrt(2) - 1) < 0.04
    assert symmetric.mean(0).abs().max() < 0.06 * scale


def test_vectors_of_another_dimension_are_refused():
    with pytest.raises(ShapeError) as caught:
        GLPlus(2).apply(torch.eye(2), torch.zeros(4, 3))
    assert caught.value.got == (4, 3)
