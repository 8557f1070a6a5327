"""Whole runs on a user's own graphs: reading, training, evaluation, check, prediction and report."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from intertwine.errors import ConfigError, DataError, NumericsError
from intertwine.graphs import Graph, read_graphs, write_graph6, write_graph_archive
from intertwine.groups import SymmetricGroup
from intertwine.reporting import Evaluation
from intertwine.systems.frame_averaging.data.graphs import GraphData, make_items, read_selected
from intertwine.systems.frame_averaging.evaluate.graphs import check, evaluate, evaluate_items
from intertwine.systems.frame_averaging.metrics.classes import ClassAccuracy, classes_of, entropies, probabilities
from intertwine.systems.frame_averaging.model.graph_classifier import GraphClassifier
from intertwine.systems.frame_averaging.predict.graphs import draw_scores, predict_files
from intertwine.systems.frame_averaging.report.graphs import sections
from intertwine.systems.frame_averaging.settings.graphs import GraphModelSettings
from intertwine.training.page import write_run_page
from intertwine.training.recipes import load_recipe
from intertwine.training.trainer import train


def ring(nodes, first=0):
    return [[first + i, first + (i + 1) % nodes] for i in range(nodes)]


def make_graphs(count, seed=0):
    """One ring, or two of half the size, with 3 or 4 types of nodes along a half: equal to colour refinement."""
    rng = torch.Generator().manual_seed(seed)
    graphs = []
    for number in range(count):
        half = 3 + number // 2 % 2
        edges = ring(2 * half) if number % 2 else ring(half) + ring(half, half)
        types = torch.arange(2 * half).remainder(half).double().unsqueeze(1)
        label = "one" if number % 2 else "two"
        graph = Graph.build(torch.tensor(edges), 2 * half, features=types, label=label)
        graphs.append(graph.relabelled(SymmetricGroup(2 * half).sample(rng=rng)))
    return graphs


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Graphs to train on, to validate with and to test."""
    folder = tmp_path_factory.mktemp("graphs")
    return {
        name: str(write_graph_archive(folder / f"{name}.npz", make_graphs(count, seed)))
        for seed, (name, count) in enumerate({"train": 120, "held": 24, "test": 36}.items())
    }


def changes(files, **more):
    return {
        "graphs.data.train": files["train"],
        "graphs.data.validation": files["held"],
        "graphs.data.test": {"rings": files["test"]},
        "graphs.data.classes": (),
        "graphs.model.max_nodes": None,
        "graphs.model.widths": (64, 64),
        "graphs.draws": 4,
        "training.epochs": 30,
        "training.batch_size": 20,
        "training.learning_rate": 0.003,
    } | more


@pytest.fixture(scope="module")
def run(files, tmp_path_factory):
    """A finished run of FA-MLP on the rings, evaluated and checked."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    run = train(load_recipe("frame_averaging/exp-fa-mlp", "smoke"), folder, overrides=changes(files))
    evaluate(run).write(run.folder)
    found = check(run, trials=3, rng=torch.Generator().manual_seed(0))
    (run.folder / "check.json").write_text(json.dumps(found.to_dict()))
    return run


def test_a_network_with_frames_tells_rings_apart_and_one_without_does_not(run, files, tmp_path):
    found = evaluate(run)
    assert found.row("rings", "accuracy").value > 0.9  # measured over seeds 0 to 4: at least 0.95
    assert found.row("rings", "refinement_pairs").value > 100
    assert found.row("rings", "told_apart").value > 0.4  # of pairs of which about half are isomorphic
    assert found.baselines["largest class"]["rings"]["accuracy"] == 0.5
    assert found.paper == {}
    plain = train(load_recipe("frame_averaging/exp-gin", "smoke"), tmp_path / "gin", overrides=changes(files))
    found = evaluate(plain)
    assert found.row("rings", "accuracy").value == 0.5
    assert found.row("rings", "told_apart").value == 0
    assert found.row("rings", "accuracy_spread") is None, "nothing is drawn"
    assert check(plain, trials=2, rng=torch.Generator().manual_seed(0)).passed


def test_an_evaluation_is_what_its_arrays_say(run):
    found = evaluate(run)
    scores, labels = found.array("rings", "scores"), found.array("rings", "labels")
    assert scores.shape == (4, 36, 1)
    right = (scores[..., 0] > 0) == labels
    assert found.row("rings", "accuracy").value == pytest.approx(right.mean())
    assert found.row("rings", "accuracy_spread").value == pytest.approx(right.mean(1).std(ddof=1), abs=1e-12)
    mean = (1 / (1 + np.exp(-scores[..., 0].astype(float)))).mean(0)
    assert found.row("rings", "averaged_accuracy").value == pytest.approx(((mean > 0.5) == labels).mean())
    entropy = np.log1p(np.exp(-np.where(labels == 1, 1, -1) * scores[..., 0].astype(float))).mean()
    assert found.row("rings", "cross_entropy").value == pytest.approx(entropy, rel=1e-4)
    assert list(found.array("rings", "classes")) == ["one", "two"]
    # there are two nodes of each type, which look alike
    nodes = found.array("rings", "nodes")
    np.testing.assert_allclose(found.array("rings", "log10_orders"), np.log10(2) * nodes / 2, rtol=1e-10)


def test_the_check_passes_and_says_that_distributions_are_equal(run):
    found = check(run, trials=3, rng=torch.Generator().manual_seed(1))
    assert found.passed, found.text
    assert any("standard errors" in note for note in found.notes)
    number = float(next(note for note in found.notes if "standard errors" in note).split("at most ")[1].split()[0])
    assert number < 5


def test_the_check_fails_for_a_perceptron_without_frame(files, tmp_path):
    more = changes(files, **{"graphs.model.frame": "none", "training.epochs": 1})
    bare = train(load_recipe("frame_averaging/exp-fa-mlp", "smoke"), tmp_path / "bare", overrides=more)
    found = check(bare, trials=2, rng=torch.Generator().manual_seed(0))
    assert not found.passed
    assert any("claims no symmetry" in note for note in found.notes)


@pytest.mark.parametrize("batch_size", [5, 64])
def test_predictions_are_means_over_draws(run, files, tmp_path, batch_size):
    unlabelled = write_graph_archive(tmp_path / "new.npz", [replace(graph, label=None) for graph in make_graphs(9, 7)])
    written = predict_files(run, [files["test"], unlabelled], output=tmp_path / "out", batch_size=batch_size)
    assert [path.name for path in written] == ["test.predicted.csv", "new.predicted.csv"]
    known, new = (list(csv.DictReader(path.read_text().splitlines())) for path in written)
    assert list(known[0]) == ["graph", "label", "predicted", "probability", "agreement", "p(one)", "p(two)"]
    assert list(new[0]) == ["graph", "predicted", "probability", "agreement", "p(one)", "p(two)"]
    assert (len(known), len(new)) == (36, 9)
    assert new[2]["graph"] == "2"
    right = np.mean([row["label"] == row["predicted"] for row in known])
    assert right == pytest.approx(evaluate(run).row("rings", "averaged_accuracy").value)
    scores = draw_scores(run.model(), make_items(read_graphs(unlabelled), run.model().frame), draws=4)
    for row, values in zip(new, probabilities(scores).mean(0).tolist(), strict=True):
        assert [float(row["p(one)"]), float(row["p(two)"])] == pytest.approx(values, abs=1e-5)
        assert float(row["probability"]) == pytest.approx(max(values), abs=1e-5)
        assert float(row["agreement"]) in (0.25, 0.5, 0.75, 1.0)


def test_predictions_that_cannot_be_made_write_nothing(run, files, tmp_path):
    large = write_graph_archive(
        tmp_path / "large.npz", [Graph.build(torch.tensor(ring(20)), 20, features=torch.ones(20, 1))]
    )
    featured = write_graph6(tmp_path / "bare.g6", [Graph.build(torch.tensor(ring(4)), 4)])
    (tmp_path / "cut.g6").write_text("G?B@x\n")
    for bad, words in ((large, "more nodes"), (featured, "other features"), (tmp_path / "cut.g6", "cut.g6")):
        with pytest.raises(DataError, match=words):
            predict_files(run, [files["test"], bad], output=tmp_path / "out")
        assert not (tmp_path / "out").exists()
    model = run.model()
    with torch.no_grad():
        model.output.bias.fill_(torch.nan)
    with pytest.raises(NumericsError, match="graph 0"):
        predict_files(model, [files["test"]], output=tmp_path / "out")


def test_the_report_shows_what_the_files_say(run, tmp_path):
    found = {section.title: section for section in sections(run)}
    assert list(found) == ["Accuracy", "Frames", "Symmetry", "Training"]
    facts = {fact.label: fact for section in found.values() for fact in section.facts}
    accuracy = Evaluation.read(run.folder).row("rings", "accuracy").value
    assert float(facts["Accuracy, rings"].value.split(" ")[0]) == pytest.approx(accuracy, abs=1e-2)
    assert facts["Largest symmetry error"].status == "good"
    assert len(found["Accuracy"].figures) == 2
    (histogram,) = found["Frames"].figures
    assert sum(histogram.figure.data[0].y) == 36
    assert write_run_page(run).stat().st_size < 8e6
    missing = {section.title: section.text for section in sections(tmp_path)}
    for title, command in (("Accuracy", "evaluate"), ("Symmetry", "check"), ("Training", "train")):
        assert f"intertwine {command}" in missing[title]


def test_the_same_seed_gives_the_same_weights_and_another_gives_others(run, files, tmp_path):
    recipe = load_recipe("frame_averaging/exp-fa-mlp", "smoke")
    again = train(recipe, tmp_path / "again", overrides=changes(files))
    other = train(recipe, tmp_path / "other", overrides=changes(files, seed=1))
    states = [r.model().state_dict() for r in (run, again, other)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not torch.equal(states[0]["output.weight"], states[2]["output.weight"])


def test_other_frames_and_networks_train_too(files, tmp_path):
    for place, more in enumerate(
        (
            {"graphs.model.frame": "minimal"},
            {"graphs.model.samples": 2, "graphs.model.average": "embedding"},
            {"graphs.model.network": "gin", "graphs.model.node_ids": True},
        )
    ):
        more = changes(files, **more, **{"training.epochs": 1})
        done = train(load_recipe("frame_averaging/exp-fa-mlp", "smoke"), tmp_path / str(place), overrides=more)
        assert check(done, trials=2, rng=torch.Generator().manual_seed(0)).passed


# --- data ------------------------------------------------------------------------------------------------


def recipe_of(**more):
    return load_recipe("frame_averaging/exp-fa-mlp", "smoke").changed(more).recipe


def test_parts_of_files_are_selected(files, tmp_path):
    assert [graph.name for graph in read_selected(files["test"] + "@2:4")] == ["2", "3"]
    assert len(read_selected(files["test"] + "@30:")) == 6
    assert len(read_selected(files["test"] + "@:-30")) == 6
    assert len(read_selected(files["test"])) == 36
    with pytest.raises(DataError, match="selects no graph"):
        read_selected(files["test"] + "@40:50")
    odd = tmp_path / "odd@1:2"
    odd.mkdir()
    write_graph_archive(odd / "a.npz", make_graphs(3))
    assert len(read_selected(str(odd / "a.npz"))) == 3


def test_a_part_of_every_class_is_held_out(files):
    more = changes(files, **{"graphs.data.validation": None, "graphs.data.validation_fraction": 0.25})
    data = GraphData(recipe_of(**more))
    data.setup()
    assert data.classes == ("one", "two")
    assert (data.channels, data.max_nodes) == (1, 8)
    assert len(data.train_items) == 90
    assert [sum(item.label == label for item in data.validation_items) for label in (0, 1)] == [15, 15]
    batch = next(iter(data.train_dataloader()))
    assert batch.num_graphs == 20
    assert batch.adjacency.dtype == torch.float32
    assert len(data.test_dataloader()) == 1


def test_data_that_cannot_be_used_is_refused(files, tmp_path):
    def fails(words, error=DataError, **more):
        with pytest.raises(error, match=words):
            GraphData(recipe_of(**changes(files, **more))).setup()

    typed = [replace(graph, label=None) for graph in make_graphs(3)]
    unlabelled = str(write_graph_archive(tmp_path / "none.npz", typed))
    fails("do not have two classes", **{"graphs.data.train": unlabelled})
    other = str(write_graph_archive(tmp_path / "one.npz", [replace(graph, label="a") for graph in typed]))
    fails("do not have two classes", **{"graphs.data.train": other})
    fails("class that training did not have", **{"graphs.data.validation": other})
    fails("has no label", **{"graphs.data.validation": unlabelled})
    featured = [Graph.build(torch.tensor(ring(4)), 4, features=torch.ones(4, 2), label="one")]
    fails("other features", **{"graphs.data.validation": str(write_graph_archive(tmp_path / "f.npz", featured))})
    fails("no data file", **{"graphs.data.train": "nowhere.npz"})
    two = [Graph.build(torch.tensor(ring(4)), 4, label=label) for label in ("a", "b")]
    few = {"graphs.data.train": str(write_graph6(tmp_path / "few.g6", two)), "graphs.data.validation": None}
    fails("too few", **few)
    with pytest.raises(ConfigError):
        recipe_of(**{"graphs.data.classes": ("a",)})


def test_evaluating_needs_labels():
    model = GraphClassifier(GraphModelSettings(widths=(4,), max_nodes=4), classes=("a", "b"), channels=0)
    items = make_items([Graph.build(torch.tensor(ring(4)), 4)], model.frame)
    with pytest.raises(DataError, match="class of every graph"):
        evaluate_items(model, items)


# --- metrics ---------------------------------------------------------------------------------------------


def test_scores_of_two_and_of_more_classes():
    two, three = torch.tensor([[-1.0], [2.0], [0.0]]), torch.tensor([[1.0, 2.0, 0.0], [0.0, -1.0, 3.0]])
    assert classes_of(two).tolist() == [0, 1, 0]
    assert classes_of(three).tolist() == [1, 2]
    torch.testing.assert_close(probabilities(two)[:, 1], torch.sigmoid(two[:, 0].double()))
    torch.testing.assert_close(probabilities(three), three.double().softmax(-1))
    labels = torch.tensor([1, 1, 0])
    expected = -torch.log(probabilities(two)[torch.arange(3), labels])
    torch.testing.assert_close(entropies(two, labels).double(), expected, rtol=1e-6, atol=1e-7)
    expected = -torch.log(probabilities(three)[torch.arange(2), labels[:2]])
    torch.testing.assert_close(entropies(three, labels[:2]).double(), expected, rtol=1e-6, atol=1e-7)
    metric = ClassAccuracy()
    metric.update(two, labels)
    metric.update(three, torch.tensor([1, 0]))
    assert float(metric.compute()) == pytest.approx(3 / 5)


@pytest.mark.data("fa_graphs/exp_planar_sat.npz")
def test_exp_is_split_as_in_the_literature(tmp_path):
    data = GraphData(load_recipe("frame_averaging/exp-fa-mlp", "cpu").recipe)
    data.setup()
    assert (len(data.train_items), len(data.validation_items), len(data.test_items["exp"])) == (800, 200, 200)
    assert [item.graph.name for item in (data.validation_items[0], data.test_items["exp"][0], data.train_items[0])] == [
        "0", "200", "400",
    ]  # fmt: skip
    assert data.classes == ("0", "1")
    for items in (data.train_items, data.validation_items, data.test_items["exp"]):
        assert sum(item.label for item in items) == len(items) // 2
    run = train(load_recipe("frame_averaging/exp-fa-mlp", "smoke"), tmp_path / "run")
    found = evaluate(run)
    assert found.paper["FA-MLP, unverified"]["exp"]["accuracy"] == 1
    assert found.row("exp", "refinement_pairs").value == 10


@pytest.mark.slow
@pytest.mark.data("fa_graphs/exp_planar_sat.npz")
@pytest.mark.parametrize("recipe", ["exp-fa-mlp", "exp-fa-gin"])
def test_exp_is_learnt_with_frames(recipe, tmp_path):
    run = train(load_recipe(f"frame_averaging/{recipe}", "cpu"), tmp_path / "run")
    assert evaluate(run).row("exp", "accuracy").value > 0.95  # measured over seeds 0 to 2: at least 0.99
