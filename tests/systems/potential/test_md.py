import csv
import json
from io import StringIO

import numpy as np
import pytest
import torch
from ase import Atoms, units
from ase.calculators.calculator import Calculator
from ase.calculators.lj import LennardJones
from ase.constraints import FixAtoms
from ase.io import read, write

from intertwine.errors import ConfigError, DataError, NumericsError
from intertwine.systems.potential.calculator import IntertwineCalculator
from intertwine.systems.potential.md import MDSettings, add_arguments, main, run_md


@pytest.fixture
def cluster():
    """Seven copper atoms near the minimum of the pair potential."""
    angles = 2 * np.pi * np.arange(5) / 5
    ring = 2.25 * np.stack([np.cos(angles), np.sin(angles), 0 * angles], axis=1)
    return Atoms("Cu7", np.concatenate([ring, [[0, 0, 1.3], [0, 0, -1.3]]]))


@pytest.fixture
def calculator(morse):
    return IntertwineCalculator(morse(), dtype=torch.float64)


def total(result):
    return result.columns["total_ev"]


def test_energy_is_conserved_with_the_order_of_the_integrator(cluster, calculator):
    deviations = []
    for time_step in (4.0, 2.0):
        settings = MDSettings(time_step=time_step, steps=int(160 / time_step), every=1, seed=1)
        result = run_md(calculator, cluster, settings)
        deviations.append(result.max_deviation_mev_per_atom)
        assert abs(result.drift_mev_per_atom_ps) < 5
    assert deviations[0] < 2.0
    assert deviations[0] / deviations[1] == pytest.approx(4, rel=0.35)  # velocity Verlet is of second order


def test_reported_drift_is_the_slope_that_was_planted(cluster):
    class Heating(LennardJones):
        """Adds 0.7 meV/atom at each evaluation to the energy, not to the forces."""

        calls = 0

        def calculate(self, *args, **kwargs):
            super().calculate(*args, **kwargs)
            Heating.calls += 1
            self.results["energy"] = 0.7e-3 * 7 * Heating.calls
            self.results["forces"] = np.zeros((7, 3))

    result = run_md(Heating(), cluster, MDSettings(steps=50, time_step=1.0, every=5))
    assert result.drift_mev_per_atom_ps == pytest.approx(700, rel=1e-9)
    assert result.max_deviation_mev_per_atom == pytest.approx(35, rel=1e-9)


def test_initial_velocities_have_the_temperature_and_no_motion_of_the_whole(cluster, calculator):
    result = run_md(calculator, cluster, MDSettings(steps=20, temperature=400, every=1))
    assert result.columns["temperature_k"][0] == pytest.approx(400, rel=1e-12)
    kinetic = result.columns["kinetic_ev"][0]
    assert kinetic == pytest.approx(0.5 * (3 * 7 - 6) * units.kB * 400, rel=1e-12)
    momenta, atoms = result.atoms.get_momenta(), result.atoms
    scale = np.abs(momenta).max()
    np.testing.assert_allclose(momenta.sum(0), 0, atol=1e-11 * scale)
    arms = atoms.positions - atoms.get_center_of_mass()
    np.testing.assert_allclose(np.cross(arms, momenta).sum(0), 0, atol=1e-9 * scale)


@pytest.mark.parametrize(
    ("positions", "pbc", "degrees"),
    [
        ([[0, 0, 0], [0, 0, 2.6]], False, 1),
        ([[0, 0, 0], [0, 0, 2.6], [0, 0, 5.2]], False, 4),
        ([[0, 0, 0], [0, 0, 2.6], [0, 2.6, 0]], False, 3),
        ([[0, 0, 0], [0, 0, 2.6]], True, 3),
    ],
)
def test_degrees_of_freedom(calculator, positions, pbc, degrees):
    atoms = Atoms("Cu" * len(positions), positions, cell=[12, 12, 12], pbc=pbc)
    result = run_md(calculator, atoms, MDSettings(steps=1, temperature=100))
    assert result.columns["kinetic_ev"][0] == pytest.approx(0.5 * degrees * units.kB * 100, rel=1e-10)


def test_velocities_follow_maxwell_and_boltzmann():
    atoms = Atoms("CuAu" * 1500, np.random.default_rng(0).uniform(0, 1000, (3000, 3)))

    class Ideal(Calculator):
        implemented_properties = ["energy", "forces"]  # noqa: RUF012

        def calculate(self, atoms, *_):
            self.results = {"energy": 0.0, "forces": np.zeros((len(atoms), 3))}

    for ensemble, thermostat in (("nve", "langevin"), ("nvt", "langevin"), ("nvt", "bussi")):
        settings = MDSettings(ensemble=ensemble, thermostat=thermostat, temperature=500, steps=1, time_step=1e-6)
        moved = run_md(Ideal(), atoms, settings).atoms
        scaled = moved.get_momenta() / np.sqrt(units.kB * 500 * moved.get_masses())[:, None]
        for part in (scaled[0::2], scaled[1::2]):  # both elements
            assert part.var() == pytest.approx(1, abs=0.06)
            assert (part**4).mean() == pytest.approx(3, abs=0.4)


@pytest.mark.parametrize("thermostat", ["langevin", "bussi"])
def test_thermostats_heat_a_cold_cluster_to_their_temperature(thermostat, cluster):
    spring = LennardJones(sigma=2.3, epsilon=0.6, rc=20)
    cold = cluster.copy()
    rng = np.random.default_rng(0)
    cold.set_momenta(1e-3 * rng.standard_normal((7, 3)))
    settings = MDSettings(
        ensemble="nvt",
        thermostat=thermostat,
        temperature=300,
        time_step=4,
        steps=800,
        friction=0.03,
        coupling_time=30,
        every=5,
        max_move=2,
        seed=3,
    )
    result = run_md(spring, cold, settings)
    half = result.columns["temperature_k"][len(result.columns["temperature_k"]) // 3 :]
    # 15 or 21 degrees of freedom: one value spreads by 300 K * sqrt(2/15) = 110 K; the mean by far less
    assert half.mean() == pytest.approx(300, abs=70)
    assert half.std() > 40  # a canonical spread, not a fixed temperature
    assert result.drift_mev_per_atom_ps is None


@pytest.mark.parametrize("seed", [0, 1])
def test_a_seed_gives_one_trajectory(cluster, calculator, seed):
    settings = MDSettings(ensemble="nvt", steps=20, seed=seed)
    one, two = (run_md(calculator, cluster, settings).atoms for _ in range(2))
    np.testing.assert_array_equal(one.positions, two.positions)
    other = run_md(calculator, cluster, MDSettings(ensemble="nvt", steps=20, seed=seed + 2)).atoms
    assert np.abs(one.positions - other.positions).max() > 1e-3
    assert not cluster.has("momenta")  # the atoms that were given do not move


def test_velocities_of_the_structure_are_kept(cluster, calculator):
    cluster.set_momenta(np.random.default_rng(0).standard_normal((7, 3)))
    result = run_md(calculator, cluster, MDSettings(steps=1))
    assert result.columns["kinetic_ev"][0] == pytest.approx(cluster.get_kinetic_energy(), rel=1e-14)


def test_files(cluster, calculator, tmp_path):
    out = tmp_path / "runs" / "nve.extxyz"
    calls = []
    settings = MDSettings(steps=25, every=10)
    result = run_md(calculator, cluster, settings, output=out, progress=lambda *call: calls.append(call))
    assert [path.name for path in result.files] == ["nve.extxyz", "nve.csv", "nve.json"]
    assert [step for step, _ in calls] == list(range(1, 26))
    frames = read(out, ":")
    assert [frame.info["step"] for frame in frames] == [0, 10, 20, 25]
    np.testing.assert_allclose(frames[-1].get_momenta(), result.atoms.get_momenta(), atol=6e-9)
    assert frames[-1].get_potential_energy() == result.columns["potential_ev"][-1]
    with out.with_suffix(".csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for name, values in result.columns.items():
        np.testing.assert_array_equal([float(row[name]) for row in rows], values)
    assert result.columns["time_fs"].tolist() == [0, 5, 10, 12.5]
    np.testing.assert_array_equal(total(result), result.columns["potential_ev"] + result.columns["kinetic_ev"])
    summary = json.loads(out.with_suffix(".json").read_text())
    assert summary["atoms"] == 7
    assert summary["time_step_fs"] == 0.5
    assert summary["drift_mev_per_atom_ps"] == result.drift_mev_per_atom_ps
    with pytest.raises(ConfigError, match="already"):
        run_md(calculator, cluster, settings, output=out)


@pytest.mark.parametrize(("ensemble", "thermostat"), [("nve", "langevin"), ("nvt", "langevin"), ("nvt", "bussi")])
def test_a_restart_gives_what_one_run_gives(cluster, calculator, tmp_path, ensemble, thermostat):
    def settings(steps):
        return MDSettings(ensemble=ensemble, thermostat=thermostat, steps=steps, every=5)

    whole = run_md(calculator, cluster, settings(30), output=tmp_path / "whole.xyz")

    class Killed(Exception):
        pass

    def kill(step, _):
        if step == 17:
            raise Killed

    with pytest.raises(Killed):
        run_md(calculator, cluster, settings(30), output=tmp_path / "parts.xyz", progress=kill)
    # as if it had died between writing a frame and moving the state forward
    for name, extra in (("parts.xyz", "7\nhalf a frame\n"), ("parts.csv", "10.0,1.0,1.0,2.0,3.0\n")):
        with (tmp_path / name).open("a") as file:
            file.write(extra)
    parts = run_md(calculator, cluster, settings(30), output=tmp_path / "parts.xyz", restart=True)
    np.testing.assert_array_equal(parts.atoms.positions, whole.atoms.positions)
    np.testing.assert_array_equal(parts.atoms.get_momenta(), whole.atoms.get_momenta())
    for name in whole.columns:
        np.testing.assert_array_equal(parts.columns[name], whole.columns[name])
    assert parts.steps_done == 15
    for suffix in (".xyz", ".csv"):
        one, two = ((tmp_path / f"{name}{suffix}").read_text() for name in ("whole", "parts"))
        assert one == two
    again = run_md(calculator, cluster, settings(30), output=tmp_path / "parts.xyz", restart=True)
    assert again.steps_done == 0


def test_a_restart_needs_its_own_files(cluster, calculator, tmp_path):
    out = tmp_path / "a.xyz"
    with pytest.raises(ConfigError, match="nothing to restart"):
        run_md(calculator, cluster, MDSettings(), output=out, restart=True)
    with pytest.raises(ConfigError, match="needs the files"):
        run_md(calculator, cluster, MDSettings(), restart=True)
    run_md(calculator, cluster, MDSettings(steps=5), output=out)
    with pytest.raises(ConfigError) as caught:
        run_md(calculator, cluster, MDSettings(steps=9, time_step=1.0), output=out, restart=True)
    assert caught.value.got == {"time_step": 1.0}
    assert caught.value.expected == {"time_step": 0.5}
    with pytest.raises(ConfigError, match="another simulation"):
        run_md(calculator, cluster[:6], MDSettings(steps=9), output=out, restart=True)
    out.write_text("")
    with pytest.raises(DataError, match="damaged"):
        run_md(calculator, cluster, MDSettings(steps=9), output=out, restart=True)


@pytest.mark.parametrize(("time_step", "atoms"), [(0.1, 7), (2.0, 7), (0.5, 6)])
def test_a_refused_restart_changes_no_file(cluster, calculator, tmp_path, time_step, atoms):
    out = tmp_path / "a.xyz"
    run_md(calculator, cluster, MDSettings(steps=20, every=5), output=out)
    # as if it had died between writing a frame and moving the state forward
    for path, extra in ((out, "7\nhalf a frame\n"), (tmp_path / "a.csv", "12.5,1.0,1.0,2.0,3.0\n")):
        path.write_text(path.read_text() + extra)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    settings = MDSettings(steps=40, every=5, time_step=time_step)
    with pytest.raises(ConfigError, match="another simulation"):
        run_md(calculator, cluster[:atoms], settings, output=out, restart=True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_restart_from_a_short_trajectory_changes_no_file(cluster, calculator, tmp_path):
    out = tmp_path / "a.xyz"
    run_md(calculator, cluster, MDSettings(steps=20, every=5), output=out)
    out.write_bytes(out.read_bytes()[:-20])
    with (tmp_path / "a.csv").open("a") as file:
        file.write("99.0,1.0,1.0,2.0,3.0\n")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(DataError, match="damaged"):
        run_md(calculator, cluster, MDSettings(steps=40, every=5), output=out, restart=True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("name", ["x.csv", "x.json", "x.restart.json", "X.CSV"])
@pytest.mark.parametrize("restart", [False, True])
def test_a_trajectory_is_not_called_like_its_own_table_or_summary(cluster, calculator, tmp_path, name, restart):
    with pytest.raises(ConfigError) as caught:
        run_md(calculator, cluster, MDSettings(steps=1), output=tmp_path / name, restart=restart)
    assert caught.value.got == tmp_path / name
    assert ".extxyz" in caught.value.fix
    assert not list(tmp_path.iterdir())


class Failing(LennardJones):
    """Breaks at the fifth evaluation."""

    def __init__(self, how):
        super().__init__(sigma=2.3, epsilon=0.4, rc=20)
        self.how, self.calls = how, 0

    def calculate(self, *args, **kwargs):
        super().calculate(*args, **kwargs)
        self.calls += 1
        if self.calls == 5:
            self.results["forces"] = (
                self.how * np.ones_like(self.results["forces"]) * [[1], [-1], [1], [-1], [1], [-1], [0]]
            )


@pytest.mark.parametrize(
    ("how", "limits", "message"),
    [
        (np.nan, {}, "not finite"),
        (1e3, {}, "temperature runs away"),
        (1e4, {"max_temperature": 1e12}, "moves too far"),
    ],
)
def test_an_explosion_stops_with_the_last_good_frame(cluster, tmp_path, how, limits, message):
    out = tmp_path / "boom.xyz"
    with pytest.raises(NumericsError) as caught:
        run_md(Failing(how), cluster, MDSettings(time_step=2, steps=100, **limits), output=out)
    assert message in caught.value.message
    saved = tmp_path / "boom.last_good.extxyz"
    assert str(saved) in caught.value.fix
    frame = read(saved)
    assert np.isfinite(frame.positions).all()
    assert np.abs(frame.positions - cluster.positions).max() < 0.5
    assert limits or frame.get_kinetic_energy() < 1


def test_what_the_calculator_refuses_stops_the_simulation(cluster, calculator, morse, tmp_path):
    class Blind(morse):
        def forward(self, *args, **kwargs):
            output = super().forward(*args, **kwargs)
            self.calls = getattr(self, "calls", 0) + 1
            if self.calls > 3:
                output["energy"] = output["energy"] * torch.nan
            return output

    with pytest.raises(NumericsError) as caught:
        run_md(IntertwineCalculator(Blind()), cluster, MDSettings(steps=9), output=tmp_path / "a.xyz")
    assert "step 3" in caught.value.message
    assert "evaluation" in str(caught.value.got)
    cluster.numbers[0] = 79
    with pytest.raises(DataError) as refused:
        run_md(calculator, cluster, MDSettings())
    assert refused.value.got == "Au"


def test_structures_that_cannot_be_simulated(cluster, calculator):
    with pytest.raises(DataError, match="at least two atoms"):
        run_md(calculator, cluster[:1], MDSettings())
    cluster.set_constraint(FixAtoms([0]))
    with pytest.raises(DataError) as caught:
        run_md(calculator, cluster, MDSettings())
    assert caught.value.got == "FixAtoms"
    cluster.set_constraint()
    with pytest.raises(ConfigError, match="Bussi"):
        run_md(calculator, cluster, MDSettings(ensemble="nvt", thermostat="bussi", temperature=0))


@pytest.mark.parametrize(
    "wrong",
    [{"time_step": 0.0}, {"steps": 0}, {"temperature": -1.0}, {"ensemble": "npt"}, {"every": 0}, {"friction": 0.0}],
)
def test_settings_out_of_range(wrong):
    with pytest.raises(ConfigError) as caught:
        MDSettings(**wrong)
    assert caught.value.got == wrong


def command(console, *arguments):
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    add_arguments(parser)
    return main(parser.parse_args([str(argument) for argument in arguments]), console)


@pytest.fixture
def console():
    from rich.console import Console

    return Console(record=True, width=200, file=StringIO())


def test_command(cluster, calculator, console, tmp_path, monkeypatch):
    import intertwine.systems.potential.calculator as module

    monkeypatch.setattr(module, "IntertwineCalculator", lambda run, **_: calculator)
    write(tmp_path / "start.xyz", [cluster[:2], cluster], format="extxyz")
    run = tmp_path / "run"
    run.mkdir()
    (run / "recipe.yaml").write_text("")
    arguments = [run, tmp_path / "start.xyz", "--frame", 1, "--time-step", 1.0, "--steps", 20]
    assert command(console, *arguments) == 0
    text = console.export_text()
    assert "0.02 ps of 7 atoms" in text
    assert "drift" in text
    assert {path.name for path in (run / "md").iterdir()} == {
        "nve.extxyz",
        "nve.csv",
        "nve.json",
        "nve.restart.json",
    }
    assert command(console, *arguments[:-1], 30, "--restart") == 0
    assert len(read(run / "md" / "nve.extxyz", ":")) == 4
    with pytest.raises(ConfigError, match="no frame 5"):
        command(console, run, tmp_path / "start.xyz", "--frame", 5)
    with pytest.raises(ConfigError, match="precision"):
        command(console, run, tmp_path / "start.xyz", "--precision", 16)
