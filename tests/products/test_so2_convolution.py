"""SO(2) convolutions against the Clebsch-Gordan product with harmonics, which shares no code path with them."""

import numpy as np
import pytest
import torch

from intertwine.errors import RepresentationError, ShapeError
from intertwine.groups import O
from intertwine.products import ChannelwiseTensorProduct, FullyConnectedTensorProduct
from intertwine.products.so2.convolution import (
    SO2Convolution,
    SO2Linear,
    SO2LinearConvolution,
    paths_from_so2,
    so2_from_paths,
    so2_matrix,
)
from intertwine.products.so2.edge_frames import EdgeFrames
from intertwine.representations import (
    Irrep,
    Irreps,
    IrrepsTensor,
    Vector,
    spherical_harmonics,
    split_blocks,
    wigner_3j,
)
from intertwine.symmetry import Symmetry, equivariance_error
from intertwine.testing import DTYPES, ModuleContract
from intertwine.testing.violation import compare_outputs

DOUBLE = torch.float64


def special_vectors():
    """Poles, vectors next to them, the equator where the charts meet, and a vector of length zero."""
    rows = [
        [0, 1, 0], [0, -1, 0], [0, -3, 0], [1e-9, -1, 1e-9], [-1e-9, 1, 1e-9], [1e-4, 1, 0], [0, -1, 1e-4],
        [1, 0, 0], [0, 0, -2], [0.6, 0, 0.8], [0.6, 1e-12, 0.8], [0.6, -1e-12, 0.8], [0, 0, 0],
    ]  # fmt: skip
    return torch.tensor(rows, dtype=DOUBLE)


def vectors_with(rng, count=100):
    return torch.cat([special_vectors(), torch.randn(count, 3, dtype=DOUBLE, generator=rng)])


def both_parities(lmax, mul=2):
    return Irreps([(mul, Irrep(degree, p)) for degree in range(lmax + 1) for p in (1, -1)])


# --- weights of paths and of SO(2) -----------------------------------------------------------------------


def test_slices_of_two_vectors_are_those_of_the_paper_table():
    """Rows lf = 0, 1, 2 of spec 2.7, columns S_00, S_11, S_{1,-1}; `norm` harmonics have length 1 on the axis."""
    table = so2_matrix(1, 1, "norm") / 3**0.5
    expected = [[0.577350, 0.577350, 0], [0, 0, -0.408248], [0.365148, -0.182574, 0]]
    assert np.abs(table.T.numpy() - expected).max() < 5e-7


@pytest.mark.parametrize("l_in", range(5))
@pytest.mark.parametrize("l_out", range(5))
def test_the_matrix_rebuilds_the_axis_slices_of_the_couplings(l_in, l_out):
    """An SO(2) map written out as a matrix (out, in) is the sum of the slices C[:, m = 0, :]; both ways invert."""
    reach, paths = min(l_in, l_out), range(abs(l_in - l_out), l_in + l_out + 1)
    weights = so2_from_paths(torch.eye(len(paths), dtype=DOUBLE), l_in, l_out, "norm")
    for degree, (first, *rest) in zip(paths, weights.tolist(), strict=True):
        built = np.zeros((2 * l_out + 1, 2 * l_in + 1))
        built[l_out, l_in] = first
        for m, (r, i) in enumerate(zip(rest[:reach], rest[reach:], strict=True), start=1):
            built[l_out + m, l_in + m] = built[l_out - m, l_in - m] = r
            built[l_out + m, l_in - m], built[l_out - m, l_in + m] = -i, i
        expected = (2 * l_out + 1) ** 0.5 * wigner_3j(l_in, degree, l_out, dtype=DOUBLE)[:, degree].T.numpy()
        assert np.abs(built - expected).max() < 1e-14
    back = paths_from_so2(weights, l_in, l_out, "norm")
    torch.testing.assert_close(back, torch.eye(len(paths), dtype=DOUBLE), rtol=0, atol=1e-13)


@pytest.mark.parametrize("normalization", ["component", "integral", "norm"])
def test_the_ways_are_inverse_to_each_other(normalization, rng):
    weights = torch.randn(7, 5, 11, generator=rng, dtype=DOUBLE)
    there = paths_from_so2(weights, 5, 6, normalization)
    torch.testing.assert_close(so2_from_paths(there, 5, 6, normalization), weights, rtol=0, atol=1e-12)
    assert (there - weights).abs().max() > 0.1


def test_wrong_weights_are_refused():
    with pytest.raises(ShapeError) as caught:
        so2_from_paths(torch.zeros(4, 2), 1, 2)
    assert caught.value.expected == "(..., 3)"
    with pytest.raises(ShapeError):
        paths_from_so2(torch.zeros(4, 2), 1, 2)
    with pytest.raises(RepresentationError):
        so2_matrix(-1, 2)
    with pytest.raises(RepresentationError):
        so2_matrix(1, 2, "unit")


# --- the channel-wise convolution ------------------------------------------------------------------------


@pytest.mark.parametrize("normalization", ["component", "integral"])
@pytest.mark.parametrize("lmax", [0, 1, 2, 3, 6])
def test_equal_to_the_clebsch_gordan_convolution(lmax, normalization, rng):
    """All paths, both parities, 100 random edges, the poles, their neighbourhood, and a vector of length zero."""
    irreps, harmonics = both_parities(lmax), Irreps.spherical_harmonics(lmax)
    layout = "ir_mul" if lmax % 2 else "mul_ir"
    expected = ChannelwiseTensorProduct(irreps, harmonics, lmax_out=lmax, layout=layout).double()
    convolution = SO2Convolution(irreps, harmonics, None, lmax, layout, normalization).double()
    assert convolution.irreps_out == expected.irreps_out
    assert convolution.weight_numel == expected.weight_numel
    vectors = vectors_with(rng)
    x = irreps.random(len(vectors), rng=rng, dtype=DOUBLE)
    weight = torch.randn(len(vectors), expected.weight_numel, generator=rng, dtype=DOUBLE)
    y = spherical_harmonics(harmonics, vectors, normalization=normalization)
    z = expected(x, y, weight)
    assert (convolution(x, vectors, weight) - z).abs().max() < 1e-12 * max(1, z.abs().max() / 10)
    if lmax == 2:
        wrong = convolution(x, -vectors, weight)
        assert (wrong - z).abs().max() > 0.1, "the comparison sees nothing"


@pytest.mark.parametrize("kept", [None, "0e + 1o + 2e"])
def test_summed_paths_are_the_sum_of_the_paths(kept, rng):
    irreps, harmonics = Irreps("3x0e + 2x1o + 2x2e + 2x1e"), Irreps.spherical_harmonics(3)
    apart = ChannelwiseTensorProduct(irreps, harmonics, kept, layout="ir_mul").double()
    summed = SO2Convolution(irreps, harmonics, kept, sum_paths=True).double()
    vectors = vectors_with(rng, 10)
    x = irreps.random(len(vectors), rng=rng, dtype=DOUBLE)
    weight = torch.randn(len(vectors), apart.weight_numel, generator=rng, dtype=DOUBLE)
    together = apart(x, spherical_harmonics(harmonics, vectors, normalization="component"), weight)
    blocks = split_blocks(together, apart.irreps_out, "ir_mul")
    totals = {}
    for path, block in zip(apart.problem.paths, blocks, strict=True):
        key = path.in1, apart.irreps_out[path.out].ir
        totals[key] = totals.get(key, 0) + block
    assert [ir for _, ir in sorted(totals)] == summed.irreps_out.irreps
    for key, got in zip(sorted(totals), summed.blocks(x, vectors, weight), strict=True):
        assert (got - totals[key]).abs().max() < 1e-12
    assert len(totals) < len(blocks)


def test_an_entry_that_feeds_nothing_is_left_out(rng):
    """A vector and its own harmonics alone cannot write a degree-2 odd output from the scalar entry."""
    arguments = ("2x0e + 3x1o", "0e + 1o", "2e")
    expected = ChannelwiseTensorProduct(*arguments, layout="ir_mul").double()
    convolution = SO2Convolution(*arguments).double()
    vectors = vectors_with(rng, 3)
    x = torch.randn(len(vectors), 11, generator=rng, dtype=DOUBLE)
    weight = torch.randn(len(vectors), 3, generator=rng, dtype=DOUBLE)
    y = spherical_harmonics("0e + 1o", vectors, normalization="component")
    torch.testing.assert_close(convolution(x, vectors, weight), expected(x, y, weight), rtol=0, atol=1e-13)


@pytest.mark.parametrize("level", [1, 2, 3])
def test_reference_convolution(level, data_dir):
    """`conv` of the reference arrays: all paths up to L, of both parities, added up by degree."""
    with np.load(data_dir / "tensor-product-reference" / f"case_L{level}.npz") as case:
        x, edge, h = (torch.from_numpy(case[name]) for name in ("x", "edge", "h_path"))
        expected = torch.from_numpy(case["conv"])
    irreps = Irreps.spherical_harmonics(level)
    convolution = SO2Convolution(irreps, irreps, None, level, normalization="integral").double()
    paths = convolution.problem.paths
    degrees = [(irreps[p.in1].ir.l, irreps[p.in2].ir.l, convolution.irreps_out[p.out].ir.l) for p in paths]
    weight = torch.stack([h[place] for place in degrees])
    total = torch.zeros_like(expected)
    for (_, _, l_out), block in zip(degrees, convolution.blocks(x[None], edge[None], weight[None]), strict=True):
        total[l_out**2 : (l_out + 1) ** 2] += block[0, :, 0]
    assert (total - expected).abs().max() < 1e-11
    assert {(a + b + c) % 2 for a, b, c in degrees} == {0, 1}


def test_independent_of_the_turn_about_the_edge(rng):
    irreps = both_parities(3)
    convolution = SO2Convolution(irreps, Irreps.spherical_harmonics(3), lmax_out=3).double()
    vectors = vectors_with(rng, 10)
    x = irreps.random(len(vectors), rng=rng, dtype=DOUBLE)
    weight = torch.randn(len(vectors), convolution.weight_numel, generator=rng, dtype=DOUBLE)
    gamma = 6 * torch.rand(len(vectors), generator=rng, dtype=DOUBLE)
    frame = EdgeFrames(3).double()(vectors, gamma)
    torch.testing.assert_close(convolution(x, frame, weight), convolution(x, vectors, weight), rtol=0, atol=1e-12)


@pytest.mark.parametrize("sum_paths", [False, True])
def test_derivatives_at_and_near_the_poles_and_where_charts_meet(sum_paths, rng):
    """By the vectors too: what the frame adds of its own must cancel."""
    irreps = Irreps("1x0e + 2x1o + 1x2e")
    convolution = SO2Convolution(irreps, "0e + 1o + 2e", "0e + 1o + 1e", sum_paths=sum_paths).double()
    rows = special_vectors()[[0, 3, 6, 9]]
    inputs = [
        irreps.random(len(rows), rng=rng, dtype=DOUBLE).requires_grad_(),
        rows.requires_grad_(),
        torch.randn(len(rows), convolution.weight_numel, generator=rng, dtype=DOUBLE, requires_grad=True),
    ]
    assert torch.autograd.gradcheck(convolution, inputs)
    assert torch.autograd.gradgradcheck(convolution, inputs)


def test_gradients_are_those_of_the_clebsch_gordan_convolution(rng):
    """First and second order at degree 4 on every special vector; a difference quotient would be coarser."""
    irreps, harmonics = both_parities(4, 1), Irreps.spherical_harmonics(4)
    expected = ChannelwiseTensorProduct(irreps, harmonics, lmax_out=4, layout="ir_mul").double()
    convolution = SO2Convolution(irreps, harmonics, lmax_out=4).double()
    vectors = vectors_with(rng, 10)
    x = irreps.random(len(vectors), rng=rng, dtype=DOUBLE)
    weight = torch.randn(len(vectors), expected.weight_numel, generator=rng, dtype=DOUBLE)
    probe = torch.randn(len(vectors), expected.irreps_out.dim, generator=rng, dtype=DOUBLE)
    results = []
    for module in (convolution, expected):
        leaf = vectors.clone().requires_grad_()
        y = leaf if module is convolution else spherical_harmonics(harmonics, leaf, normalization="component")
        (first,) = torch.autograd.grad((module(x, y, weight) * probe).sum(), leaf, create_graph=True)
        (second,) = torch.autograd.grad(first.sin().sum(), leaf)
        results.append((first.detach(), second))
    for got, want in zip(*results, strict=True):
        assert (got - want).abs().max() < 1e-11 * want.abs().max()


def test_gauge_derivatives_do_not_cancel_in_a_broken_twin(rng):
    """A component of the frame taken out without turning back depends on the chart, and the check sees it."""
    vectors = torch.tensor([[0.6, 1e-7, 0.8], [0.6, -1e-7, 0.8]], dtype=DOUBLE)
    x = torch.ones(2, 3, dtype=DOUBLE)
    inside = (EdgeFrames(1).double()(vectors).matrices[1] @ x.unsqueeze(-1)).squeeze(-1)
    assert (inside[0] - inside[1]).abs().max() > 0.1
    convolution = SO2Convolution("1o", "0e + 2e", "1o").double()
    z = convolution(x, vectors, torch.ones(2, 2, dtype=DOUBLE))
    assert (z[0] - z[1]).abs().max() < 1e-6


@pytest.mark.parametrize("dtype", DTYPES)
def test_equivariant_up_to_degree_6_in_both_precisions(dtype, rng):
    irreps = both_parities(6, 1)
    convolution = SO2Convolution(irreps, Irreps.spherical_harmonics(6), lmax_out=6, sum_paths=True).to(dtype)
    vectors = torch.randn(5, 3, generator=rng, dtype=dtype)
    inputs = {
        "x": irreps.random(5, rng=rng, dtype=dtype),
        "y": vectors,
        "weight": torch.randn(5, convolution.weight_numel, generator=rng, dtype=dtype),
    }
    report = equivariance_error(convolution, inputs, trials=3, rng=rng, dtype=None)
    assert report.worst.relative < (1e-12 if dtype == DOUBLE else 5e-6), report.explain()


def test_compiled_whole_with_gradients_of_first_and_second_order(rng):
    """In one graph: the square of the gradient by the vectors, as in training by forces, and its gradient."""
    convolution = SO2Convolution("2x0e + 2x1o", "0e + 1o + 2e", "0e + 1o", sum_paths=True).double()
    vectors = vectors_with(rng, 3)[:-4]
    x = convolution.irreps_in.random(len(vectors), rng=rng, dtype=DOUBLE)
    weight = torch.randn(len(vectors), convolution.weight_numel, generator=rng, dtype=DOUBLE)

    def energy(vectors):
        return convolution(x, vectors, weight).square().sum()

    def force_loss(vectors):
        return torch.func.grad(energy)(vectors).square().sum()

    everything = torch.func.grad_and_value(force_loss)
    torch.compiler.reset()
    compiled = torch.compile(everything, backend="aot_eager", fullgraph=True)
    compare_outputs("compile", compiled(vectors), everything(vectors), "compiled and eager disagree", epsilons=None)


class TestConvolutionContract(ModuleContract):
    permutes = batches = False

    def build(self):
        return SO2Convolution("3x0e + 3x1o + 2x1e", "0e + 1o + 2e")

    def inputs(self, rng, dtype):
        module = self.build()
        return {
            "x": torch.randn(6, module.irreps_in.dim, generator=rng, dtype=dtype),
            "y": torch.randn(6, 3, generator=rng, dtype=dtype),
            "weight": torch.randn(6, module.weight_numel, generator=rng, dtype=dtype),
        }

    def empty_inputs(self, dtype):
        return {name: value[:0] for name, value in self.inputs(torch.Generator(), dtype).items()}


def test_misuse_of_the_convolution_is_refused():
    with pytest.raises(RepresentationError) as caught:
        SO2Convolution("4x0e", "1e")
    assert "natural" in str(caught.value)
    convolution = SO2Convolution("4x0e", "0e + 1o")
    with pytest.raises(ShapeError) as shape:
        convolution(torch.zeros(5, 4), torch.zeros(5, 3), torch.zeros(5, 7))
    assert shape.value.got["weight"] == (5, 7)
    with pytest.raises(ShapeError):
        convolution(torch.zeros(4, 4), torch.zeros(5, 3), torch.zeros(5, 8))
    with pytest.raises(ShapeError):
        convolution(torch.zeros(5, 4), torch.zeros(5, 4), torch.zeros(5, 8))
    with pytest.raises(RepresentationError) as frames:
        convolution(torch.zeros(5, 4), EdgeFrames(0)(torch.ones(5, 3)), torch.zeros(5, 8))
    assert "EdgeFrames(1)" in str(frames.value)


# --- the dense layer -------------------------------------------------------------------------------------


def test_the_dense_layer_is_a_sum_of_clebsch_gordan_paths(rng):
    """Its weights, read as path weights, give the fully connected product with all harmonics, both parities alike."""
    layer = SO2LinearConvolution("3x0e + 2x1e + 2x2e", "2x0e + 3x1e + 1x3e", bias=False, layout="mul_ir", rng=rng)
    layer.double()
    harmonics = Irreps([(1, Irrep(degree, 1)) for degree in range(6)])  # one parity throughout: SO(3) alone counts here
    product = FullyConnectedTensorProduct(
        layer.irreps_in, harmonics, layer.irreps_out, weights="shared", path_normalization="none"
    ).double()
    parts = []
    for path in product.problem.paths:
        a, _, c = product.problem.entries(path)
        table = layer.linear.path_weights(path.in1, path.out)
        parts.append(table[path.in2 - abs(a.ir.l - c.ir.l)].flatten())
    vectors = vectors_with(rng, 20)[:-1]
    vectors = vectors[vectors.any(-1)]
    x = layer.irreps_in.random(len(vectors), rng=rng, dtype=DOUBLE)
    y = spherical_harmonics(range(6), vectors, normalization="component")
    expected = product(x, y, torch.cat(parts))
    assert (layer(x, vectors) - expected).abs().max() < 1e-12
    assert expected.abs().max() > 1


def test_the_formula_of_one_pair(rng):
    layer = SO2Linear("2x1o", "3x1o", rng=rng).double()
    x = torch.randn(4, 6, generator=rng, dtype=DOUBLE)
    zero, plus, minus = x.split(2, dim=-1)
    real, imaginary = (layer.get_parameter("weight_1") / 2).split(3, dim=-1)
    expected = [
        zero @ layer.weight_0 / 2**0.5,
        plus @ real - minus @ imaginary,
        plus @ imaginary + minus @ real,
    ]
    torch.testing.assert_close(layer(x), torch.cat(expected, dim=-1), rtol=1e-14, atol=1e-14)


def test_factors_scale_the_inputs_and_extra_outputs_come_first(rng):
    layer = SO2Linear("4x0e + 4x1o + 4x2e", "2x0e + 2x1o + 2x2e", mmax=1, extra=5, rng=rng).double()
    assert layer.factor_numel == 12 + 8
    with torch.no_grad():
        layer.get_parameter("bias").normal_(generator=rng)
    x = torch.randn(3, 12 + 16, generator=rng, dtype=DOUBLE)
    factors = torch.randn(3, 20, generator=rng, dtype=DOUBLE)
    doubled = torch.cat([factors[:, :12], factors[:, 12:], factors[:, 12:]], dim=-1)
    torch.testing.assert_close(layer(x, factors), layer(x * doubled), rtol=1e-14, atol=1e-14)
    assert layer(x).shape == (3, 5 + 6 + 8)
    expected = (x[:, :12] @ layer.weight_0 / 12**0.5 + layer.get_parameter("bias"))[:, 6:]
    torch.testing.assert_close(layer(x)[:, :5], expected, rtol=1e-14, atol=1e-14)


def test_unit_variance_stays(rng):
    layer = SO2Linear("16x0e + 16x1o + 16x2e", "16x0e + 16x1o + 16x2e + 16x3o", rng=rng)
    z = layer(torch.randn(4000, layer.so2_irreps_in.dim, generator=rng)).square().mean(0)
    places = layer.so2_irreps_out.slices()
    assert all(z[places[m]].mean().item() == pytest.approx(1, abs=0.25) for m in range(3))
    assert not z[places[3]].any()


@pytest.mark.parametrize("mmax", [None, 1])
def test_truncated_or_not_the_layer_commutes_with_rotations_but_not_with_reflections(mmax, rng):
    layer = SO2LinearConvolution("2x0e + 2x1o + 2x2e + 1x3o", "2x0e + 1x1o + 2x3o", mmax, rng=rng).double()
    vectors = torch.randn(6, 3, generator=rng, dtype=DOUBLE)
    inputs = {
        "x": layer.irreps_in.random(6, rng=rng, dtype=DOUBLE),
        "y": vectors,
        "factors": torch.randn(6, layer.linear.factor_numel, generator=rng, dtype=DOUBLE),
    }
    report = equivariance_error(layer, inputs, rng=rng)
    assert report.worst.relative < 1e-12, report.explain()
    wider = Symmetry(
        O(3),
        {"x": IrrepsTensor(layer.irreps_in, "ir_mul"), "y": Vector()},
        IrrepsTensor(layer.irreps_out, "ir_mul"),
    )
    assert equivariance_error(layer, inputs, symmetry=wider, rng=rng).worst.relative > 1e-2


def test_derivatives_of_the_dense_layer(rng):
    layer = SO2LinearConvolution("1x0e + 1x1o", "1x0e + 1x2e", mmax=1, rng=rng).double()
    rows = special_vectors()[[0, 1, 3, 7]]
    inputs = [
        torch.randn(len(rows), 4, generator=rng, dtype=DOUBLE, requires_grad=True),
        rows.requires_grad_(),
        torch.randn(len(rows), layer.linear.factor_numel, generator=rng, dtype=DOUBLE, requires_grad=True),
    ]
    assert torch.autograd.gradcheck(layer, inputs)
    assert torch.autograd.gradgradcheck(layer, inputs)


def test_a_truncated_layer_has_no_path_weights():
    layer = SO2Linear("1x2e", "1x2e + 1x0e", mmax=1)
    assert layer.path_weights(0, 1).shape == (1, 1, 1)
    with pytest.raises(RepresentationError) as caught:
        layer.path_weights(0, 0)
    assert "mmax" in str(caught.value)


def test_misuse_of_the_dense_layer_is_refused():
    layer = SO2Linear("2x0e + 2x1o", "1x1o")
    with pytest.raises(ShapeError):
        layer(torch.zeros(3, 7))
    with pytest.raises(ShapeError) as caught:
        layer(torch.zeros(3, 8), torch.zeros(3, 5))
    assert caught.value.got["factors"] == (3, 5)
    with pytest.raises(RepresentationError):
        SO2Linear("1o", "1o", extra=-1)


class TestLinearContract(ModuleContract):
    permutes = batches = False

    def build(self):
        return SO2Linear("3x0e + 3x1o", "2x0e + 2x1o + 2x2e", extra=2, rng=torch.Generator().manual_seed(1))

    def inputs(self, rng, dtype):
        module = self.build()
        return {
            "x": torch.randn(6, module.so2_irreps_in.dim, generator=rng, dtype=dtype),
            "factors": torch.randn(6, module.factor_numel, generator=rng, dtype=dtype),
        }

    def empty_inputs(self, dtype):
        return {name: value[:0] for name, value in self.inputs(torch.Generator(), dtype).items()}


class TestLinearConvolutionContract(ModuleContract):
    permutes = batches = False

    def build(self):
        return SO2LinearConvolution("3x0e + 3x1o", "2x0e + 2x2e", mmax=1, rng=torch.Generator().manual_seed(1))

    def inputs(self, rng, dtype):
        return {
            "x": torch.randn(6, 12, generator=rng, dtype=dtype),
            "y": torch.randn(6, 3, generator=rng, dtype=dtype),
        }

    def empty_inputs(self, dtype):
        return {name: value[:0] for name, value in self.inputs(torch.Generator(), dtype).items()}
