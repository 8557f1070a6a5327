"""Averages over frames: golden numbers, the law for every kind of data, both layouts, modes, gradients, bad input."""

import pytest
import torch
from torch import nn

from intertwine.errors import ConfigError, NumericsError, RepresentationError, ShapeError
from intertwine.frames import CentroidFrame, FrameAverage, PCAFrame
from intertwine.groups import SE, SO, E, O
from intertwine.symmetry import equivariance_error
from intertwine.testing import tolerance

GROUPS = {"E(3)": E(3), "SE(3)": SE(3), "O(3)": O(3), "SO(3)": SO(3)}


def clouds(batch=3, n=6, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(batch, n, 3, generator=rng, dtype=torch.float64) * torch.tensor([1.0, 2.0, 3.0])


class Everything(nn.Module):
    """A network that mixes all that it is given, without any symmetry, into an output of every kind."""

    def __init__(self, seed=0):
        super().__init__()
        rng = torch.Generator().manual_seed(seed)
        width = 3 + 2 * 3 + 1 + 1 + 9 + 6
        self.weight = nn.Parameter(torch.randn(width, 64, generator=rng, dtype=torch.float64) / width**0.5)
        self.out = nn.Parameter(torch.randn(64, 3 + 3 + 3 + 1 + 1 + 9 + 6, generator=rng, dtype=torch.float64))

    def forward(self, points, vectors, charge, chirality, stress, features):
        parts = [
            points,
            vectors.flatten(-2),
            charge.unsqueeze(-1),
            chirality.unsqueeze(-1),
            stress.flatten(-2),
            features,
        ]
        hidden = torch.tanh(torch.cat(parts, dim=-1) @ self.weight)
        hidden = hidden + hidden.mean(-2, keepdim=True)
        point, vector, axial, scalar, pseudo, matrix, irreps = (hidden @ self.out).split([3, 3, 3, 1, 1, 9, 6], dim=-1)
        return {
            "point": point,
            "vector": vector,
            "axial": axial,
            "scalar": scalar.squeeze(-1),
            "pseudo": pseudo.squeeze(-1),
            "matrix": matrix.unflatten(-1, (3, 3)),
            "irreps": irreps,
        }


KINDS = {
    "points": "point",
    "vectors": "vector",
    "charge": "scalar",
    "chirality": "pseudoscalar",
    "stress": "matrix",
    "features": "1x0e + 1x2e",
}
OUTPUTS = {
    "point": "point",
    "vector": "vector",
    "axial": "pseudovector",
    "scalar": "scalar",
    "pseudo": "pseudoscalar",
    "matrix": "matrix",
    "irreps": "1x0o + 1x2o",
}


def everything(batch=3, n=6, seed=1):
    rng = torch.Generator().manual_seed(seed)

    def drawn(*shape):
        return torch.randn(batch, n, *shape, generator=rng, dtype=torch.float64)

    return {
        "points": clouds(batch, n),
        "vectors": drawn(2, 3),
        "charge": drawn(),
        "chirality": drawn(),
        "stress": drawn(3, 3),
        "features": drawn(6),
    }


# --- golden numbers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("group", "mirror", "expected"),
    [
        ("E(3)", 1, 3.402255469864849),
        ("E(3)", -1, 3.402255469864849),
        ("SE(3)", 1, 3.4035576617),
        ("SE(3)", -1, 3.4009532780),
        ("O(3)", 1, 3.5044259119),
    ],
)
def test_invariant_average_of_the_golden_cloud(golden, polynomial, group, mirror, expected):
    average = FrameAverage(polynomial, PCAFrame(group), inputs={"x": "point"}, output="scalar")
    value = average(golden[None] * torch.tensor([1.0, 1.0, mirror]))
    assert value.item() == pytest.approx(expected, abs=1e-10)


def test_odd_monomials_cancel_in_the_average_over_all_signs(golden, polynomial):
    values = torch.linalg.eigvalsh(torch.cov(golden.T, correction=0)) * 6
    expected = (values * torch.tensor([1.0, 2.0, 3.0])).sum() / 6
    average = FrameAverage(polynomial, PCAFrame("E(3)"), inputs={"x": "point"}, output="scalar")
    assert average(golden[None]).item() == pytest.approx(expected.item(), abs=1e-13)


@pytest.mark.parametrize(
    ("group", "first", "last", "total"),
    [
        ("E(3)", (-0.47500491, -0.18706010, -0.07209055), (-0.33961278, -0.13461532, 0.03993002), -0.27364681),
        ("SE(3)", (-0.47676901, -0.18885434, -0.06680402), None, -0.27321719),
    ],
)
def test_equivariant_average_of_the_golden_cloud(golden, tanh_map, group, first, last, total):
    found = FrameAverage(tanh_map, PCAFrame(group), inputs={"x": "point"}, output="point")(golden[None])[0]
    assert found[0].tolist() == pytest.approx(first, abs=1e-8)
    assert last is None or found[5].tolist() == pytest.approx(last, abs=1e-8)
    assert found.sum().item() == pytest.approx(total, abs=1e-8)


def test_average_of_a_linear_map_keeps_its_diagonal_in_the_frame(golden):
    matrix = torch.tensor([[0.3, -0.2, 0.5], [0.1, 0.7, -0.4], [-0.6, 0.2, 0.1]], dtype=torch.float64)
    layer = nn.Linear(3, 3, bias=False).double()
    layer.weight.data = matrix.T.clone()
    found = FrameAverage(layer, PCAFrame("E(3)"), inputs={"input": "point"}, output="point")(golden[None])[0]
    centred = golden - golden.mean(0)
    _, axes = torch.linalg.eigh(centred.T @ centred)
    expected = centred @ (axes @ torch.diag(matrix.diagonal()) @ axes.T) + golden.mean(0)
    torch.testing.assert_close(found, expected, **tolerance(torch.float64))


# --- the law ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("group", GROUPS)
def test_law_for_every_kind_of_data(group):
    average = FrameAverage(Everything(), PCAFrame(group), inputs=KINDS, output=OUTPUTS)
    report = equivariance_error(average, everything(), rng=torch.Generator().manual_seed(0))
    assert report.worst.relative < 1e-12


def test_the_law_fails_without_the_average_and_with_fixed_signs():
    inputs = everything()
    average = FrameAverage(Everything(), PCAFrame("E(3)"), inputs=KINDS, output=OUTPUTS)
    bare = equivariance_error(Everything(), inputs, symmetry=average.symmetry, rng=torch.Generator().manual_seed(0))
    assert bare.worst.relative > 0.1
    fixed = FrameAverage(Everything(), PCAFrame("E(3)", signs="fixed"), inputs=KINDS, output=OUTPUTS)
    rng = torch.Generator().manual_seed(0)
    assert equivariance_error(fixed, inputs, symmetry=average.symmetry, rng=rng).worst.relative > 0.1
    assert equivariance_error(fixed, inputs, rng=rng).worst.relative < 1e-12, "what it declares is that points may move"


@pytest.mark.parametrize("distance", [1.0, 100.0])
@pytest.mark.parametrize(("dtype", "allowed"), [(torch.float64, 1e-10), (torch.float32, 1e-4)])
def test_law_far_from_the_origin(tanh_map, distance, dtype, allowed):
    average = FrameAverage(tanh_map.to(dtype), PCAFrame("E(3)"), inputs={"x": "point"}, output="vector")
    points = clouds(50, 12).to(dtype)
    g = E(3, translation_scale=distance).sample(rng=torch.Generator().manual_seed(5), dtype=dtype)
    moved = average(E(3).apply(g, points))
    expected = average(points) @ E(3).linear(g).T
    assert (moved - expected).abs().max() / expected.abs().max() < allowed


def test_translations_only(tanh_map):
    average = FrameAverage(tanh_map, CentroidFrame(3), inputs={"x": "point"}, output="point")
    points = clouds()
    torch.testing.assert_close(average(points + 3), average(points) + 3)
    assert (average(points @ torch.diag(torch.tensor([1.0, -1, -1]).double())) - average(points)).abs().max() > 0.1


def test_an_equivariant_map_is_returned_as_it_is():
    class Radial(nn.Module):
        def forward(self, x):
            centred = x - x.mean(-2, keepdim=True)
            return x.mean(-2, keepdim=True) + centred * torch.exp(-centred.norm(dim=-1, keepdim=True))

    average = FrameAverage(Radial(), PCAFrame("E(3)"), inputs={"x": "point"}, output="point")
    points = clouds()
    assert (average(points) - Radial()(points)).abs().max() < 1e-12


def test_vectors_of_a_flat_cloud_lie_in_its_plane(tanh_map):
    points = clouds() * torch.tensor([1.0, 1.0, 0.0])
    turn = O(3).sample(rng=torch.Generator().manual_seed(2), dtype=torch.float64)
    average = FrameAverage(tanh_map, PCAFrame("E(3)"), inputs={"x": "point"}, output="vector")
    found = average(points @ turn.T + 1.0)
    assert (found @ turn[:, 2]).abs().max() < 1e-10
    assert found.abs().max() > 0.1


@pytest.mark.parametrize("n", [1, 2, 3])
def test_law_for_clouds_of_few_points(tanh_map, n):
    average = FrameAverage(tanh_map, PCAFrame("E(3)"), inputs={"x": "point"}, output="point")
    assert equivariance_error(average, {"x": clouds(n=n)}, rng=torch.Generator().manual_seed(0)).worst.relative < 1e-12


def test_vectors_that_leave_the_line_of_two_points_are_reported():
    """Two points with velocities: axes across the line are arbitrary, and velocities have coordinates along them."""
    inputs = everything(n=2)
    average = FrameAverage(Everything(), PCAFrame("E(3)", degenerate="error"), inputs=KINDS, output=OUTPUTS)
    with pytest.raises(NumericsError) as caught:
        average(**inputs)
    assert "sources" in caught.value.fix
    both = {"points": 1.0, "vectors": 1.0}
    inputs = {name: value[:, :, 0] if name == "vectors" else value for name, value in inputs.items()}

    class Narrow(nn.Module):
        def forward(self, points, vectors):
            return torch.tanh(points @ torch.arange(9.0).reshape(3, 3).double().cos() + vectors)

    average = FrameAverage(
        Narrow(), PCAFrame("E(3)"), inputs={"points": "point", "vectors": "vector"}, output="vector", sources=both
    )
    given = {name: inputs[name] for name in ("points", "vectors")}
    assert equivariance_error(average, given, rng=torch.Generator().manual_seed(0)).worst.relative < 1e-12


# --- layouts ---------------------------------------------------------------------------------------------


class Messages(nn.Module):
    """A message-passing network on positions, velocities and charges, without any symmetry of space."""

    def __init__(self):
        super().__init__()
        rng = torch.Generator().manual_seed(0)
        self.weight = nn.Parameter(torch.randn(14, 4, generator=rng, dtype=torch.float64))

    def forward(self, positions, velocities, charges, edge_index, graph_index):
        source, destination = edge_index
        node = torch.cat([positions, velocities, charges.unsqueeze(-1)], dim=-1)
        message = torch.tanh(torch.cat([node[source], node[destination]], dim=-1) @ self.weight)
        total = torch.zeros(len(node), 4, dtype=node.dtype).index_add(0, destination, message)
        graphs = int(graph_index.max()) + 1
        pooled = torch.zeros(graphs, 4, dtype=node.dtype).index_add(0, graph_index, total)
        return {"vector": total[:, :3], "energy": pooled[:, 3], "dipole": pooled[:, :3]}


GRAPH_KINDS = {
    "positions": "point",
    "velocities": "vector",
    "charges": "scalar",
    "edge_index": "edges",
    "graph_index": "graphs",
}
GRAPH_OUTPUTS = {"vector": "vector", "energy": "scalar", "dipole": "vector"}


def graph(n, seed):
    rng = torch.Generator().manual_seed(seed)
    pairs = torch.cartesian_prod(torch.arange(n), torch.arange(n)).T
    return {
        "positions": torch.randn(n, 3, generator=rng, dtype=torch.float64),
        "velocities": torch.randn(n, 3, generator=rng, dtype=torch.float64),
        "charges": torch.randn(n, generator=rng, dtype=torch.float64),
        "edge_index": pairs[:, pairs[0] != pairs[1]],
        "graph_index": torch.zeros(n, dtype=torch.int64),
    }


def joined(graphs):
    starts = [0, *torch.tensor([len(g["positions"]) for g in graphs]).cumsum(0).tolist()]
    together = {name: torch.cat([g[name] for g in graphs]) for name in ("positions", "velocities", "charges")}
    together["edge_index"] = torch.cat([g["edge_index"] + s for g, s in zip(graphs, starts, strict=False)], dim=1)
    together["graph_index"] = torch.cat([g["graph_index"] + i for i, g in enumerate(graphs)])
    return together


@pytest.mark.parametrize("group", ["E(3)", "SE(3)"])
def test_ragged_graphs_equal_the_loop_over_them_and_keep_the_law(group):
    average = FrameAverage(Messages(), PCAFrame(group), inputs=GRAPH_KINDS, output=GRAPH_OUTPUTS)
    graphs = [graph(n, seed) for seed, n in enumerate((5, 3, 7))]
    together = average(**joined(graphs))
    alone = [average(**g) for g in graphs]
    for name, values in together.items():
        assert (values - torch.cat([one[name] for one in alone])).abs().max() < 1e-12
    report = equivariance_error(average, joined(graphs), rng=torch.Generator().manual_seed(0))
    assert report.worst.relative < 1e-12


def test_masked_clouds_equal_the_loop_over_them():
    class Pooled(nn.Module):
        def forward(self, x, mask):
            return torch.where(mask.unsqueeze(-1), torch.tanh(x * torch.tensor([1.0, 2.0, 3.0]) + 0.3), 0).sum(-2)

    average = FrameAverage(Pooled(), PCAFrame("SE(3)"), inputs={"x": "point", "mask": "mask"}, output="vector")
    points, sizes = clouds(n=8), (4, 8, 5)
    mask = torch.arange(8) < torch.tensor(sizes).unsqueeze(1)
    found = average(points, mask)
    for place, size in enumerate(sizes):
        one = points[place : place + 1, :size]
        alone = average(one, torch.ones(1, size, dtype=torch.bool))
        assert (found[place] - alone[0]).abs().max() < 1e-12


# --- modes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("chunk", [1, 3, 8, 100])
def test_chunks_change_nothing(chunk, recompute):
    whole = FrameAverage(Everything(), PCAFrame("E(3)"), inputs=KINDS, output=OUTPUTS)
    parts = FrameAverage(Everything(), PCAFrame("E(3)"), inputs=KINDS, output=OUTPUTS, chunk=chunk, recompute=recompute)
    inputs = everything()
    one, other = whole(**inputs), parts(**inputs)
    for name, values in one.items():
        torch.testing.assert_close(other[name], values, **tolerance(torch.float64))
    sum(v.sum() for v in one.values()).backward()
    sum(v.sum() for v in other.values()).backward()
    torch.testing.assert_close(parts.backbone.weight.grad, whole.backbone.weight.grad, **tolerance(torch.float64))


def test_draws_are_unbiased_and_vary_with_one_over_their_number(golden, tanh_map):
    def average(samples):
        return FrameAverage(
            tanh_map,
            PCAFrame("E(3)"),
            inputs={"x": "point"},
            output="point",
            mode="stochastic",
            samples=samples,
            rng=torch.Generator().manual_seed(0),
        )

    exact = FrameAverage(tanh_map, PCAFrame("E(3)"), inputs={"x": "point"}, output="point")(golden[None])
    many = average(1)(golden.expand(4096, 6, 3))
    error = (many.mean(0) - exact[0]).abs()
    assert (error <= 5 * many.std(0) / 64 + 1e-12).all()
    four = average(4)(golden.expand(4096, 6, 3))
    ratio = (many.var(0) / four.var(0)).mean()
    assert ratio == pytest.approx(4, rel=0.15)


def test_draws_of_an_equivariant_map_do_not_vary(golden):
    average = FrameAverage(
        nn.Identity(), PCAFrame("E(3)"), inputs={"input": "point"}, output="point", mode="stochastic"
    )
    assert (average(golden.expand(64, 6, 3)) - golden).abs().max() < 1e-13


def test_framed_inputs_can_be_averaged_by_hand(golden, tanh_map):
    average = FrameAverage(tanh_map, PCAFrame("E(3)"), inputs={"x": "point"}, output="point")
    framed, frames = average.canonicalise(x=golden[None])
    assert framed["x"].shape == (8, 6, 3)
    by_hand = average.average(tanh_map(framed["x"]), frames, x=golden[None])
    torch.testing.assert_close(by_hand, average(golden[None]), rtol=0, atol=0)


def test_tuples_of_outputs_and_arguments_without_a_kind():
    class Pair(nn.Module):
        def forward(self, x, power, scale=1.0):
            return scale * x**power, x.square().sum((-1, -2))

    average = FrameAverage(Pair(), PCAFrame("O(3)"), inputs={"x": "point"}, output=("vector", "scalar"))
    points = clouds()
    vector, scalar = average(points, power=3, scale=2.0)
    assert vector.shape == points.shape
    torch.testing.assert_close(scalar, points.square().sum((-1, -2)))
    report = equivariance_error(average, {"x": points, "power": 3}, rng=torch.Generator().manual_seed(0))
    assert report.worst.relative < 1e-12


# --- gradients -------------------------------------------------------------------------------------------


def test_detached_frames_give_the_gradient_with_frames_frozen(golden, tanh_map):
    points = golden[None].clone().requires_grad_()
    average = FrameAverage(tanh_map, PCAFrame("E(3)"), inputs={"x": "point"}, output="point")
    (average(points) ** 2).sum().backward()
    frames = PCAFrame("E(3)")(golden[None])
    linear, origin = frames.linear[0], frames.translation[0]

    def frozen(x):
        return ((tanh_map((x - origin) @ linear) @ linear.mT).mean(0) + origin).square().sum()

    (expected,) = torch.autograd.grad(frozen(other := golden.clone().requires_grad_()), other)
    torch.testing.assert_close(points.grad[0], expected, **tolerance(torch.float64))


def test_differentiable_frames_pass_gradcheck_and_change_the_gradient(golden, tanh_map):
    moving = FrameAverage(tanh_map, PCAFrame("E(3)", differentiate=True), inputs={"x": "point"}, output="point")
    points = golden[None].clone().requires_grad_()
    assert torch.autograd.gradcheck(moving, points)
    frozen = FrameAverage(tanh_map, PCAFrame("E(3)"), inputs={"x": "point"}, output="point")
    one, other = (torch.autograd.grad(f(points).square().sum(), points)[0] for f in (moving, frozen))
    assert (one - other).abs().max() > 1e-3


# --- networks with state ---------------------------------------------------------------------------------


def test_batch_norm_keeps_the_law_in_evaluation_and_for_a_common_motion_in_training():
    class Normalised(nn.Module):
        def __init__(self):
            super().__init__()
            rng = torch.Generator().manual_seed(0)
            self.weight = nn.Parameter(torch.randn(3, 8, generator=rng, dtype=torch.float64))
            self.norm = nn.BatchNorm1d(8).double()
            self.dropout = nn.Dropout(0.5)

        def forward(self, x):
            hidden = self.norm((x @ self.weight + 0.2).flatten(0, 1)).unflatten(0, x.shape[:2])
            return self.dropout(torch.relu(hidden))[..., :3]

    average = FrameAverage(Normalised(), PCAFrame("E(3)"), inputs={"x": "point"}, output="vector")
    points = clouds()
    g = E(3).sample(rng=torch.Generator().manual_seed(5), dtype=torch.float64)

    def error():
        expected = average(points) @ E(3).linear(g).T
        return (average(E(3).apply(g, points)) - expected).abs().max()

    average.eval()
    assert error() < 1e-12
    average.train()
    average.backbone.dropout.p = 0.0
    assert error() < 1e-12
    average.backbone.dropout.p = 0.5
    assert error() > 0.1  # each pass drops other channels: no law


# torch 2.13 makes an instance of every autograd function that it traces, and warns of it itself
@pytest.mark.filterwarnings("ignore:.*should not be instantiated.*:DeprecationWarning")
def test_compiles_without_graph_breaks(tanh_map):
    average = FrameAverage(tanh_map, PCAFrame("E(3)"), inputs={"x": "point"}, output="point")
    compiled = torch.compile(average, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(clouds()), average(clouds()))


# --- bad input -------------------------------------------------------------------------------------------


def test_refuses_settings_and_data_that_do_not_fit(tanh_map):
    def build(**changes):
        settings = {"inputs": {"x": "point"}, "output": "point"} | changes
        return FrameAverage(tanh_map, PCAFrame("E(3)"), **settings)

    with pytest.raises(RepresentationError) as kind:
        build(inputs={"x": "pont"})
    assert "pseudovector" in kind.value.expected
    for wrong in ({"mode": "some"}, {"samples": 0}, {"chunk": 0}, {"inputs": {"x": "scalar"}}, {"sources": {"y": 1.0}}):
        with pytest.raises(ConfigError):
            build(**wrong)
    with pytest.raises(NumericsError):
        build()(torch.full((1, 3, 3), torch.inf))
    with pytest.raises(ShapeError):
        build()(torch.zeros(2, 5, 2))
    with pytest.raises(ShapeError) as missing:
        build()()
    assert missing.value.expected == "x"
    with pytest.raises(ShapeError) as extra:
        build()(clouds(), clouds())
    assert "by name" in extra.value.fix
    shrinking = FrameAverage(nn.Flatten(0, 1), PCAFrame("E(3)"), inputs={"input": "point"}, output="point")
    with pytest.raises(ShapeError) as first_axis:
        shrinking(clouds())
    assert "clouds times frames" in first_axis.value.expected
    with pytest.raises(ShapeError):
        build(inputs={"x": "point", "edge_index": "edges"})(clouds(), torch.zeros(2, 0, dtype=torch.int64))


def test_empty_batches_and_empty_clouds(tanh_map):
    average = FrameAverage(tanh_map, PCAFrame("E(3)"), inputs={"x": "point"}, output="point")
    assert average(clouds()[:0]).shape == (0, 6, 3)
    assert average(clouds()[:, :0]).shape == (3, 0, 3)
