"""Messages of pairs: the split first map against the formula as written, copies of nodes, laws, and refusals."""

import pytest
import torch
from torch import nn

from intertwine.errors import ShapeError
from intertwine.nn import PairMessages, PairNetwork, affine_map, perceptron
from intertwine.testing import ModuleContract

DOUBLE = torch.float64
EDGES = torch.tensor([[1, 2, 0, 0, 1, 3], [0, 0, 1, 2, 2, 1]])


def as_written(network, features, edge_index, attributes):
    """The messages edge by edge, from the joined inputs."""
    found = []
    for j, i, e in zip(*edge_index.tolist(), attributes, strict=True):
        ends = [features[i], features[j]] if network.ends == "both" else [features[i] - features[j]]
        joined = torch.cat([*ends, e])
        found.append(network.after_second(network.second(network.after_first(network.first(joined)))))
    return torch.stack(found)


@pytest.mark.parametrize("ends", ["both", "difference"])
@pytest.mark.parametrize("attributes", [0, 2])
@pytest.mark.parametrize("normalise", [False, True])
def test_the_split_map_is_the_formula_as_written(ends, attributes, normalise, rng):
    network = PairNetwork(5, attributes, 7, ends=ends, normalise=normalise, rng=rng).double()
    features = torch.randn(4, 5, generator=rng, dtype=DOUBLE)
    known = torch.randn(6, attributes, generator=rng, dtype=DOUBLE)
    wanted = as_written(network, features, EDGES, known)
    torch.testing.assert_close(network(features, EDGES, known), wanted, rtol=1e-13, atol=1e-14)
    swapped = as_written(network, features, EDGES.flip(0), known)
    assert (swapped - wanted).abs().max() > 1e-3, "the two ends have different parts"


def test_the_layer_adds_an_update_of_the_sum_over_edges(rng):
    layer = PairMessages(5, 1, 7, rng=rng).double()
    features = torch.randn(4, 5, generator=rng, dtype=DOUBLE)
    known = torch.randn(6, 1, generator=rng, dtype=DOUBLE)
    messages = as_written(layer.messages, features, EDGES, known)
    for node in range(4):
        gathered = sum(messages[edge] for edge in range(6) if EDGES[1, edge] == node)
        gathered = gathered if isinstance(gathered, torch.Tensor) else torch.zeros(7, dtype=DOUBLE)
        wanted = features[node] + layer.update(torch.cat([features[node], gathered]))
        torch.testing.assert_close(layer(features, EDGES, known)[node], wanted, rtol=1e-12, atol=1e-13)


def test_copies_of_nodes_are_what_each_gives_alone(rng):
    layer = PairMessages(5, 2, rng=rng).double()
    features = torch.randn(4, 3, 2, 5, generator=rng, dtype=DOUBLE)
    known = torch.randn(6, 2, generator=rng, dtype=DOUBLE)
    found = layer(features, EDGES, known)
    for one in range(3):
        for two in range(2):
            alone = layer(features[:, one, two], EDGES, known)
            torch.testing.assert_close(found[:, one, two], alone, rtol=1e-12, atol=1e-13)


def test_dropout_is_off_in_evaluation(rng):
    layer = PairMessages(6, 1, dropout=0.5, normalise=True, rng=rng)
    features, known = torch.randn(4, 6, generator=rng), torch.randn(6, 1, generator=rng)
    first, second = layer(features, EDGES, known), layer(features, EDGES, known)
    assert not torch.equal(first, second)
    layer.eval()
    assert torch.equal(layer(features, EDGES, known), layer(features, EDGES, known))


@pytest.mark.parametrize(
    ("features", "attributes", "edges"),
    [((4, 6), (6, 2), EDGES), ((4, 5), (6, 1), EDGES), ((4, 5), (5, 2), EDGES), ((4, 5), (6, 2), EDGES[:1])],
)
def test_what_does_not_fit_is_refused(features, attributes, edges):
    with pytest.raises(ShapeError) as caught:
        PairNetwork(5, 2, 7)(torch.zeros(features), edges, torch.zeros(attributes))
    assert caught.value.got["features"] == features


def test_initial_weights_are_those_of_torch_from_a_generator(rng):
    made = affine_map(400, 300, rng=rng)
    theirs = nn.Linear(400, 300)
    for own, other in zip(made.state_dict().values(), theirs.state_dict().values(), strict=True):
        assert own.abs().max() <= 0.05
        assert float(own.std()) == pytest.approx(float(other.std()), rel=0.1)
    assert float(made.weight.detach().std()) == pytest.approx(0.05 / 3**0.5, rel=0.02)
    again = affine_map(3, 2, rng=torch.Generator().manual_seed(1))
    assert torch.equal(again.weight, affine_map(3, 2, rng=torch.Generator().manual_seed(1)).weight)
    assert affine_map(3, 2, bias=False).bias is None


def test_perceptrons_end_with_or_without_an_activation():
    assert [type(layer).__name__ for layer in perceptron([2, 3, 4])] == ["Linear", "SiLU", "Linear"]
    assert [type(layer).__name__ for layer in perceptron([2, 3], activation=nn.Tanh, last=True)] == ["Linear", "Tanh"]


class TestPairMessages(ModuleContract):
    def build(self):
        return PairMessages(6, 1, rng=torch.Generator().manual_seed(3))

    def inputs(self, rng, dtype):
        return self.join(self.singles(rng, dtype))

    def singles(self, rng, dtype):
        edges = (torch.tensor([[1, 2, 0], [0, 0, 1]]), torch.tensor([[1, 0], [0, 1]]))
        return [
            {
                "features": torch.randn(int(edge.max()) + 1, 6, generator=rng, dtype=dtype),
                "edge_index": edge,
                "edge_attributes": torch.randn(edge.shape[1], 1, generator=rng, dtype=dtype),
            }
            for edge in edges
        ]

    def join(self, singles):
        first, second = singles
        shifted = second["edge_index"] + len(first["features"])
        joined = {name: torch.cat([first[name], second[name]]) for name in ("features", "edge_attributes")}
        return joined | {"edge_index": torch.cat([first["edge_index"], shifted], dim=1)}

    def empty_inputs(self, dtype):
        return {
            "features": torch.zeros(0, 6, dtype=dtype),
            "edge_index": torch.zeros(2, 0, dtype=torch.int64),
            "edge_attributes": torch.zeros(0, 1, dtype=dtype),
        }
