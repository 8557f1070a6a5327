"""The eight shapes, batches, orientations, splits and classes of a recipe."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from intertwine.errors import ConfigError, DataError
from intertwine.groups import O
from intertwine.systems.tetris.data import (
    MIRROR_PAIR,
    SHAPES,
    PointData,
    collate_points,
    make_graphs,
    shape_sets,
)
from intertwine.systems.tetris.settings import DataSettings, TetrisRecipe
from intertwine.training.settings import TrainingSettings


def signed_permutations():
    """The 48 orthogonal matrices that map the lattice to itself."""
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            yield np.eye(3, dtype=int)[list(order)] * np.array(signs)


def orbit(cubes, proper):
    """All forms of a shape under the rotations (or the reflections) of the lattice, each as a sorted tuple."""
    forms = set()
    for matrix in signed_permutations():
        if (round(np.linalg.det(matrix)) == 1) == proper:
            points = np.array(cubes) @ matrix.T
            points = points - points.min(0)
            forms.add(tuple(sorted(map(tuple, points.tolist()))))
    return forms


def test_the_shapes_are_all_that_four_cubes_make():
    """Brute force over the lattice: eight polycubes of four cubes, one pair of mirror images."""
    assert len(SHAPES) == 8
    found = [orbit(cubes, proper=True) for cubes in SHAPES.values()]
    assert all(not a & b for a, b in itertools.combinations(found, 2)), "two shapes are the same up to rotation"
    grown = {tuple(sorted(((0, 0, 0),)))}
    for _ in range(3):
        grown = {
            tuple(sorted({*form, tuple(np.add(cube, step))}))
            for form in grown
            for cube in form
            for step in [*np.eye(3, dtype=int), *-np.eye(3, dtype=int)]
            if tuple(np.add(cube, step)) not in form
        }
    kinds = {frozenset(orbit(form, proper=True)) for form in grown}
    assert kinds == {frozenset(forms) for forms in found}
    chiral = {name for name, cubes in SHAPES.items() if not orbit(cubes, True) & orbit(cubes, False)}
    assert chiral == set(MIRROR_PAIR)
    assert orbit(SHAPES[MIRROR_PAIR[0]], False) == orbit(SHAPES[MIRROR_PAIR[1]], True)


def test_neighbours_are_cubes_that_share_a_face(shapes):
    vectors = shapes.positions[shapes.edge_index[0]] - shapes.positions[shapes.edge_index[1]]
    torch.testing.assert_close(vectors.norm(dim=-1), torch.ones(len(vectors), dtype=torch.float64))
    edges = shapes.graph_index[shapes.edge_index[0]].bincount().tolist()
    assert dict(zip(SHAPES, edges, strict=True)) == dict.fromkeys(SHAPES, 6) | {"square": 8}


def test_a_batch_moves_each_set_by_its_own_matrix(shapes, rng):
    matrices = O(3).sample(8, rng=rng, dtype=torch.float64)
    moved = shapes.moved(matrices)
    for place in range(8):
        mine = shapes.graph_index == place
        torch.testing.assert_close(moved.positions[mine], shapes.positions[mine] @ matrices[place].T)
    assert moved.labels is shapes.labels
    single = shapes.to(torch.float32)
    assert (single.positions.dtype, single.labels.dtype, single.num_graphs) == (torch.float32, torch.int64, 8)


def test_batches_need_sets_and_classes_for_all_or_none():
    graphs = make_graphs(shape_sets(), ("X",), 1.1, tuple(SHAPES))
    with pytest.raises(DataError, match="at least one"):
        collate_points([])
    with pytest.raises(DataError, match="only some"):
        collate_points([graphs[0], replace(graphs[1], label=None)])


def recipe(training=None, **data):
    return TetrisRecipe(data=DataSettings(**data), training=TrainingSettings(**(training or {"batch_size": 8})))


def test_every_step_sees_all_eight_shapes_and_tests_are_other_orientations():
    data = PointData(recipe(mirror_pairs=(MIRROR_PAIR,), turns=3, steps_per_epoch=5))
    data.setup("fit")
    data.setup("test")
    batches = list(data.train_dataloader())
    assert len(batches) == 5
    assert all(batch.labels.tolist() == list(range(8)) for batch in batches)
    assert data.table.pairs == (MIRROR_PAIR,)
    assert [len(data.validation_graphs), len(data.test_graphs["turned"])] == [24, 24]
    held, tested = data.validation_graphs[3], data.test_graphs["turned"][3]
    assert held.label == tested.label == 3
    assert (held.positions - tested.positions).abs().max() > 0.1
    torch.testing.assert_close(torch.cdist(*[held.positions] * 2), torch.cdist(*[tested.positions] * 2))
    assert sum(batch.num_graphs for batch in data.val_dataloader()) == 24
    assert sum(batch.num_graphs for loader in data.test_dataloader() for batch in loader) == 24


def write_bars(path, lengths=(1.0, 1.5, 2.0, 2.5), copies=5):
    rows = ["set,shape,x,y,z"]
    for copy, length in itertools.product(range(copies), lengths):
        for end in (0.0, length):
            rows.append(f"{copy}/{length},bar {length},{copy},{end},0")
    path.write_text("\n".join(rows) + "\n")
    return str(path)


def test_a_file_is_split_class_by_class(tmp_path):
    settings = recipe({"batch_size": 6}, train=write_bars(tmp_path / "a.csv"), validation_fraction=0.2)
    data = PointData(replace(settings, model=replace(settings.model, cutoff=3.0)))
    data.setup("fit")
    assert data.table.names == ("bar 1.0", "bar 1.5", "bar 2.0", "bar 2.5")
    labels = [[int(g.label) for g in graphs] for graphs in (data.train_graphs, data.validation_graphs)]
    assert [np.bincount(part).tolist() for part in labels] == [[4] * 4, [1] * 4]
    assert [batch.num_graphs for batch in data.train_dataloader()] == [6, 6, 4]
    assert data.test_graphs == {}
    again = PointData(data.recipe)
    again.setup("fit")
    assert all(
        torch.equal(a.positions, b.positions) for a, b in zip(data.train_graphs, again.train_graphs, strict=True)
    )


def test_files_for_validation_and_test_take_the_classes_of_training(tmp_path):
    train = write_bars(tmp_path / "a.csv")
    other = write_bars(tmp_path / "b.csv", lengths=(2.0, 1.0), copies=1)
    settings = recipe(train=train, validation=other, test={"others": other})
    data = PointData(replace(settings, model=replace(settings.model, cutoff=3.0)))
    data.setup()
    assert [int(graph.label) for graph in data.validation_graphs] == [2, 0]
    assert [int(graph.label) for graph in data.test_graphs["others"]] == [2, 0]


@pytest.mark.parametrize(
    ("lengths", "options", "error", "part"),
    [
        ((1.0,), {}, DataError, "one class only"),
        ((1.0, 2.0), {"mirror_pairs": (("bar 1.0", "bar 3.0"),)}, ConfigError, "classes that do not exist"),
        ((1.0, 2.0), {"classes": ("bar 1.0", "hook")}, DataError, "does not know"),
        ((1.0, 2.0), {"validation_fraction": 0.01}, DataError, "too few training sets"),
    ],
)
def test_data_that_cannot_be_trained_on_are_refused(tmp_path, lengths, options, error, part):
    settings = recipe(train=write_bars(tmp_path / "a.csv", lengths), **options)
    data = PointData(replace(settings, model=replace(settings.model, cutoff=3.0)))
    with pytest.raises(error) as caught:
        data.setup("fit")
    assert part in caught.value.message


def test_several_steps_an_epoch_need_one_batch(tmp_path):
    settings = recipe({"batch_size": 2}, train=write_bars(tmp_path / "a.csv"), steps_per_epoch=2)
    data = PointData(replace(settings, model=replace(settings.model, cutoff=3.0)))
    data.setup("fit")
    with pytest.raises(ConfigError, match="as many steps as there are batches"):
        data.train_dataloader()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("validation_fraction", 1.0),
        ("classes", ("a",)),
        ("classes", ("a", "a")),
        ("mirror_pairs", (("a", "b"), ("b", "c"))),
        ("turns", 0),
        ("steps_per_epoch", 0),
        ("label_key", " "),
    ],
)
def test_settings_out_of_range_are_refused_by_field(field, value):
    with pytest.raises(ConfigError) as caught:
        DataSettings(**{field: value})
    assert set(caught.value.got) == {field}
