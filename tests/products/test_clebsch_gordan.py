"""Clebsch-Gordan products against e3nn with its own weights, the reference arrays, and the contract."""

import warnings

import numpy as np
import pytest
import torch
from e3nn import o3

from intertwine.errors import RepresentationError, ShapeError
from intertwine.products import (
    ElementwiseTensorProduct,
    FullyConnectedTensorProduct,
    TensorProduct,
)
from intertwine.representations import Irreps, convert_layout
from intertwine.testing import ModuleContract

DOUBLE = torch.float64
CASES = {
    "uvw": ("4x0e + 3x1o", "2x1o + 1x2e", "5x1o + 2x2e + 3x0e"),
    "uvu": ("4x0e + 3x1o", "2x0e + 5x1o", None),
    "uvv": ("4x0e + 3x1o", "2x0e + 5x1o", None),
    "uuw": ("4x0e + 4x1o", "4x1o + 4x2e", "5x1o + 2x2e"),
    "uuu": ("4x0e + 4x1o", "4x1o + 4x2e", None),
    "uvuv": ("2x0e + 3x1o", "3x1o + 2x2e", None),
}


def _paths(a, b, c, mode):
    """All couplings of a mode, writing into ``c`` or, where None, into one entry a path."""
    a, b = Irreps(a), Irreps(b)
    paths, out = [], []
    for i, left in enumerate(a):
        for j, right in enumerate(b):
            for ir in left.ir * right.ir:
                if ir.l > 3:
                    continue
                if c is not None:
                    paths += [(i, j, k, mode, True) for k, entry in enumerate(Irreps(c)) if entry.ir == ir]
                else:
                    mul = {"uvu": left.mul, "uvv": right.mul, "uuu": left.mul, "uvuv": left.mul * right.mul}[mode]
                    paths.append((i, j, len(out), mode, True))
                    out.append((mul, ir))
    return a, b, Irreps(c) if c is not None else Irreps(out), paths


@pytest.mark.usefixtures("float64_default")
@pytest.mark.parametrize("path_normalization", ["element", "path"])
@pytest.mark.parametrize("irrep_normalization", ["component", "norm"])
@pytest.mark.parametrize("mode", CASES)
def test_equal_to_e3nn(mode, irrep_normalization, path_normalization, rng):
    a, b, c, paths = _paths(*CASES[mode], mode)
    options = {"irrep_normalization": irrep_normalization, "path_normalization": path_normalization}
    ours = TensorProduct(a, b, c, paths, weights="shared", **options).double()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # e3nn compiles with TorchScript, which is deprecated
        theirs = o3.TensorProduct(
            str(a), str(b), str(c), paths, shared_weights=True, internal_weights=False, **options
        ).double()
    assert ours.weight_numel == theirs.weight_numel
    x, y = a.random(6, rng=rng, dtype=DOUBLE), b.random(6, rng=rng, dtype=DOUBLE)
    weight = torch.randn(ours.weight_numel, generator=rng, dtype=DOUBLE)
    expected = theirs(x, y, weight)
    assert (ours(x, y, weight) - expected).abs().max() < 1e-10 * expected.abs().max()


def test_weights_of_each_sample_and_of_the_batch_agree(rng):
    a, b, c, paths = _paths(*CASES["uvw"], "uvw")
    shared = TensorProduct(a, b, c, paths, weights="shared").double()
    sample = TensorProduct(a, b, c, paths, weights="sample").double()
    x, y = a.random(2, 3, rng=rng, dtype=DOUBLE), b.random(3, rng=rng, dtype=DOUBLE)
    weight = torch.randn(shared.weight_numel, generator=rng, dtype=DOUBLE)
    torch.testing.assert_close(sample(x, y, weight.expand(2, 3, -1)), shared(x, y, weight), rtol=1e-13, atol=1e-13)


def test_layouts_agree(rng):
    a, b, c, paths = _paths(*CASES["uvw"], "uvw")
    products = {
        layout: TensorProduct(a, b, c, paths, weights="shared", layout=layout).double()
        for layout in ("mul_ir", "ir_mul")
    }
    x, y = a.random(5, rng=rng, dtype=DOUBLE), b.random(5, rng=rng, dtype=DOUBLE)
    weight = torch.randn(products["mul_ir"].weight_numel, generator=rng, dtype=DOUBLE)
    other = products["ir_mul"](
        convert_layout(x, a, "mul_ir", "ir_mul"), convert_layout(y, b, "mul_ir", "ir_mul"), weight
    )
    torch.testing.assert_close(
        convert_layout(other, c, "ir_mul", "mul_ir"), products["mul_ir"](x, y, weight), rtol=1e-13, atol=1e-13
    )


@pytest.mark.parametrize("level", [1, 2, 3])
def test_paths_equal_the_reference_arrays(level, data_dir):
    with np.load(data_dir / "tensor-product-reference" / f"case_L{level}.npz") as case:
        x, y = torch.from_numpy(case["x"]), torch.from_numpy(case["y"])
        keys = [name for name in case.files if name.startswith("cgtp_")]
        assert keys
        irreps = Irreps.spherical_harmonics(level)
        for name in keys:
            l1, l2, l3 = map(int, name.split("_")[1:])
            out = Irreps([(1, (l3, (-1) ** (l1 + l2)))])
            product = TensorProduct(irreps, irreps, out, [(l1, l2, 0, "uuu", False)]).double()
            assert np.abs(product(x, y).numpy() - case[name]).max() < 1e-11, name


@pytest.mark.usefixtures("float64_default")
@pytest.mark.parametrize("filter_out", [None, "0e + 1o"])
def test_elementwise_equals_e3nn(filter_out, rng):
    a, b = "4x0e + 3x1o", "2x1o + 5x2e"
    ours = ElementwiseTensorProduct(a, b, filter_out).double()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = o3.ElementwiseTensorProduct(a, b, filter_out and filter_out.split(" + ")).double()
    x, y = Irreps(a).random(5, rng=rng, dtype=DOUBLE), Irreps(b).random(5, rng=rng, dtype=DOUBLE)
    assert str(ours.problem.irreps_out).replace(" ", "") == str(theirs.irreps_out).replace(" ", "")
    assert (ours(x, y) - theirs(x, y)).abs().max() < 1e-12


def test_outputs_have_unit_variance(rng):
    product = FullyConnectedTensorProduct("8x0e + 8x1o", "4x0e + 4x1o", "6x0e + 6x1o + 6x2e", rng=rng)
    x = product.problem.irreps_in1.random(20000, rng=rng)
    y = product.problem.irreps_in2.random(20000, rng=rng)
    variances = []
    for _ in range(30):
        with torch.no_grad():
            product.weight.normal_(generator=rng)
        variances.append(product(x[:2000], y[:2000]).var(0))
    assert torch.stack(variances).mean().item() == pytest.approx(1, abs=0.1)


class TestFullyConnected(ModuleContract):
    permutes = batches = False

    def build(self):
        return FullyConnectedTensorProduct(
            "3x0e + 2x1o + 1e", "2x1o + 2e", "3x0e + 2x1o + 2x2e + 1o", rng=torch.Generator().manual_seed(0)
        )

    def inputs(self, rng, dtype):
        return {
            "x": Irreps("3x0e + 2x1o + 1e").random(4, rng=rng, dtype=dtype),
            "y": Irreps("2x1o + 2e").random(4, rng=rng, dtype=dtype),
        }

    def empty_inputs(self, dtype):
        return {"x": torch.zeros(0, 12, dtype=dtype), "y": torch.zeros(0, 11, dtype=dtype)}


def test_derivatives_up_to_second_order(rng):
    product = FullyConnectedTensorProduct("2x0e + 1o", "1o + 2e", "0e + 1o", weights="shared").double()
    x = Irreps("2x0e + 1o").random(2, rng=rng, dtype=DOUBLE).requires_grad_()
    y = Irreps("1o + 2e").random(2, rng=rng, dtype=DOUBLE).requires_grad_()
    w = torch.randn(product.weight_numel, generator=rng, dtype=DOUBLE, requires_grad=True)
    assert torch.autograd.gradcheck(product, (x, y, w))
    assert torch.autograd.gradgradcheck(product, (x, y, w))


@pytest.mark.parametrize(
    ("paths", "code"),
    [
        ([(0, 0, 0, "uvw")], "E203"),
        ([(1, 0, 0, "uvu")], "E204"),
        ([(1, 0, 1, "vwu")], "E200"),
        ([(1, 0, 1, "uvw", False)], "E204"),
    ],
)
def test_impossible_paths_are_refused_with_what_is_possible(paths, code):
    with pytest.raises(RepresentationError) as caught:
        TensorProduct("2x0e + 3x1o", "1o", "8x2e + 4x1e", paths)
    assert caught.value.code == code


def test_wrong_features_and_weights_are_refused():
    product = FullyConnectedTensorProduct("1o", "1o", "0e", weights="sample")
    with pytest.raises(ShapeError) as caught:
        product(torch.zeros(4, 3), torch.zeros(4, 3), torch.zeros(3, 1))
    assert caught.value.expected == (4, 1)
    with pytest.raises(ShapeError):
        product(torch.zeros(4, 5), torch.zeros(4, 3), torch.zeros(4, 1))
    with pytest.raises(ShapeError):
        FullyConnectedTensorProduct("1o", "1o", "0e")(torch.zeros(4, 3), torch.zeros(4, 3), torch.zeros(1))
    with pytest.raises(RepresentationError):
        FullyConnectedTensorProduct("1o", "1o", "0e", weights="mine")
    with pytest.raises(RepresentationError):
        FullyConnectedTensorProduct("1o", "1o", "0e", layout="channels_last")
    with pytest.raises(RepresentationError):
        ElementwiseTensorProduct("2x1o", "3x1o")
