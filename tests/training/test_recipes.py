"""Recipes: merging of scales, all problems at once with their lines, extension by a user's file."""

import pytest

from intertwine.errors import ConfigError
from intertwine.training.recipes import RecipeError, load_recipe, recipe_from_dict, recipe_to_dict
from intertwine.training.yaml_lines import parse_scalar


def write(folder, text):
    path = folder / "mine.yaml"
    path.write_text(text)
    return path


def test_paper_and_overrides_merge_by_section():
    paper, cpu = load_recipe("toy/well").recipe, load_recipe("toy/well", "cpu").recipe
    assert (paper.training.epochs, paper.training.gradient_clip) == (40, None)
    assert (cpu.training.epochs, cpu.training.gradient_clip) == (6, 1.0)
    assert cpu.training.learning_rate == 1e-2
    assert cpu.model.radial.cutoff == 4.0
    assert cpu.model.width == 16


def test_two_misspelt_keys_are_both_named_with_line_and_suggestion(tmp_path):
    path = write(
        tmp_path,
        "system: toy\ndata:\n  items: 8\nmodel:\n  widht: 4\n  radial:\n    cutof: 3.0\nseed: 1\n",
    )
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    found = {keys: (place.line, text) for place, keys, text in caught.value.problems}
    assert found["model.widht"] == (5, "unknown key; did you mean `width`?")
    assert found["model.radial.cutof"] == (7, "unknown key; did you mean `cutoff`?")
    assert len(found) == 2
    text = str(caught.value)
    assert text.startswith("ConfigError[E101]: two problems in mine.yaml\n  line 5  model.widht")
    assert "nothing was started" in text
    assert isinstance(caught.value, ConfigError)


@pytest.mark.parametrize(
    ("line", "keys", "expected"),
    [
        ("  width: wide", "model.width", 'got "wide", expected an integer'),
        ("  width: 2.5", "model.width", "got 2.5, expected an integer"),
        ("  width: true", "model.width", "got true, expected an integer"),
        ("  width: 0", "model.width", "got 0, expected at least 1"),
        ("  kind: wall", "model.kind", 'got "wall", expected one of "well", "hill"'),
        ("  radial: 3", "model.radial", "got 3, expected a section with keys"),
        ("  dropout:", "model.dropout", "got nothing, expected a number"),
    ],
)
def test_wrong_values_say_what_was_expected(tmp_path, line, keys, expected):
    path = write(tmp_path, f"system: toy\ndata:\n  items: 8\nmodel:\n{line}\n")
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    assert [(p.line, k, t) for p, k, t in caught.value.problems] == [(5, keys, expected)]


def test_all_kinds_of_problems_come_together(tmp_path):
    path = write(
        tmp_path,
        "system: toy\nmodel:\n  width: x\n  dropout: 2\ntraining:\n  precision: fp16\n  betas: [0.9]\n"
        "  epochs: 0\nsede: 3\n",
    )
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    assert [keys for _, keys, _ in caught.value.problems] == [
        "data",
        "model.width",
        "training.precision",
        "training.betas",
        "sede",
    ]  # fmt: skip  (ranges are judged when the types are right)


def test_ranges_of_several_fields_come_together(tmp_path):
    path = write(tmp_path, "system: toy\ndata: {items: 4}\ntraining:\n  epochs: 0\n  ema: 2\n  devices: 0\n")
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    assert [(p.line, k) for p, k, _ in caught.value.problems] == [
        (4, "training.epochs"), (5, "training.ema"), (6, "training.devices"),
    ]  # fmt: skip


def test_precision_may_be_written_as_a_number(tmp_path):
    path = write(tmp_path, "system: toy\ndata: {items: 4}\ntraining: {precision: 64, betas: [0.8, 0.99]}\n")
    training = load_recipe(path).recipe.training
    assert training.precision == "64"
    assert training.betas == (0.8, 0.99)


def test_a_file_may_extend_a_recipe_and_replaces_free_mappings_whole(tmp_path):
    path = write(tmp_path, "extends: toy/well\nscale: cpu\nmodel: {width: 3}\ndata: {extra: {a: b}, shape: [4, 5]}\n")
    loaded = load_recipe(path)
    assert loaded.recipe.model.width == 3
    assert loaded.recipe.training.epochs == 6
    assert loaded.recipe.data.extra == {"a": "b"}
    assert loaded.recipe.data.shape == (4, 5)
    assert (loaded.system.name, loaded.scale, loaded.name) == ("toy", "cpu", "mine")


def test_problems_in_an_extending_file_have_its_own_lines(tmp_path):
    path = write(tmp_path, "extends: toy/well\ntraining:\n  epochs: many\n")
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    ((place, keys, _),) = caught.value.problems
    assert (place.file, place.line, keys) == ("mine.yaml", 3, "training.epochs")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("system: toy\nmodel: {width: 2\n", "line 3 is not YAML"),
        ("system: toy\nseed: 1\nseed: 2\n", "line 3 has the key `seed` a second time"),
        ("- a\n- b\n", "is not a recipe"),
        ("seed: 1\n", "does not say which system"),
        ("system: ty\n", "there is no system `ty`"),
    ],
)
def test_files_that_are_no_recipes(tmp_path, text, part):
    with pytest.raises(ConfigError, match=part.replace("`", ".")):
        load_recipe(write(tmp_path, text))


def test_unknown_names_suggest_the_nearest():
    with pytest.raises(ConfigError) as caught:
        load_recipe("toy/wel")
    assert caught.value.fix == "did you mean `toy/well`?"
    with pytest.raises(ConfigError) as caught:
        load_recipe("tooy/well")
    assert caught.value.fix == "did you mean `toy`?"
    with pytest.raises(ConfigError) as caught:
        load_recipe("toy/well", "cup")
    assert caught.value.fix == "did you mean `cpu`?"
    with pytest.raises(ConfigError) as caught:
        load_recipe("toy/absent", "cpu")
    assert caught.value.got == "cpu"
    with pytest.raises(ConfigError):
        load_recipe("/no/such/file.yaml")


def test_dictionary_form_returns_the_same_recipe(toy):
    recipe = load_recipe("toy/well", "cpu").recipe
    data = recipe_to_dict(toy, recipe)
    assert data["system"] == "toy"
    assert recipe_from_dict(toy, data) == recipe


def test_overrides_are_checked_together():
    loaded = load_recipe("toy/well")
    changed = loaded.changed({"model.width": 4, "model.radial.cutoff": 2, "seed": 9})
    assert (changed.recipe.model.width, changed.recipe.model.radial.cutoff, changed.recipe.seed) == (
        4,
        2.0,
        9,
    )
    with pytest.raises(RecipeError) as caught:
        loaded.changed({"model.widht": 4, "training.epochs": "x"})
    assert {keys for _, keys, _ in caught.value.problems} == {"model.widht", "training.epochs"}


def test_numbers_and_words_of_yaml():
    assert parse_scalar("1e-3") == 1e-3
    assert parse_scalar("-2.5E+4") == -2.5e4
    assert parse_scalar(".5") == 0.5
    assert parse_scalar("7") == 7
    assert parse_scalar("no") == "no"
    assert parse_scalar("2024-01-02") == "2024-01-02"
    assert parse_scalar("true") is True
    assert parse_scalar("null") is None
    assert parse_scalar("[1, 2]") == [1, 2]


def test_a_data_folder_that_does_not_exist_is_said(monkeypatch, tmp_path):
    from intertwine.errors import DataError
    from intertwine.training.datasets import find_data

    monkeypatch.setenv("INTERTWINE_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(DataError) as caught:
        find_data("botnet-3bpa-acac/3bpa/train_300K.xyz")
    assert caught.value.got == str(tmp_path / "nowhere")
