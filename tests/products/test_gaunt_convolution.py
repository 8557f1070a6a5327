"""Gaunt convolutions: all ways against a sum over couplings, reference arrays, the filter in its frame, and laws."""

from math import pi, sqrt

import numpy as np
import pytest
import torch

from intertwine.errors import RepresentationError, ShapeError
from intertwine.groups import O
from intertwine.products.gaunt.convolution import GauntConvolution
from intertwine.products.gaunt.coupling_constants import gaunt_constant
from intertwine.products.gaunt.sphere_grid import SphereGrid
from intertwine.products.gaunt.zonal_product import ZonalProduct, circle_series, half_circle_moments
from intertwine.products.so2.edge_frames import EdgeFrames
from intertwine.representations import Irreps, IrrepsTensor, Vector, convert_layout, spherical_harmonics, wigner_3j
from intertwine.symmetry import Symmetry, equivariance_error
from intertwine.testing import DTYPES, ModuleContract
from intertwine.testing.violation import compare_outputs

DOUBLE = torch.float64
GAUNT = ["direct", "rotated_grid", "rotated_fourier", "so2"]
ROTATED = GAUNT[1:]


def natural(lmax, mul=1, parity=1):
    return Irreps([(mul, (degree, parity * (-1) ** degree)) for degree in range(lmax + 1)])


def some_vectors(rng, count=20):
    """Random vectors, the poles, their neighbourhood, the equator, and a vector of length zero."""
    rows = [[0, 1, 0], [0, -3, 0], [1e-9, -1, 1e-9], [-1e-4, 1, 1e-4], [1, 0, 0], [0, 0, -2], [0, 0, 0]]
    return torch.cat([torch.tensor(rows, dtype=DOUBLE), torch.randn(count, 3, dtype=DOUBLE, generator=rng)])


def inputs_of(module, rng, vectors=None, dtype=DOUBLE):
    vectors = torch.randn(5, 3, generator=rng, dtype=dtype) if vectors is None else vectors.to(dtype)
    return {
        "x": module.irreps_in.random(len(vectors), rng=rng, dtype=dtype),
        "y": vectors,
        "weight": torch.randn(len(vectors), module.weight_numel, generator=rng, dtype=dtype),
    }


def by_couplings(module, x, y, weight):
    """The definition, coupling by coupling, in the layout ir_mul."""
    w = weight.unflatten(-1, (-1, module.channels))
    first, second, third = w.split(module.counts, dim=-2)
    outputs = []
    for k, c in enumerate(module.irreps_out.irreps):
        total = torch.zeros(len(x), c.dim, module.channels, dtype=DOUBLE)
        for i, (a, place) in enumerate(zip(module.irreps_in.irreps, module.irreps_in.slices(), strict=True)):
            block = x[:, place].unflatten(-1, (a.dim, module.channels)) * first[:, i, None]
            for degree in range(module.lmax_filter + 1):
                if not abs(a.l - degree) <= c.l <= a.l + degree:
                    continue
                coupling = gaunt_constant(a.l, degree, c.l) * wigner_3j(a.l, degree, c.l, dtype=DOUBLE)
                y_l = spherical_harmonics(degree, y)
                total += torch.einsum("eic,ej,ijk->ekc", block, y_l, coupling) * second[:, degree, None]
        outputs.append((total * third[:, k, None]).flatten(1))
    return torch.cat(outputs, dim=-1)


@pytest.mark.parametrize("variant", GAUNT)
@pytest.mark.parametrize("degrees", [(0, 0, 0), (1, 1, 2), (2, 3, 1), (3, 2, 5), (4, 0, 4), (6, 6, 6)])
def test_every_way_is_the_sum_over_couplings(degrees, variant, rng):
    lmax_in, lmax_filter, lmax_out = degrees
    module = GauntConvolution(natural(lmax_in, 2), lmax_filter, lmax_out=lmax_out, variant=variant).double()
    assert module.irreps_out == natural(lmax_out, 2)
    given = inputs_of(module, rng, some_vectors(rng))
    expected = by_couplings(module, **given)
    size = max(1.0, expected.abs().max().item() / 10)
    assert (module(**given) - expected).abs().max() < 1e-12 * size
    if lmax_in and lmax_filter:
        given["y"] = given["y"].roll(1, dims=0)
        assert (module(**given) - expected).abs().max() > 0.01, "the comparison sees nothing"


@pytest.mark.parametrize("variant", GAUNT)
def test_subsets_of_degrees_in_any_order_and_of_either_parity(variant, rng):
    module = GauntConvolution("2x2o + 2x0o", 2, "2x3e + 2x0o + 2x2o", variant=variant).double()
    given = inputs_of(module, rng, some_vectors(rng, 3))
    assert (module(**given) - by_couplings(module, **given)).abs().max() < 1e-12


@pytest.mark.parametrize("variant", GAUNT)
def test_without_weights_they_are_one_and_layouts_agree(variant, rng):
    irreps = natural(2, 3)
    modules = {
        layout: GauntConvolution(irreps, 2, lmax_out=2, variant=variant, layout=layout).double()
        for layout in ("ir_mul", "mul_ir")
    }
    x, y = irreps.random(4, rng=rng, dtype=DOUBLE), torch.randn(4, 3, generator=rng, dtype=DOUBLE)
    z = modules["ir_mul"](convert_layout(x, irreps, "mul_ir", "ir_mul"), y)
    back = convert_layout(z, modules["ir_mul"].irreps_out, "ir_mul", "mul_ir")
    ones = torch.ones(4, modules["mul_ir"].weight_numel, dtype=DOUBLE)
    torch.testing.assert_close(modules["mul_ir"](x, y, ones), back, rtol=0, atol=1e-13)


@pytest.mark.parametrize("variant", [*ROTATED, "so2_full"])
def test_frames_can_be_shared_and_their_turn_does_not_matter(variant, rng):
    module = GauntConvolution(natural(3, 2), 2, lmax_out=3, variant=variant).double()
    given = inputs_of(module, rng, some_vectors(rng, 5))
    gamma = 6 * torch.rand(len(given["y"]), generator=rng, dtype=DOUBLE)
    expected = module(**given)
    frame = EdgeFrames(3).double()(given["y"], gamma)
    torch.testing.assert_close(module(given["x"], frame, given["weight"]), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("level", [1, 2, 3])
def test_reference_arrays(level, data_dir):
    """`conv`: all paths up to L, even and odd, added up by degree; the even half alone is a Gaunt convolution."""
    with np.load(data_dir / "tensor-product-reference" / f"case_L{level}.npz") as case:
        x, edge, h = (torch.from_numpy(case[name]) for name in ("x", "edge", "h_path"))
        expected = torch.from_numpy(case["conv"])
    module = GauntConvolution(natural(level), level, lmax_out=level, variant="so2_full").double()
    problem = module.core.problem
    weights = [h[tuple(entry.ir.l for entry in problem.entries(path))] for path in problem.paths]
    z = module(x[None], edge[None], torch.stack(weights)[None])[0]
    total = torch.zeros_like(expected)
    for ir, place in zip(module.irreps_out.irreps, module.irreps_out.slices(), strict=True):
        total[ir.l**2 : (ir.l + 1) ** 2] += z[place]
    assert (total - expected).abs().max() < 1e-11


def test_the_full_convolution_with_factorised_weights_is_the_gaunt_convolution(rng):
    irreps = natural(3, 2)
    gaunt = GauntConvolution(irreps, 3, lmax_out=3, variant="rotated_grid").double()
    full = GauntConvolution(irreps, 3, natural(3, 2), variant="so2_full").double()
    given = inputs_of(gaunt, rng, some_vectors(rng, 5))
    first, second, third = given["weight"].unflatten(-1, (-1, 2)).split(gaunt.counts, dim=-2)
    weights = []
    for path in full.core.problem.paths:
        a, b, c = (entry.ir.l for entry in full.core.problem.entries(path))
        constant = gaunt_constant(a, b, c) / sqrt(2 * c + 1)
        weights.append(constant * first[:, a] * second[:, b] * third[:, c])
    z = full(given["x"], given["y"], torch.cat(weights, dim=-1))
    torch.testing.assert_close(z, gaunt(**given), rtol=0, atol=1e-12)
    assert full.weight_numel == 2 * 23
    assert gaunt.weight_numel == 2 * 12


# --- the filter in its frame -----------------------------------------------------------------------------


def test_the_filter_has_fourier_coefficients_at_v_0_only(rng):
    """Sampled on the torus of beta and alpha in the frame, and for contrast outside of it."""
    count = 9
    angles = torch.arange(count, dtype=DOUBLE) * (2 * pi / count)
    beta, alpha = torch.meshgrid(angles, angles, indexing="ij")
    points = torch.stack([beta.sin() * alpha.sin(), beta.cos(), beta.sin() * alpha.cos()], dim=-1)
    vector = torch.randn(1, 3, generator=rng, dtype=DOUBLE)
    weight = torch.tensor([0.3, -1.1, 0.7, 2.0], dtype=DOUBLE).repeat_interleave(torch.tensor([1, 3, 5, 7]))
    seen = torch.block_diag(*[m[0] for m in EdgeFrames(3).double()(vector).matrices])
    outside = spherical_harmonics(range(4), vector)[0] * weight
    inside = seen @ outside
    harmonics = spherical_harmonics(range(4), points)
    spectra = [torch.fft.fft2(harmonics @ filters).abs() / count**2 for filters in (inside, outside)]
    assert spectra[0][:, 1:].max() < 1e-14
    assert spectra[1][:, 1:].max() > 1e-2
    series = (circle_series(3)[0] * inside[[0, 2, 6, 12]][:, None]).sum(0)
    expected = torch.zeros(count, dtype=DOUBLE)
    expected[torch.arange(-3, 4)] = series.abs()
    torch.testing.assert_close(spectra[0][:, 0], expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("lmax", [0, 1, 4, 8])
def test_series_and_moments_invert_each_other(lmax):
    """A function of beta and m, as a series, met with the moments, gives back its coefficients."""
    series, moments = circle_series(lmax), half_circle_moments(lmax, lmax)
    for m in range(lmax + 1):
        gram = 2 * pi * moments[m] @ series[m].mT
        expected = torch.diag((torch.arange(lmax + 1) >= m).to(DOUBLE))
        torch.testing.assert_close(gram, expected, rtol=0, atol=1e-13)
        frequencies = torch.arange(-lmax, lmax + 1)
        sign = -1 if m % 2 else 1
        torch.testing.assert_close(series[m], sign * series[m].flip(-1), rtol=0, atol=1e-15)
        for degree in range(lmax + 1):
            allowed = (frequencies % 2 == degree % 2) & (frequencies.abs() <= degree)
            assert not series[m, degree][~allowed].any()


def test_known_coefficients_of_the_series():
    """Spec 2.4: y_00 = 0.2820947918, y_10 at u = 1 0.2443012560, y_11 at u = -1 i 0.1221506280 sqrt(2)."""
    series = circle_series(1)
    assert series[0, 0].tolist() == pytest.approx([0, 0.2820947918, 0], abs=1e-10)
    assert series[0, 1].tolist() == pytest.approx([0.2443012560, 0, 0.2443012560], abs=1e-10)
    assert (series[1, 1] / sqrt(2)).tolist() == pytest.approx([0.1221506280, 0, -0.1221506280], abs=1e-10)


# --- laws ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("variant", [*GAUNT, "so2_full"])
def test_equivariant_up_to_degree_6_in_both_precisions(variant, dtype, rng):
    module = GauntConvolution(natural(6, 2), 6, lmax_out=6, variant=variant).to(dtype)
    report = equivariance_error(module, inputs_of(module, rng, dtype=dtype), trials=2, rng=rng, dtype=None)
    assert report.worst.relative < (1e-12 if dtype == DOUBLE else 5e-6), report.explain()


def test_a_wrong_parity_is_caught(rng):
    """The broken twin: natural outputs declared as unnatural ones."""
    module = GauntConvolution(natural(2), 2, lmax_out=2).double()
    wrong = Symmetry(
        O(3), {"x": IrrepsTensor(module.irreps_in, "ir_mul"), "y": Vector()},
        IrrepsTensor(natural(2, 1, -1), "ir_mul"),
    )  # fmt: skip
    assert equivariance_error(module, inputs_of(module, rng), symmetry=wrong, rng=rng).worst.relative > 0.1


@pytest.mark.parametrize("variant", ["rotated_grid", "so2_full"])
def test_component_normalization_gives_unit_variance(variant):
    """The mean of the squared map over all directions, by a rule that is exact for harmonics of degree 2 squared."""
    module = GauntConvolution(natural(2), 2, variant=variant, normalization="component").double()
    grid = SphereGrid(4)
    basis = torch.eye(module.irreps_in.dim, dtype=DOUBLE)
    x = basis.repeat(len(grid), 1)
    z = module(x, grid.points.repeat_interleave(len(basis), dim=0)).unflatten(0, (len(grid), -1))
    variances = torch.einsum("p,pio->o", grid.weights / (4 * pi), z.square())
    for place in module.irreps_out.slices():
        assert variances[place].mean().item() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("variant", [*GAUNT, "so2_full"])
def test_derivatives_at_and_near_the_poles(variant, rng):
    module = GauntConvolution("1x0e + 1x1o", 2, "1x0e + 1x1o", variant=variant).double()
    given = inputs_of(module, rng, some_vectors(rng, 1)[[0, 2, 3, 4]])
    inputs = [value.requires_grad_() for value in given.values()]
    assert torch.autograd.gradcheck(module, inputs)
    assert torch.autograd.gradgradcheck(module, inputs)


@pytest.mark.parametrize("variant", ROTATED)
def test_gradients_by_the_vector_are_those_without_rotation(variant, rng):
    """What the frame adds of its own cancels: first and second order, on poles and where charts meet."""
    vectors = some_vectors(rng, 5)
    results = []
    for name in (variant, "direct"):
        module = GauntConvolution(natural(3, 2), 3, lmax_out=3, variant=name).double()
        fixed = torch.Generator().manual_seed(5)
        given = inputs_of(module, fixed, vectors)
        given["y"] = vectors.clone().requires_grad_()
        probe = torch.randn(len(vectors), module.irreps_out.dim, generator=fixed, dtype=DOUBLE)
        (first,) = torch.autograd.grad((module(**given) * probe).sum(), given["y"], create_graph=True)
        (second,) = torch.autograd.grad(first.sin().sum(), given["y"])
        results.append((first.detach(), second))
    for got, want in zip(*results, strict=True):
        assert want.abs().max() > 0.1
        assert (got - want).abs().max() < 1e-11 * want.abs().max()


def test_compiled_whole_with_gradients_of_first_and_second_order(rng):
    """In one graph, by the vectors: the square of the forces, whose gradient is one of second order."""
    module = GauntConvolution("2x0e + 2x1o", 1, "2x0e + 2x1o", variant="rotated_fourier").double()
    x, vectors, weight = inputs_of(module, rng).values()

    def loss(y):
        return module(x, y, weight).square().sum()

    def squared(y):
        return torch.func.grad(loss)(y).square().sum()

    everything = torch.func.grad_and_value(squared)
    torch.compiler.reset()
    compiled = torch.compile(everything, backend="aot_eager", fullgraph=True)
    compare_outputs("compile", compiled(vectors), everything(vectors), "compiled and eager disagree", epsilons=None)


@pytest.mark.parametrize("variant", ["direct", "so2"])
def test_captured_whole_and_differentiated_twice_from_outside(variant, rng):
    """Ways with operators that bring derivatives of their own are differentiated by autograd, not in the graph."""
    module = GauntConvolution("2x0e + 2x1o", 1, "2x0e + 2x1o", variant=variant).double()
    given = inputs_of(module, rng)
    torch.compiler.reset()
    results = []
    for call in (torch.compile(module, backend="eager", fullgraph=True), module):
        given["y"] = given["y"].detach().requires_grad_()
        z = call(**given)
        (first,) = torch.autograd.grad(z.square().sum(), given["y"], create_graph=True)
        (second,) = torch.autograd.grad(first.square().sum(), given["y"])
        results.append([z, first, second])
    compare_outputs("compile", *results, "captured and eager disagree", epsilons=None)


class _Contract(ModuleContract):
    permutes = batches = False
    variant = "rotated_grid"

    def build(self):
        return GauntConvolution("3x0e + 3x1o", 2, "3x0e + 3x2e", variant=self.variant)

    def inputs(self, rng, dtype):
        return inputs_of(self.build(), rng, dtype=dtype)

    def empty_inputs(self, dtype):
        return {name: value[:0] for name, value in self.inputs(torch.Generator(), dtype).items()}


class TestGridContract(_Contract):
    pass


class TestFourierContract(_Contract):
    compiles = False  # tested above, with gradients of second order
    variant = "rotated_fourier"


class TestPathsContract(_Contract):
    compiles = False  # tested above, with gradients of second order
    variant = "so2"


def test_misuse_is_refused():
    with pytest.raises(RepresentationError):
        GauntConvolution("2x0e", 1, variant="fast")
    with pytest.raises(RepresentationError):
        GauntConvolution("2x0e", 1, normalization="norm")
    with pytest.raises(RepresentationError) as mixed:
        GauntConvolution("2x1o + 2x1e", 1)
    assert mixed.value.code == "E205"
    with pytest.raises(RepresentationError) as caught:
        GauntConvolution("2x0e + 3x1o", 1)
    assert caught.value.code == "E204"
    with pytest.raises(RepresentationError) as odd:
        GauntConvolution("2x1o", 1, "2x1e")
    assert "so2_full" in str(odd.value)
    with pytest.raises(RepresentationError):
        ZonalProduct(Irreps("1o"), 1, Irreps("1o"), "fft")
    module = GauntConvolution("2x1o", 1)
    with pytest.raises(ShapeError):
        module(torch.zeros(3, 6), torch.ones(3, 3), torch.zeros(3, 5))
    with pytest.raises(ShapeError):
        module(torch.zeros(3, 6), torch.ones(2, 3))
    with pytest.raises(RepresentationError):
        GauntConvolution("2x1o", 1, variant="direct")(torch.zeros(3, 6), EdgeFrames(2)(torch.ones(3, 3)))
