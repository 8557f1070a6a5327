import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from ase.optimize import BFGS

from intertwine.errors import DataError, NumericsError
from intertwine.graphs import neighbour_list
from intertwine.systems.potential.calculator import IntertwineCalculator, VerletList


@pytest.fixture
def copper(morse, crystal):
    atoms = crystal(size=(2, 1, 1))
    atoms.calc = IntertwineCalculator(morse(), dtype=torch.float64)
    return atoms


def test_forces_are_the_gradient_of_the_energy(copper):
    forces = copper.get_forces()
    np.testing.assert_allclose(forces, calculate_numerical_forces(copper, eps=1e-4), atol=2e-7)
    np.testing.assert_allclose(forces.sum(0), 0, atol=1e-12)
    wrong = 1.01 * forces
    assert np.abs(wrong - calculate_numerical_forces(copper, eps=1e-4)).max() > 1e-4


def test_stress_is_the_derivative_by_strain_in_the_order_and_sign_of_ase(copper):
    stress = copper.get_stress()
    np.testing.assert_allclose(stress, calculate_numerical_stress(copper, eps=1e-5), atol=1e-9)
    assert len(set(np.round(stress, 12))) == 6  # no symmetry hides a wrong order
    copper.set_cell(1.1 * copper.cell[:], scale_atoms=True)
    assert copper.get_stress()[:3].sum() > 0  # a stretched crystal pulls: positive under tension


def test_energies_add_up(copper):
    assert copper.get_potential_energy() == pytest.approx(copper.get_potential_energies().sum(), rel=1e-14)
    assert copper.get_potential_energy(force_consistent=True) == copper.get_potential_energy()


def test_stress_of_a_molecule_is_refused_and_costs_nothing_when_not_asked_for(morse):
    atoms = Atoms("Cu2", [[0, 0, 0], [0, 0, 2.5]])
    atoms.calc = IntertwineCalculator(morse())
    assert np.isfinite(atoms.get_forces()).all()
    assert "stress" not in atoms.calc.results
    with pytest.raises(PropertyNotImplementedError):
        atoms.get_stress()


def test_single_atom_and_far_atoms_have_no_forces(morse):
    for positions in ([[0, 0, 0]], [[0, 0, 0], [0, 0, 50]]):
        atoms = Atoms("Cu" * len(positions), positions)
        atoms.calc = IntertwineCalculator(morse())
        assert atoms.get_potential_energy() == 0
        assert not atoms.get_forces().any()


@pytest.mark.parametrize("pbc", [(True, True, True), (True, False, True), (False, False, False)])
def test_skin_changes_the_number_of_searches_and_nothing_else(pbc):
    rng = np.random.default_rng(0)
    cell = torch.tensor([[7.0, 0, 0], [1.0, 6.5, 0], [0, 1.5, 8.0]], dtype=torch.float64)
    positions = torch.tensor(rng.uniform(0, 7, (20, 3)))
    lazy, eager = VerletList(4.0, skin=0.8), VerletList(4.0, skin=0.0)
    for step in range(40):
        positions = positions + torch.tensor(0.03 * rng.standard_normal((20, 3)))
        if step == 25:
            cell = 1.01 * cell
        got = lazy.edges(positions, cell, pbc)
        for wanted in (eager.edges(positions, cell, pbc), neighbour_list(positions, 4.0, cell, pbc)):
            assert torch.equal(got.edge_index, wanted.edge_index)
            assert torch.equal(got.cell_shifts, wanted.cell_shifts)
    assert eager.searches == 40
    assert 2 <= lazy.searches < 20


def test_a_verlet_list_that_never_searches_again_is_caught():
    positions = torch.tensor([[0.0, 0, 0], [0, 0, 6.0]], dtype=torch.float64)
    broken = VerletList(4.0, skin=0.5)
    broken._holds = lambda _: True
    cell = torch.zeros(3, 3, dtype=torch.float64)
    broken.edges(positions, cell, (False,) * 3)
    positions = positions - torch.tensor([[0, 0, 0], [0, 0, 3.0]], dtype=torch.float64)
    assert broken.edges(positions, cell, (False,) * 3).edge_index.shape[1] == 0
    assert VerletList(4.0).edges(positions, cell, (False,) * 3).edge_index.shape[1] == 2


def test_energies_do_not_depend_on_the_skin(morse, crystal):
    atoms = crystal(size=(2, 2, 1))
    calculators = [IntertwineCalculator(morse(), skin=skin) for skin in (0.0, 0.3, 1.0)]
    rng = np.random.default_rng(0)
    for _ in range(8):
        atoms.positions += 0.02 * rng.standard_normal(atoms.positions.shape)
        results = []
        for calculator in calculators:
            atoms.calc = calculator
            results.append((atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()))
        for energy, forces, stress in results[1:]:
            assert energy == results[0][0]
            np.testing.assert_array_equal(forces, results[0][1])
            np.testing.assert_array_equal(stress, results[0][2])


def test_wrapped_and_unwrapped_atoms_are_one_structure(copper):
    energy, forces = copper.get_potential_energy(), copper.get_forces()
    copper.positions += np.random.default_rng(0).integers(-2, 3, (len(copper), 3)) @ copper.cell[:]
    assert copper.get_potential_energy() == pytest.approx(energy, rel=1e-12)
    np.testing.assert_allclose(copper.get_forces(), forces, atol=1e-12)


def test_changed_atoms_are_noticed(morse):
    atoms = Atoms("Cu2", [[0, 0, 0], [0, 0, 2.5]])
    atoms.calc = IntertwineCalculator(morse((29, 79)))
    copper = atoms.get_potential_energy()
    atoms.numbers[1] = 79
    assert atoms.get_potential_energy() != copper
    atoms.extend(Atoms("Cu", [[0, 2.5, 0]]))
    assert len(atoms.get_forces()) == 3


def test_relaxation_with_ase_finds_the_minimum_of_the_pair(morse):
    atoms = Atoms("Cu2", [[0, 0, 0], [0, 0, 2.3]])
    atoms.calc = IntertwineCalculator(morse(cutoff=50.0))
    BFGS(atoms, logfile=None).run(fmax=1e-6, steps=60)
    assert atoms.get_distance(0, 1) == pytest.approx(2.6, abs=0.02)  # the window moves it a little


def test_the_network_given_is_not_changed(morse):
    model = morse()
    calculator = IntertwineCalculator(model, dtype=torch.float32)
    assert next(calculator.model.parameters()).dtype == torch.float32
    assert model.depth.dtype == torch.float64


def test_unknown_elements_are_named(morse):
    atoms = Atoms("CuAu", [[0, 0, 0], [0, 0, 2.5]])
    atoms.calc = IntertwineCalculator(morse())
    with pytest.raises(DataError) as caught:
        atoms.get_potential_energy()
    assert caught.value.got == "Au"
    assert caught.value.expected == "only Cu"


def test_results_that_are_not_finite_stop_with_atom_and_evaluation(morse):
    class Broken(morse):
        def forward(self, *args, **kwargs):
            output = super().forward(*args, **kwargs)
            output["forces"][1] = torch.nan
            return output

    atoms = Atoms("Cu2", [[0, 0, 0], [0, 0, 2.5]])
    atoms.calc = IntertwineCalculator(Broken())
    with pytest.raises(NumericsError) as caught:
        atoms.get_forces()
    assert caught.value.got == {"evaluation": 1, "atoms": "1 (Cu)"}
    assert atoms.calc.results == {}


def test_bad_structures_are_refused(morse):
    atoms = Atoms("Cu2", [[0, 0, 0], [0, 0, 2.5]])
    atoms.calc = IntertwineCalculator(morse())
    atoms.get_forces()
    for bad in (0.0, np.nan):
        atoms.positions[1, 2] = bad
        with pytest.raises(DataError):
            atoms.get_forces()
