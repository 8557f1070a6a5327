"""Reading simulations: the published layout, arrays, tables; and files that cannot be used."""

import numpy as np
import pytest

from intertwine.errors import DataError
from intertwine.particles import (
    Samples,
    SimulationSettings,
    affine_errors,
    draw_states,
    fitted_affine,
    fitted_time,
    read_samples,
    straight_lines,
)


@pytest.fixture
def trajectories():
    """Three simulations of three particles: as many as space has axes, so that a wrong order of axes fits too."""
    rng = np.random.default_rng(1)
    positions, velocities = rng.normal(size=(2, 3, 6, 3, 3))
    return positions, velocities, np.array([[1.0, -1.0, 1.0], [1.0, 1.0, 1.0], [-1.0, 1.0, -1.0]])


def wanted(trajectories, start=1, end=4):
    positions, velocities, charges = trajectories
    return Samples(positions[:, start], velocities[:, start], charges, positions[:, end])


@pytest.fixture
def write(write_published, write_table):
    """Write trajectories in one of the formats and return the path."""

    def written(path, trajectories, kind):
        if kind == "published":
            return write_published(path, *trajectories)
        if kind == "table":
            return write_table(path / "mine.csv", *trajectories)
        np.savez(path / "mine.npz", note=np.array("text is left out"), **as_arrays(trajectories, kind))
        return path / "mine.npz"

    return written


def as_arrays(trajectories, kind):
    positions, velocities, charges = trajectories
    return {
        "trajectories": {"positions": positions, "velocities": velocities, "charges": charges[:, :, None]},
        "published axes": {"loc": positions.swapaxes(2, 3), "vel": velocities.swapaxes(2, 3), "charges": charges},
        "pairs": {"loc0": positions[:, 1], "vel0": velocities[:, 1], "loc1": positions[:, 4], "charges": charges},
    }[kind]


KINDS = ["published", "table", "trajectories", "published axes", "pairs"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_format_gives_the_same_samples(tmp_path, trajectories, kind, write):
    found = read_samples(write(tmp_path, trajectories, kind), 1, 4)
    for name, array in wanted(trajectories).arrays().items():
        np.testing.assert_array_equal(getattr(found, name), array)
        assert getattr(found, name).dtype == np.float64


def test_the_order_of_lines_of_a_table_does_not_matter(tmp_path, trajectories, write):
    path = write(tmp_path, trajectories, "table")
    header, *lines = path.read_text().splitlines()
    np.random.default_rng(0).shuffle(lines)
    path.write_text("\n".join([header, *lines]))
    np.testing.assert_array_equal(read_samples(path, 1, 4).targets, wanted(trajectories).targets)


def test_tables_of_other_programs(tmp_path, trajectories, write_table):
    """Names in capitals, the mark at the beginning of UTF-8, and an ending in capitals."""
    given = write_table(tmp_path / "mine.csv", *trajectories)
    header, *lines = given.read_text().splitlines()
    (tmp_path / "OTHER.CSV").write_text("\n".join(["\ufeff" + header.upper().replace(",", ", "), *lines]), "utf-8")
    one, other = (read_samples(path, 1, 4) for path in (given, tmp_path / "OTHER.CSV"))
    np.testing.assert_array_equal(one.positions, other.positions)
    np.testing.assert_array_equal(one.targets, other.targets)


def test_a_file_of_one_frame_is_where_a_prediction_starts(tmp_path, trajectories, write_table):
    positions, velocities, charges = trajectories
    path = write_table(tmp_path / "now.csv", positions[:, :1], velocities[:, :1], charges, frames=False)
    found = read_samples(path, 30, 40, targets=False)
    np.testing.assert_array_equal(found.positions, positions[:, 0])
    assert found.targets is None
    np.savez(tmp_path / "now.npz", positions=positions[:, 0], velocities=velocities[:, 0], charges=charges)
    np.testing.assert_array_equal(
        read_samples(tmp_path / "now.npz", 30, 40, targets=False).velocities, velocities[:, 0]
    )
    with pytest.raises(DataError, match="later positions are not known"):
        read_samples(path, 30, 40)


@pytest.mark.data("nbody_charged5/train.npz")
def test_published_numbers_of_the_straight_lines(published_file):
    train, test = (read_samples(published_file(f"{name}.npz"), 30, 40) for name in ("train", "test"))
    assert (len(train), len(test), test.particles) == (3000, 2000, 5)
    assert fitted_time(train) == pytest.approx(0.72372, abs=5e-6)
    errors = straight_lines(test, {"fitted": fitted_time(train)})
    assert errors["no motion"]["position_mse"] == pytest.approx(0.27154, abs=5e-6)
    assert errors["fitted"]["position_mse"] == pytest.approx(0.083562, abs=5e-7)
    affine = affine_errors(test, fitted_affine(train))
    assert affine["position_mse"] == pytest.approx(0.06861, abs=5e-6)


@pytest.mark.data("nbody_charged5/test.npz")
def test_published_samples_have_heavy_errors_and_clear_axes(published_file):
    """A hundredth of the samples carries a tenth of the error; principal axes of all clouds are well separated."""
    test = read_samples(published_file("test.npz"), 30, 40)
    error = np.square(test.positions + 0.72372 * test.velocities - test.targets).mean((1, 2))
    assert np.sort(error)[-20:].sum() / error.sum() == pytest.approx(0.097, abs=5e-4)
    centred = test.positions - test.positions.mean(1, keepdims=True)
    values = np.linalg.eigvalsh(centred.swapaxes(1, 2) @ centred)
    gap = np.diff(values).min(1) / values[:, 2]
    np.testing.assert_allclose(np.quantile(gap, [0, 0.01, 0.05, 0.5]), [0.0045, 0.026, 0.056, 0.258], atol=5e-4)


@pytest.mark.data("nbody_charged5/train.npz", "nbody_charged5/valid.npz")
def test_charges_of_all_published_samples_are_drawn(published_file):
    whole = draw_states(SimulationSettings(), 0, 12000).charges
    for name, first, count in (("train", 0, 3000), ("valid", 10000, 2000)):
        stored = read_samples(published_file(f"{name}.npz"), 30, 40)
        np.testing.assert_array_equal(whole[first : first + count], stored.charges)


def test_fitted_time_is_the_least_squares_solution(samples):
    time = fitted_time(samples)
    moved, velocity = (samples.targets - samples.positions).ravel(), samples.velocities.ravel()
    assert time == pytest.approx(np.linalg.lstsq(velocity[:, None], moved)[0].item(), rel=1e-12)
    features = np.concatenate([samples.positions, samples.velocities, np.ones((12, 5, 1))], axis=-1).reshape(-1, 7)
    slope = features.T @ (features @ fitted_affine(samples) - samples.targets.reshape(-1, 3))
    np.testing.assert_allclose(slope, 0, atol=1e-10)
    still = Samples(samples.positions, np.zeros_like(samples.velocities), samples.charges, samples.targets)
    assert fitted_time(still) == 0


# --- files that cannot be used ---------------------------------------------------------------------------


def refused(path, **options):
    with pytest.raises(DataError) as caught:
        read_samples(path, 1, 4, **options)
    return caught.value


def test_missing_damaged_and_unknown_files_are_refused(tmp_path, trajectories, write):
    assert "no such file" in str(refused(tmp_path / "absent.npz"))
    (tmp_path / "mine.xyz").write_text("3\n")
    assert refused(tmp_path / "mine.xyz").got == ".xyz"
    path = write(tmp_path, trajectories, "pairs")
    path.write_bytes(path.read_bytes()[:200])
    assert "damaged" in refused(path).message
    (tmp_path / "text.npz").write_text("not an archive")
    assert "damaged" in refused(tmp_path / "text.npz").message


def test_pickled_objects_are_refused(tmp_path):
    np.savez(tmp_path / "evil.npz", charges=np.array([{"a": 1}], dtype=object))
    assert "damaged, or not a file of arrays" in refused(tmp_path / "evil.npz").message


def test_parts_of_the_published_layout_that_lack_or_differ_are_named(tmp_path, trajectories, write):
    path = write(tmp_path, trajectories, "published")
    edges = tmp_path / path.name.replace("loc", "edges")
    np.save(edges, -np.load(edges))
    assert "products of the charges" in refused(path).message
    (tmp_path / path.name.replace("loc", "charges")).unlink()
    assert refused(path).expected == path.name.replace("loc", "charges")
    assert "not the file of positions" in refused(edges).message


def test_axes_in_another_order_are_refused_with_the_name_that_they_have(tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "a.npz", loc=rng.normal(size=(2, 6, 5, 3)), vel=np.zeros((2, 6, 5, 3)), charges=np.ones((2, 5)))
    error = refused(tmp_path / "a.npz")
    assert error.got["loc"] == (2, 6, 5, 3)
    assert "positions" in str(error.fix)


def test_arrays_without_their_names_are_listed(tmp_path, trajectories):
    positions, velocities, charges = trajectories
    np.savez(tmp_path / "a.npz", positions=positions, speed=velocities, charges=charges)
    assert refused(tmp_path / "a.npz").got == "positions, speed, charges"
    np.savez(tmp_path / "b.npz", positions=positions, velocities=velocities)
    assert refused(tmp_path / "b.npz").expected == "charges"


def test_frames_that_the_file_does_not_have_are_refused(tmp_path, trajectories, write):
    path = write(tmp_path, trajectories, "trajectories")
    with pytest.raises(DataError, match="no frame 30"):
        read_samples(path, 30, 40)
    with pytest.raises(DataError, match="not known"):
        read_samples(path, 1, 40)


def test_values_that_are_not_finite_name_the_sample(tmp_path, trajectories):
    positions, velocities, charges = (array.copy() for array in trajectories)
    velocities[2, 1, 0, 0] = np.nan
    np.savez(tmp_path / "a.npz", positions=positions, velocities=velocities, charges=charges)
    assert "velocities of sample 2" in refused(tmp_path / "a.npz").message


def test_shapes_that_do_not_fit_are_refused(tmp_path, trajectories):
    positions, velocities, charges = trajectories
    np.savez(tmp_path / "a.npz", positions=positions, velocities=velocities, charges=charges[:, :2])
    assert refused(tmp_path / "a.npz").got["charges"] == (3, 2)
    np.savez(tmp_path / "b.npz", positions=positions, velocities=velocities[:, :3], charges=charges)
    assert "do not fit together" in refused(tmp_path / "b.npz").message
    np.savez(tmp_path / "c.npz", positions=positions[:0], velocities=velocities[:0], charges=charges[:0])
    assert "no sample" in refused(tmp_path / "c.npz").message


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda lines: [lines[0].replace("charge", "q"), *lines[1:]], "lacks columns"),
        (lambda lines: lines[:-1], "one line for each particle"),
        (lambda lines: [*lines, lines[-1]], "one line for each particle"),
        (lambda lines: [*lines[:-1], lines[-1].replace("-1.0", "1.0", 1)], "a charge changes"),
        (lambda lines: [*lines[:-1], "fast" + lines[-1]], "not a table of numbers"),
        (lambda lines: lines[:1], ""),
        (lambda lines: [], ""),
    ],
)
def test_tables_that_are_not_whole_are_refused(tmp_path, trajectories, change, words, write):
    path = write(tmp_path, trajectories, "table")
    path.write_text("\n".join(change(path.read_text().splitlines())))
    assert words in str(refused(path))
