"""Systems by name, parts by dotted name, runs by folder, data by file name."""

import pytest

from intertwine.errors import ConfigError, DataError
from intertwine.systems import get_system, register_system, system_names
from intertwine.training.datasets import find_data
from intertwine.training.recipes import load_recipe
from intertwine.training.run import create_run, open_run
from intertwine.training.system import System, load_name


def test_registered_systems_are_found_and_forgotten_names_suggested(toy):
    assert "toy" in system_names()
    assert get_system("toy") is toy
    register_system(toy)  # the same again is fine
    with pytest.raises(ConfigError):
        register_system(System("toy", "elsewhere", "", "", "", ""))


def test_parts_load_on_use_and_missing_ones_are_named(toy):
    assert toy.load("recipe").__name__ == "ToyRecipe"
    bare = System("bare", "toy_system", "", ".settings:ToyRecipe", "", "")
    with pytest.raises(ConfigError) as caught:
        bare.load("predict")
    assert caught.value.got == "predict"
    assert toy.model_names() == ["toy_system.model:Well"]
    assert {scale for scale in toy.recipe_files()["well"]} == {"paper", "cpu", "smoke"}


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("no colon", "not a dotted name"),
        ("toy_system.nothing:x", "no module"),
        (".nothing:x", "no module"),
        ("toy_system.model:Wall", "no `Wall`"),
    ],
)
def test_wrong_dotted_names(name, part):
    with pytest.raises(ConfigError) as caught:
        load_name(name, "toy_system")
    assert part in caught.value.message


def test_an_import_error_inside_a_part_is_not_hidden(tmp_path, monkeypatch):
    (tmp_path / "inner_breaks.py").write_text("import no_such_library\nx = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_library"):
        load_name("inner_breaks:x")


def test_runs_open_or_say_why_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    loaded = load_recipe("toy/well", "smoke")
    one, two = create_run(loaded), create_run(loaded)
    assert one.folder != two.folder
    assert one.name.startswith("toy-well-smoke-")
    assert open_run(one.folder).loaded().recipe == loaded.recipe
    assert not one.finished
    with pytest.raises(ConfigError, match="has not finished"):
        one.model()
    with pytest.raises(ConfigError) as caught:
        open_run(str(one.folder) + "x")
    assert caught.value.fix == f"did you mean `{one.name}`?"
    (tmp_path / "other").mkdir()
    with pytest.raises(ConfigError) as caught:
        open_run("other")
    assert "recipe.yaml and versions.json" in caught.value.got


def test_data_is_found_in_place_in_the_users_folder_and_in_the_tests(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.xyz").write_text("x")
    assert find_data(tmp_path / "mine" / "a.xyz") == tmp_path / "mine" / "a.xyz"
    with pytest.raises(DataError) as caught:
        find_data("mine/a.xyz")
    assert "tests/data/mine/a.xyz" in caught.value.expected
    monkeypatch.setenv("INTERTWINE_DATA", str(tmp_path))
    assert find_data("mine/a.xyz") == tmp_path / "mine" / "a.xyz"
    assert find_data("tensor-product-reference").is_dir()
