"""What APEN is compared with: laws, batches, sizes, gradients, saving, few points, and every command on a run."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from intertwine.cli.main import main
from intertwine.errors import ConfigError, NumericsError, ShapeError
from intertwine.groups import SE, E, T
from intertwine.points import read_cloud
from intertwine.reporting.evaluation import Evaluation
from intertwine.symmetry import equivariance_error
from intertwine.systems.apen.model import APEN, DGCNN, PointNet, VNPointNet
from intertwine.systems.apen.settings import ModelSettings
from intertwine.systems.apen.training import build_network

SMALL = ModelSettings(
    classes=5, sigma=(0.1, 0.2), scalars=12, vectors=4, widths=(12, 15), hidden=15, head=(16,), neighbours=6
)
NETWORKS = ("pointnet", "dgcnn", "vn_pointnet")


def network(name, seed=0, **changes):
    """A network whose batch norms have seen other clouds, so that they are not the identity."""
    rng = torch.Generator().manual_seed(seed)
    made = build_network(replace(SMALL, network=name, **changes), rng=rng).double()
    for _ in range(3):
        made(*clouds(seed=7))
    return made.eval()


def clouds(sizes=(40, 25), seed=0):
    rng = torch.Generator().manual_seed(seed)
    points = torch.randn(sum(sizes), 3, generator=rng, dtype=torch.float64)
    return points, torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))


def apart(one, other):
    return float((one - other).detach().abs().max() / one.detach().abs().max())


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("task", ["segment", "classify"])
def test_the_declared_law_holds(name, task):
    points, batch = clouds()
    model = network(name, task=task)
    report = equivariance_error(
        model, {"positions": points, "batch": batch}, rng=torch.Generator().manual_seed(0), trials=4
    )
    assert report.worst.relative < 1e-10


@pytest.mark.parametrize(("name", "kept"), [("pointnet", False), ("dgcnn", False), ("vn_pointnet", True)])
def test_only_vector_neurons_follow_rotations(name, kept):
    points, batch = clouds()
    model = network(name)
    turn = E(3).sample(rng=torch.Generator().manual_seed(2), dtype=torch.float64)
    before, after = model(points, batch)["logits"], model(E(3).apply(turn, points), batch)["logits"]
    difference = apart(before, after)
    assert difference < 1e-10 if kept else difference > 1e-3
    assert (model.symmetry.group == T(3)) != kept


def test_vector_products_tell_mirror_images_apart():
    points, batch = clouds()
    mirrored = points * torch.tensor([1.0, 1.0, -1.0])
    for group, same in (("E(3)", True), ("SE(3)", False)):
        model = network("vn_pointnet", group=group)
        assert model.symmetry.group == (E(3) if same else SE(3))
        one, other = (model(x, batch)["logits"] for x in (points, mirrored))
        difference = apart(one, other)
        assert difference < 1e-10 if same else difference > 1e-3


@pytest.mark.parametrize("name", NETWORKS)
def test_the_order_of_points_does_not_matter(name):
    points, batch = clouds()
    order = torch.randperm(len(points), generator=torch.Generator().manual_seed(0))
    model = network(name)
    torch.testing.assert_close(
        model(points[order], batch[order])["logits"], model(points, batch)["logits"][order], rtol=0, atol=1e-10
    )


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("task", ["segment", "classify"])
def test_a_batch_gives_what_each_cloud_gives_alone(name, task):
    points, batch = clouds()
    model = network(name, task=task)
    together = model(points, batch)["logits"]
    alone = torch.cat([model(points[batch == place])["logits"] for place in (0, 1)])
    assert together.shape == ((65, 5) if task == "segment" else (2, 5))
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-10)


def test_a_point_sees_its_whole_cloud_and_no_other():
    points, batch = clouds()
    moved = points.clone()
    moved[0] += 0.5
    for name in NETWORKS:
        model = network(name)
        changed = (model(moved, batch)["logits"] - model(points, batch)["logits"]).abs().amax(1)
        assert (changed[batch == 0] > 1e-9).all(), name
        assert (changed[batch == 1] == 0).all(), name


def test_the_first_edge_convolution_sees_neighbours_in_space():
    """By hand: the maximum over the six nearest points of a perceptron of ``[x_j - x_i, x_i]``."""
    points, _ = clouds(sizes=(20,))
    model = network("dgcnn", sigma=(0.1,))
    layer, centred = model.layers[0], points - points.mean(0)
    features = model.features(centred, torch.zeros(20, dtype=torch.int64), 1)
    for i in range(20):
        near = (centred - centred[i]).square().sum(1).argsort()[:6]
        rows = torch.cat([centred[near] - centred[i], centred[i].expand(6, 3)], dim=1)
        for step, norm in zip(layer.maps, layer.norms, strict=True):
            rows = torch.nn.functional.leaky_relu(norm(step(rows)), 0.2)
        torch.testing.assert_close(features[i, :12], rows.amax(0), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_reach_all_weights(name):
    model = network(name).train()
    model(*clouds())["logits"].square().mean().backward()
    for key, weight in model.named_parameters():
        assert weight.grad is not None, key
        assert weight.grad.isfinite().all(), key


def test_networks_have_the_layers_and_the_head_of_an_apen():
    settings = ModelSettings()
    apen, dgcnn, vectors = APEN(settings), DGCNN(settings), VNPointNet(settings)
    heads = [[tuple(w.shape) for w in model.head.parameters()] for model in (apen, PointNet(settings), dgcnn)]
    assert heads[0] == heads[1] == heads[2]
    assert len(apen.layers) == len(dgcnn.layers) == len(vectors.layers)
    # a third as many vectors as numbers, three inner products for each
    assert vectors.head[0].in_features == 3 * (settings.scalars // 3) * (settings.layers + 1)


@pytest.mark.parametrize("name", NETWORKS)
def test_saved_networks_are_what_they_were(name, tmp_path):
    model = network(name)
    model.save_pretrained(tmp_path / name)
    loaded = type(model).from_pretrained(tmp_path / name)
    assert torch.equal(loaded(*clouds())["logits"], model(*clouds())["logits"])


def test_refuses_in_words():
    points, batch = clouds()
    for name in ("dgcnn", "vn_pointnet"):
        with pytest.raises(ShapeError, match="too few points for 6 neighbours") as few:
            network(name)(points[:42], batch[:42])
        assert few.value.got["cloud"] == 1
        assert few.value.got["points"] == 2
        with pytest.raises(NumericsError):
            network(name)(points * torch.nan, batch)
        with pytest.raises(ShapeError):
            network(name)(points, batch[:5])
    with pytest.raises(ConfigError):
        replace(SMALL, neighbours=0)
    with pytest.raises(ConfigError) as unknown:
        build_network(replace(SMALL, network="transformer"))
    assert "vn_pointnet" in unknown.value.expected


@pytest.mark.parametrize("name", NETWORKS)
def test_clouds_of_as_many_points_as_neighbours_and_coincident_ones(name):
    points = clouds(sizes=(6,))[0].requires_grad_()
    network(name)(points)["logits"].sum().backward()
    assert points.grad.isfinite().all()
    same = torch.ones(9, 3, dtype=torch.float64, requires_grad=True)
    found = network(name)(same)["logits"]
    found.sum().backward()
    assert found.isfinite().all()
    assert same.grad.isfinite().all()


@pytest.mark.data
@pytest.mark.parametrize("name", ["dgcnn", "vn_pointnet"])
@pytest.mark.parametrize("recipe", ["human-parts", "human-subjects"])
def test_every_command_takes_them(name, recipe, tmp_path, capsys):
    run = str(tmp_path / "run")
    assert main(["train", f"apen/{recipe}", "--scale", "smoke", "--output", run, "--model.network", name]) == 0
    assert main(["evaluate", run]) == 0
    found = Evaluation.read(run)
    score = found.row(found.sets[0], "miou" if recipe == "human-parts" else "cloud_accuracy")
    assert 0 <= score.value <= 1
    assert found.array(found.sets[0], "parts") is None
    assert main(["check", run]) == 0
    np.savez(tmp_path / "body.npz", points=np.random.default_rng(0).normal(size=(50, 3)))
    assert main(["predict", run, str(tmp_path / "body.npz"), "--output", str(tmp_path)]) == 0
    assert read_cloud(tmp_path / "body.predicted.npz").labels.shape == (50,)
    capsys.readouterr()
    assert main(["predict", run, str(tmp_path / "body.npz"), "--output", str(tmp_path), "--write", "parts"]) == 2
    assert "does not divide clouds" in capsys.readouterr().err
    assert main(["report", run]) == 0
