"""Layers that move nodes, EGNN and radial field: formulas node by node, laws, and nodes at one place."""

import pytest
import torch

from intertwine.errors import ShapeError
from intertwine.nn import EGNNLayer, RadialFieldLayer
from intertwine.symmetry import equivariance_error
from intertwine.testing import ModuleContract

DOUBLE = torch.float64
EDGES = torch.tensor([[1, 2, 0, 2, 0, 1], [0, 0, 1, 1, 2, 2]])


def drawn(rng, *shape):
    return torch.randn(*shape, generator=rng, dtype=DOUBLE)


def test_egnn_is_its_equations_node_by_node(rng):
    layer = EGNNLayer(4, 2, rng=rng).double()
    layer.step[-1].weight.data *= 1e3  # large enough to see
    h, x, v, e = drawn(rng, 3, 4), drawn(rng, 3, 3), drawn(rng, 3, 3), drawn(rng, 6, 2)
    features, moved = layer(h, x, EDGES, e, v)
    network = layer.messages
    for i in range(3):
        steps, messages = [], []
        for edge, (source, destination) in enumerate(EDGES.T.tolist()):
            if destination == i:
                between = x[i] - x[source]
                joined = torch.cat([h[i], h[source], (between @ between)[None], e[edge]])
                message = torch.nn.functional.silu(network.second(torch.nn.functional.silu(network.first(joined))))
                messages.append(message)
                steps.append((between * layer.step(message)).clamp(-100, 100))
        wanted = x[i] + torch.stack(steps).mean(0) + layer.drift(h[i]) * v[i]
        torch.testing.assert_close(moved[i], wanted, rtol=1e-12, atol=1e-13)
        wanted = h[i] + layer.update(torch.cat([h[i], torch.stack(messages).sum(0)]))
        torch.testing.assert_close(features[i], wanted, rtol=1e-12, atol=1e-13)


def test_egnn_steps_are_cut(rng):
    layer = EGNNLayer(4, rng=rng, velocities=False).double()
    layer.step[-1].weight.data.fill_(1e9)
    x = drawn(rng, 2, 3)
    _, moved = layer(drawn(rng, 2, 4), x, torch.tensor([[1, 0], [0, 1]]))
    assert set((moved - x).abs().flatten().round(decimals=9).tolist()) == {100.0}


def test_a_radial_field_is_its_equation_node_by_node(rng):
    layer = RadialFieldLayer(2, 8, rng=rng).double()
    layer.step[2].weight.data *= 1e3
    x, v, e = drawn(rng, 3, 3), drawn(rng, 3, 3), drawn(rng, 6, 2)
    moved = layer(x, v, EDGES, e)
    for i in range(3):
        steps = [
            (x[i] - x[j]) * layer.step(torch.cat([(x[i] - x[j]).norm()[None], e[edge]]))
            for edge, (j, destination) in enumerate(EDGES.T.tolist())
            if destination == i
        ]
        wanted = x[i] + torch.stack(steps).mean(0) + layer.drift(v[i].norm()[None]) * v[i]
        torch.testing.assert_close(moved[i], wanted, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("dim", [2, 3, 5])
def test_egnn_moves_with_rotations_of_any_dimension(dim, rng):
    layer = EGNNLayer(4, rng=rng).double()
    h, x, v = drawn(rng, 3, 4), drawn(rng, 3, dim), drawn(rng, 3, dim)
    turn, _ = torch.linalg.qr(drawn(rng, dim, dim))
    shift = drawn(rng, dim)
    features, moved = layer(h, x, EDGES, velocities=v)
    turned_features, turned = layer(h, x @ turn.T + shift, EDGES, velocities=v @ turn.T)
    torch.testing.assert_close(turned_features, features, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(turned, moved @ turn.T + shift, rtol=1e-12, atol=1e-12)


class Leaning(EGNNLayer):
    """A step along a fixed axis, which no rotation keeps."""

    def forward(self, *args, **kwargs):
        features, moved = super().forward(*args, **kwargs)
        return features, moved + 0.1 * torch.eye(3, dtype=moved.dtype)[0]


def test_a_layer_that_prefers_an_axis_is_caught(rng):
    inputs = {"features": drawn(rng, 3, 4), "positions": drawn(rng, 3, 3), "edge_index": EDGES}
    good = equivariance_error(EGNNLayer(4, velocities=False, rng=rng).double(), inputs, rng=rng)
    assert good.worst.relative < 1e-13
    assert equivariance_error(Leaning(4, velocities=False, rng=rng).double(), inputs, rng=rng).worst.relative > 1e-2


def test_nodes_at_one_place_and_at_rest_have_finite_slopes(rng):
    x, v = torch.zeros(3, 3, dtype=DOUBLE, requires_grad=True), torch.zeros(3, 3, dtype=DOUBLE, requires_grad=True)
    field = RadialFieldLayer(1, rng=rng).double()(x, v, EDGES, drawn(rng, 6, 1))
    _, moved = EGNNLayer(4, rng=rng).double()(drawn(rng, 3, 4), x, EDGES, velocities=v)
    for slope in torch.autograd.grad((field + moved).sum(), [x, v]):
        assert slope.isfinite().all()


def test_velocities_that_are_missing_or_too_many_are_refused():
    h, x = torch.zeros(3, 4), torch.zeros(3, 3)
    with pytest.raises(ShapeError):
        EGNNLayer(4)(h, x, EDGES)
    with pytest.raises(ShapeError):
        EGNNLayer(4, velocities=False)(h, x, EDGES, velocities=x)
    with pytest.raises(ShapeError):
        RadialFieldLayer(1)(x, x[:2], EDGES, torch.zeros(6, 1))


class _Moving(ModuleContract):
    attributes = 1

    def inputs(self, rng, dtype):
        return self.join(self.singles(rng, dtype))

    def singles(self, rng, dtype):
        return [self._single(rng, dtype, edges, count) for edges, count in ((EDGES, 3), (EDGES[:, [0, 2]], 2))]

    def _single(self, rng, dtype, edges, count):
        def of(*shape):
            return torch.randn(*shape, generator=rng, dtype=dtype)

        return {
            "features": of(count, 4),
            "positions": of(count, 3),
            "velocities": of(count, 3),
            "edge_index": edges,
            "edge_attributes": of(edges.shape[1], 1),
        }

    def join(self, singles):
        first, second = singles
        joined = {n: torch.cat([first[n], second[n]]) for n in first if n != "edge_index"}
        shifted = second["edge_index"] + len(first["positions"])
        return joined | {"edge_index": torch.cat([first["edge_index"], shifted], dim=1)}

    def empty_inputs(self, dtype):
        single = self._single(torch.Generator(), dtype, EDGES[:, :0], 0)
        return single


class TestEGNNLayer(_Moving):
    def build(self):
        return EGNNLayer(4, 1, rng=torch.Generator().manual_seed(3))


class TestRadialFieldLayer(_Moving):
    def build(self):
        return RadialFieldLayer(1, 8, rng=torch.Generator().manual_seed(3))

    def _single(self, *arguments):
        return {name: value for name, value in super()._single(*arguments).items() if name != "features"}
