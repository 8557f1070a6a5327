"""Kernels under torch.compile and torch.export: values, gradients, and gradients of a force."""

import pytest
import torch
from problems import draw, layer
from torch import nn
from torch.fx.experimental.proxy_tensor import make_fx

from intertwine.kernels import use_reference

BACKENDS = ["aot_eager", "inductor"]


@pytest.fixture
def problem(rng):
    product = layer(channels=3).double()
    edge_index = torch.randint(5, (2, 9), generator=rng)
    inputs = [draw(rng, 5, product.irreps_in.dim), draw(rng, 9, 9), draw(rng, 9, product.weight_numel)]

    def gather(x, y, w):
        return product.gather(x, y, w, edge_index)

    return gather, [a.requires_grad_() for a in inputs], product, edge_index


def force(gather):
    """The gradient of an energy by the harmonics, which keeps its graph: what training on forces differentiates."""

    def function(x, y, w):
        return torch.autograd.grad(gather(x, y, w).square().sum(), y, create_graph=True)[0]

    return function


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of inductor's own imports
@pytest.mark.parametrize("backend", BACKENDS)
def test_value_and_gradient(backend, problem):
    gather, leaves, _, _ = problem
    compiled = torch.compile(gather, fullgraph=True, backend=backend)
    torch.testing.assert_close(compiled(*leaves), gather(*leaves))
    got = torch.autograd.grad(compiled(*leaves).square().sum(), leaves)
    wanted = torch.autograd.grad(gather(*leaves).square().sum(), leaves)
    for a, b in zip(got, wanted, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("backend", BACKENDS)
def test_double_gradient_of_a_traced_force(backend, problem):
    """The force is traced with its derivative inside, then compiled: its own gradient is the double gradient."""
    gather, leaves, _, _ = problem
    compiled = torch.compile(make_fx(force(gather))(*leaves), fullgraph=True, backend=backend)
    torch.testing.assert_close(compiled(*leaves), force(gather)(*leaves))
    got = torch.autograd.grad(compiled(*leaves).square().sum(), leaves)
    wanted = torch.autograd.grad(force(gather)(*leaves).square().sum(), leaves)
    for a, b in zip(got, wanted, strict=True):
        torch.testing.assert_close(a, b)


def test_export_with_any_number_of_nodes_and_edges(problem, rng):
    class Module(nn.Module):
        def __init__(self, product):
            super().__init__()
            self.product = product

        def forward(self, x, y, w, edge_index):
            return self.product.gather(x, y, w, edge_index)

    _, leaves, product, edge_index = problem
    nodes, edges = torch.export.Dim("nodes"), torch.export.Dim("edges")
    shapes = ({0: nodes}, {0: edges}, {0: edges}, {1: edges})
    exported = torch.export.export(
        Module(product), (*[a.detach() for a in leaves], edge_index), dynamic_shapes=shapes
    ).module()
    inputs = [draw(rng, 7, product.irreps_in.dim), draw(rng, 4, 9), draw(rng, 4, product.weight_numel)]
    other = torch.randint(7, (2, 4), generator=rng)
    torch.testing.assert_close(exported(*inputs, other), product.gather(*inputs, other))


def test_the_reference_compiles_too(problem):
    gather, leaves, _, _ = problem
    with use_reference():
        compiled = torch.compile(gather, fullgraph=True, backend="aot_eager")
        torch.testing.assert_close(compiled(*leaves), gather(*leaves))
