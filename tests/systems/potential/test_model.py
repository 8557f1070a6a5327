"""The two networks: physics in float64, the contract, and twins that break it."""

import numpy as np
import pytest
import torch
from ase.build import bulk, molecule

from intertwine.errors import CheckpointError, ConfigError, ShapeError
from intertwine.graphs import AtomGraph, collate
from intertwine.groups import O
from intertwine.symmetry import conservativeness_error, equivariance_error, localise
from intertwine.systems.potential.model import Potential
from intertwine.systems.potential.settings import ModelSettings
from intertwine.testing import ModuleContract, check_compile

DOUBLE = torch.float64
ENERGIES = {1: -13.6, 6: -1029.5, 8: -2042.0, 29: -100.0}
SMALL = {
    "mace": ModelSettings(
        "mace", channels=4, harmonics_lmax=2, correlation=3, radial_widths=(8,), readout_width=4, cutoff=4.0
    ),
    "nequip": ModelSettings(
        "nequip", layers=3, channels=4, harmonics_lmax=2, radial_widths=(8,), readout_width=4, cutoff=4.0
    ),
}
architectures = pytest.mark.parametrize("architecture", ["mace", "nequip"])


def build(architecture, dtype=DOUBLE):
    rng = torch.Generator().manual_seed(3)
    return Potential(SMALL[architecture], atomic_energies=ENERGIES, shift=0.3, scale=2.0, rng=rng).to(dtype)


def graph(atoms, dtype=DOUBLE, cutoff=4.0):
    species = torch.tensor([list(ENERGIES).index(int(z)) for z in atoms.numbers])
    cell, pbc = torch.tensor(np.array(atoms.cell), dtype=dtype), tuple(map(bool, atoms.pbc))
    return AtomGraph.build(torch.tensor(atoms.positions, dtype=dtype), species, cutoff, cell=cell, pbc=pbc)


def ethanol(seed=0, shift=0.0):
    atoms = molecule("CH3CH2OH")
    atoms.positions += 0.1 * np.random.default_rng(seed).standard_normal((9, 3)) + shift
    return atoms


def copper(seed=0):
    atoms = bulk("Cu", "fcc", a=3.6, cubic=True)
    atoms.positions += 0.1 * np.random.default_rng(seed).standard_normal((4, 3))
    return atoms


def run(model, *structures, **options):
    return model(**collate([graph(s) for s in structures]).inputs(), **options)


def interaction(model, atoms):
    """The energy without the constants of the elements, which would hide errors behind 10^4 eV."""
    constants = sum(ENERGIES[int(z)] + model.shift for z in atoms.numbers)
    return run(model, atoms)["energy"].item() - constants


@architectures
@pytest.mark.parametrize("periodic", [False, True])
def test_symmetry_to_1e_10(architecture, periodic, rng):
    """Rotations, reflections, translations and permutations; energies without the constants of the elements."""
    model = build(architecture)
    model.atomic_energies, model.shift = dict.fromkeys(ENERGIES, 0.0), 0.0
    structures = [copper(0), copper(1)] if periodic else [ethanol(0), ethanol(1)]
    batch = collate([graph(s) for s in structures])
    report = equivariance_error(model, batch.inputs() | {"compute_stress": periodic}, trials=6, rng=rng)
    assert {entry.output for entry in report.entries} >= {"energy", "forces"} | ({"stress"} if periodic else set())
    assert {entry.part for entry in report.entries} >= {"rotations", "reflections", "translations", "permutations"}
    assert report.worst.relative < 1e-10, report.explain()


@architectures
def test_forces_are_the_negative_gradient_by_finite_differences(architecture):
    model, atoms, step = build(architecture), ethanol(), 1e-4
    forces = run(model, atoms)["forces"].detach().numpy()
    assert np.abs(forces).max() > 1e-3
    for atom, axis in ((0, 0), (2, 1), (8, 2)):
        energies = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[atom, axis] += sign * step
            energies.append(interaction(model, moved))
        slope = (energies[0] - energies[1]) / (2 * step)
        assert -slope == pytest.approx(forces[atom, axis], abs=1e-6)


@architectures
def test_stress_is_the_strain_derivative_by_finite_differences(architecture):
    model, atoms, step = build(architecture), copper(), 1e-4
    stress = run(model, atoms, compute_stress=True)["stress"][0].detach().numpy()
    np.testing.assert_allclose(stress, stress.T, atol=1e-12)
    for i, j in ((0, 0), (1, 2)):
        energies = []
        for sign in (1, -1):
            strain = np.zeros((3, 3))
            strain[i, j] += sign * step / 2
            strain[j, i] += sign * step / 2
            strained = atoms.copy()
            strained.set_cell(atoms.cell[:] @ (np.eye(3) + strain), scale_atoms=True)
            energies.append(interaction(model, strained))
        slope = (energies[0] - energies[1]) / (2 * step) / atoms.get_volume()
        assert slope == pytest.approx(stress[i, j], abs=1e-7)


@architectures
def test_force_jacobian_is_symmetric_and_a_detached_term_is_caught(architecture, rng):
    model, inputs = build(architecture), collate([graph(ethanol())]).inputs()

    def forces(positions):
        return model(**inputs | {"positions": positions})["forces"]

    def energy(positions):
        return model(**inputs | {"positions": positions})["energy"]

    report = conservativeness_error(forces, inputs["positions"], energy=energy, rng=rng)
    assert report.jacobian_asymmetry < 1e-10
    assert report.energy_mismatch < 1e-10

    def wrong(positions):
        return forces(positions) * torch.tensor([1.01, 1.0, 1.0])

    assert not conservativeness_error(wrong, inputs["positions"], energy=energy, rng=rng).passed()


@architectures
def test_smooth_at_the_cutoff(architecture):
    """Energy and force of a third atom that crosses the radius: no jump, and no kink in the energy."""
    from ase import Atoms

    model = build(architecture)

    def at(distance):
        atoms = Atoms("OHH", [[0, 0, 0], [0.96, 0, 0], [0, distance, 0]])
        out = run(model, atoms)
        return out["energy"].item(), out["forces"].detach()

    inside, outside, far = at(4.0 - 1e-5), at(4.0 + 1e-5), at(6.0)
    assert inside[0] == pytest.approx(outside[0], abs=1e-10)
    assert (inside[1] - outside[1]).abs().max() < 1e-6
    assert outside[0] == far[0]
    assert abs(at(3.5)[0] - far[0]) > 1e-6  # inside the cutoff it does interact


@architectures
def test_extensive_for_far_apart_copies(architecture):
    model, atoms = build(architecture), ethanol()
    both = atoms + ethanol(shift=200.0)
    assert interaction(model, both) == pytest.approx(2 * interaction(model, atoms), rel=1e-10)


@architectures
def test_isolated_atom_feels_no_force(architecture):
    from ase import Atoms

    out = run(build(architecture), Atoms("O", [[1.0, 2.0, 3.0]]), ethanol())
    assert (out["forces"][0] == 0).all()
    assert out["energy"].isfinite().all()


@architectures
def test_wrapped_and_supercell_agree(architecture):
    model, atoms = build(architecture), copper()
    wrapped = atoms.copy()
    turns = np.array([[3, -2, 5], [0, 0, 0], [-1, 0, 0], [0, 4, -7]])  # another lattice vector for every atom
    wrapped.positions += turns @ atoms.cell[:]
    assert interaction(model, wrapped) == pytest.approx(interaction(model, atoms), rel=1e-10)
    assert interaction(model, atoms * (2, 1, 1)) == pytest.approx(2 * interaction(model, atoms), rel=1e-10)


@architectures
def test_float32_loses_neither_the_meV_nor_the_forces(architecture):
    exact, low = build(architecture), build(architecture, torch.float32)
    low.load_state_dict(exact.state_dict())
    reference = run(exact, ethanol())
    single = low(**collate([graph(ethanol(), torch.float32)]).inputs())
    assert single["energy"].dtype == DOUBLE
    assert abs(float((single["energy"] - reference["energy"]).detach())) < 1e-3
    size = reference["forces"].abs().max()
    assert (single["forces"] - reference["forces"]).abs().max() < 1e-4 * size


class _Contract(ModuleContract):
    compiles = False  # forces differentiate inside forward; the network itself is compiled below
    keeps_precision = False  # energies are float64 by contract; the two precisions are compared below
    architecture = ""

    def build(self):
        return build(self.architecture, torch.float32)

    def inputs(self, rng, dtype):
        return collate([graph(ethanol(0), dtype), graph(ethanol(1), dtype)]).inputs()

    def singles(self, rng, dtype):
        return [collate([graph(s, dtype)]).inputs() for s in (ethanol(0), ethanol(1), molecule("H2O"))]

    def join(self, singles):
        return collate([graph(s) for s in (ethanol(0), ethanol(1), molecule("H2O"))]).inputs()

    def empty_inputs(self, dtype):
        inputs = self.inputs(torch.Generator(), dtype)
        cut = {"edge_index": (slice(None), slice(0))}
        return {name: value[cut.get(name, slice(0))] for name, value in inputs.items()}


class TestMACE(_Contract):
    architecture = "mace"


class TestNequIP(_Contract):
    architecture = "nequip"


@architectures
def test_network_compiles_without_graph_breaks(architecture):
    model, g = build(architecture), graph(ethanol())
    vectors = g.positions[g.edge_index[0]] - g.positions[g.edge_index[1]]
    check_compile(model.network, {"vectors": vectors, "species": g.species, "edge_index": g.edge_index})


def test_a_leak_of_coordinates_is_localised(rng):
    """One linear map that mixes the components of vectors, deep in the network, is found by name."""
    from intertwine.symmetry.check import check_module

    model = build("mace")
    inner = model.network.layers[0].mix

    class Leaky(type(inner)):
        def forward(self, x):
            return super().forward(x) * torch.linspace(1, 1.1, x.shape[-1], dtype=x.dtype)

    inner.__class__ = Leaky
    report = check_module(model, collate([graph(ethanol())]).inputs(), rng=rng)
    assert not report.passed
    assert report.localisation.culprit.name == "network.layers.0.mix"


@architectures
def test_every_part_keeps_the_symmetry_it_declares(architecture, rng):
    """One walk over all submodules, each held to its own declaration on the inputs it receives in the network."""
    report = localise(build(architecture), collate([graph(ethanol())]).inputs(), rng=rng)
    declared = [finding for finding in report.findings if finding.declared]
    kinds = {"Potential", "EdgeEmbedding", "Convolution", "Linear", "TypedLinear", "Readout"}
    kinds |= {{"mace": "SymmetricContraction", "nequip": "Gate"}[architecture]}
    assert {finding.kind for finding in declared} >= kinds
    assert all(finding.verdict == "keeps" for finding in declared), report.rows()
    assert report.culprit is None


def test_seeds_decide_the_weights():
    first, again = build("mace"), build("mace")
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))


def test_saved_model_of_another_convention_is_refused(tmp_path):
    import json

    model = build("nequip", torch.float32)
    model.save_pretrained(tmp_path / "model")
    loaded = Potential.from_pretrained(tmp_path / "model")
    assert loaded.atomic_energies == model.atomic_energies
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    (tmp_path / "model" / "config.json").write_text(json.dumps(config | {"convention_version": 99}))
    with pytest.raises(CheckpointError) as caught:
        Potential.from_pretrained(tmp_path / "model")
    assert "99" in str(caught.value)


def test_arguments_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError):
        Potential(SMALL["mace"], atomic_energies={})
    with pytest.raises(ConfigError):
        ModelSettings(channels=0, hidden_lmax=5, harmonics_lmax=2)
    inputs = collate([graph(ethanol())]).inputs()
    with pytest.raises(ShapeError) as caught:
        build("mace")(**inputs | {"species": inputs["species"][:-1]})
    assert caught.value.got["species"] == (8,)


def test_rotated_features_inside_the_network(rng):
    """The gathered features of the first layer turn with the molecule as their irreps say."""
    from intertwine.representations import IrrepsTensor

    model, g = build("mace"), graph(ethanol())
    layer = model.network.layers[0]
    rotation = O(3).sample(rng=rng, dtype=DOUBLE)

    def features(positions):
        vectors = positions[g.edge_index[0]] - positions[g.edge_index[1]]
        edges = model.network.edges(vectors)
        nodes = model.network.embedding[g.species]
        return layer.convolution(nodes, edges["harmonics"], edges["radial"], g.edge_index)

    law = IrrepsTensor(layer.convolution.irreps_out, "ir_mul")
    expected = law.apply(O(3), rotation, features(g.positions))
    torch.testing.assert_close(features(g.positions @ rotation.T), expected, rtol=1e-12, atol=1e-12)
