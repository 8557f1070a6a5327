"""Models of mace-torch: numbers that mace-torch computed (scripts/mace_reference.py), and parts that are refused."""

import numpy as np
import pytest
import torch

from intertwine.errors import ConfigError
from intertwine.graphs import AtomGraph, collate
from intertwine.representations import Irrep, Irreps, wigner_3j
from intertwine.symmetry import equivariance_error
from intertwine.systems.potential.convert import from_mace, to_mace
from intertwine.systems.potential.convert.contraction import combinations_of_basis
from intertwine.systems.potential.model import Potential

DOUBLE = torch.float64
CASES = {
    # first layer, correlation, largest degree of hidden features and of harmonics, layers
    "mixed-3-1-2": ("mixed", 3, 1, 2, 2),
    "mixed-2-0-3": ("mixed", 2, 0, 3, 3),
    "residual-2-2-3": ("residual", 2, 2, 3, 2),
    "residual-3-2-2": ("residual", 3, 2, 2, 2),
}
cases = pytest.mark.parametrize("case", list(CASES))


class Reference:
    """One file of ``tests/data/mace``: a state dict, a batch of structures, and what mace-torch says of them."""

    def __init__(self, path):
        with np.load(path) as file:
            arrays = {name: torch.from_numpy(file[name]) for name in file.files}
        self.state = {name[6:]: value for name, value in arrays.items() if name.startswith("state/")}
        self.outputs = {name: arrays[name] for name in ("energy", "forces", "stress")}
        # mace-torch divides by the volume of a box that it puts around a molecule; only a crystal has a stress
        self.outputs["stress"] = self.outputs["stress"] * arrays["periodic"][:, None, None]
        self.mean_neighbours = float(arrays["mean_neighbours"])
        self.arrays = arrays

    def batch(self, potential, dtype=DOUBLE):
        sizes, graphs = self.arrays["sizes"].tolist(), []
        index = {number: place for place, number in enumerate(potential.species)}
        parts = zip(
            *(self.arrays[name].split(sizes) for name in ("numbers", "positions")),
            self.arrays["cells"],
            self.arrays["periodic"].tolist(),
            strict=True,
        )
        for numbers, positions, cell, periodic in parts:
            species = torch.tensor([index[number] for number in numbers.tolist()])
            options = {"cell": cell.to(dtype), "pbc": (periodic,) * 3} if periodic else {}
            graphs.append(AtomGraph.build(positions.to(dtype), species, potential.cutoff, **options))
        return collate(graphs).inputs()

    def convert(self, **changed):
        return from_mace(self.state | changed, mean_neighbours=self.mean_neighbours)


@pytest.fixture(scope="module")
def reference(data_dir):
    return lambda case: Reference(data_dir / "mace" / f"{case}.npz")


def difference(potential, found, dtype=DOUBLE):
    """The largest error of each output, in parts of the largest value."""
    inputs = found.batch(potential, dtype)
    with torch.no_grad():
        outputs = potential(**inputs, compute_stress=True)
    return {
        name: float((outputs[name].double() - expected).abs().max() / expected.abs().max())
        for name, expected in found.outputs.items()
    }


@cases
def test_equal_outputs_in_float64(case, reference):
    found = reference(case)
    potential = found.convert()
    settings = potential.settings
    first, correlation, hidden, harmonics, layers = CASES[case]
    assert (settings.first_layer, settings.correlation) == (first, correlation)
    assert (settings.hidden_lmax, settings.harmonics_lmax, settings.layers) == (hidden, harmonics, layers)
    assert (settings.cutoff, settings.radial_size, settings.radial_power) == (3.5, 5, 6)
    assert (settings.radial_widths, settings.readout_width, settings.channels) == ((6, 7), 3, 4)
    assert potential.atomic_energies == {1: 0.25, 6: 1.5, 8: -0.5}
    assert next(potential.parameters()).dtype == DOUBLE
    assert not potential.training
    errors = difference(potential, found)
    assert max(errors.values()) < 1e-12, errors


@cases
def test_equal_outputs_in_float32(case, reference):
    found = reference(case)
    found.state = {n: t.float() if t.is_floating_point() else t for n, t in found.state.items()}
    potential = found.convert()
    assert next(potential.parameters()).dtype == torch.float32
    errors = difference(potential, found, torch.float32)
    assert max(errors.values()) < 1e-5, errors


@pytest.mark.parametrize(
    "name",
    [
        "interactions.1.conv_tp_weights.layer2.weight",  # the order of the paths
        "interactions.0.skip_tp.weight",  # the order of species and channels
        "products.0.symmetric_contractions.contractions.1.weights_max",  # the order of the couplings
        "readouts.1.linear_2.weight",
    ],
)
def test_a_weight_in_another_order_is_noticed(name, reference):
    found = reference("mixed-3-1-2")
    weight = found.state[name]
    twin = found.convert(**{name: weight.flatten().roll(4 if weight.numel() > 4 else 1).reshape(weight.shape)})
    assert difference(twin, found)["forces"] > 1e-7


def test_another_number_of_neighbours_or_constant_of_the_activation_is_noticed(reference, monkeypatch):
    from intertwine.systems.potential.convert import links

    found = reference("residual-2-2-3")
    assert difference(from_mace(found.state, mean_neighbours=6.6), found)["forces"] > 1e-3
    monkeypatch.setattr(links, "SILU_OF_E3NN", 1.6765)
    assert difference(found.convert(), found)["forces"] > 1e-5


def test_a_converted_model_is_saved_and_loaded(reference, tmp_path):
    found = reference("mixed-3-1-2")
    found.convert().save_pretrained(tmp_path / "model")
    loaded = Potential.from_pretrained(tmp_path / "model")
    assert max(difference(loaded, found).values()) < 1e-12


def test_a_model_with_a_mixed_first_layer_is_equivariant(reference, rng):
    found = reference("mixed-3-1-2")
    potential = found.convert()
    inputs = found.batch(potential)
    potential.atomic_energies, potential.shift = dict.fromkeys(potential.atomic_energies, 0.0), 0.0
    report = equivariance_error(potential, inputs, trials=4, rng=rng)
    assert report.worst.relative < 1e-10, report.explain()


# --- the way back -----------------------------------------------------------------------------------------


@cases
def test_back_and_forth_is_the_same_function(case, reference, rng):
    """A potential of random weights and the weights that mace-torch would have for it, converted again."""
    found = reference(case)
    settings = found.convert().settings
    energies = {1: -0.1, 6: 0.2, 8: 0.3}
    scaled = {"scale": 1.5, "shift": 0.7} if "scale_shift.scale" in found.state else {}
    options = {"atomic_energies": energies, "mean_neighbours": found.mean_neighbours, **scaled}
    potential = Potential(settings, **options, rng=rng).double().eval()
    state = to_mace(potential, found.state)
    assert {name: tensor.shape for name, tensor in state.items()} == {n: t.shape for n, t in found.state.items()}
    again = from_mace(state, mean_neighbours=found.mean_neighbours)
    assert again.config() == potential.config()
    inputs = found.batch(potential)
    with torch.no_grad():
        expected, outputs = potential(**inputs), again(**inputs)
    for name in ("energy", "forces"):
        assert (outputs[name] - expected[name]).abs().max() < 1e-11 * expected[name].abs().max()


def test_weights_of_mace_come_back_where_couplings_are_independent(reference):
    found = reference("mixed-2-0-3")
    state = to_mace(found.convert(), found.state)
    for name, tensor in found.state.items():
        if "symmetric_contractions.contractions" not in name:
            torch.testing.assert_close(state[name], tensor, rtol=1e-12, atol=1e-14)


def test_the_way_back_needs_a_state_of_equal_settings(reference):
    plain, scaled = reference("residual-3-2-2"), reference("residual-2-2-3")
    with pytest.raises(ConfigError, match="hyperparameters"):
        to_mace(plain.convert(), scaled.state)
    potential = plain.convert()
    potential.shift = 0.5
    with pytest.raises(ConfigError, match="scale and shift"):
        to_mace(potential, plain.state)


# --- couplings --------------------------------------------------------------------------------------------


def test_couplings_are_combinations_of_the_basis_and_others_are_not(rng):
    """Two vectors make one symmetric tensor of degree 2: the coupling is a multiple of it, whatever its sign."""
    irreps, target = Irreps("1o"), Irrep(2, 1)
    coupling = wigner_3j(1, 1, 2, dtype=DOUBLE).permute(2, 0, 1).unsqueeze(-1)
    pair = torch.cat([coupling, -2 * coupling], dim=-1)
    combinations, missed = combinations_of_basis(pair, irreps, target, 2)
    assert combinations.shape == (1, 2)
    assert missed < 1e-14
    assert combinations[0, 1].item() == pytest.approx(-2 * combinations[0, 0].item())
    mirrored = coupling * torch.tensor([1.0, 1, -1, 1, 1], dtype=DOUBLE)[:, None, None, None]
    assert combinations_of_basis(mirrored, irreps, target, 2)[1] > 0.1
    assert combinations_of_basis(torch.randn(3, 3, 3, 2, dtype=DOUBLE, generator=rng), irreps, Irrep(1, -1), 2)[1] == 1
    assert combinations_of_basis(torch.zeros(3, 3, 3, 1, dtype=DOUBLE), irreps, Irrep(1, -1), 2)[1] == 0


# --- what is refused --------------------------------------------------------------------------------------


def test_couplings_that_are_not_equivariant_are_refused(reference):
    found = reference("mixed-3-1-2")
    name = "products.0.symmetric_contractions.contractions.1.U_matrix_2"
    broken = found.state[name].clone()
    broken[1] *= -1
    with pytest.raises(ConfigError) as caught:
        found.convert(**{name: broken})
    assert name in caught.value.got


def test_couplings_of_another_sign_are_refused(reference):
    found = reference("mixed-3-1-2")
    name = next(name for name in found.state if "_w3j_1_1_2" in name)
    with pytest.raises(ConfigError) as caught:
        found.convert(**{name: -found.state[name]})
    assert name in caught.value.got


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("interactions.0.density_fn.layer0.weight", "density"),
        ("pair_repulsion_fn.c", "pair repulsion"),
        ("radial_embedding.distance_transform.a", "transform of distances"),
        ("readouts.2.linear.weight", "parts"),
        ("readouts.0.linear.bias", "parts"),
    ],
)
def test_parts_without_a_counterpart_are_refused_by_name(name, words, reference):
    with pytest.raises(ConfigError) as caught:
        reference("residual-2-2-3").convert(**{name: torch.ones(1)})
    assert name in caught.value.got
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("atomic_energies_fn.atomic_energies", torch.zeros(2, 3)),  # two heads
        ("interactions.1.skip_tp.weight", torch.zeros(7)),
        ("num_interactions", torch.tensor(1)),
        ("radial_embedding.bessel_fn.bessel_weights", torch.ones(5)),
        ("radial_embedding.cutoff_fn.r_max", torch.tensor(4.0)),
    ],
)
def test_other_values_are_refused(name, value, reference):
    with pytest.raises(ConfigError):
        reference("residual-2-2-3").convert(**{name: value})


def test_a_state_that_is_not_of_mace_or_lacks_the_neighbours_is_refused(reference):
    with pytest.raises(ConfigError, match="num_interactions"):
        from_mace({"weight": torch.ones(1)}, mean_neighbours=1.0)
    with pytest.raises(ConfigError) as caught:
        from_mace(reference("residual-2-2-3").state)
    assert "avg_num_neighbors" in caught.value.expected


class Stub(torch.nn.Module):
    """What `from_mace` looks at in a model object, with the names of mace-torch's classes."""

    def __init__(self, found, blocks, name="MACE", gate=torch.nn.functional.silu, **options):
        super().__init__()
        self.original_name, self.found = name, found
        self.interactions = torch.nn.ModuleList(torch.nn.Module() for _ in blocks)
        for block, kind in zip(self.interactions, blocks, strict=True):
            block.original_name, block.avg_num_neighbors = kind, found.mean_neighbours
        last = torch.nn.Module()
        last.linear_1, last.linear_2 = torch.nn.Linear(4, 3, False), torch.nn.Linear(3, 1, False)
        last.non_linearity = lambda x: gate(x) * 1.6791767923989418
        self.readouts = torch.nn.ModuleList([last])
        for key, value in options.items():
            setattr(self, key, value)

    def state_dict(self, *_, **__):
        return self.found.state


RESIDUAL, PLAIN = "RealAgnosticResidualInteractionBlock", "RealAgnosticInteractionBlock"


def test_a_model_object_brings_its_number_of_neighbours(reference):
    found = reference("residual-3-2-2")
    potential = from_mace(Stub(found, [RESIDUAL, RESIDUAL]))
    assert potential.mean_neighbours == found.mean_neighbours
    assert max(difference(potential, found).values()) < 1e-12


@pytest.mark.parametrize(
    ("blocks", "options", "named"),
    [
        (["RealAgnosticDensityInteractionBlock", RESIDUAL], {}, "RealAgnosticDensityInteractionBlock"),
        ([RESIDUAL, PLAIN], {}, PLAIN),
        ([RESIDUAL, RESIDUAL], {"name": "AtomicDipolesMACE"}, "AtomicDipolesMACE"),
        ([RESIDUAL, RESIDUAL], {"apply_cutoff": False}, "apply_cutoff"),
        ([RESIDUAL, RESIDUAL], {"gate": torch.tanh}, "SiLU"),
    ],
)
def test_objects_with_other_parts_are_refused_by_name(blocks, options, named, reference):
    with pytest.raises(ConfigError) as caught:
        from_mace(Stub(reference("residual-3-2-2"), blocks, **options))
    assert named in str(caught.value.got)


def test_a_number_of_neighbours_that_contradicts_the_model_is_refused(reference):
    with pytest.raises(ConfigError):
        from_mace(Stub(reference("residual-3-2-2"), [RESIDUAL, RESIDUAL]), mean_neighbours=9.0)
