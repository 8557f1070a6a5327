"""From a recipe to a report, on the real bodies: training, evaluation, check, prediction of files, page."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from intertwine.cli.main import main
from intertwine.errors import ConfigError, DataError, ShapeError
from intertwine.points import read_cloud, read_clouds
from intertwine.reporting.evaluation import Evaluation
from intertwine.systems.apen.data import make_data
from intertwine.systems.apen.predict import predict_files
from intertwine.systems.apen.reproduce import reproduce
from intertwine.systems.apen.training import build_network, make_module, vote_loss
from intertwine.training.recipes import load_recipe

pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("apen") / "run"
    assert main(["train", "apen/human-parts", "--scale", "smoke", "--output", str(folder)]) == 0
    return folder


def test_a_run_is_evaluated_checked_and_reported(run, capsys):
    assert main(["evaluate", str(run)]) == 0
    found = Evaluation.read(run)
    name = found.sets[0]
    assert 0 <= found.row(name, "miou").value <= 1
    assert found.array(name, "parts").shape[0] == found.array(name, "votes").shape[0] + 1
    counts = found.array(name, "layers_parts")
    assert len(counts) == 3
    assert counts[0] >= counts[-1]
    for key in ("mixed_clouds", "mixed_cells", "mixed_points", "rank0", "rank1", "rank2", "repeated"):
        assert found.row(name, f"layer0/{key}").value == found.array(name, f"layers_{key}")[0]
    for key in ("delta", "uncertainty", "vote_distance"):
        assert found.row(name, f"layer0/{key}") is None
        assert found.row(name, f"layer2/{key}").value == found.array(name, f"layers_{key}")[1]
    assert main(["check", str(run)]) == 0
    assert main(["report", str(run)]) == 0
    page = (run / "report.html").read_text()
    for words in ("Partitions.", "Degenerate parts", "true classes", "Votes of the last layer"):
        assert words in page


def test_files_are_labelled(run, tmp_path, capsys):
    rng = np.random.default_rng(0)
    points = rng.normal(size=(90, 3)) * [0.2, 0.8, 0.15]
    np.savez(tmp_path / "body.npz", points=points)
    np.savetxt(tmp_path / "scan.xyz", points)
    files = [str(tmp_path / "body.npz"), str(tmp_path / "scan.xyz")]
    assert main(["predict", str(run), *files, "--output", str(tmp_path / "out")]) == 0
    one, other = (read_cloud(tmp_path / "out" / name) for name in ("body.predicted.npz", "scan.predicted.ply"))
    assert one.labels.shape == (90,)
    assert one.labels.max() < 14
    np.testing.assert_array_equal(one.labels, other.labels)
    assert other.colours is not None
    assert main(["predict", str(run), files[0], "--output", str(tmp_path / "parts"), "--write", "parts"]) == 0
    assert len(np.unique(read_cloud(tmp_path / "parts" / "body.predicted.npz").labels)) > 1


def test_all_clouds_of_a_file_are_labelled(run, tmp_path):
    rng = np.random.default_rng(0)
    points = rng.normal(size=(2, 90, 3)) * [0.2, 0.8, 0.15]
    np.savez(tmp_path / "many.npz", points=points)
    np.savez(tmp_path / "last.npz", points=points[1])
    files = [str(tmp_path / f"{name}.npz") for name in ("many", "last")]
    assert main(["predict", str(run), *files, "--output", str(tmp_path / "out")]) == 0
    found = read_clouds(tmp_path / "out" / "many.predicted.npz")
    np.testing.assert_array_equal(found[1].labels, read_cloud(tmp_path / "out" / "last.predicted.npz").labels)
    about = [json.loads((tmp_path / "out" / f"{name}.predicted.json").read_text()) for name in ("many", "last")]
    assert about[0]["clouds"][1] == about[1]


def test_bad_files_are_refused_in_words(run, tmp_path, capsys):
    np.savez(tmp_path / "none.npz", points=np.zeros((0, 3)))
    assert main(["predict", str(run), str(tmp_path / "none.npz"), "--output", str(tmp_path)]) == 1
    assert "no points" in capsys.readouterr().err
    np.savez(tmp_path / "nan.npz", points=np.full((4, 3), np.nan))
    assert main(["predict", str(run), str(tmp_path / "nan.npz"), "--output", str(tmp_path)]) == 1
    assert "not finite" in capsys.readouterr().err


@pytest.mark.parametrize("network", ["apen", "fa_pointnet", "pointnet", "dgcnn", "vn_pointnet"])
@pytest.mark.parametrize("name", ["human-parts", "human-subjects"])
def test_every_network_learns(name, network):
    """The loss on one batch falls: classes are learnt, and votes where there are any."""
    recipe = load_recipe(f"apen/{name}", scale="smoke").recipe
    recipe = replace(recipe, model=replace(recipe.model, network=network))
    data = make_data(recipe)
    data.setup("fit")
    batch = next(iter(data.train_dataloader())).to(torch.float32)
    module = make_module(recipe, data, rng=torch.Generator().manual_seed(0))
    optimiser = torch.optim.Adam(module.model.parameters(), 1e-2)
    losses = []
    for _ in range(12):
        loss, _ = module.loss(batch)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert min(losses[-3:]) < losses[0]


def test_the_loss_of_instances_reaches_votes_through_the_mixture():
    recipe = load_recipe("apen/human-parts", scale="smoke").recipe
    recipe = replace(recipe, loss=replace(recipe.loss, instances=1.0, votes=0.0))
    data = make_data(recipe)
    data.setup("fit")
    batch = next(iter(data.train_dataloader())).to(torch.float32)
    module = make_module(recipe, data, rng=torch.Generator().manual_seed(0))
    module.eval()
    _, logs = module.loss(batch)
    logs["instances_term"].backward()
    last = module.model.layers[-1].backbone.last.weight.grad
    assert last[:3].abs().max() > 0


def test_votes_need_centres():
    recipe = load_recipe("apen/human-parts", scale="smoke").recipe
    data = make_data(recipe)
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    exact = vote_loss(batch.centres.expand(2, -1, 3), batch)
    assert exact == 0
    with pytest.raises(DataError):
        vote_loss(batch.centres.expand(2, -1, 3), type(batch)(batch.positions, batch.graph_index, batch.num_graphs))
    assert build_network(recipe.model).settings == recipe.model


def test_only_some_networks_are_reproduced(tmp_path):
    networks = ("pointnet-unmoved", "apen")
    rows = reproduce("smoke", folder=tmp_path, case="rooms", networks=networks, scenes=("1",), seeds=(3,))
    by_key = {(row.case, row.metric): row.value for row in rows}
    assert {run.name for run in tmp_path.iterdir()} == {f"rooms-scene1-{name}-smoke-seed3" for name in networks}
    above = by_key["rooms/scene1/apen above pointnet-unmoved", "miou"]
    assert above == by_key["rooms/scene1/apen", "miou"] - by_key["rooms/scene1/pointnet-unmoved", "miou"]


def test_networks_that_a_case_does_not_have_are_refused(tmp_path):
    for network in ("transformer", "fa-pointnet"):
        with pytest.raises(ConfigError, match=network):
            reproduce("smoke", folder=tmp_path, case="rooms", networks=("pointnet", network))
    assert not list(tmp_path.iterdir())


def test_all_clouds_are_labelled_before_any_is_written(tmp_path):
    """The second has too few points for the edges of DGCNN; APEN takes it."""
    rng = np.random.default_rng(0)
    files = [tmp_path / "body.npz", tmp_path / "p1.npz"]
    for path, count in zip(files, (90, 1), strict=True):
        np.savez(path, points=rng.normal(size=(count, 3)))
    loaded = load_recipe("apen/human-parts", scale="smoke")
    for name in ("dgcnn", "apen"):
        model = build_network(
            replace(loaded.recipe.model, network=name, contact=4), rng=torch.Generator().manual_seed(0)
        )
        model.save_pretrained(tmp_path / name)
    with pytest.raises(ShapeError, match=r"p1\.npz: a cloud has too few points"):
        predict_files(tmp_path / "dgcnn", files, output=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    predict_files(tmp_path / "apen", files, output=tmp_path / "out")
    assert read_cloud(tmp_path / "out" / "p1.predicted.npz").labels.shape == (1,)


def test_scenes_that_are_not_there_are_refused_before_anything_runs(tmp_path):
    for case in ("rooms", "all"):
        with pytest.raises(DataError, match="no such scene"):
            reproduce("smoke", folder=tmp_path, seeds=(0,), case=case, scenes=("0", "99"))
    assert not list(tmp_path.iterdir())
