"""Vector neurons: contract, closed forms, and twins that break the law."""

import pytest
import torch
from torch import nn

from intertwine.errors import ConfigError, ShapeError
from intertwine.groups import O
from intertwine.nn import VNBatchNorm, VNLeakyReLU, VNLinear, VNMaxPool, VNMeanPool
from intertwine.symmetry import equivariance_error
from intertwine.testing import ModuleContract

DOUBLE = torch.float64


class _Vectors(ModuleContract):
    permutes = False

    def inputs(self, rng, dtype):
        return {"x": torch.randn(6, 3, 5, generator=rng, dtype=dtype)}

    def singles(self, rng, dtype):
        return [{"x": torch.randn(1, 3, 5, generator=rng, dtype=dtype)} for _ in range(3)]

    def join(self, singles):
        return {"x": torch.cat([single["x"] for single in singles])}

    def empty_inputs(self, dtype):
        return {"x": torch.zeros(0, 3, 5, dtype=dtype)}


class TestLinear(_Vectors):
    def build(self):
        return VNLinear(5, 7)


class TestLeakyReLU(_Vectors):
    def build(self):
        return VNLeakyReLU(5)


class TestReLUWithOneDirection(_Vectors):
    def build(self):
        return VNLeakyReLU(5, 0.0, shared=True)


class TestBatchNorm(_Vectors):
    batches = accepts_empty = False

    def build(self):
        return VNBatchNorm(5)


class TestBatchNormInUse(_Vectors):
    def build(self):
        module = VNBatchNorm(5)
        module.norm.running_mean.fill_(0.3)
        return module.eval()


class _Pool(_Vectors):
    def inputs(self, rng, dtype):
        return {"x": torch.randn(4, 6, 3, 5, generator=rng, dtype=dtype)}

    def singles(self, rng, dtype):
        return [{"x": torch.randn(1, 6, 3, 5, generator=rng, dtype=dtype)} for _ in range(3)]

    def empty_inputs(self, dtype):
        return {"x": torch.zeros(0, 6, 3, 5, dtype=dtype)}


class TestMeanPool(_Pool):
    def build(self):
        return VNMeanPool()


class TestMaxPool(_Pool):
    def build(self):
        return VNMaxPool(5)


# --- closed forms ----------------------------------------------------------------------------------------


def test_a_linear_map_mixes_channels(rng):
    layer = VNLinear(4, 2, rng=rng).double()
    x = torch.randn(3, 4, generator=rng, dtype=DOUBLE)
    expected = torch.stack([sum(layer.weight[o, i] * x[:, i] for i in range(4)) for o in range(2)], -1)
    torch.testing.assert_close(layer(x), expected, rtol=1e-14, atol=1e-14)


def test_relu_removes_what_points_to_the_back_of_the_direction(rng):
    layer = VNLeakyReLU(4, 0.0, rng=rng).double()
    x = torch.randn(200, 3, 4, generator=rng, dtype=DOUBLE)
    y, direction = layer(x), layer.direction(x)
    front = (x * direction).sum(-2) >= 0
    assert 0.2 < front.double().mean() < 0.8
    assert torch.equal(y.mT[front], x.mT[front])
    left = ((y * direction).sum(-2) / direction.norm(dim=-2))[~front]
    assert left.abs().max() < 1e-2, "what remains is orthogonal to the direction, up to the epsilon"
    half = VNLeakyReLU(4, 0.5).double()
    half.load_state_dict(layer.state_dict())
    torch.testing.assert_close(half(x), (x + y) / 2)
    identity = VNLeakyReLU(4, 1.0).double()
    torch.testing.assert_close(identity(x), x)


def test_norm_makes_lengths_those_of_a_plain_batch_norm(rng):
    x = torch.randn(50, 3, 4, generator=rng, dtype=DOUBLE)
    layer, plain = VNBatchNorm(4).double(), nn.BatchNorm1d(4).double()
    plain.load_state_dict(layer.norm.state_dict())
    y = layer(x)
    torch.testing.assert_close((y * x).sum(-2) / x.norm(dim=-2), plain(x.norm(dim=-2)), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(torch.linalg.cross(x, y, dim=-2), torch.zeros_like(x), rtol=0, atol=1e-12)
    torch.testing.assert_close(layer.norm.running_mean, plain.running_mean)


def test_normal_vectors_keep_the_distribution_of_their_lengths(rng):
    x = 5 * torch.randn(20_000, 3, 2, generator=rng, dtype=DOUBLE)
    found = VNBatchNorm(2).double()(x)
    scale = (x.norm(dim=-2).std(0)).mean()
    torch.testing.assert_close(found, x / scale, rtol=0.02, atol=0.02)


def test_pools_see_only_what_the_mask_leaves(rng):
    x = torch.randn(2, 6, 3, 5, generator=rng, dtype=DOUBLE)
    mask = torch.tensor([[1, 1, 0, 1, 0, 0], [1, 1, 1, 1, 1, 1]], dtype=torch.bool)
    dirty = torch.where(mask[..., None, None], x, torch.nan)
    maximum = VNMaxPool(5, rng=rng).double()
    torch.testing.assert_close(VNMeanPool()(dirty, mask)[0], x[0, [0, 1, 3]].mean(0))
    torch.testing.assert_close(maximum(x, mask)[0], maximum(x[0, [0, 1, 3]]))
    assert (VNMeanPool()(dirty, torch.zeros_like(mask)) == 0).all()


def test_the_largest_is_an_item_whole(rng):
    layer = VNMaxPool(5, rng=rng).double()
    x = torch.randn(6, 3, 5, generator=rng, dtype=DOUBLE)
    reach = (x * layer.direction(x)).sum(-2)
    expected = torch.stack([x[reach[:, c].argmax(), :, c] for c in range(5)], -1)
    assert torch.equal(layer(x), expected)


# --- what breaks -----------------------------------------------------------------------------------------


class Biased(nn.Module):
    """The known bug: a bias adds the same constant to x, y and z."""

    symmetry = VNLinear.symmetry

    def __init__(self):
        super().__init__()
        self.map = nn.Linear(5, 5)

    def forward(self, x):
        return self.map(x)


class Componentwise(nn.Module):
    symmetry = VNLinear.symmetry

    def forward(self, x):
        return torch.relu(x)


@pytest.mark.parametrize("broken", [Biased(), Componentwise()])
def test_a_bias_and_a_plain_relu_break_the_law(broken, rng):
    x = torch.randn(6, 3, 5, generator=rng, dtype=DOUBLE)
    assert equivariance_error(broken, {"x": x}, rng=rng).worst.relative > 1e-2
    sound = nn.Sequential(VNLinear(5, 5, rng=rng), VNLeakyReLU(5, rng=rng)).double()
    report = equivariance_error(lambda x: sound(x), {"x": x}, symmetry=VNLinear.symmetry, rng=rng)
    assert report.worst.epsilons < 64


def test_a_vector_on_the_wrong_axis_is_refused(rng):
    with pytest.raises(ShapeError) as caught:
        VNLinear(5, 2)(torch.zeros(6, 5, 3))
    assert caught.value.expected == "(..., 3, 5)"
    with pytest.raises(ConfigError):
        VNMeanPool(-2)


def test_zero_vectors_have_finite_derivatives():
    x = torch.zeros(4, 3, 5, dtype=DOUBLE, requires_grad=True)
    network = nn.Sequential(VNLinear(5, 5), VNBatchNorm(5), VNLeakyReLU(5)).double().eval()
    network(x).sum().backward()
    assert x.grad.isfinite().all()


def test_the_law_is_that_of_the_columns(rng):
    """The rotation acts on columns: the same as a matrix product from the left."""
    turn = O(3).sample(rng=rng, dtype=DOUBLE)
    network = nn.Sequential(VNLinear(5, 8, rng=rng), VNLeakyReLU(8, rng=rng), VNMaxPool(8, rng=rng)).double()
    x = torch.randn(6, 3, 5, generator=rng, dtype=DOUBLE)
    torch.testing.assert_close(network(turn @ x), turn @ network(x), rtol=1e-12, atol=1e-12)
