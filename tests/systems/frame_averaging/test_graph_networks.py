"""Networks of graphs: sizes as published, layers against PyTorch Geometric and loops, the law, saving and loading."""

import itertools
from copy import deepcopy
from dataclasses import replace

import pytest
import torch

from intertwine.errors import ConfigError, DataError, ShapeError
from intertwine.frames import GraphFrame
from intertwine.frames.ordered_partition import draw_keys
from intertwine.graphs import Graph, circular_skip_links, pad_graphs
from intertwine.symmetry import equivariance_error
from intertwine.systems.frame_averaging.data.graphs import collate_graphs, make_items
from intertwine.systems.frame_averaging.model.gin import GIN
from intertwine.systems.frame_averaging.model.graph_classifier import RENAMED_NODES, GraphClassifier, graph_frame
from intertwine.systems.frame_averaging.settings.graphs import GraphModelSettings, GraphsTask
from intertwine.training.inference import load_model
from intertwine.training.recipes import load_recipe

SMALL = {"widths": (16, 12), "max_nodes": 7}
NETWORKS = {
    "fa-mlp": GraphModelSettings(**SMALL),
    "fa-mlp without nodes": GraphModelSettings(**SMALL, node_inputs=False, average="embedding", activation="tanh"),
    "canonical mlp": GraphModelSettings(**SMALL, frame="minimal"),
    "ga-mlp": GraphModelSettings(**SMALL, frame="group", samples=3),
    "fa-gin+id": GraphModelSettings(**SMALL, network="gin", node_ids=True, pooling="sum"),
    "gin": GraphModelSettings(widths=(16, 12), network="gin", frame="none"),
}


@pytest.fixture
def items(rng):
    """Graphs of different sizes with two features, some with many automorphisms and an isolated node."""
    graphs = [
        circular_skip_links(7, 2),
        Graph.build(torch.tensor([[0, 1], [1, 2], [2, 3], [3, 0]]), 5),
        Graph.build(torch.tensor([[0, 1], [0, 2], [0, 3]]), 4),
        Graph.build(torch.tensor([[0, 1]]), 2),
    ]
    features = [torch.randint(2, (graph.num_nodes, 2), generator=rng).double() for graph in graphs]
    return [replace(graph, features=rows) for graph, rows in zip(graphs, features, strict=True)]


def build(settings, classes=("no", "yes"), seed=0, dtype=torch.float64):
    rng = torch.Generator().manual_seed(seed)
    return GraphClassifier(settings, classes=classes, channels=2, max_nodes=7, rng=rng).to(dtype)


def batch_of(graphs, model, dtype=torch.float64):
    return collate_graphs(make_items(graphs, model.frame), dtype)


def keys_for(batch, model, rng):
    return draw_keys(batch.num_graphs, model.settings.samples, batch.mask.shape[1], rng=rng)


# --- sizes -----------------------------------------------------------------------------------------------


def test_recipes_have_the_published_sizes():
    numbers = {
        # 4224-2048-4096-2048-10-1, and nodes: type, degree, 64 places; 64-64-64-10-1 with three eps
        "exp-fa-mlp": 4224 * 2048 + 2048 * 4096 + 4096 * 2048 + 2048 * 10 + 10 + 2048 + 4096 + 2048 + 10 + 1,
        "exp-fa-gin": 66 * 64 + 64 * 64 * 2 + 3 * 64 + 3 + 64 * 10 + 10 + 10 + 1,
        "exp-gin": 2 * 64 + 64 * 64 * 2 + 3 * 64 + 3 + 64 * 10 + 10 + 10 + 1,
    }
    for name, expected in numbers.items():
        recipe = load_recipe(f"frame_averaging/{name}", "paper").recipe
        model = GraphClassifier(recipe.graphs.model, classes=("0", "1"), channels=1)
        assert sum(weight.numel() for weight in model.parameters()) == expected, name
        training = recipe.training
        assert (training.epochs, training.batch_size, training.optimizer, training.learning_rate) == (
            199,
            100,
            "adam",
            1e-3,
        )
        assert recipe.graphs.model.samples == 1
    settings = {
        name: load_recipe(f"frame_averaging/exp-{name}", "paper").recipe.graphs.model for name in ("fa-mlp", "ga-mlp")
    }
    assert settings["ga-mlp"] == replace(settings["fa-mlp"], frame="group")
    cpu = load_recipe("frame_averaging/exp-fa-mlp", "cpu").recipe
    assert cpu.graphs.model.widths == tuple(width // 8 for width in settings["fa-mlp"].widths)
    assert cpu.training.epochs == 30


def test_settings_that_make_no_sense_are_refused():
    for wrong in (
        {"node_ids": True},
        {"network": "gin"},
        {"network": "gin", "frame": "none", "node_ids": True},
        {"widths": ()},
        {"samples": 0},
        {"max_nodes": 0},
    ):
        with pytest.raises(ConfigError):
            GraphModelSettings(**wrong)
    with pytest.raises(ConfigError):
        GraphsTask(draws=0)
    with pytest.raises(ConfigError, match="number of nodes"):
        GraphClassifier(GraphModelSettings(), classes=("a", "b"), channels=0)
    with pytest.raises(ConfigError, match="two classes"):
        GraphClassifier(GraphModelSettings(max_nodes=4), classes=("a",), channels=0)


# --- layers ----------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")  # raised by what PyG imports
def test_layers_are_those_of_pyg(items, rng):
    from torch_geometric.nn import GINConv

    for max_nodes, pooling in ((None, "sum"), (7, "mean")):
        net = GIN(2, (8, 6), torch.nn.Tanh, pooling, max_nodes=max_nodes, rng=rng).double()
        batch = pad_graphs(items)
        got = net(batch.adjacency, batch.features, batch.mask)
        for row, graph in zip(got, items, strict=True):
            degrees = graph.adjacency.sum(-1, keepdim=True)
            h = torch.cat([graph.features, degrees], dim=1)
            if max_nodes is not None:
                h = torch.cat([h, torch.eye(graph.num_nodes, 7).double()], dim=1)
            for layer, eps in zip(net.layers, net.eps, strict=True):
                convolution = GINConv(deepcopy(layer), eps=float(eps.detach())).double()
                convolution.nn.load_state_dict(layer.state_dict())  # it draws new weights when it is made
                h = convolution(h, graph.edge_index).tanh()
            expected = h.sum(0) if pooling == "sum" else h.mean(0)
            torch.testing.assert_close(row, expected, rtol=1e-10, atol=1e-12)


def test_a_perceptron_sees_features_degrees_and_the_matrix_in_the_drawn_order(items, rng):
    model = build(NETWORKS["fa-mlp"])
    batch = batch_of(items, model)
    keys = keys_for(batch, model, rng)
    got = model(**batch.inputs(), keys=keys)
    for place, graph in enumerate(items):
        size = graph.num_nodes
        partition = GraphFrame().partition(graph.adjacency[None], graph.features[None])
        order = min(
            partition.elements().elements.tolist(),
            # of all elements of the frame the one whose keys ascend within each class of nodes
            key=lambda p: sum(
                keys[place, 0, a] > keys[place, 0, b]
                for a, b in itertools.pairwise(p)
                if partition.ranks[0, a] == partition.ranks[0, b]
            ),
        )
        nodes, matrix = torch.zeros(7, 3).double(), torch.zeros(7, 7).double()
        nodes[:size, :2] = graph.features[order]
        nodes[:size, 2] = graph.adjacency[order].sum(-1)
        matrix[:size, :size] = graph.adjacency[order][:, order]
        x = torch.cat([nodes.flatten(), matrix.flatten()])
        for layer in (*model.average.backbone.body.layers, *model.embed):
            x = layer(x)
        torch.testing.assert_close(got[place], model.output(x), rtol=1e-10, atol=1e-12)


def test_a_mean_over_samples_is_a_mean_over_draws(items, rng):
    model = build(NETWORKS["ga-mlp"])
    batch = batch_of(items, model)
    keys = keys_for(batch, model, rng)
    whole = model.average(batch.adjacency, batch.features, batch.mask, keys=keys)
    single = build(replace(NETWORKS["ga-mlp"], samples=1))
    parts = [single.average(batch.adjacency, batch.features, batch.mask, keys=keys[:, [draw]]) for draw in range(3)]
    torch.testing.assert_close(whole, torch.stack(parts).mean(0), rtol=1e-10, atol=1e-12)


# --- law -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETWORKS)
def test_renamed_nodes_with_their_keys_change_nothing(name, items, rng):
    model = build(NETWORKS[name])
    batch = batch_of(items, model)
    inputs = {"adjacency": batch.adjacency, "features": batch.features, "mask": batch.mask}
    report = equivariance_error(model, inputs | {"keys": keys_for(batch, model, rng)}, trials=6, rng=rng)
    assert report.passed(), report.explain()
    stored = inputs | {"partition": batch.partition, "keys": keys_for(batch, model, rng)}
    assert equivariance_error(model, stored, trials=4, rng=rng).passed()


def test_the_check_finds_a_perceptron_without_frame(items, rng):
    model = build(GraphModelSettings(**SMALL, frame="none"))
    assert model.symmetry is None
    batch = batch_of(items, model)
    inputs = {"adjacency": batch.adjacency, "features": batch.features, "mask": batch.mask}
    report = equivariance_error(model, inputs, symmetry=RENAMED_NODES, trials=6, rng=rng)
    assert report.worst.verdict == "broken"


@pytest.mark.parametrize("name", NETWORKS)
def test_batches_are_single_graphs(name, items, rng):
    model = build(NETWORKS[name])
    batch = batch_of(items, model)
    keys = keys_for(batch, model, rng)
    got = model(**batch.inputs(), keys=keys)
    for place, graph in enumerate(items):
        alone = model(**batch_of([graph], model).inputs(), keys=keys[place : place + 1, :, : graph.num_nodes])
        torch.testing.assert_close(got[place : place + 1], alone, rtol=1e-10, atol=1e-12)


def test_three_classes_have_three_scores_and_float32_is_near(items, rng):
    settings = NETWORKS["fa-gin+id"]
    model = build(settings, classes=("a", "b", "c"))
    batch = batch_of(items, model)
    keys = keys_for(batch, model, rng)
    exact = model(**batch.inputs(), keys=keys)
    assert exact.shape == (4, 3)
    small = build(settings, classes=("a", "b", "c"), dtype=torch.float32)
    rounded = small(**batch_of(items, small, torch.float32).inputs(), keys=keys)
    torch.testing.assert_close(rounded.double(), exact, rtol=1e-4, atol=1e-5)


def test_gradients_reach_every_weight(items, rng):
    for settings in NETWORKS.values():
        model = build(replace(settings, activation="tanh"))
        batch = batch_of(items, model)
        model(**batch.inputs(), keys=keys_for(batch, model, rng)).square().sum().backward()
        assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in model.parameters())


def test_saved_models_are_what_they_were(items, tmp_path, rng):
    for place, (name, settings) in enumerate(NETWORKS.items()):
        model = build(settings, dtype=torch.float32)
        model.save_pretrained(tmp_path / str(place))
        loaded = load_model(tmp_path / str(place))
        assert (loaded.settings, loaded.classes, loaded.frame) == (settings, ("no", "yes"), graph_frame(settings)), name
        batch = batch_of(items, model, torch.float32)
        keys = keys_for(batch, model, rng)
        assert torch.equal(loaded(**batch.inputs(), keys=keys), model(**batch.inputs(), keys=keys))


def test_graphs_that_do_not_fit_are_refused(items, rng):
    model = build(NETWORKS["fa-mlp"])
    large = pad_graphs([circular_skip_links(8, 3)])
    with pytest.raises(DataError, match="more nodes than the network"):
        model(large.adjacency, torch.zeros(1, 8, 2).double(), large.mask)
    batch = batch_of(items, model)
    with pytest.raises(ShapeError, match="other features"):
        model(batch.adjacency, batch.features[..., :1], batch.mask)
    with pytest.raises(DataError, match="directed"):
        model(batch.adjacency.triu(), batch.features, batch.mask)
    # entries beyond the largest graph that it takes may be there, if they are no nodes
    padded = pad_graphs(items, nodes=9)
    keys = keys_for(batch, model, rng)
    wide = torch.nn.functional.pad(keys, (0, 2))
    torch.testing.assert_close(
        model(padded.adjacency, padded.features, padded.mask, keys=wide), model(**batch.inputs(), keys=keys)
    )
