"""The selectable products of the networks: which equal each other, and that all keep the symmetry."""

import pytest
import torch

from intertwine.errors import ConfigError
from intertwine.graphs import AtomGraph, collate
from intertwine.symmetry import equivariance_error
from intertwine.systems.potential.model import Potential
from intertwine.systems.potential.settings import ModelSettings
from intertwine.testing import tolerance

SIZES = {"channels": 4, "layers": 2, "hidden_lmax": 1, "harmonics_lmax": 2, "radial_widths": (8,), "cutoff": 3.0}
PRODUCTS = ("clebsch_gordan", "so2", "gaunt_grid", "gaunt_fourier")


def build(architecture, product):
    settings = ModelSettings(architecture=architecture, product=product, odd_parity=False, correlation=3, **SIZES)
    rng = torch.Generator().manual_seed(3)
    model = Potential(settings, atomic_energies={1: -13.6, 8: -2041.8}, mean_neighbours=6.0, rng=rng)
    return model.double()


@pytest.fixture
def batch(rng):
    graphs = []
    for atoms in (5, 7):
        positions = torch.randn(atoms, 3, generator=rng, dtype=torch.float64) * 1.2
        species = torch.randint(2, (atoms,), generator=rng)
        graphs.append(AtomGraph.build(positions, species, SIZES["cutoff"]))
    return collate(graphs)


def close(a, b, epsilons=4096):
    size = a["forces"].abs().max().item()
    torch.testing.assert_close(b["forces"], a["forces"], **tolerance(torch.float64, epsilons, size))
    size = a["energy"].abs().max().item()
    torch.testing.assert_close(b["energy"], a["energy"], **tolerance(torch.float64, epsilons, size))


@pytest.mark.parametrize("architecture", ["mace", "nequip"])
@pytest.mark.parametrize(("one", "other"), [("clebsch_gordan", "so2"), ("gaunt_grid", "gaunt_fourier")])
def test_two_ways_to_compute_one_network(architecture, one, other, batch):
    """The same seed gives the same weights, and these the same energies and forces."""
    first, second = build(architecture, one), build(architecture, other)
    assert [p.shape for p in first.parameters()] == [p.shape for p in second.parameters()]
    close(first(**batch.inputs()), second(**batch.inputs()))


@pytest.mark.parametrize("architecture", ["mace", "nequip"])
def test_gaunt_is_another_network(architecture, batch):
    """A many-body Gaunt product has one weight a degree and order instead of one a coupling."""
    full, gaunt = build(architecture, "clebsch_gordan"), build(architecture, "gaunt_grid")
    a, b = (model(**batch.inputs())["forces"] for model in (full, gaunt))
    assert (a - b).abs().max() > 1e-3
    if architecture == "mace":
        assert sum(p.numel() for p in gaunt.parameters()) < sum(p.numel() for p in full.parameters())


@pytest.mark.parametrize("architecture", ["mace", "nequip"])
@pytest.mark.parametrize("product", PRODUCTS)
def test_symmetry_and_forces(architecture, product, batch, rng):
    model = build(architecture, product)
    model.atomic_energies, model.shift = {1: 0.0, 8: 0.0}, 0.0  # 10^4 eV of constants would hide an error
    report = equivariance_error(model, batch.inputs(), trials=2, rng=rng)
    assert {entry.part for entry in report.entries} >= {"rotations", "reflections", "translations", "permutations"}
    assert max(entry.absolute for entry in report.entries) < 1e-9, report.explain()  # eV and eV/Å
    assert report.worst.relative < 1e-9, report.explain()
    output = model(**batch.inputs())
    positions = batch.positions
    step = torch.randn(positions.shape, generator=rng, dtype=torch.float64)
    ends = []
    for sign in (1, -1):
        moved = batch.inputs() | {"positions": positions + sign * 1e-5 * step}
        ends.append(model(**moved)["node_energy"].sum())
    slope = (ends[0] - ends[1]) / 2e-5
    work = -(output["forces"] * step).sum()
    torch.testing.assert_close(work, slope, rtol=1e-6, atol=1e-6)


def alone(positions, species):
    return collate([AtomGraph.build(torch.as_tensor(positions, dtype=torch.float64), species, SIZES["cutoff"])])


@pytest.mark.parametrize("architecture", ["mace", "nequip"])
@pytest.mark.parametrize("product", PRODUCTS)
def test_far_molecules_add_up_and_the_cutoff_is_smooth(architecture, product, rng):
    """Energies without the constants of the elements; a third atom that crosses the radius makes no jump."""
    model = build(architecture, product)
    model.atomic_energies, model.shift = {1: 0.0, 8: 0.0}, 0.0
    positions, species = torch.randn(5, 3, generator=rng, dtype=torch.float64) * 1.2, torch.tensor([0, 1, 0, 0, 1])
    one = model(**alone(positions, species).inputs())
    two = model(**alone(torch.cat([positions, positions + 100]), species.repeat(2)).inputs())
    assert one["energy"].abs() > 1e-3
    assert two["energy"].item() == pytest.approx(2 * one["energy"].item(), rel=1e-12, abs=1e-12)
    torch.testing.assert_close(two["forces"], one["forces"].repeat(2, 1), rtol=0, atol=1e-12)

    def at(distance):
        out = model(**alone([[0, 0, 0], [0.96, 0, 0], [0, distance, 0]], torch.tensor([1, 0, 0])).inputs())
        return out["energy"].item(), out["forces"].detach()

    inside, outside, far = at(SIZES["cutoff"] - 1e-5), at(SIZES["cutoff"] + 1e-5), at(5.0)
    assert inside[0] == pytest.approx(outside[0], abs=1e-10)
    assert (inside[1] - outside[1]).abs().max() < 1e-6
    assert outside[0] == far[0]
    assert abs(at(1.5)[0] - far[0]) > 1e-5  # inside of the cutoff it does interact


def test_gaunt_products_have_no_unnatural_parity():
    with pytest.raises(ConfigError) as caught:
        ModelSettings(architecture="nequip", product="gaunt_grid", odd_parity=True)
    assert "natural parity" in str(caught.value)
