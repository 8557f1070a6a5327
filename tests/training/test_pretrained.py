"""Saved models: layout, dtype, what may be built, and every way in which a folder can be wrong."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from toy_system.model import Well
from toy_system.settings import ModelSettings, RadialSettings

from intertwine.errors import CheckpointError
from intertwine.training import pretrained, versions
from intertwine.training.pretrained import load_pretrained

SETTINGS = ModelSettings(width=5, radial=RadialSettings(cutoff=2.5))


@pytest.fixture
def saved(tmp_path, rng):
    Well(SETTINGS, shift=0.25, species=(1, 8), rng=rng).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def edit(folder, **changes):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_model_comes_back_as_it_was(tmp_path, rng, dtype):
    model = Well(SETTINGS, shift=0.25, species=(1, 8), rng=rng).to(dtype).eval()
    model.save_pretrained(tmp_path / "model")
    got = Well.from_pretrained(tmp_path / "model")
    assert (got.settings, got.species, got.training) == (SETTINGS, (1, 8), False)
    x = torch.randn(4, 3, generator=rng).to(dtype)
    assert torch.equal(got(x)["forces"], model(x)["forces"])
    assert sorted(p.name for p in (tmp_path / "model").iterdir()) == ["config.json", "model.safetensors"]


def test_the_configuration_is_readable_and_keeps_no_generator(saved):
    config = json.loads((saved / "config.json").read_text())
    assert config["class"] == "toy_system.model:Well"
    assert config["arguments"]["settings"]["radial"] == {"cutoff": 2.5, "functions": 4}
    assert config["arguments"]["species"] == [1, 8]
    assert "rng" not in config["arguments"]
    assert config["code_version"] == versions.code_version()
    assert config["convention_version"] == versions.convention_version()


def test_saving_twice_replaces_and_a_loaded_model_saves_again(saved):
    model = Well.from_pretrained(saved)
    with torch.no_grad():
        model.shift.fill_(3)
    model.save_pretrained(saved)
    assert Well.from_pretrained(saved).shift.item() == 3


def test_loading_needs_no_training_code(saved):
    code = (
        "import sys; sys.path.insert(0, sys.argv[2]); import toy_system\n"
        "from intertwine.training import load_pretrained, register_system\n"
        "register_system(toy_system.SYSTEM); load_pretrained(sys.argv[1])\n"
        "sys.exit('lightning' in sys.modules)"
    )
    here = str(Path(__file__).parent)
    assert subprocess.run([sys.executable, "-c", code, str(saved), here], timeout=60).returncode == 0


@pytest.mark.parametrize("name", ["os:system", "torch.nn:Linear", "toy_system.training:ToyModule", "builtins:eval"])
def test_only_networks_of_systems_are_built(saved, name):
    edit(saved, **{"class": name})
    with pytest.raises(CheckpointError, match="may not be built"):
        load_pretrained(saved)


def test_a_function_of_this_package_is_not_a_network(saved):
    edit(saved, **{"class": "intertwine.training.atomic:write_folder"})
    with pytest.raises(CheckpointError, match="not a network"):
        load_pretrained(saved)


def test_another_class_is_refused(saved):
    class Hill(Well):
        pass

    with pytest.raises(CheckpointError, match="another class"):
        Hill.from_pretrained(saved)


def test_conventions_are_upgraded_or_refused(saved, monkeypatch):
    monkeypatch.setattr(pretrained, "convention_version", lambda: versions.convention_version() + 1)
    with pytest.raises(CheckpointError) as caught:
        load_pretrained(saved)
    assert caught.value.code == "E602"
    monkeypatch.setattr(versions, "_upgrades", {})

    @versions.register_upgrade("conventions", versions.convention_version())
    def flip(content):
        arguments, tensors = content
        return arguments, {**tensors, "shift": -tensors["shift"]}

    assert load_pretrained(saved).shift.item() == -0.25
    edit(saved, convention_version=99)
    with pytest.raises(CheckpointError, match="newer version"):
        load_pretrained(saved)


def test_missing_and_unknown_weights_are_named(saved):
    from safetensors.torch import load_file, save_file

    tensors = load_file(saved / "model.safetensors")
    tensors["stranger"] = tensors.pop("shift")
    tensors["outer.weight"] = tensors["outer.weight"][:, :2].contiguous()
    save_file(tensors, saved / "model.safetensors")
    edit(saved, sha256=None)
    with pytest.raises(CheckpointError) as caught:
        load_pretrained(saved)
    assert caught.value.got == "missing: shift; not in the model: stranger; of another shape: outer.weight"


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("keep", [None, 0, 40])
def test_cut_or_missing_files_are_refused(saved, name, keep):
    path = saved / name
    data = path.read_bytes()
    path.unlink() if keep is None else path.write_bytes(data[:keep])
    with pytest.raises(CheckpointError):
        load_pretrained(saved)


def test_changed_weights_are_found(saved):
    path = saved / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="damaged"):
        load_pretrained(saved)


def test_settings_that_do_not_fit_the_constructor_are_named(saved):
    config = json.loads((saved / "config.json").read_text())
    config["arguments"]["settings"]["widht"] = 3
    config["arguments"]["colour"] = "red"
    edit(saved, arguments=config["arguments"])
    with pytest.raises(CheckpointError) as caught:
        load_pretrained(saved)
    assert "settings.widht: unknown key; did you mean `width`?" in caught.value.got
    assert "colour" in caught.value.got
