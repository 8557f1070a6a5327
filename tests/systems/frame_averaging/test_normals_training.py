"""The normals task: surfaces, clouds, loss, training, evaluation, check, prediction, report, reproduction; learning."""

import json

import numpy as np
import pytest
import torch

from intertwine.errors import ConfigError, DataError
from intertwine.frames import PCAFrame
from intertwine.groups import SO
from intertwine.points import Cloud, normalise, read_cloud, read_clouds, write_cloud
from intertwine.reporting import ResultRow
from intertwine.systems.frame_averaging.data.normals import MeshClouds, NormalsBatch, make_data, turned
from intertwine.systems.frame_averaging.data.surfaces import read_surfaces, split_families
from intertwine.systems.frame_averaging.evaluate.normals import check, evaluate, predict_normals
from intertwine.systems.frame_averaging.evaluate.plane_fit import plane_fit_normals
from intertwine.systems.frame_averaging.metrics.normals import error_colours, normal_errors, normals_metrics
from intertwine.systems.frame_averaging.predict.normals import predict_files
from intertwine.systems.frame_averaging.published.normals import figure, published
from intertwine.systems.frame_averaging.report.normals import sections
from intertwine.systems.frame_averaging.reproduce.normals import CASES, reproduce
from intertwine.systems.frame_averaging.settings.normals import NormalsDataSettings
from intertwine.systems.frame_averaging.training.normals import make_module
from intertwine.training.page import write_run_page
from intertwine.training.recipes import load_recipe
from intertwine.training.trainer import train

ONE_THREAD = {"training.threads": 1}
RECIPES = ["fa-pointnet", "pointnet", "fa-local-pointnet", "fa-dgcnn", "dgcnn", "vn-pointnet", "vn-dgcnn"]
PARTS = "fa_cad/cad_procedural.npz"


def loaded(name="fa-pointnet", scale="smoke", **changes):
    return load_recipe(f"frame_averaging/normals-{name}", scale=scale).changed(changes)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run of the smoke recipe of FA-PointNet."""
    return train(loaded(), tmp_path_factory.mktemp("runs") / "smoke", overrides=ONE_THREAD)


@pytest.fixture(scope="module")
def meshes():
    return read_surfaces(PARTS).meshes[::8]


def clouds(meshes, *, training=True, seed=0, **settings):
    return MeshClouds(meshes, NormalsDataSettings(points=64, **settings), seed=seed, purpose="a", training=training)


# --- recipes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_are_those_of_the_published_experiment(name):
    recipe = loaded(name, "paper").recipe
    data, training = recipe.normals.data, recipe.training
    assert (data.points, data.size, data.scale_range, data.regime) == (512, "norm_std", (0.8, 1.25), "I")
    assert (training.epochs, training.batch_size, training.learning_rate) == (250, 32, 1e-3)
    assert (training.optimizer, training.weight_decay, training.schedule) == ("adam", 0.0, "constant")
    assert recipe.normals.model.narrower == 1
    small = loaded(name, "cpu").recipe
    assert (small.normals.model.narrower, small.training.epochs, small.normals.data.test_per_family) == (4, 30, 4)
    assert small.normals.model.network == recipe.normals.model.network
    assert small.normals.data.test == {}


def test_a_recipe_has_one_task():
    with pytest.raises(ConfigError):
        loaded(**{"particles.poses": "aligned"})


def test_settings_out_of_range_are_refused():
    for wrong in ({"points": 3}, {"scale_range": (1.2, 0.8)}, {"test_names": {"a": "b"}}, {"train": ""}):
        with pytest.raises(ConfigError):
            NormalsDataSettings(**wrong)


# --- surfaces --------------------------------------------------------------------------------------------


def test_the_last_of_each_family_are_the_test_set():
    train_set, test_set = split_families(read_surfaces(PARTS), 4)
    assert (len(train_set), len(test_set)) == (200, 40)
    assert all(test_set.families.count(family) == 4 for family in train_set.families)
    assert not {mesh.name for mesh in train_set.meshes} & {mesh.name for mesh in test_set.meshes}
    with pytest.raises(DataError, match="no mesh is left"):
        split_families(read_surfaces(PARTS), 24)


def test_the_shipped_parts_split_as_suggested():
    data = make_data(loaded(scale="cpu").recipe)
    data.setup()
    assert (len(data.train_clouds), len(data.validation_clouds), len(data.test_clouds["test"])) == (200, 200, 40)


def box(path, size=1.0):
    corners = [(x, y, z) for x in (0, size) for y in (0, size) for z in (0, 2 * size)]
    faces = "1 2 4 3", "5 7 8 6", "1 5 6 2", "3 4 8 7", "1 3 7 5", "2 6 8 4"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"v {x} {y} {z}\n" for x, y, z in corners) + "".join(f"f {face}\n" for face in faces))
    return path


def test_the_published_layout_with_lists_of_names(tmp_path, monkeypatch):
    for split, numbers in (("train", range(5)), ("test", range(5, 8))):
        for number in numbers:
            box(tmp_path / "abc" / "10k" / split / "512" / f"part{number}.obj", 1 + number)
        names = {"scans": {"all": [f"part{number}" for number in numbers][:-1]}}
        place = tmp_path / "abc" / "splits" / "abc_512_10k" / f"{split}.json"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(json.dumps(names))
    monkeypatch.setenv("INTERTWINE_DATA", str(tmp_path))
    data = make_data(loaded(scale="paper", **{"normals.data.points": 16}).recipe)
    data.setup()
    assert (len(data.train_clouds), len(data.test_clouds["test"])) == (4, 2)
    assert data.train_clouds.meshes[3].name == "part3.obj"
    (tmp_path / "abc" / "10k" / "train" / "512" / "part2.obj").unlink()
    with pytest.raises(DataError, match="1 of the 4 files") as caught:
        make_data(loaded(scale="paper").recipe).setup()
    assert "part2.obj" in caught.value.got


def test_a_folder_of_meshes_has_its_folders_as_families(tmp_path):
    for family in ("bolts", "nuts"):
        for number in range(3):
            box(tmp_path / family / f"{number}.obj")
    found = read_surfaces(tmp_path)
    assert found.families == ("bolts",) * 3 + ("nuts",) * 3
    changes = {"train": str(tmp_path), "train_meshes": None, "test_meshes": None, "test_per_family": 1}
    data = make_data(loaded(**{f"normals.data.{name}": value for name, value in changes.items()}).recipe)
    data.setup()
    assert (len(data.train_clouds), len(data.test_clouds["test"])) == (4, 2)
    assert len(read_surfaces(tmp_path / "nuts" / "0.obj")) == 1


def test_surfaces_that_cannot_be_used_are_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no mesh in this folder"):
        read_surfaces(tmp_path / "empty")
    with pytest.raises(DataError, match="no data file"):
        read_surfaces(tmp_path / "absent")
    (tmp_path / "names.json").write_text("{}")
    with pytest.raises(DataError, match="holds no names"):
        read_surfaces(tmp_path / "empty", tmp_path / "names.json")
    with pytest.raises(DataError, match="files of a folder"):
        read_surfaces(PARTS, tmp_path / "names.json")
    (tmp_path / "names.json").write_text("{")
    with pytest.raises(DataError, match="not JSON"):
        read_surfaces(tmp_path / "empty", tmp_path / "names.json")
    with pytest.raises(DataError, match="not so many"):
        make_data(loaded(**{"normals.data.train_meshes": 201}).recipe).setup()


def test_validation_may_be_held_out():
    data = make_data(loaded(**{"normals.data.train_meshes": 20, "normals.data.validation_fraction": 0.25}).recipe)
    data.setup()
    names = [{mesh.name for mesh in part.meshes} for part in (data.train_clouds, data.validation_clouds)]
    assert (len(names[0]), len(names[1])) == (15, 5)
    assert not names[0] & names[1]


# --- clouds ----------------------------------------------------------------------------------------------


def test_clouds_are_drawn_anew_in_each_epoch_and_repeat_with_the_seed(meshes):
    class Epoch:
        epoch = 0

    one, other, moved = clouds(meshes), clouds(meshes), clouds(meshes, seed=1)
    first = one.__getitems__([3, 5])
    assert torch.equal(first.points, other.__getitems__([3, 5]).points)
    assert not torch.equal(first.points, moved.__getitems__([3, 5]).points)
    one.sampler = Epoch()
    one.sampler.epoch = 1
    assert not torch.equal(first.points, one.__getitems__([3, 5]).points)
    fixed = clouds(meshes, training=False)
    fixed.sampler = one.sampler
    assert torch.equal(fixed.__getitems__([2]).points, clouds(meshes, training=False).__getitems__([2]).points)


def test_the_loader_tells_the_data_its_epoch():
    data = make_data(loaded().recipe)
    data.setup()
    loader = data.train_dataloader()
    draws = []
    for epoch in (0, 1, 0):
        loader.sampler.set_epoch(epoch)
        draws.append(torch.cat([batch.points for batch in loader]))
    assert draws[0].shape == (8, 48, 3)
    assert torch.equal(draws[0], draws[2])
    assert not torch.equal(draws[0], draws[1])


def test_points_lie_on_the_surface_with_its_normals(tmp_path):
    surfaces = read_surfaces(box(tmp_path / "a.obj")).meshes
    found = clouds(surfaces, training=False, size="none")[0]
    for point, normal in zip(found.points[0], found.normals[0], strict=True):
        axis = normal.abs().argmax()
        assert normal.abs().sum() == pytest.approx(1, abs=1e-5), "faces of a box look along the axes"
        extent = found.points[0][:, axis].max() if normal[axis] > 0 else found.points[0][:, axis].min()
        assert point[axis] == pytest.approx(extent.item(), abs=1e-5), "outward"


@pytest.mark.parametrize("size", ["rms", "max_norm", "norm_std"])
def test_training_clouds_are_scaled_within_the_range(meshes, size):
    drawn = clouds(meshes, size=size).__getitems__(range(30))
    scales = normalise(drawn.points.double(), size).scale.flatten()
    assert scales.min() > 0.8 - 1e-6
    assert scales.max() < 1.25 + 1e-6
    assert scales.max() - scales.min() > 0.2
    still = normalise(clouds(meshes, training=False, size=size).__getitems__(range(30)).points.double(), size).scale
    torch.testing.assert_close(still, torch.ones_like(still), rtol=1e-6, atol=1e-6)


def test_the_rotated_regime_really_rotates_points_and_normals(meshes):
    """The published code never did."""
    still = clouds(meshes, scale_range=(1.0, 1.0)).__getitems__(range(6))
    moved = clouds(meshes, scale_range=(1.0, 1.0), regime="SO(3)").__getitems__(range(6))
    rotations = []
    for before, after, normal, turned_normal in zip(
        still.points, moved.points, still.normals, moved.normals, strict=True
    ):
        rotation = torch.linalg.lstsq(before.double(), after.double()).solution
        torch.testing.assert_close(rotation @ rotation.T, torch.eye(3, dtype=torch.float64), rtol=0, atol=1e-5)
        assert torch.linalg.det(rotation).item() == pytest.approx(1, abs=1e-5)
        torch.testing.assert_close(normal.double() @ rotation, turned_normal.double(), rtol=0, atol=1e-5)
        assert (rotation - torch.eye(3)).abs().max() > 0.1
        rotations.append(rotation)
    assert (rotations[0] - rotations[1]).abs().max() > 0.1, "each cloud its own"


def test_turning_a_batch_turns_both(meshes, rng):
    batch = clouds(meshes, training=False).__getitems__([0, 1])
    rotations = SO(3).sample(2, rng=rng, dtype=torch.float64)
    moved = turned(batch, rotations)
    for number in range(2):
        torch.testing.assert_close(moved.points[number], batch.points[number] @ rotations[number].float().T)
        torch.testing.assert_close(moved.normals[number], batch.normals[number] @ rotations[number].float().T)


# --- errors and baselines --------------------------------------------------------------------------------


def test_errors_do_not_see_signs_and_have_their_closed_forms(rng):
    normals = torch.nn.functional.normalize(torch.randn(4000, 3, generator=rng, dtype=torch.float64), dim=-1)
    other = torch.nn.functional.normalize(torch.randn(4000, 3, generator=rng, dtype=torch.float64), dim=-1)
    assert normal_errors(normals, -normals).abs().max() < 1e-14
    # variance of 1 - u^2 with u uniform in [-1, 1] is 4/45
    assert abs(normal_errors(normals, other).mean() - 2 / 3) < 5 * (4 / 45 / 4000) ** 0.5
    axis = torch.tensor([[0.0, 0.0, 1.0]])
    leaning = torch.tensor([[0.0, np.sin(np.deg2rad(12)), -np.cos(np.deg2rad(12))]])
    metrics = normals_metrics()
    metrics.update(leaning.unsqueeze(0), NormalsBatch(axis.unsqueeze(0), axis.unsqueeze(0)))
    metrics.update(axis.unsqueeze(0), NormalsBatch(axis.unsqueeze(0), axis.unsqueeze(0)))
    found = {name: value.item() for name, value in metrics.compute().items()}
    assert found["normal_error"] == pytest.approx(np.sin(np.deg2rad(12)) ** 2 / 2, rel=1e-6)
    assert found["normal_angle"] == pytest.approx(6, rel=1e-6)
    assert found["within_10_degrees"] == 50
    assert error_colours(np.array([0.0, 0.5, 1.0])).tolist() == [[47, 127, 193], [200, 200, 200], [200, 60, 50]]


def test_plane_fits_are_those_of_numpy(rng):
    points = torch.randn(2, 30, 3, generator=rng, dtype=torch.float64)
    found = plane_fit_normals(points, 6)
    for cloud, normals in zip(points.numpy(), found.numpy(), strict=True):
        for point, normal in zip(cloud, normals, strict=True):
            patch = cloud[np.argsort(np.linalg.norm(cloud - point, axis=1))[:6]]
            expected = np.linalg.svd(patch - patch.mean(0))[2][2]
            assert abs(expected @ normal) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize(
    "name", ["cad_procedural", pytest.param("cad_real", marks=pytest.mark.data("fa_cad/cad_real.npz"))]
)
def test_the_plane_fit_has_its_measured_error_on_the_shipped_parts(name):
    meshes = read_surfaces(f"fa_cad/{name}.npz").meshes
    settings = NormalsDataSettings(points=512)
    batch = MeshClouds(meshes, settings, seed=0, purpose="plane").__getitems__(range(len(meshes)))
    error = normal_errors(plane_fit_normals(batch.points, 20), batch.normals).mean().item()
    assert error == pytest.approx(0.230, abs=0.006)


# --- training --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RECIPES)
def test_the_loss_is_the_error_and_with_t_nets_a_penalty(name):
    recipe = loaded(name).recipe
    data = make_data(recipe)
    data.setup()
    batch = next(iter(data.train_dataloader()))
    module = make_module(recipe, data, rng=torch.Generator().manual_seed(0)).eval()
    loss, logs = module.loss(batch)
    error = normal_errors(module.model(**batch.inputs()), batch.normals).mean()
    if name == "pointnet":
        torch.testing.assert_close(loss, error + 0.001 * logs["penalty"])
        assert logs["penalty"] > 0
    else:
        assert logs == {}
        torch.testing.assert_close(loss, error)
    loss.backward()
    assert all(weight.grad is None or weight.grad.isfinite().all() for weight in module.model.parameters())


def test_a_run_can_be_repeated_to_the_bit(run, tmp_path):
    again = train(loaded(), tmp_path / "again", overrides=ONE_THREAD)
    for one, other in zip(run.model().parameters(), again.model().parameters(), strict=True):
        assert torch.equal(one, other)


def test_evaluation_has_both_poses_and_the_baselines(run):
    found = evaluate(run)
    assert found.sets == ("test", "test, turned")
    assert {row.metric for row in found.rows if row.set == "test"} == {
        "normal_error",
        "normal_angle",
        "within_10_degrees",
    }
    error, moved = found.row("test", "normal_error").value, found.row("test, turned", "normal_error").value
    assert found.row("test, turned", "turned_ratio").value == pytest.approx(moved / error)
    assert moved / error == pytest.approx(1, abs=0.02)
    fits = found.baselines["plane fit, k = 20"]
    assert fits["test"]["normal_error"] == pytest.approx(fits["test, turned"]["normal_error"], abs=1e-4)
    assert found.baselines["random directions"]["test"]["normal_error"] == pytest.approx(2 / 3)
    assert np.ptp(found.array("test", "error_by_angle")) < 0.02
    assert found.array("test", "gap").shape == (4,)
    data = make_data(run.recipe())
    data.setup()
    batch = data.test_clouds["test"].__getitems__(range(4))
    predicted = predict_normals(run.model(), batch.points, 3)
    assert normal_errors(predicted, batch.normals).mean().item() == pytest.approx(error, rel=1e-4)


def test_check_measures_the_law_and_a_broken_network_fails(run, rng, monkeypatch):
    report = check(run, trials=3, rng=rng)
    assert report.passed
    assert report.equivariance.worst.relative < 1e-10
    assert "gaps" in report.notes[-1]
    model = run.model()
    monkeypatch.setattr(type(model), "symmetry", model.symmetry)  # it goes on claiming E(3)
    model.network.frame = PCAFrame("E(3)", signs="fixed", degenerate="ignore")
    monkeypatch.setattr(type(run), "model", lambda self, *_: model)
    assert not check(run, trials=3, rng=rng).passed


# --- prediction ------------------------------------------------------------------------------------------


def test_meshes_and_clouds_are_predicted(run, tmp_path, rng):
    part = box(tmp_path / "part.obj")
    points = torch.randn(130, 3, generator=rng).numpy()
    labels = np.arange(130) % 3
    scan = write_cloud(tmp_path / "scan.ply", Cloud(points, labels=labels))
    arrays = write_cloud(tmp_path / "arrays.npz", Cloud(points, np.ones((130, 3))))
    np.savetxt(tmp_path / "table.csv", points, delimiter=",")
    written = predict_files(run, [part, scan, arrays, tmp_path / "table.csv"], output=tmp_path / "out")
    names = ["part.predicted.ply", "scan.predicted.ply", "arrays.predicted.npz", "table.predicted.ply"]
    assert [path.name for path in written] == names
    sampled, scanned, stored, table = map(read_cloud, written)
    assert len(sampled) == 48, "as many points as the recipe has"
    assert sampled.colours is not None, "the surface knows its normals"
    np.testing.assert_allclose(scanned.points, points, rtol=1e-6)
    np.testing.assert_array_equal(scanned.labels, labels)
    assert scanned.colours is None
    for cloud in (sampled, scanned, stored, table):
        np.testing.assert_allclose(np.linalg.norm(cloud.normals, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(stored.normals, table.normals, atol=1e-5)
    assert stored.colours is not None
    again = predict_files(run, [scan], output=tmp_path / "again")
    assert again[0].read_bytes() == written[1].read_bytes()


def test_many_clouds_of_a_file_are_predicted_and_written_to_one(run, tmp_path, rng):
    points = torch.randn(3, 60, 3, generator=rng).numpy()
    np.savez(tmp_path / "many.npz", points=points)
    np.savez(tmp_path / "last.npz", points=points[2])
    many, last = predict_files(run, [tmp_path / "many.npz", tmp_path / "last.npz"], output=tmp_path / "out")
    found = read_clouds(many)
    assert [len(cloud) for cloud in found] == [60, 60, 60]
    np.testing.assert_allclose(found[2].normals, read_cloud(last).normals, atol=1e-6)


def test_a_large_cloud_is_cut_into_parts_of_the_trained_size(run, tmp_path, rng, monkeypatch):
    seen = []
    from intertwine.systems.frame_averaging.predict import normals as module

    def noted(model, points, batch_size):
        seen.append(tuple(points.shape))
        return predict_normals(model, points, batch_size)

    monkeypatch.setattr(module, "predict_normals", noted)
    scan = write_cloud(tmp_path / "scan.ply", Cloud(torch.randn(480, 3, generator=rng).numpy()))
    predict_files(run, [scan], output=tmp_path / "out")
    assert seen == [(10, 48, 3)]


def test_a_turned_file_has_turned_normals(run, tmp_path, rng):
    rotation = SO(3).sample(rng=rng, dtype=torch.float64).numpy()
    points = torch.randn(40, 3, generator=rng, dtype=torch.float64).numpy() * [1, 2, 4]
    one, other = (
        write_cloud(tmp_path / "a.npz", Cloud(points)),
        write_cloud(tmp_path / "b.npz", Cloud(points @ rotation.T + 9)),
    )
    first, second = (read_cloud(path) for path in predict_files(run, [one, other], output=tmp_path / "out"))
    np.testing.assert_allclose(second.normals, first.normals @ rotation.T, atol=1e-3)


def test_files_that_cannot_be_predicted_are_named_and_nothing_is_written(run, tmp_path):
    good = box(tmp_path / "good.obj")
    (tmp_path / "flat.obj").write_text("v 0 0 0\nv 1 0 0\nv 2 0 0\nf 1 2 3\n")
    (tmp_path / "one.csv").write_text("x,y,z\n1,2,3\n")
    (tmp_path / "broken.ply").write_text("ply")
    for name, words in (
        ("flat.obj", "no area"),
        ("one.csv", "no size"),
        ("broken.ply", "damaged"),
        ("absent.stl", "no such file"),
    ):
        with pytest.raises(DataError, match=words) as caught:
            predict_files(run, [good, tmp_path / name], output=tmp_path / "out")
        assert name in str(caught.value)
    assert not (tmp_path / "out").exists()


# --- report and reproduction -----------------------------------------------------------------------------


def test_the_report_has_its_sections_before_and_after_evaluation(run, tmp_path):
    assert next(section.title for section in sections(run)) == "Accuracy"
    evaluate(run).write(run.folder)
    found = sections(run)
    assert [section.title for section in found] == [
        "Accuracy", "Normals in detail", "Turned", "Frames", "Symmetry", "Training",
    ]  # fmt: skip
    pictures = [picture for section in found for picture in section.pictures]
    assert len(pictures) >= 12
    page = write_run_page(run)
    assert page.stat().st_size > 1e5


def test_published_figures_stand_beside_their_regimes():
    assert figure("FA-PointNet", "I/SO(3)").value == 0.163
    assert not figure("FA-PointNet", "I/I").verified
    assert figure("MyNet", "I/I") is None
    found = published("frame_averaging/normals-pointnet", ("test",), "I")
    assert found["PointNet, unverified"] == {"test": {"normal_error": 0.207}, "test, turned": {"normal_error": 0.449}}
    turned_only = published("frame_averaging/normals-pointnet", ("test",), "SO(3)")["DGCNN, unverified"]
    assert turned_only == {"test, turned": {"normal_error": 0.121}}
    assert published("mine", ("test",), "I") == {}


def test_the_experiment_runs_and_compares(tmp_path):
    rows = reproduce("smoke", folder=tmp_path, seeds=(3,), cases=("fa-pointnet", "pointnet", "fa-local-pointnet"))
    assert all(isinstance(row, ResultRow) for row in rows)
    by_key = {(row.case, row.metric): row for row in rows}
    assert by_key["normals/fa-pointnet", "normal_error"].paper.value == 0.158
    assert by_key["normals/pointnet", "turned_normal_error"].paper.value == 0.449
    assert by_key["normals/fa-pointnet", "symmetry_error"].meets_target
    ratio = by_key["normals/fa-local-pointnet against plane fit", "error_ratio"]
    own = by_key["normals/fa-local-pointnet", "normal_error"]
    assert ratio.value == pytest.approx(own.value / own.baselines["plane fit, k = 20"])
    assert all(row.target is None for row in rows if row.metric == "turned_ratio"), "seconds of training reach nothing"
    assert {case.paper for case in CASES.values()} >= {"FA-PointNet", "PointNet", "FA-Local-PointNet", "FA-DGCNN"}
    assert (tmp_path / "normals-pointnet-smoke-seed3" / "report.html").is_file()
