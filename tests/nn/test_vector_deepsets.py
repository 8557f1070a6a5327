"""The network of vectors on sets of points: its contract for all features, masks, and twins that break the law."""

import pytest
import torch
from torch import nn

from intertwine.errors import ConfigError, ShapeError
from intertwine.groups import SO, O, SymmetricGroup
from intertwine.nn import VectorDeepSets, VNLinear
from intertwine.symmetry import equivariance_error
from intertwine.testing import ModuleContract

FEATURES = ["p", "pv", "pva", "pvc", "pvac"]


def inputs(features, rng, dtype=torch.float64, batch=3, n=6):
    given = {"points": torch.randn(batch, n, 3, generator=rng, dtype=dtype)}
    if "v" in features:
        given["velocities"] = torch.randn(batch, n, 3, generator=rng, dtype=dtype)
    if "c" in features:
        given["charges"] = torch.randn(batch, n, generator=rng, dtype=dtype)
    return given


class _Contract(ModuleContract):
    features = "p"

    def build(self):
        return VectorDeepSets(self.features, dropout=0.0, rng=torch.Generator().manual_seed(0))

    def inputs(self, rng, dtype):
        return inputs(self.features, rng, dtype)

    def singles(self, rng, dtype):
        return [inputs(self.features, rng, dtype, batch=1) for _ in range(3)]

    def join(self, singles):
        return {name: torch.cat([single[name] for single in singles]) for name in singles[0]}

    def empty_inputs(self, dtype):
        return inputs(self.features, torch.Generator(), dtype, batch=0)


class TestPositions(_Contract):
    pass


class TestVelocities(_Contract):
    features = "pv"


class TestProducts(_Contract):
    features = "pva"


class TestCharges(_Contract):
    features = "pvc"


class TestAll(_Contract):
    features = "pvac"


def network(features="pv", seed=0, **kwargs):
    return VectorDeepSets(features, rng=torch.Generator().manual_seed(seed), **kwargs).double()


def test_published_size():
    """Four layers of 16 vectors from positions: maps without bias."""
    module = network("p")
    assert sum(weight.numel() for weight in module.parameters()) == 2 * (16 + 3 * 256) + 4 * 256 + 16 * 4
    assert not [name for name, _ in module.named_parameters() if "bias" in name]
    assert module.dropout == 0.5


@pytest.mark.parametrize("features", FEATURES)
def test_vector_products_know_rotations_only(features, rng):
    module = network(features, dropout=0.0)
    rotations = SO(3) if "a" in features else O(3)
    assert module.symmetry.group == rotations * SymmetricGroup(None)
    given = inputs(features, rng)
    whole = module.symmetry.restrict(O(3) * SymmetricGroup(6))
    worst = equivariance_error(module, given, symmetry=whole, rng=rng).worst.relative
    assert (worst > 1e-3) == ("a" in features)


def test_a_bias_breaks_the_law(rng):
    """The constant (b, b, b) does not turn: the fault of the published network."""

    class Biased(nn.Module):
        def __init__(self, layer):
            super().__init__()
            self.layer = layer
            self.bias = nn.Parameter(torch.full((layer.out_channels,), 0.1, dtype=torch.float64))

        def forward(self, x):
            return self.layer(x) + self.bias

    module = network(dropout=0.0)
    assert equivariance_error(module, inputs("pv", rng), rng=rng).worst.relative < 1e-12
    module.own[1] = Biased(module.own[1])
    assert equivariance_error(module, inputs("pv", rng), rng=rng).worst.relative > 1e-3


def test_dropout_leaves_out_whole_vectors(rng):
    module = network()
    given = inputs("pv", rng)
    g = O(3).sample(rng=rng, dtype=torch.float64)
    turned = {name: value @ g.mT for name, value in given.items()}
    with torch.random.fork_rng():
        torch.manual_seed(3)
        before = module(**given)
        torch.manual_seed(3)
        after = module(**turned)
        torch.manual_seed(4)
        other = module(**given)
    torch.testing.assert_close(after, before @ g.mT, rtol=0, atol=1e-12)
    assert (other - before).abs().max() > 1e-3
    module.eval()
    assert module(**given).equal(module(**given))


def test_dropout_of_components_would_break_the_law(rng):
    module, given = network(), inputs("pv", rng)
    module._dropped = lambda x: nn.functional.dropout(x, 0.5)
    g = O(3).sample(rng=rng, dtype=torch.float64)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        before = module(**given)
        torch.manual_seed(3)
        after = module(**{name: value @ g.mT for name, value in given.items()})
    assert (after - before @ g.mT).abs().max() > 1e-3


@pytest.mark.parametrize("features", FEATURES)
def test_masked_points_are_not_seen(features, rng):
    module, given = network(features, dropout=0.0), inputs(features, rng)
    mask = torch.arange(6) < torch.tensor([[6], [4], [0]])
    spoilt = {
        name: torch.where(mask.reshape(3, 6, *[1] * (value.ndim - 2)), value, torch.nan)
        for name, value in given.items()
    }
    together = module(**spoilt, mask=mask)
    for place, size in enumerate((6, 4)):
        alone = module(**{name: value[place : place + 1, :size] for name, value in given.items()})
        torch.testing.assert_close(together[place], alone[0])
    assert (together[2] == 0).all()


def test_missing_and_unfitting_features_are_refused(rng):
    with pytest.raises(ShapeError) as caught:
        network("pvc")(torch.zeros(2, 5, 3, dtype=torch.float64), velocities=torch.zeros(2, 5, 3))
    assert "charges" in caught.value.message
    with pytest.raises(ShapeError) as caught:
        network("pv")(torch.zeros(2, 5, 3), velocities=torch.zeros(2, 4, 3))
    assert caught.value.expected == (2, 5, 3)


@pytest.mark.parametrize("wrong", [{"features": "v"}, {"layers": 0}, {"hidden": 0}, {"vectors": 0}, {"dropout": 1.0}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ConfigError):
        VectorDeepSets(**wrong)


def test_weights_come_from_the_generator():
    one, two, other = (network(seed=seed) for seed in (1, 1, 2))
    assert all(a.equal(b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert not next(one.parameters()).equal(next(other.parameters()))
    assert all(isinstance(layer, VNLinear) for layer in one.own)
