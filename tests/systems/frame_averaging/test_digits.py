"""Digits as sets of points: files, points, networks with every frame, and whole runs on images made here."""

import csv
import gzip

import numpy as np
import pytest
import torch

from intertwine.errors import ConfigError, DataError, ShapeError
from intertwine.frames import FrameAverageSet, FullSetFrame
from intertwine.symmetry import equivariance_error
from intertwine.systems.frame_averaging.data.digits import draw_points, read_idx
from intertwine.systems.frame_averaging.evaluate.digits import check, evaluate
from intertwine.systems.frame_averaging.model.set_classifier import RENAMED_POINTS, SetClassifier
from intertwine.systems.frame_averaging.predict.digits import averaged_scores, predict_files
from intertwine.systems.frame_averaging.report.digits import sections
from intertwine.systems.frame_averaging.reproduce.digits import reproduce
from intertwine.systems.frame_averaging.settings.digits import DigitsModelSettings, DigitsTask
from intertwine.training.inference import load_model
from intertwine.training.page import write_run_page
from intertwine.training.recipes import load_recipe
from intertwine.training.trainer import train


def write_idx(path, array):
    header = bytes([0, 0, 8, array.ndim]) + b"".join(int(size).to_bytes(4, "big") for size in array.shape)
    content = header + array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return str(path)


def make_images(count, seed):
    """Images of 10 x 10 pixels; of class k the left k pixels of every row are bright, and some noise is dark."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 4
    images = rng.integers(0, 60, (count, 10, 10))
    for image, label in zip(images, labels, strict=True):
        image[:, : 2 * label + 1] = 255
    return images, labels


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Images and labels to train on and to test."""
    folder = tmp_path_factory.mktemp("digits")
    found = {}
    for seed, (name, count) in enumerate({"train": 240, "test": 60}.items()):
        images, labels = make_images(count, seed)
        found[f"digits.data.{name}_images"] = write_idx(folder / f"{name}-images.gz", images)
        found[f"digits.data.{name}_labels"] = write_idx(folder / f"{name}-labels", labels)
    return found


def changes(files, **more):
    sizes = {"digits.data.held_out": 40, "digits.data.train_samples": None, "digits.data.points": 12}
    training = {"training.epochs": 60, "training.learning_rate": 0.01, "training.batch_size": 20}
    return files | sizes | training | {"digits.draws": (1, 8)} | more


# --- files and points ------------------------------------------------------------------------------------


def test_idx_files_are_read_plain_and_compressed(tmp_path):
    array = np.arange(24).reshape(2, 3, 4)
    for name in ("a.idx", "a.idx.gz"):
        assert read_idx(write_idx(tmp_path / name, array)).tolist() == array.tolist()


def test_damaged_idx_files_are_refused(tmp_path):
    whole = (tmp_path / "a").with_suffix(".gz")
    write_idx(whole, np.zeros((2, 3, 4)))
    plain = tmp_path / "plain"
    write_idx(plain, np.zeros((2, 3, 4)))
    for content in (
        whole.read_bytes()[:20],
        plain.read_bytes()[:-1],
        b"\x00\x00\x08",
        b"\x00\x00\x0d\x01\x00",
        b"text",
        b"",
    ):
        (tmp_path / "bad").write_bytes(content)
        with pytest.raises(DataError, match="bad"):
            read_idx(tmp_path / "bad")
    with pytest.raises(DataError, match="no file"):
        read_idx(tmp_path / "absent")


def test_points_lie_in_bright_pixels_and_everywhere_in_them(rng):
    images = torch.zeros(2, 4, 8, dtype=torch.uint8)
    images[0, 1, 2] = 200
    images[1, :, 7] = 100
    points = draw_points(images, 4000, 64, rng)
    assert points.shape == (2, 4000, 2)
    # pixel (row 1, column 2) of 4 x 8: x in [2/8, 3/8], y in [1/4, 2/4], scaled to [-1, 1]
    low, high = points[0].amin(0), points[0].amax(0)
    torch.testing.assert_close(low, torch.tensor([-0.5, -0.5]), atol=2e-3, rtol=0)
    torch.testing.assert_close(high, torch.tensor([-0.25, 0.0]), atol=2e-3, rtol=0)
    assert points[1, :, 0].min() >= 0.75
    rows = ((points[1, :, 1] + 1) * 2).floor().long()
    assert (torch.bincount(rows) > 850).all()
    with pytest.raises(DataError, match="bright enough") as caught:
        draw_points(torch.cat([images, torch.zeros(1, 4, 8, dtype=torch.uint8)]), 5, 64, rng)
    assert caught.value.got == {"images": [2]}


@pytest.mark.data("mnist/t10k-first5000-images-idx3-ubyte.gz")
def test_mnist_is_read(rng):
    from intertwine.training import find_data

    images = read_idx(find_data("mnist/t10k-first5000-images-idx3-ubyte.gz"))
    labels = read_idx(find_data("mnist/t10k-first5000-labels-idx1-ubyte.gz"))
    assert images.shape == (5000, 28, 28)
    assert labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert draw_points(images, 100, 64, rng).abs().max() <= 1


# --- networks --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("frame", ["sort", "random", "separated"])
def test_the_same_directions_give_the_same_scores_for_renamed_points(frame, rng):
    model = SetClassifier(DigitsModelSettings(frame=frame, widths=(9,), samples=3), points=7, rng=rng).double()
    points = torch.randn(4, 7, 2, generator=rng, dtype=torch.float64)

    def repeated(points):
        return model(points, rng=torch.Generator().manual_seed(3))

    assert equivariance_error(repeated, {"points": points}, symmetry=RENAMED_POINTS, rng=rng).passed()


@pytest.mark.parametrize("motions", ["E(2)", "SE(2)", "O(2)", "SO(2)", "T(2)", "C_4", "D_3"])
@pytest.mark.parametrize("frame", ["none", "sort", "separated"])
def test_motions_of_the_plane_change_no_score(motions, frame, rng):
    model = SetClassifier(DigitsModelSettings(frame=frame, motions=motions, widths=(9,)), points=7, rng=rng).double()
    points = torch.randn(4, 7, 2, generator=rng, dtype=torch.float64)
    if frame == "separated":  # all directions: drawn ones keep the law in distribution only
        model.average.backbone.samples = None

    def whole(points):
        return model.average(points)

    report = equivariance_error(whole, {"points": points}, symmetry=model.symmetry, rng=rng)
    assert report.worst.relative < 1e-10
    assert ("S_n" in str(model.symmetry.group)) == (frame != "none")
    plain = SetClassifier(DigitsModelSettings(frame=frame, widths=(9,)), points=7, rng=rng).double()
    broken = equivariance_error(lambda points: plain(points), {"points": points}, symmetry=model.symmetry, rng=rng)
    assert broken.worst.relative > 1e-3


def test_drawn_orders_of_moved_points_keep_the_law_of_renamed_ones(rng):
    settings = DigitsModelSettings(frame="random", motions="E(2)", widths=(9,), samples=3)
    model = SetClassifier(settings, points=7, rng=rng).double()
    points = torch.randn(4, 7, 2, generator=rng, dtype=torch.float64)

    def repeated(points):
        return model(points, rng=torch.Generator().manual_seed(3))

    assert equivariance_error(repeated, {"points": points}, symmetry=RENAMED_POINTS, rng=rng).passed()


@pytest.mark.parametrize("motions", ["E(3)", "S_4", "C_0", "weighted"])
def test_motions_of_no_plane_are_refused(motions):
    with pytest.raises(ConfigError, match="digits lie in a plane"):
        DigitsModelSettings(motions=motions)


@pytest.mark.parametrize("frame", ["none", "group"])
def test_the_check_finds_what_depends_on_the_order(frame, rng):
    model = SetClassifier(DigitsModelSettings(frame=frame, widths=(9,)), points=7, rng=rng).double()
    points = torch.randn(4, 7, 2, generator=rng, dtype=torch.float64)

    def repeated(points):
        return model(points, rng=torch.Generator().manual_seed(3))

    report = equivariance_error(repeated, {"points": points}, symmetry=RENAMED_POINTS, rng=rng)
    assert report.worst.verdict == "broken"


def test_outputs_of_points_move_with_them(rng):
    class Mixer(torch.nn.Module):
        def forward(self, points, mask=None):
            weights = torch.arange(1.0, points.shape[1] + 1, dtype=points.dtype)
            return (points * weights[:, None]).cumsum(1).sin()

    fa = FrameAverageSet(Mixer(), FullSetFrame(), output="points")
    points = torch.randn(2, 4, 3, generator=rng, dtype=torch.float64)
    mask = torch.tensor([[True] * 4, [True, False, True, True]])
    for inputs in ({"points": points}, {"points": points, "mask": mask}):
        assert equivariance_error(fa, inputs, trials=4, rng=rng).passed()
    with pytest.raises(ConfigError):
        FrameAverageSet(Mixer(), FullSetFrame(), output="pairs")
    with pytest.raises(DataError, match="one entry for each copy"):
        FrameAverageSet(torch.nn.Flatten(0), FullSetFrame())(points)


def test_the_network_has_the_published_sizes_and_can_be_saved(tmp_path, rng):
    recipe = load_recipe("frame_averaging/digits", "paper").recipe
    model = SetClassifier(recipe.digits.model, points=recipe.digits.data.points, rng=rng)
    expected = sum(a * b + b for a, b in zip((200, 150, 100, 50), (150, 100, 50, 10), strict=True))
    assert sum(weight.numel() for weight in model.parameters()) == expected
    assert recipe.training.epochs * -(-55000 // recipe.training.batch_size) >= 59000
    points = torch.rand(3, 100, 2, generator=rng)
    for frame in ("none", "separated"):
        model = SetClassifier(DigitsModelSettings(frame=frame), points=100, rng=rng).eval()
        model.save_pretrained(tmp_path / frame)
        loaded = load_model(tmp_path / frame)
        scores = [m(points, rng=torch.Generator().manual_seed(1)) for m in (model, loaded)]
        assert torch.equal(scores[0].detach(), scores[1])
    with pytest.raises(ShapeError, match="points that the network was made for"):
        model(points[:, :50])


def test_settings_that_make_no_sense_are_refused():
    for wrong in ({"widths": (0,)}, {"samples": 0}, {"directions": 0}):
        with pytest.raises(ConfigError):
            DigitsModelSettings(**wrong)
    with pytest.raises(ConfigError):
        DigitsTask(draws=())


# --- runs ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(files, tmp_path_factory):
    """A finished run of the perceptron with random directions."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    run = train(load_recipe("frame_averaging/digits", "smoke"), folder, overrides=changes(files))
    evaluate(run).write(run.folder)
    return run


def test_averages_over_more_directions_are_right_more_often(run):
    found = evaluate(run)
    one, many = (found.row("test", f"accuracy_{count}").value for count in (1, 8))
    assert many > 0.7  # measured over seeds 0 to 4: at least 0.9
    assert one > 0.5
    assert found.baselines["largest class"]["test"]["accuracy_1"] == 0.25
    named, labels = found.array("test", "named"), found.array("test", "labels")
    assert (named == labels).mean() == many


def test_the_check_passes_with_directions_and_fails_without_frame(run, files, tmp_path):
    assert check(run, trials=2, rng=torch.Generator().manual_seed(0)).passed
    for frame, words in (("none", "claims no symmetry"), ("group", "in distribution only")):
        more = changes(files, **{"digits.model.frame": frame, "training.epochs": 1})
        other = train(load_recipe("frame_averaging/digits", "smoke"), tmp_path / frame, overrides=more)
        found = check(other, trials=2, rng=torch.Generator().manual_seed(0))
        assert not found.passed
        assert words in found.notes[-1]


def test_predictions_of_images_and_of_points(run, files, tmp_path):
    rng = torch.Generator().manual_seed(0)
    points = draw_points(read_idx(files["digits.data.test_images"]), 12, 64, rng)
    np.savez(tmp_path / "sets.npz", points=points.numpy())
    written = predict_files(run, [files["digits.data.test_images"], tmp_path / "sets.npz"], output=tmp_path / "out")
    images, sets = (list(csv.DictReader(path.read_text().splitlines())) for path in written)
    _, labels = make_images(60, 1)
    assert np.mean([int(row["predicted"]) == label for row, label in zip(images, labels, strict=True)]) > 0.7
    expected = averaged_scores(run.model(), points, samples=8).double().softmax(-1)
    for row, values in zip(sets, expected.tolist(), strict=True):
        assert [float(row[f"p({digit})"]) for digit in range(10)] == pytest.approx(values, abs=1e-5)
    np.savez(tmp_path / "few.npz", points=np.zeros((2, 5, 2)))
    np.savez(tmp_path / "none.npz", other=np.zeros((2, 5, 2)))
    for bad in ("few.npz", "none.npz", "absent.gz"):
        with pytest.raises(DataError, match=bad):
            predict_files(run, [tmp_path / bad], output=tmp_path / "bad")
        assert not (tmp_path / "bad").exists()


def test_the_report_shows_what_the_files_say(run, tmp_path):
    found = {section.title: section for section in sections(run)}
    assert list(found) == ["Accuracy", "Symmetry", "Training"]
    assert len(found["Accuracy"].figures) == 2
    assert np.array(found["Accuracy"].figures[0].figure.data[0].z).sum() == 60
    assert write_run_page(run).exists()
    assert "intertwine evaluate" in sections(tmp_path)[0].text


def test_data_that_cannot_be_used_is_refused(files, tmp_path):
    from intertwine.systems.frame_averaging.data.digits import DigitData

    def fails(words, **more):
        recipe = load_recipe("frame_averaging/digits", "smoke").changed(changes(files, **more)).recipe
        with pytest.raises(DataError, match=words):
            DigitData(recipe).setup()

    fails("too few training images", **{"digits.data.held_out": 240})
    fails("do not fit together", **{"digits.data.train_labels": files["digits.data.test_labels"]})
    fails("no data file", **{"digits.data.train_images": "absent.gz"})


@pytest.mark.data("mnist/train-images-idx3-ubyte.gz")
def test_reproduce_gives_rows_for_every_frame(tmp_path):
    rows = reproduce("smoke", folder=tmp_path, seeds=(0,), cases=("none", "sort", "random"))
    found = {(row.case, row.metric): row for row in rows}
    assert {case for case, _ in found} == {"digits/none", "digits/sort", "digits/random"}
    assert ("digits/sort", "accuracy_2") not in found, "nothing is drawn"
    assert found["digits/random", "symmetry_error"].meets_target
    assert ("digits/none", "symmetry_error") not in found
