"""Whole runs: recipes at three scales, every command, files of a user, saving and repeating."""

import csv
import itertools
import json
import math

import numpy as np
import pytest
import torch

from intertwine.cli.main import main
from intertwine.errors import CheckpointError, DataError, NumericsError
from intertwine.reporting import Evaluation
from intertwine.systems.tetris.data import SHAPES, read_point_sets
from intertwine.systems.tetris.evaluate import check, evaluate
from intertwine.systems.tetris.model import ShapeClassifier
from intertwine.systems.tetris.predict import predict, predict_files
from intertwine.systems.tetris.report import sections
from intertwine.systems.tetris.reproduce import reproduce
from intertwine.systems.tetris.settings import PRODUCT_NAMES, ModelSettings
from intertwine.systems.tetris.training import ShapeTraining
from intertwine.training.inference import load_model
from intertwine.training.page import write_run_page
from intertwine.training.recipes import load_recipe
from intertwine.training.settings import TrainingSettings
from intertwine.training.trainer import train


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run of the smoke recipe, and its evaluation and check."""
    folder = tmp_path_factory.mktemp("tetris") / "run"
    run = train(load_recipe("tetris/shapes", "smoke"), folder)
    evaluate(run).write(run.folder)
    found = check(run, trials=2, rng=torch.Generator().manual_seed(0))
    (run.folder / "check.json").write_text(json.dumps(found.to_dict()))
    return run


def test_recipes_are_the_paper_setting_and_its_small_versions():
    paper, cpu, smoke = (load_recipe("tetris/shapes", scale).recipe for scale in ("paper", "cpu", "smoke"))
    model = paper.model
    assert (model.multiplicity, model.layers, model.harmonics_lmax, model.cutoff) == (8, 3, 2, 1.1)
    assert (model.embedding, model.radial_width, model.product_channels) == (16, 32, 4)
    assert paper.training.epochs * paper.data.steps_per_epoch == 1000
    assert (paper.training.optimizer, paper.training.learning_rate) == ("adam", 1e-3)
    assert cpu.training.epochs * cpu.data.steps_per_epoch == 300
    assert {r.data.classes for r in (paper, cpu, smoke)} == {tuple(SHAPES)}
    assert smoke.training.epochs <= 2


def test_a_run_is_evaluated_beside_baselines_and_the_paper(run):
    found = evaluate(run)
    assert {row.metric for row in found.rows} == {"accuracy", "mirror_accuracy", "cross_entropy"}
    assert found.baselines["largest class"]["turned"]["accuracy"] == 0.125
    assert found.baselines["blind to handedness"]["turned"]["accuracy"] == 0.875
    assert found.paper["The Price of Freedom"]["turned"]["accuracy"] == 1.0
    scores, labels = found.array("turned", "scores"), found.array("turned", "labels")
    assert found.row("turned", "accuracy").value == np.mean(scores.argmax(-1) == labels)
    entropy = -np.log(np.exp(scores)[np.arange(8), labels] / np.exp(scores).sum(-1)).mean()
    assert found.row("turned", "cross_entropy").value == pytest.approx(entropy, rel=1e-5)
    # the law makes the two equal, whatever the model knows
    assert found.row("turned", "mirror_accuracy").value == found.row("turned", "accuracy").value


def test_the_check_of_a_run_covers_the_group_and_passes(run):
    found = check(run, trials=2, rng=torch.Generator().manual_seed(1))
    assert found.passed, found.text
    assert {entry.part for entry in found.equivariance.entries} >= {"rotations", "reflections", "permutations"}


def test_the_same_seed_gives_the_same_weights_and_another_gives_others(run, tmp_path):
    again = train(load_recipe("tetris/shapes", "smoke"), tmp_path / "again")
    other = train(load_recipe("tetris/shapes", "smoke"), tmp_path / "other", overrides={"seed": 1})
    states = [r.model().state_dict() for r in (run, again, other)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not torch.equal(states[0]["embedding"], states[2]["embedding"])


def test_training_turns_every_set_and_validation_none(build, shapes):
    model = build("clebsch_gordan")
    seen = []
    model.register_forward_pre_hook(lambda _, inputs, named: seen.append(named["positions"]), with_kwargs=True)
    module = ShapeTraining(model, TrainingSettings(), seed=3)
    turned, _ = module.loss(shapes)
    still, _ = module.validation(shapes, None)
    torch.testing.assert_close(turned, still, rtol=1e-12, atol=0)
    distances = [torch.cdist(points, points)[shapes.graph_index[:, None] == shapes.graph_index] for points in seen]
    torch.testing.assert_close(*distances)
    assert (seen[0] - shapes.positions).abs().max() > 0.1
    assert torch.equal(seen[1], shapes.positions)
    module.rotate = False
    module.loss(shapes)
    assert torch.equal(seen[2], shapes.positions)


RIGHT = np.array([[0, 0, 0], [1.0, 0.1, 0], [0, 1.2, 0.2], [0.3, 0, 0.9]])


def write_hands(path, count, seed):
    """Right hands of four points, their mirror images and straight bars, turned at random and a little bent."""
    rng = np.random.default_rng(seed)
    shapes = {"right": RIGHT, "left": RIGHT * [1, 1, -1], "bar": np.outer(np.arange(4), [0.9, 0, 0])}
    frames = []
    for _, (label, points) in itertools.product(range(count), shapes.items()):
        rotation, _ = np.linalg.qr(rng.standard_normal((3, 3)))
        rotation *= np.sign(np.linalg.det(rotation))
        moved = points @ rotation.T + 0.02 * rng.standard_normal((4, 3))
        rows = [f"{kind} {x:.6f} {y:.6f} {z:.6f}" for kind, (x, y, z) in zip("CHNO", moved, strict=True)]
        frames.append("\n".join(["4", f"shape={label}", *rows]))
    path.write_text("\n".join(frames) + "\n")
    return path


def rows_of(path):
    return list(csv.DictReader(path.read_text().splitlines()))


OWN = {
    "data.classes": (),
    "data.mirror_pairs": (("left", "right"),),
    "data.steps_per_epoch": 2,
    "model.cutoff": 3.0,
    "model.radial_size": 4,
    "model.multiplicity": 2,
    "training.batch_size": 32,
    "training.learning_rate": 0.01,
    "training.epochs": 30,
}


def test_a_user_s_own_files_with_their_own_mirror_pair(tmp_path):
    files = [str(write_hands(tmp_path / f"{name}.xyz", 8, seed)) for seed, name in enumerate(("train", "test"))]
    changes = OWN | {"data.train": files[0], "data.test": {"held out": files[1]}}
    run = train(load_recipe("tetris/shapes", "smoke"), tmp_path / "run", overrides=changes)
    model = run.model()
    assert model.classes == ("right", "left", "bar")
    assert model.point_types == ("C", "H", "N", "O")
    found = evaluate(run)
    assert found.paper == {}
    assert found.baselines["blind to handedness"]["held out"]["accuracy"] == pytest.approx(2 / 3)
    assert found.row("held out", "accuracy").value > 0.9  # measured over seeds 0 to 4: 1.0
    assert found.row("held out", "mirror_accuracy").value > 0.9
    assert check(run, trials=2, rng=torch.Generator().manual_seed(0)).passed
    (written,) = predict_files(run, [files[1]], output=tmp_path / "out")
    rows = rows_of(written)
    assert np.mean([row["shape"] == row["predicted"] for row in rows]) == found.row("held out", "accuracy").value


def write_shapes(path, labelled=True):
    lines = ["set,shape,x,y,z" if labelled else "set,x,y,z"]
    for name, cubes in SHAPES.items():
        lines += [",".join(map(str, [f"my {name}", *([name] if labelled else []), *cube])) for cube in cubes]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("batch_size", [3, 64])
def test_predictions_of_files_are_those_of_the_model(run, tmp_path, batch_size):
    files = [write_shapes(tmp_path / "known.csv"), write_shapes(tmp_path / "new.csv", labelled=False)]
    written = predict_files(run, files, output=tmp_path / "out", batch_size=batch_size)
    assert [path.name for path in written] == ["known.predicted.csv", "new.predicted.csv"]
    known, new = map(rows_of, written)
    assert [row["set"] for row in new] == [f"my {name}" for name in SHAPES]
    assert [row["shape"] for row in known] == list(SHAPES)
    assert "shape" not in new[0]
    scores = predict(run.model(), read_point_sets(files[0])).double()
    for row, values in zip(new, scores.softmax(-1), strict=True):
        got = [float(row[name]) for name in SHAPES]
        assert got == pytest.approx(values.tolist(), abs=1e-6)
        assert math.fsum(got) == pytest.approx(1.0, abs=1e-5)
        assert row["predicted"] == list(SHAPES)[int(values.argmax())]
        assert float(row["probability"]) == max(got)


def test_predictions_that_cannot_be_made_write_nothing(run, tmp_path):
    good = write_shapes(tmp_path / "good.csv")
    (tmp_path / "gold.xyz").write_text("2\n\nAu 0 0 0\nAu 0 0 1\n")
    (tmp_path / "cut.xyz").write_text("3\n\nX 0 0 0\n")
    for bad in ("gold.xyz", "cut.xyz", "absent.csv"):
        with pytest.raises(DataError, match=bad):
            predict_files(run, [good, tmp_path / bad], output=tmp_path / "out")
        assert not (tmp_path / "out").exists()
    with pytest.raises(DataError, match="one place"):
        predict_files(run, [good, tmp_path / "elsewhere" / "good.xyz"], output=tmp_path / "out")
    model = run.model()
    with torch.no_grad():
        model.embedding.fill_(torch.nan)
    with pytest.raises(NumericsError, match=r"good\.csv, set my chiral_1"):
        predict_files(model, [good], output=tmp_path / "out")


@pytest.mark.parametrize("product", PRODUCT_NAMES)
def test_saved_models_are_what_they_were(product, tmp_path, shapes):
    settings = ModelSettings(product=product, multiplicity=1, layers=2, lmax=2)
    model = ShapeClassifier(settings, classes=tuple(SHAPES), mirror_pairs=(("chiral_1", "chiral_2"),)).eval()
    model.save_pretrained(tmp_path / "model")
    model.requires_grad_(False)  # as a loaded one: kernels that need no gradient may round otherwise
    loaded = load_model(tmp_path / "model")
    assert (loaded.settings, loaded.table, loaded.point_types) == (settings, model.table, ("X",))
    inputs = shapes.to(torch.float32).inputs()
    assert torch.equal(loaded(**inputs), model(**inputs))
    with pytest.raises(CheckpointError):
        load_model(tmp_path)


def test_the_report_shows_what_the_files_say(run, tmp_path):
    found = {section.title: section for section in sections(run)}
    assert list(found) == ["Accuracy", "Symmetry", "Training"]
    facts = {fact.label: fact for section in found.values() for fact in section.facts}
    accuracy = Evaluation.read(run.folder).row("turned", "accuracy").value
    assert float(facts["Accuracy, turned"].value) == pytest.approx(accuracy, abs=1e-3)
    assert facts["Largest symmetry error"].status == "good"
    first = found["Accuracy"].tables[0].rows
    assert [row[0] for row in first] == [
        "turned, this run",
        "largest class (baseline)",
        "blind to handedness (baseline)",
        "The Price of Freedom (paper)",
    ]
    guesses = Evaluation.read(run.folder).array("turned", "scores").argmax(-1)
    confusion, scene = (picture.figure for picture in found["Accuracy"].figures)
    assert np.array(confusion.data[0].z).sum(1).tolist() == [1] * 8
    assert [trace.text[0] for trace in scene.data[2::3]] == [list(SHAPES)[i] for i in guesses]
    page = write_run_page(run)
    assert page.stat().st_size < 8e6
    assert "multiplicity: 1" in page.read_text()
    missing = {section.title: section.text for section in sections(tmp_path)}
    for title, command in (("Accuracy", "evaluate"), ("Symmetry", "check"), ("Training", "train")):
        assert f"intertwine {command}" in missing[title]
    (tmp_path / "check.json").write_text("{}")
    with pytest.raises(DataError, match="does not hold a check"):
        sections(tmp_path)


def test_reproduce_gives_a_row_for_every_product_and_metric(tmp_path):
    rows = reproduce("smoke", folder=tmp_path, seeds=(0, 1), product="gaunt")
    found = {row.metric: row for row in rows}
    assert {row.case for row in rows} == {"gaunt/lmax1"}
    assert set(found) == {
        "accuracy", "mirror_accuracy", "highest_accuracy", "steps", "symmetry_error", "parameters", "training_time",
    }  # fmt: skip
    assert found["accuracy"].seeds == (0, 1)
    assert found["accuracy"].spread is not None
    assert found["accuracy"].paper.value == 0.875
    assert found["accuracy"].baselines == {"largest class": 0.125, "blind to handedness": 0.875}
    assert found["highest_accuracy"].meets_target
    assert found["symmetry_error"].meets_target
    assert (tmp_path / "gaunt-lmax1-smoke-seed0" / "report.html").exists()


def test_every_command_works(run, tmp_path, capsys):
    files = write_shapes(tmp_path / "mine.csv")
    copy = tmp_path / "copy"
    words = ["train", "tetris/shapes", "--scale", "smoke", "--model.product", "matrix_parity", "--output", str(copy)]
    own = ["--data.train", str(files), "--data.validation", str(files), "--data.test", f"{{mine: {files}}}"]
    assert main([*words, *own, "--data.classes", "[]"]) == 0
    for command in (["evaluate"], ["check", "--trials", "2"], ["report"]):
        assert main([command[0], str(copy), *command[1:]]) == 0
    assert main(["predict", str(copy), str(files), "--output", str(tmp_path / "out")]) == 0
    assert {path.name for path in copy.iterdir()} >= {"evaluation.json", "check.json", "report.html", "model"}
    assert (tmp_path / "out" / "mine.predicted.csv").exists()
    out = capsys.readouterr().out
    assert "mirror_accuracy" in out
    assert main([*words, "--data.mirror_pairs", "[[chiral_1, chiral_3]]", "--output", str(tmp_path / "bad")]) == 2
    assert main([*words, "--model.product", "gount", "--output", str(tmp_path / "bad")]) == 2
    assert not (tmp_path / "bad").exists()
