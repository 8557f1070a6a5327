"""The steerable network: symmetry, an oracle of the factorised product, the contract, and twins that break it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from intertwine.errors import ConfigError, ShapeError
from intertwine.groups import O
from intertwine.nn import Gate
from intertwine.particles import SampleSet, SimulationSettings, simulated_samples
from intertwine.products.paths import all_paths
from intertwine.representations import Irreps, wigner_3j
from intertwine.representations.layout import split_blocks
from intertwine.symmetry import equivariance_error, localise
from intertwine.symmetry.check import check_module
from intertwine.systems.segnn.model import (
    SEGNN,
    GatedProduct,
    SteerableProduct,
    attribute_irreps,
    balanced_channels,
    hidden_irreps,
)
from intertwine.systems.segnn.settings import ModelSettings
from intertwine.testing import ModuleContract, check_compile, tolerance

DOUBLE = torch.float64
PRODUCTS = ("clebsch_gordan", "gaunt", "gaunt_complete")
products = pytest.mark.parametrize("product", PRODUCTS)
degrees = pytest.mark.parametrize("degree", [1, 2])


def build(product="clebsch_gordan", degree=1, dtype=DOUBLE, **options):
    settings = ModelSettings(product=product, attribute_lmax=degree, **{"hidden": 10, "layers": 1} | options)
    return SEGNN(settings, rng=torch.Generator().manual_seed(5)).to(dtype)


@products
@degrees
def test_symmetry_under_motions_mirrors_and_renaming(product, degree, batch, rng):
    report = equivariance_error(build(product, degree), batch.inputs(), trials=6, rng=rng)
    assert {entry.part for entry in report.entries} >= {"rotations", "reflections", "translations", "permutations"}
    assert report.worst.relative < 1e-12, report.explain()


def test_both_parities_with_clebsch_gordan_products(batch, rng):
    model = build(parity="all")
    assert model.irreps_hidden == "4x0e + 4x0o + 4x1o + 4x1e"
    assert equivariance_error(model, batch.inputs(), trials=6, rng=rng).worst.relative < 1e-12


@products
def test_larger_hidden_degrees(product, batch, rng):
    model = build(product, 2, hidden_lmax=2, layers=1)
    assert equivariance_error(model, batch.inputs(), trials=4, rng=rng).worst.relative < 1e-12


@products
def test_every_part_keeps_the_symmetry_it_declares(product, batch, rng):
    report = localise(build(product), batch.inputs(), rng=rng)
    declared = [finding for finding in report.findings if finding.declared]
    kinds = {"SEGNN", "SteerableProduct", "GatedProduct", "Gate"}
    kinds |= {"FullyConnectedTensorProduct" if product == "clebsch_gordan" else "ParityGauntTensorProduct"}
    assert {finding.kind for finding in declared} >= kinds
    assert all(finding.verdict == "keeps" for finding in declared), report.rows()


class CentredAsPublished(SEGNN):
    """The published centring: the mean over the three coordinates of each particle instead of over the particles."""

    def forward(self, positions, velocities, charges, edge_index, graph_index):
        moved = positions - positions.mean(1, keepdim=True)
        return super().forward(moved, velocities, charges, edge_index, graph_index) - moved + positions


def test_the_published_centring_breaks_rotations_and_is_caught(batch, rng):
    model = CentredAsPublished(ModelSettings(hidden=10, layers=1), rng=torch.Generator().manual_seed(5)).double()
    report = equivariance_error(model, batch.inputs(), rng=rng)
    assert not report.passed()
    broken = {entry.part for entry in report.entries if entry.relative > 1e-6}
    assert {"rotations", "reflections"} <= broken


def test_a_part_that_mixes_components_is_found_by_name(batch, rng):
    model = build()
    inner = model.layers[0].message_2.steered

    class Leaky(type(inner)):
        def forward(self, x, attributes):
            return super().forward(x, attributes) * torch.linspace(1, 1.1, self.irreps_out.dim, dtype=x.dtype)

    inner.__class__ = Leaky
    report = check_module(model, batch.inputs(), rng=rng)
    assert not report.passed
    assert report.localisation.culprit.name == "layers.0.message_2.steered"


@products
def test_all_charges_may_change_their_sign(product, batch):
    """Forces depend on products of charges, and so does the network; on their signs alone it does depend."""
    model = build(product)
    other = replace(batch, charges=-batch.charges)
    torch.testing.assert_close(model(**other.inputs()), model(**batch.inputs()), rtol=0, atol=0)
    first = replace(batch, charges=batch.charges * torch.tensor([-1.0, 1, 1, 1, 1], dtype=DOUBLE).repeat(3))
    assert (model(**first.inputs()) - model(**batch.inputs())).abs().max() > 1e-6


@products
def test_systems_of_a_batch_do_not_see_each_other(product, samples):
    """Each graph has its own centroid: one far away changes nothing in the others."""
    model, data = build(product), SampleSet(samples)
    batch, alone = data.__getitems__([0, 1]), data[0]
    shift = torch.tensor([0.0, 40.0, 0.0], dtype=DOUBLE) * batch.graph_index.unsqueeze(-1)
    together = model(**replace(batch, positions=batch.positions + shift).inputs())
    torch.testing.assert_close(together[:5], model(**alone.inputs()), **tolerance(DOUBLE, size=3.0))


def test_isolated_and_coincident_particles_are_predicted():
    settings = SimulationSettings(particles=1, stream=(3, 1, 1))
    alone = SampleSet(simulated_samples(settings, "train")).batches(3)[0]
    assert build()(**alone.inputs()).isfinite().all()
    settings = SimulationSettings(particles=2, stream=(3, 1, 1))
    pairs = SampleSet(simulated_samples(settings, "train")).batches(3)[0]
    resting = replace(pairs, positions=torch.zeros_like(pairs.positions).requires_grad_())
    out = build()(**replace(resting, velocities=torch.zeros_like(pairs.velocities)).inputs())
    assert out.isfinite().all()
    (slope,) = torch.autograd.grad(out.sum(), resting.positions)
    assert slope.isfinite().all()


# --- the products ----------------------------------------------------------------------------------------


def coupling_of(product, a, b, c):
    """The integral of three harmonics, or C for odd sums: there one coupling feeds an irrep, and is scaled anyway."""
    if (a.l + b.l + c.l) % 2 == 0:
        return _integral(a.l, b.l, c.l)
    return wigner_3j(a.l, b.l, c.l, dtype=DOUBLE) if product == "gaunt_complete" else None


def _integral(l1, l2, l3):
    """The integral of three harmonics by a fine Gauss-Legendre grid, from harmonics in closed form."""
    cosine, weight = np.polynomial.legendre.leggauss(16)
    alpha = 2 * np.pi * np.arange(32) / 32
    c, a = np.meshgrid(cosine, alpha, indexing="ij")
    s = np.sqrt(1 - c**2)
    x, y, z = s * np.sin(a), c, s * np.cos(a)
    one = np.ones_like(x)
    harmonics = [
        np.stack([one]) / np.sqrt(4 * np.pi),
        np.stack([x, y, z]) * np.sqrt(3 / (4 * np.pi)),
        np.stack([x * z, x * y, (y**2 - (x**2 + z**2) / 2) / np.sqrt(3), y * z, (z**2 - x**2) / 2])
        * np.sqrt(15 / (4 * np.pi)),
    ]
    measure = weight[:, None] * 2 * np.pi / 32
    return torch.tensor(
        np.einsum("aij,bij,cij,ij->abc", *(harmonics[degree] for degree in (l1, l2, l3)), measure + 0 * one)
    )


@pytest.mark.parametrize("product", ["gaunt", "gaunt_complete"])
@degrees
def test_gaunt_layers_are_sums_over_couplings_of_factorised_weights(product, degree, rng):
    """The oracle couples every pair of irreps apart, with the weights that the maps between channels hold."""
    settings = ModelSettings(product=product, attribute_lmax=degree)
    complete = product == "gaunt_complete"
    irreps_in = Irreps("3x0e + 2x0o + 3x1o + 2x1e" if complete else "3x0e + 2x1o")
    irreps_out = Irreps("4x0e + 2x0o + 3x1o + 3x1e" if complete else "4x0e + 3x1o")
    attributes = attribute_irreps(settings)
    layer = SteerableProduct(irreps_in, attributes, irreps_out, settings, 5, rng).double()
    layer.bias.data.normal_(generator=rng)
    x, y = irreps_in.random(6, rng=rng, dtype=DOUBLE), attributes.random(6, rng=rng, dtype=DOUBLE)
    gathered = []
    inner = layer.product
    for part, mix_in, mix_attributes in zip(inner.products, inner.mix_in1, inner.mix_in2, strict=True):
        left = dict(zip(part.irreps_in1.irreps, mix_in(split_blocks(x, irreps_in, "ir_mul")), strict=True))
        right = mix_attributes(split_blocks(y, attributes, "ir_mul"))
        for out in part.irreps_out.irreps:
            total, square = torch.zeros(6, out.dim, 5, dtype=DOUBLE), 0.0
            for ir, block in left.items():
                for other, factor in zip(attributes.irreps, right, strict=True):
                    coupling = coupling_of(product, ir, other, out) if out in ir * other else None
                    if coupling is not None:
                        total += torch.einsum("zic,zjc,ijk->zkc", block, factor, coupling)
                        square += float(coupling.square().sum())
            gathered.append(total / (square / out.dim) ** 0.5)
    blocks = inner.mix_out(gathered)
    blocks[0] = blocks[0] + layer.bias
    wanted = torch.cat([block.flatten(-2) for block in blocks], dim=-1).detach()
    torch.testing.assert_close(layer(x, y), wanted, **tolerance(DOUBLE, size=float(wanted.abs().max())))


@pytest.mark.parametrize("backend", ["separable", "fourier", "fourier_fft", "dense"])
def test_backends_give_the_same_numbers(backend, batch):
    grid, other = build("gaunt", 2), build("gaunt", 2, backend=backend)
    for one, two in zip(grid.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, two)
    wanted = grid(**batch.inputs())
    torch.testing.assert_close(other(**batch.inputs()), wanted, **tolerance(DOUBLE, epsilons=2048, size=3.0))


def test_gaunt_products_write_no_cross_product(rng):
    """Even couplings leave natural parity alone: nothing but zero can reach an irrep of unnatural parity."""
    for product, reached in (("gaunt", False), ("gaunt_complete", True), ("clebsch_gordan", True)):
        settings = ModelSettings(product=product)
        layer = SteerableProduct(Irreps("2x1o"), Irreps("0e + 1o"), Irreps("2x0e + 2x1e"), settings, 2, rng)
        out = layer(Irreps("2x1o").random(3, rng=rng), Irreps("0e + 1o").random(3, rng=rng))
        assert bool((out[:, 2:] != 0).any()) is reached


@products
def test_steered_features_begin_near_unit_variance(product, rng):
    """For unit-variance features and attributes: what lets the learning rate be the same for all products."""
    settings = ModelSettings(product=product)
    hidden, attributes = hidden_irreps(settings), attribute_irreps(settings)
    gate = Gate(hidden, gate="sigmoid", layout="ir_mul")
    layer = SteerableProduct(hidden, attributes, gate.irreps_in, settings, hidden[0].mul, rng)
    out = layer(hidden.random(4000, rng=rng), attributes.random(4000, rng=rng))
    for block in split_blocks(out.detach(), gate.irreps_in, "ir_mul"):
        assert 0.5 < block.square().mean() < 2.0


def test_hidden_channels_need_as_many_weights_as_scalars():
    assert hidden_irreps(ModelSettings()) == "32x0e + 32x1o"
    assert hidden_irreps(ModelSettings(attribute_lmax=2)) == "29x0e + 29x1o"
    for settings in (ModelSettings(hidden=24), ModelSettings(product="gaunt_complete", attribute_lmax=2)):
        hidden, attributes = hidden_irreps(settings), attribute_irreps(settings)
        channels = hidden[0].mul
        kinds = Irreps([ir for ir in hidden.irreps])
        paths = len(all_paths(kinds, attributes, kinds))
        assert channels**2 * paths >= settings.hidden**2 > (channels - 1) ** 2 * paths
        assert balanced_channels(kinds, attributes, settings.hidden) == channels


def test_features_turn_with_the_particles_inside_the_network(batch, rng):
    model = build("gaunt_complete")
    rotation = O(3).sample(rng=rng, dtype=DOUBLE)
    seen = []
    model.layers[0].register_forward_hook(lambda module, inputs, output: seen.append(output))
    turned = replace(batch, positions=batch.positions @ rotation.T, velocities=batch.velocities @ rotation.T)
    model(**batch.inputs())
    model(**turned.inputs())
    wanted = model.layers[0].update_2.symmetry.output.apply(O(3), rotation, seen[0])
    torch.testing.assert_close(seen[1], wanted, rtol=1e-12, atol=1e-12)


def test_complete_products_compile_without_graph_breaks(rng):
    settings = ModelSettings(product="gaunt_complete")
    kinds, attributes = hidden_irreps(replace(settings, hidden=4)), attribute_irreps(settings)
    layer = GatedProduct(kinds, attributes, kinds, settings, 2, rng).double()
    x, y = kinds.random(3, rng=rng, dtype=DOUBLE), attributes.random(3, rng=rng, dtype=DOUBLE)
    check_compile(layer, {"x": x, "attributes": y})


class _Contract(ModuleContract):
    product = ""

    def build(self):
        return build(self.product, dtype=torch.float32, hidden=6)

    def _chosen(self, numbers, dtype):
        data = SampleSet(simulated_samples(SimulationSettings(seed=7, stream=(12, 6, 6)), "train"))
        return data.__getitems__(numbers).to(dtype).inputs()

    def inputs(self, rng, dtype):
        return self._chosen([0, 1], dtype)

    def singles(self, rng, dtype):
        return [self._chosen([number], dtype) for number in (0, 1, 2)]

    def join(self, singles):
        return self._chosen([0, 1, 2], singles[0]["positions"].dtype)

    def empty_inputs(self, dtype):
        cut = {"edge_index": (slice(None), slice(0))}
        return {name: value[cut.get(name, slice(0))] for name, value in self._chosen([0], dtype).items()}


class TestClebschGordan(_Contract):
    compiles = False  # the product's own tests compile it, the network around it is compiled below
    product = "clebsch_gordan"


class TestGaunt(_Contract):
    product = "gaunt"


class TestGauntComplete(_Contract):
    compiles = False  # its products compile above, the network around them is compiled with plain Gaunt products
    product = "gaunt_complete"


# --- arguments that do not fit ---------------------------------------------------------------------------


def test_arguments_that_do_not_fit_are_refused(batch):
    inputs = batch.inputs()
    with pytest.raises(ShapeError) as caught:
        build()(**inputs | {"charges": inputs["charges"][:-1]})
    assert caught.value.got["charges"] == (14,)
    with pytest.raises(ShapeError):
        build()(**inputs | {"velocities": inputs["velocities"][:, :2]})


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"product": "gaunt", "parity": "all"}, "parity"),
        ({"product": "gaunt_complete", "parity": "natural"}, "parity"),
        ({"product": "gaunt_complete", "backend": "fourier"}, "backend"),
        ({"hidden": 0}, "hidden"),
        ({"layers": 0}, "layers"),
        ({"hidden_lmax": 0}, "hidden_lmax"),
        ({"attribute_lmax": 0}, "attribute_lmax"),
        ({"product_channels": 0}, "product_channels"),
    ],
)
def test_settings_that_do_not_fit_are_refused(options, field):
    with pytest.raises(ConfigError) as caught:
        ModelSettings(**options)
    assert list(caught.value.got) == [field]
