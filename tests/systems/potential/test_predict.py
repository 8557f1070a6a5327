import numpy as np
import pytest
import torch
from ase import Atoms
from ase.io import read, write

from intertwine.atoms import read_frames
from intertwine.errors import CheckpointError, DataError, NumericsError
from intertwine.systems.potential.calculator import IntertwineCalculator
from intertwine.systems.potential.predict import predict, predict_files
from intertwine.training.inference import load_model


@pytest.fixture
def files(tmp_path, crystal):
    """A file of crystals and molecules of different sizes with EMT labels, and one of bare molecules."""
    images = [crystal(size=(1, 1, 1)), Atoms("Cu2", [[0, 0, 0], [0, 0, 2.4]]), crystal(size=(2, 1, 1), seed=1)]
    images[0].get_stress()
    images[0].info["name"] = "first"
    write(tmp_path / "mixed.xyz", images, format="extxyz")
    write(tmp_path / "bare.traj", [Atoms("Cu3", np.eye(3) * 2.0), Atoms("Cu", [[0, 0, 0]])])
    return [tmp_path / "mixed.xyz", tmp_path / "bare.traj"]


@pytest.mark.parametrize("batch_size", [1, 2, 32])
def test_predictions_are_those_of_the_calculator(files, tmp_path, morse, batch_size):
    model = morse()
    written = predict_files(model, files, output=tmp_path / "new", batch_size=batch_size)
    assert [path.name for path in written] == ["mixed.predicted.extxyz", "bare.predicted.extxyz"]
    for source, path in zip(files, written, strict=True):
        before, after = read(source, ":"), read(path, ":")
        assert len(before) == len(after)
        for old, new in zip(before, after, strict=True):
            one = old.copy()
            one.calc = IntertwineCalculator(model)
            np.testing.assert_allclose(new.positions, old.positions, atol=6e-9)
            assert new.get_potential_energy() == pytest.approx(one.get_potential_energy(), rel=1e-12)
            np.testing.assert_allclose(new.get_forces(), one.get_forces(), atol=6e-9)
            assert ("stress" in new.calc.results) == bool(old.pbc.all())
            if old.pbc.all():
                np.testing.assert_allclose(new.get_stress(), one.get_stress(), rtol=1e-10, atol=1e-14)


def test_what_the_file_said_is_kept(files, tmp_path, morse):
    (path, _) = predict_files(morse(), files, output=tmp_path)
    before, after = read(files[0], 0), read(path, 0)
    assert after.info["name"] == "first"
    assert after.info["reference_energy"] == before.get_potential_energy()
    np.testing.assert_array_equal(after.arrays["reference_forces"], before.get_forces())
    (again,) = predict_files(morse(depth=0.1), [path], output=tmp_path)
    assert read(again, 0).info["reference_energy"] == before.get_potential_energy()
    assert read(again, 0).get_potential_energy() != after.get_potential_energy()


def test_unknown_elements_stop_before_anything_is_written(files, tmp_path, morse):
    write(tmp_path / "gold.xyz", Atoms("CuAu", [[0, 0, 0], [0, 0, 2.5]]), format="extxyz")
    with pytest.raises(DataError) as caught:
        predict_files(morse(), [tmp_path / "gold.xyz"], output=tmp_path / "new")
    assert "gold.xyz, frame 0 (line 1)" in caught.value.message
    assert caught.value.got == "Au"
    assert not (tmp_path / "new").exists()


def test_a_missing_or_damaged_file_stops_before_any_is_computed(files, tmp_path, morse):
    (tmp_path / "cut.xyz").write_text("2\n\nCu 0 0 0\n")
    for bad in ("cut.xyz", "absent.xyz"):
        with pytest.raises(DataError, match=bad):
            predict_files(morse(), [*files, tmp_path / bad], output=tmp_path / "new")
        assert not (tmp_path / "new").exists()


def test_two_files_of_one_name_are_refused(files, tmp_path, morse):
    with pytest.raises(DataError, match="one place"):
        predict_files(morse(), [files[0], tmp_path / "elsewhere" / "mixed.xyz"], output=tmp_path)


def test_predictions_that_are_not_finite_name_the_frame(files, morse):
    model = morse()
    model.depth.data.fill_(torch.nan)
    with pytest.raises(NumericsError, match=r"mixed\.xyz, frame 0"):
        predict(model, read_frames(files[0]))


def test_loading_copies_a_network_and_refuses_what_is_none(tmp_path, morse):
    model = morse()
    other = load_model(model, dtype=torch.float32)
    assert other.depth.dtype == torch.float32
    assert model.depth.dtype == torch.float64
    assert not other.training
    with pytest.raises(CheckpointError):
        load_model(tmp_path)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_saved_potential_predicts_as_before_it_was_saved(tmp_path, crystal, dtype):
    from intertwine.systems.potential.model import Potential
    from intertwine.systems.potential.settings import ModelSettings

    settings = ModelSettings(cutoff=4.0, layers=1, channels=2, hidden_lmax=1, harmonics_lmax=1, correlation=2)
    rng = torch.Generator().manual_seed(0)
    model = Potential(settings, atomic_energies={29: -3.0}, rng=rng).to(dtype).eval()
    model.save_pretrained(tmp_path / "model")
    write(tmp_path / "cu.xyz", crystal(size=(1, 1, 1)), format="extxyz")
    (one,) = predict(model, read_frames(tmp_path / "cu.xyz"))
    (path,) = predict_files(tmp_path / "model", [tmp_path / "cu.xyz"], output=tmp_path)
    atoms = read(path)
    assert atoms.get_potential_energy() == one.get_potential_energy()
    other = atoms.copy()
    other.calc = IntertwineCalculator(tmp_path / "model")
    size = 1e-5 if dtype == torch.float32 else 1e-7  # the file has eight decimals
    assert other.get_potential_energy() == pytest.approx(one.get_potential_energy(), abs=size)
    np.testing.assert_allclose(other.get_stress(), atoms.get_stress(), atol=size)
    assert np.abs(other.get_forces()).max() > 1e-4


def test_a_frame_of_one_atom_is_predicted_without_forces_on_it(tmp_path):
    from intertwine.systems.potential.model import Potential
    from intertwine.systems.potential.settings import ModelSettings

    (tmp_path / "one.xyz").write_text("1\n\nO 1.0 2.0 3.0\n")
    model = Potential(
        ModelSettings(channels=2, harmonics_lmax=1, radial_widths=(4,)), atomic_energies={1: -13.6, 8: -2042.0}
    )
    (written,) = predict_files(model, [tmp_path / "one.xyz"], output=tmp_path / "out")
    assert (read(written).get_forces() == 0).all()
