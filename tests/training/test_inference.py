"""Networks for inference from whatever holds one, and the files that predictions go to."""

from pathlib import Path

import pytest
import torch

from intertwine.errors import CheckpointError, ConfigError, DataError
from intertwine.training.inference import find_run, load_model, prediction_paths
from intertwine.training.recipes import load_recipe
from intertwine.training.run import create_run


@pytest.mark.parametrize("kind", ["run", "folder of a run", "text", "folder of a model", "network"])
def test_a_network_for_inference_is_a_frozen_copy(finished, kind):
    trained = finished.model().train()
    source = {
        "run": finished,
        "folder of a run": finished.folder,
        "text": str(finished.folder),
        "folder of a model": finished.model_folder,
        "network": trained,
    }[kind]
    model = load_model(source, dtype=torch.float64)
    assert not model.training
    assert not any(weight.requires_grad for weight in model.parameters())
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, trained.state_dict()[name].double()), name
    assert trained.training
    assert all(weight.requires_grad and weight.dtype == torch.float32 for weight in trained.parameters())


def test_what_holds_no_network_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="no saved model"):
        load_model(tmp_path)
    run = create_run(load_recipe("toy/well", "smoke"), tmp_path / "started")
    with pytest.raises(ConfigError, match="has not finished"):
        load_model(run.folder)


def test_a_run_is_found_where_there_is_one(finished):
    assert find_run(finished) is finished
    assert find_run(str(finished.folder)).recipe() == finished.recipe()
    assert find_run(finished.model_folder) is None
    assert find_run(torch.nn.Identity()) is None


def test_predictions_are_named_after_their_files():
    files = ["data/water.xyz", Path("POSCAR"), ".hidden"]
    assert prediction_paths(files, "out", ".csv") == {
        Path("data/water.xyz"): Path("out/water.predicted.csv"),
        Path("POSCAR"): Path("out/POSCAR.predicted.csv"),
        Path(".hidden"): Path("out/.hidden.predicted.csv"),
    }
    by_kind = prediction_paths(["a.csv", "a.npy"], "out", lambda path: path.suffix)
    assert [path.name for path in by_kind.values()] == ["a.predicted.csv", "a.predicted.npy"]


@pytest.mark.parametrize("files", [["a.xyz", "b/a.xyz"], ["a.xyz", "a.xyz"], ["a.xyz", "a.cif"]])
def test_two_files_are_not_written_to_one_place(files):
    with pytest.raises(DataError, match="one place") as caught:
        prediction_paths(files, "out", ".csv")
    assert caught.value.got == ", ".join(files)
