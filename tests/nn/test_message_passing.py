"""Message passing against a loop over edges."""

import torch

from intertwine.nn import message_passing
from intertwine.products import ChannelwiseTensorProduct


def test_equal_to_a_loop_over_edges(rng):
    product = ChannelwiseTensorProduct("3x0e + 2x1o", "0e + 1o").double()
    features = torch.randn(4, 9, generator=rng, dtype=torch.float64)
    edge_index = torch.tensor([[1, 2, 0, 3, 3], [0, 0, 1, 2, 0]])
    harmonics = torch.randn(5, 4, generator=rng, dtype=torch.float64)
    weights = torch.randn(5, product.weight_numel, generator=rng, dtype=torch.float64)
    expected = torch.zeros(4, product.irreps_out.dim, dtype=torch.float64)
    for edge, (source, destination) in enumerate(edge_index.T.tolist()):
        one = slice(edge, edge + 1)
        expected[destination] += product(features[source : source + 1], harmonics[one], weights[one])[0]
    got = message_passing(product, features, harmonics, weights, edge_index)
    torch.testing.assert_close(got, expected, rtol=1e-13, atol=1e-13)
    assert (got[3] == 0).all()


def test_without_edges_nothing_arrives():
    product = ChannelwiseTensorProduct("3x0e", "0e + 1o")
    empty = torch.zeros(2, 0, dtype=torch.int64)
    got = message_passing(product, torch.ones(2, 3), torch.zeros(0, 4), torch.zeros(0, product.weight_numel), empty)
    assert got.shape == (2, 12)
    assert (got == 0).all()
