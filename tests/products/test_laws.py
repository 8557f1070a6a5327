"""What every product and every layer is held to, whatever it computes: its law up to degree 6, derivatives, bits.

The single test files hold closed forms, reference arrays and broken twins; here nothing can be forgotten, because the
products come from the catalogue.
"""

from dataclasses import replace

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from intertwine.groups import O
from intertwine.kernels import use_reference
from intertwine.products import (
    ChannelwiseTensorProduct,
    FullyConnectedTensorProduct,
    GauntConvolution,
    GauntManyBody,
    GauntTensorProduct,
    ParityGauntTensorProduct,
    ScalarVectorProduct,
    SelfMix,
    SO2Convolution,
    SO2LinearConvolution,
    SymmetricContraction,
    VectorDotProduct,
)
from intertwine.products.survey.registry import list_products, make_product
from intertwine.representations import Irreps
from intertwine.symmetry import equivariance_error
from intertwine.testing import DTYPES
from intertwine.testing.violation import compare_outputs

DOUBLE = torch.float64
BOUNDS = {torch.float32: 5e-6, torch.float64: 1e-12}
EXACT = [entry.name for entry in list_products("product") if entry.exact]
products = pytest.mark.parametrize("name", EXACT)


def natural(lmax, mul=1):
    return Irreps([(mul, ir) for ir in Irreps.spherical_harmonics(lmax).irreps])


def seeded():
    return torch.Generator().manual_seed(0)


def inputs_of(product, rng, *batch, dtype=DOUBLE):
    return tuple(irreps.random(*batch, rng=rng, dtype=dtype) for irreps in (product.irreps_in1, product.irreps_in2))


# --- products ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("lmax", [1, 3, 6])
@products
def test_the_law_of_a_product_up_to_degree_6(name, lmax, dtype, rng):
    """Outputs up to 2 L; rotations, and reflections for all but the one that mixes parities."""
    product = make_product(name, natural(lmax), natural(lmax)).to(dtype)
    x, y = inputs_of(product, rng, 3, dtype=dtype)
    report = equivariance_error(product, {"x": x, "y": y}, trials=2, rng=rng, dtype=None)
    assert report.worst.relative < BOUNDS[dtype], report.explain()
    parts = {entry.part for entry in report.entries}
    assert ("reflections" in parts) == (name != "matrix")


def test_the_product_that_mixes_parities_is_the_only_one_that_fails_under_reflections(rng):
    for name in EXACT:
        product = make_product(name, natural(2), natural(2)).double()
        x, y = inputs_of(product, rng, 3)
        wider = replace(product.symmetry, group=O(3))
        report = equivariance_error(product, {"x": x, "y": y}, symmetry=wider, rng=rng)
        assert (report.worst.relative > 0.1) == (name == "matrix"), name


@pytest.mark.parametrize("reference", [False, True], ids=["kernel", "reference"])
@products
def test_derivatives_of_a_product_of_degree_2_with_two_channels(name, reference, rng):
    product = make_product(name, natural(2), natural(2), make_product(name, "0e + 1o", "1o").irreps_out).double()
    inputs = [value.requires_grad_() for value in inputs_of(product, rng, 2)]
    with use_reference(reference):
        assert torch.autograd.gradcheck(product, inputs)
        assert torch.autograd.gradgradcheck(product, inputs)


def orders(product, x, y):
    """The product, the gradient of a loss, and the gradient of the square of that gradient."""
    z = product(x, y)
    (first,) = torch.autograd.grad(z.square().sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), y)
    return z, first, second


@products
def test_a_product_compiled_whole_with_gradients_of_first_and_second_order(name, rng):
    product = make_product(name, "0e + 1o", "0e + 1o").double()
    x, y = (value.requires_grad_() for value in inputs_of(product, rng, 3))
    expected = [part.detach() for part in orders(product, x, y)]
    torch.compiler.reset()
    z = torch.compile(product, fullgraph=True, backend="aot_eager")(x, y)
    (gradient,) = torch.autograd.grad(z.square().sum(), x)
    compare_outputs("compile", (z.detach(), gradient), tuple(expected[:2]), "compiled and eager differ", epsilons=None)
    trace = make_fx(lambda x, y: orders(product, x, y))(x, y)
    found = torch.compile(trace, fullgraph=True, backend="aot_eager")(x.detach(), y.detach())
    compare_outputs("compile", tuple(found), tuple(expected), "compiled and eager differ", epsilons=None)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", [entry.name for entry in list_products("product")])
def test_a_product_repeats_to_the_bit(name, dtype, rng):
    """Built twice, called twice, forward and backward."""
    results = []
    inputs = None
    for _ in range(2):
        product = make_product(name, "0e + 1o", "0e + 1o").to(dtype)
        inputs = inputs or inputs_of(product, rng, 50, 3, dtype=dtype)
        x, y = (value.detach().requires_grad_() for value in inputs)
        results.append((product(x, y), *torch.autograd.grad(product(x, y).square().sum(), (x, y))))
    for first, second in zip(*results, strict=True):
        assert torch.equal(first, second)


# --- layers ------------------------------------------------------------------------------------------------


def paired(module, rng, dtype):
    first, second = module.symmetry.inputs["x"].irreps, module.symmetry.inputs["y"].irreps
    return {"x": first.random(4, rng=rng, dtype=dtype), "y": second.random(4, rng=rng, dtype=dtype)}


def on_edges(module, rng, dtype):
    vectors = torch.randn(4, 3, generator=rng, dtype=dtype)
    vectors[0] = torch.tensor([0.0, -2.0, 0.0])  # a pole of the harmonics
    given = {"x": module.irreps_in.random(4, rng=rng, dtype=dtype), "y": vectors}
    if hasattr(module, "weight_numel"):
        given["weight"] = torch.randn(4, module.weight_numel, generator=rng, dtype=dtype)
    return given


def with_weights(module, rng, dtype):
    return paired(module, rng, dtype) | {"weight": torch.randn(4, module.weight_numel, generator=rng, dtype=dtype)}


def on_atoms(module, rng, dtype):
    return {"x": module.irreps_in.random(4, rng=rng, dtype=dtype), "types": torch.tensor([0, 1, 1, 0])}


def alone(module, rng, dtype):
    return {"x": module.irreps.random(4, rng=rng, dtype=dtype)}


TWO = "2x0e + 2x0o + 2x1o + 2x1e + 2x5o + 2x6e + 2x6o"
LAYERS = {
    "channelwise": (lambda: ChannelwiseTensorProduct(TWO, natural(6), lmax_out=6), with_weights),
    "fully connected": (lambda: FullyConnectedTensorProduct(natural(6), natural(6), natural(6), rng=seeded()), paired),
    "symmetric contraction": (lambda: SymmetricContraction(natural(6, 2), natural(6, 2), 2, 2, rng=seeded()), on_atoms),
    "gaunt uuu": (lambda: GauntTensorProduct(natural(6, 2), natural(6, 2), rng=seeded()), paired),
    "gaunt uv": (lambda: GauntTensorProduct(natural(6, 2), natural(6, 3), mode="uv", rng=seeded()), paired),
    "gaunt uvw": (
        lambda: GauntTensorProduct(natural(6, 2), natural(6, 3), natural(6, 2), mode="uvw", rng=seeded()),
        paired,
    ),
    "gaunt with odd couplings": (
        lambda: GauntTensorProduct(natural(6, 2), natural(6, 2), couplings="all", rng=seeded()),
        paired,
    ),
    "gaunt of both parities": (lambda: ParityGauntTensorProduct(TWO, TWO, TWO, couplings="all", rng=seeded()), paired),
    "self mix": (lambda: SelfMix(TWO, initial_gain=0.5, rng=seeded()), alone),
    "gaunt many-body": (lambda: GauntManyBody(natural(6, 2), natural(6, 2), 3, 2, rng=seeded()), on_atoms),
    "gaunt many-body, fourier, cp": (
        lambda: GauntManyBody(
            natural(6, 2), natural(6, 2), 3, 2, rng=seeded(), weights="cp", backend="fourier"
        ),
        on_atoms,
    ),
    "gaunt convolution": (lambda: GauntConvolution(natural(6, 2), 6, lmax_out=6), on_edges),
    "so2 convolution": (lambda: SO2Convolution(TWO, natural(6), lmax_out=6), on_edges),
    "so2 linear": (lambda: SO2LinearConvolution(natural(6, 2), natural(6, 2), rng=seeded()), on_edges),
    "so2 linear, truncated": (lambda: SO2LinearConvolution(natural(6, 2), natural(6, 2), 2, rng=seeded()), on_edges),
    "dot product of fields": (lambda: VectorDotProduct(natural(6), natural(6), natural(6)), paired),
    "scalar times field": (lambda: ScalarVectorProduct(natural(6), natural(6), natural(6)), paired),
}  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("make", "inputs"), LAYERS.values(), ids=LAYERS.keys())
def test_the_law_of_a_layer_at_degree_6(make, inputs, dtype, rng):
    module = make().to(dtype)
    report = equivariance_error(module, inputs(module, rng, dtype), trials=2, rng=rng, dtype=None)
    assert report.worst.relative < BOUNDS[dtype], report.explain()
    # the dense layers of SO(2) mix both kinds of weights and keep rotations only
    reflected = not isinstance(module, SO2LinearConvolution)
    assert any(entry.part == "reflections" for entry in report.entries) == reflected
