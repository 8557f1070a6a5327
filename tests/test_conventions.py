"""One test for each numbered sentence of docs/conventions.md, by its number."""

import math
import re
import subprocess
import sys

import ase.io
import ase.units
import e3nn.o3
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from scipy import constants
from scipy.spatial.transform import Rotation

from intertwine.atoms import read_structures
from intertwine.graphs import AtomGraph, collate, edge_vectors, neighbour_list
from intertwine.groups import (
    SE,
    SO,
    DihedralGroup,
    Lorentz,
    O,
    SymmetricGroup,
    U,
    complex_to_real,
    homogeneous,
    minkowski_metric,
)
from intertwine.groups.rotations import (
    euler_to_matrix,
    quaternion_multiply,
    quaternion_to_matrix,
    rotation_vector_to_matrix,
)
from intertwine.products import make_product
from intertwine.products.so2.edge_frames import edge_rotation
from intertwine.representations import (
    CONVENTION_VERSION,
    Irrep,
    Irreps,
    convert_layout,
    irreps_matrix,
    spherical_harmonics,
    wigner_3j,
    wigner_D,
)
from intertwine.systems.potential.md import MDSettings, run_md
from intertwine.systems.potential.model import Potential
from intertwine.systems.potential.settings import ModelSettings
from intertwine.testing import tolerance

F64 = torch.float64
DEGREES = range(7)
X, Y, Z = torch.eye(3, dtype=F64)


def close(got, want, epsilons=64):
    """Assert that two float64 results agree to rounding, relative to the larger of 1 and their size."""
    want = torch.as_tensor(want, dtype=F64)
    bound = epsilons * torch.finfo(F64).eps * max(1.0, float(want.abs().max()))
    torch.testing.assert_close(got, want, rtol=0, atol=bound)


def rotation(rng):
    return SO(3).sample(rng=rng, dtype=F64)


def vectors(rng, *batch):
    return torch.randn(*batch, 3, generator=rng, dtype=F64)


@pytest.fixture(scope="module")
def potential():
    settings = ModelSettings(channels=2, harmonics_lmax=1, hidden_lmax=1, correlation=2, radial_widths=(8,))
    rng = torch.Generator().manual_seed(3)
    return Potential(settings, atomic_energies={29: -1.0}, mean_neighbours=12.0, rng=rng).double()


def test_every_sentence_has_a_test_and_every_test_a_sentence(checkout):
    page = (checkout / "docs" / "conventions.md").read_text(encoding="utf-8")
    sentences = [int(number) for number in re.findall(r"^(\d+)\. ", page, flags=re.MULTILINE)]
    tests = [int(m[1]) for name in globals() if (m := re.match(r"test_convention_(\d+)_", name))]
    assert sentences == list(range(1, len(sentences) + 1))
    assert sorted(set(tests)) == sentences


# --- elements of groups ----------------------------------------------------------------------------------


def test_convention_01_matrices_act_on_columns_from_the_left(rng):
    matrix, points = O(3).sample(rng=rng, dtype=F64), vectors(rng, 5)
    close(O(3).apply(matrix, points), points @ matrix.T)
    close(O(3).apply(matrix, points[0]), matrix @ points[0])


def test_convention_02_euclidean_elements_rotate_then_translate(rng):
    turn, shift, points = rotation(rng), vectors(rng), vectors(rng, 5)
    element = homogeneous(turn, shift)
    close(element[:3, :3], turn)
    close(element[:3, 3], shift)
    close(element[3], [0, 0, 0, 1])
    close(SE(3).apply(element, points), points @ turn.T + shift)


def test_convention_03_compose_applies_the_second_argument_first(rng):
    quarter_x, quarter_z = (
        Rotation.from_euler("x", 90, degrees=True),
        Rotation.from_euler("z", 90, degrees=True),
    )
    g, h = (torch.from_numpy(r.as_matrix()) for r in (quarter_z, quarter_x))
    close(SO(3).apply(SO(3).compose(g, h), Y), Z)  # x turns y to z, which z then leaves alone
    p, q = SymmetricGroup(3).sample(2, rng=rng)
    items = torch.arange(3)
    once = SymmetricGroup(3).apply(SymmetricGroup(3).compose(p, q), items)
    assert once.equal(SymmetricGroup(3).apply(p, SymmetricGroup(3).apply(q, items)))


def test_convention_04_a_permutation_holds_new_places():
    moved = SymmetricGroup(3).apply(torch.tensor([1, 2, 0]), torch.tensor([10, 20, 30]))
    assert moved.tolist() == [30, 10, 20]


def test_convention_05_dihedral_elements_flip_y_then_turn():
    group, point = DihedralGroup(4), torch.tensor([1.0, 2.0], dtype=F64)
    close(group.apply(torch.tensor([0, 1]), point), [1, -2])
    close(group.apply(torch.tensor([1, 0]), point), [-2, 1])
    close(group.apply(torch.tensor([1, 1]), point), [2, 1])


def test_convention_06_rotation_vectors_are_right_handed(rng):
    close(rotation_vector_to_matrix(Z * math.pi / 2) @ X, Y)
    vector = vectors(rng)
    close(rotation_vector_to_matrix(vector), Rotation.from_rotvec(vector.numpy()).as_matrix())
    close(SO(3).exp(vector), Rotation.from_rotvec(vector.numpy()).as_matrix())


def test_convention_07_quaternions_have_the_real_part_first():
    one, i, j, k = torch.eye(4, dtype=F64)
    close(quaternion_multiply(i, j), k)
    close(quaternion_to_matrix(one), torch.eye(3))
    half = math.sqrt(0.5)
    close(quaternion_to_matrix(torch.tensor([half, 0, 0, half], dtype=F64)) @ X, Y)


@pytest.mark.parametrize("sequence", ["YXY", "ZYX", "XYZ", "ZXZ"])
def test_convention_08_euler_angles_are_intrinsic(sequence, rng):
    angles = torch.randn(3, generator=rng, dtype=F64)
    close(euler_to_matrix(angles, sequence), Rotation.from_euler(sequence, angles.numpy()).as_matrix())


def test_convention_08_the_default_euler_sequence_is_that_of_e3nn(rng):
    angles = torch.randn(3, generator=rng, dtype=F64)
    close(euler_to_matrix(angles), e3nn.o3.angles_to_matrix(*angles))


# --- irreps and features ---------------------------------------------------------------------------------


def test_convention_09_irreps_name_multiplicity_degree_and_parity():
    ((multiplicity, irrep),) = Irreps("16x1o")
    assert (multiplicity, irrep.l, irrep.p) == (16, 1, -1)
    inversion = -torch.eye(3, dtype=F64)
    close(irreps_matrix("1x1o + 1x1e + 1x0o", inversion).diagonal(), [-1, -1, -1, 1, 1, 1, -1])


def test_convention_10_canonical_order_has_natural_parity_first():
    order = ["0e", "0o", "1o", "1e", "2e", "2o", "3o", "3e"]
    assert str(Irreps(" + ".join(reversed(order))).sort()[0]) == " + ".join(f"1x{name}" for name in order)
    assert [str(irrep) for irrep in e3nn.o3.Irrep.iterator(3)] == order
    assert sorted(map(Irrep.parse, reversed(order))) == [Irrep.parse(name) for name in order]


def test_convention_11_features_have_the_component_fast(rng):
    turn = rotation(rng)
    matrix = irreps_matrix("2x1o", turn)
    close(matrix, torch.block_diag(turn, turn))
    features = torch.arange(6, dtype=F64)  # two vectors, (0, 1, 2) and (3, 4, 5)
    assert convert_layout(features, "2x1o", "mul_ir", "ir_mul").tolist() == [0, 3, 1, 4, 2, 5]


# --- harmonics, Wigner matrices, couplings ---------------------------------------------------------------


@pytest.mark.parametrize("normalization", ["component", "norm", "integral"])
@pytest.mark.parametrize("normalize", [True, False])
def test_convention_12_harmonics_equal_those_of_e3nn(normalization, normalize, rng):
    points = vectors(rng, 20)
    want = e3nn.o3.spherical_harmonics(list(DEGREES), points, normalize, normalization)
    got = spherical_harmonics(list(DEGREES), points, normalize, normalization)
    close(got, want, epsilons=256)


def test_convention_13_components_are_ordered_about_the_axis_y(rng):
    point = vectors(rng)
    close(spherical_harmonics(1, point, normalize=False, normalization="norm"), point)
    for degree in DEGREES:
        pole = torch.zeros(2 * degree + 1, dtype=F64)
        pole[degree] = 1
        close(spherical_harmonics(degree, Y, normalization="norm"), pole)
        # Turning about y by an angle mixes m and -m by m times that angle.
        turned = wigner_D(degree, torch.from_numpy(Rotation.from_euler("y", 0.3).as_matrix()))
        close(turned.diagonal(), [math.cos(0.3 * m) for m in range(-degree, degree + 1)])


@pytest.mark.parametrize("degree", DEGREES)
def test_convention_14_normalisations(degree, rng):
    point = vectors(rng)
    sizes = {"component": 2 * degree + 1, "norm": 1, "integral": (2 * degree + 1) / (4 * math.pi)}
    for normalization, size in sizes.items():
        close(spherical_harmonics(degree, point, normalization=normalization).square().sum(), size)


@pytest.mark.parametrize("degree", DEGREES)
def test_convention_15_wigner_matrices_act_from_the_left(degree, rng):
    first, second, points = rotation(rng), rotation(rng), vectors(rng, 5)
    harmonics = spherical_harmonics(degree, points)
    close(spherical_harmonics(degree, points @ first.T), harmonics @ wigner_D(degree, first).T)
    close(wigner_D(degree, first @ second), wigner_D(degree, first) @ wigner_D(degree, second))
    if degree > 0:  # the other side is a different map
        assert (harmonics @ wigner_D(degree, first) - harmonics @ wigner_D(degree, first).T).abs().max() > 1e-3


def test_convention_16_degree_one_is_the_rotation_itself(rng):
    turn = rotation(rng)
    close(wigner_D(1, turn), turn)


@pytest.mark.parametrize("degree", DEGREES)
def test_convention_17_parity(degree, rng):
    turn, point = rotation(rng), vectors(rng)
    close(spherical_harmonics(degree, -point), (-1) ** degree * spherical_harmonics(degree, point))
    for parity, letter in ((1, "e"), (-1, "o")):
        close(irreps_matrix(f"1x{degree}{letter}", -turn), parity * wigner_D(degree, turn))


@pytest.mark.parametrize("degrees", [(0, 0, 0), (1, 1, 1), (1, 1, 2), (2, 1, 3), (2, 2, 2), (3, 2, 4), (4, 4, 5)])
def test_convention_18_couplings_are_invariant_normal_and_those_of_e3nn(degrees, rng):
    coupling, turn = wigner_3j(*degrees, dtype=F64), rotation(rng)
    close(coupling.square().sum(), 1)
    moved = torch.einsum("abc,ia,jb,kc->ijk", coupling, *(wigner_D(degree, turn) for degree in degrees))
    close(moved, coupling)
    close(coupling, e3nn.o3.wigner_3j(*degrees, dtype=F64))


def test_convention_19_the_vector_product_has_a_positive_sign():
    coupling = wigner_3j(1, 1, 1, dtype=F64)
    close(coupling[0, 1, 2], 1 / math.sqrt(6))
    close(torch.einsum("abc,a,b->c", coupling, X, Y), Z / math.sqrt(6))


def test_convention_20_two_vectors_couple_to_their_scalar_product():
    close(wigner_3j(1, 1, 0, dtype=F64)[..., 0], torch.eye(3, dtype=F64) / math.sqrt(3))


# --- graphs of atoms -------------------------------------------------------------------------------------


def test_convention_21_edges_go_from_source_to_destination_and_are_sorted_by_it(rng):
    edges = neighbour_list(2 * vectors(rng, 12), 4.0)
    destination = edges.edge_index[1]
    assert len(destination) > 0
    assert destination.equal(destination.sort().values)


def test_convention_22_the_vector_of_an_edge_points_to_the_source():
    positions = torch.tensor([[0.5, 0, 0], [2.5, 0, 0]], dtype=F64)
    close(edge_vectors(positions, torch.tensor([[1], [0]])), [[2, 0, 0]])
    cell = torch.diag(torch.tensor([3.0, 20, 20], dtype=F64))
    edges = neighbour_list(positions, 1.5, cell, (True, False, False))
    found = edge_vectors(positions, *edges, cell[None])
    into_first = found[edges.edge_index[1] == 0]
    close(into_first, [[-1, 0, 0]])  # the image of atom 1 at x = -0.5, seen from atom 0 at x = 0.5


def test_convention_23_rows_of_a_cell_are_lattice_vectors():
    cell = torch.tensor([[2.0, 0, 0], [1.0, 3.0, 0], [0, 0, 20.0]], dtype=F64)
    edges = neighbour_list(torch.zeros(1, 3, dtype=F64), 3.5, cell, (True, True, True))
    found = edge_vectors(torch.zeros(1, 3, dtype=F64), *edges, cell[None])
    assert any(torch.equal(vector, cell[1]) for vector in found)
    close(torch.from_numpy(Atoms("H", cell=cell.numpy(), pbc=True).cell[1]), cell[1])


def copper(stretch=1.0):
    atoms = bulk("Cu", cubic=True)
    atoms.positions[0, 0] += 0.1
    atoms.set_cell(stretch * atoms.cell, scale_atoms=True)
    return atoms


def energy_of(model, atoms, **wanted):
    graph = AtomGraph.build(
        torch.from_numpy(atoms.positions),
        torch.zeros(len(atoms), dtype=torch.int64),
        model.cutoff,
        cell=torch.from_numpy(atoms.cell.array),
        pbc=tuple(map(bool, atoms.pbc)),
    )
    return model(**collate([graph]).inputs(), **wanted)


def test_convention_24_forces_are_minus_the_gradient(potential):
    step, ends = 1e-4, []
    for sign in (1, -1):
        moved = copper()
        moved.positions[0, 0] += sign * step
        ends.append(float(energy_of(potential, moved)["energy"].detach()))
    force = energy_of(potential, copper())["forces"][0, 0].detach()
    slope = (ends[0] - ends[1]) / (2 * step)
    assert abs(slope) > 1e-4
    assert abs(float(force) + slope) < 1e-6 * abs(slope) + 1e-9


def stretched_by(energy, step=1e-4):
    """Derivative of the energy by a uniform strain, over the volume: the trace of the stress."""
    return (energy(copper(1 + step)) - energy(copper(1 - step))) / (2 * step) / copper().get_volume()


def test_convention_25_stress_has_the_sign_of_ase(potential):
    atoms = copper()
    atoms.calc = EMT()
    theirs = stretched_by(lambda a: EMT().get_potential_energy(a))
    assert abs(atoms.get_stress(voigt=False).trace() - theirs) < 1e-5 * abs(theirs) + 1e-8
    ours = stretched_by(lambda a: float(energy_of(potential, a)["energy"].detach()))
    stress = energy_of(potential, atoms, compute_stress=True)["stress"][0].detach()
    assert abs(ours) > 1e-5
    assert abs(float(stress.trace()) - ours) < 1e-5 * abs(ours) + 1e-8
    tension = copper(1.05)
    tension.calc = EMT()
    assert tension.get_stress(voigt=False).trace() > 0


def test_convention_26_units_are_those_of_ase(tmp_path):
    assert ase.units.Ang == ase.units.eV == 1
    atoms = copper()
    atoms.calc = EMT()
    wanted = atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress(voigt=False)
    ase.io.write(tmp_path / "copper.xyz", atoms)
    (read,) = read_structures(tmp_path / "copper.xyz", stress_key="stress", require=("energy", "forces", "stress"))
    given = atoms.positions, atoms.cell.array, *wanted
    for ours, theirs in zip((read.positions, read.cell, read.energy, read.forces, read.stress), given, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-7)  # what the file rounds to


def test_convention_26_times_are_in_femtoseconds_and_masses_in_daltons():
    speed = 0.001 / ase.units.fs  # Å/fs
    atoms = Atoms("Cu2", positions=[[0, 0, 0], [50, 0, 0]], velocities=[[-speed, 0, 0], [speed, 0, 0]])
    result = run_md(EMT(), atoms, MDSettings(time_step=2.0, steps=10))
    moved = result.atoms.positions - atoms.positions
    np.testing.assert_allclose(moved, [[-0.02, 0, 0], [0.02, 0, 0]], rtol=0, atol=1e-12)
    mass = 63.546 * constants.atomic_mass
    kinetic = mass * (0.001 * constants.angstrom / constants.femto) ** 2 / constants.eV
    np.testing.assert_allclose(result.columns["kinetic_ev"], kinetic, rtol=1e-6)


# --- numbers and chance ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_convention_27_results_have_the_dtype_of_their_arguments(dtype, rng, potential):
    point = vectors(rng).to(dtype)
    assert spherical_harmonics([0, 1, 2], point).dtype == dtype
    assert wigner_D(2, torch.eye(3, dtype=dtype)).dtype == dtype
    assert SO(3).sample(rng=rng, dtype=dtype).dtype == dtype
    graph = AtomGraph.build(vectors(rng, 3).to(dtype), torch.zeros(3, dtype=torch.int64), 5.0)
    result = potential.to(dtype)(**collate([graph]).inputs())
    potential.double()
    assert result["forces"].dtype == dtype
    assert result["energy"].dtype == torch.float64


def test_convention_28_importing_and_using_the_package_changes_no_global_state():
    program = """
import random, numpy, torch
def state():
    random_numbers = torch.get_rng_state().tolist(), random.getstate(), str(numpy.random.get_state())
    return torch.get_default_dtype(), random_numbers
before = state()
import intertwine
from intertwine import graphs, groups, nn, products, representations, symmetry, testing, training, systems
g = torch.Generator().manual_seed(1)
groups.SE(3).sample(4, rng=g)
representations.Irreps("8x0e + 8x1o").random(3, rng=g)
representations.spherical_harmonics([0, 1, 2], torch.ones(3))
raise SystemExit(0 if before == state() else "global state has changed")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_convention_29_the_same_seed_gives_the_same_numbers():
    def draw(seed):
        rng = torch.Generator().manual_seed(seed)
        features = Irreps("4x0e + 2x1o").random(5, rng=rng)
        settings = ModelSettings(channels=2, harmonics_lmax=1, correlation=1)
        weights = Potential(settings, atomic_energies={1: 0.0}, rng=rng).state_dict().values()
        return torch.cat([features.flatten(), SE(3).sample(3, rng=rng).flatten(), *(w.flatten() for w in weights)])

    assert draw(5).equal(draw(5))
    assert not draw(5).equal(draw(6))


def test_convention_30_the_version_is_stated_and_stored(checkout, tmp_path, potential):
    page = (checkout / "docs" / "conventions.md").read_text(encoding="utf-8")
    assert f"CONVENTION_VERSION = {CONVENTION_VERSION}" in page
    potential.save_pretrained(tmp_path / "model")
    stored = "".join(file.read_text(encoding="utf-8") for file in (tmp_path / "model").glob("*.json"))
    assert re.search(rf'"convention[a-z_]*": {CONVENTION_VERSION}\b', stored)


def test_convention_31_gaunt_constants_have_no_sign():
    irreps = Irreps.spherical_harmonics(3)
    constants = {
        (i.ir1.l, i.ir2.l, i.ir_out.l): i.constant for i in make_product("gaunt_grid", irreps, irreps).interactions()
    }
    assert min(constants.values()) > 0
    assert constants[1, 1, 0] == pytest.approx((3 / (4 * math.pi)) ** 0.5, abs=1e-12)


def test_convention_32_the_curl_product_is_the_cross_product(rng):
    a, b = torch.randn(2, 5, 3, generator=rng, dtype=torch.float64)
    curl = make_product("gaunt_curl", "1o", "1o", "1e").double()
    expected = (3 / (4 * math.pi)) ** 0.5 * torch.linalg.cross(a, b)
    torch.testing.assert_close(curl(a, b), expected, **tolerance(torch.float64, size=expected.abs().max().item()))


def test_convention_33_edge_frames_turn_edges_onto_y(rng):
    r = torch.randn(5, 3, generator=rng, dtype=torch.float64)
    turned = torch.einsum("nij,nj->ni", edge_rotation(r), r)
    expected = torch.zeros_like(r)
    expected[:, 1] = r.norm(dim=-1)
    torch.testing.assert_close(turned, expected, **tolerance(torch.float64, size=float(r.abs().max())))


def test_convention_34_space_time_has_time_first_and_a_positive_square_of_it(rng):
    assert minkowski_metric(4).tolist() == [1, -1, -1, -1]
    rapidity = torch.tensor([0.0, 0.0, 0.0, 0.6, 0.0, 0.0], dtype=F64)
    moved = Lorentz(4).exp(rapidity) @ torch.tensor([1.0, 0, 0, 0], dtype=F64)
    close(moved, [math.cosh(0.6), math.sinh(0.6), 0.0, 0.0])
    g, x = Lorentz(4).sample(rng=rng, dtype=F64), torch.randn(4, generator=rng, dtype=F64)
    t, *space = (g @ x).tolist()
    assert t**2 - sum(s**2 for s in space) == pytest.approx(x[0].item() ** 2 - x[1:].square().sum().item(), abs=1e-12)
    eta = torch.diag(torch.tensor([1.0, -1, -1, -1], dtype=F64))
    close(g.T @ eta @ g, eta, epsilons=2000)


def test_convention_35_complex_numbers_are_pairs_of_real_and_imaginary_part(rng):
    assert complex_to_real(torch.tensor([[2 + 3j]])).tolist() == [[2, -3], [3, 2]]
    one = U(2).sample(rng=rng, dtype=F64)
    z = np.array([1 + 2j, -0.5 + 0.25j])
    pairs = np.stack([z.real, z.imag], axis=1).ravel()
    moved = (one.numpy() @ pairs).reshape(2, 2)
    matrix = one.numpy()[::2, ::2] + 1j * one.numpy()[1::2, ::2]
    np.testing.assert_allclose(moved[:, 0] + 1j * moved[:, 1], matrix @ z, atol=1e-15)
