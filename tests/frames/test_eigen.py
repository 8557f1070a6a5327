"""Eigenvectors of small symmetric matrices: against LAPACK, where eigenvalues are close, and their derivatives."""

import pytest
import torch

from intertwine.errors import NumericsError, ShapeError
from intertwine.frames import symmetric_eigh

EPS = torch.finfo(torch.float64).eps
SPECTRA = {
    "simple": [0.3, 1.0, 2.0],
    "close below": [1.0, 1.0 + 1e-9, 3.0],
    "close above": [1.0, 3.0, 3.0 + 1e-13],
    "equal": [2.0, 2.0, 2.0],
    "plane": [0.0, 1.0, 2.0],
    "line": [0.0, 0.0, 2.0],
    "zero": [0.0, 0.0, 0.0],
    "small": [1e-30, 2e-30, 3e-30],
    "large": [1e200, 2e200, 3e201],
    "wide": [1e-12, 1e-6, 1.0],
    "negative": [-3.0, -1.0, 2.0],
}


def turned(values, seed=0, count=500):
    d = len(values)
    rng = torch.Generator().manual_seed(seed)
    axes = torch.linalg.qr(torch.randn(count, d, d, generator=rng, dtype=torch.float64))[0]
    found = axes @ torch.diag(torch.tensor(values, dtype=torch.float64)) @ axes.mT
    return (found + found.mT) / 2


@pytest.mark.parametrize("values", SPECTRA.values(), ids=SPECTRA)
@pytest.mark.parametrize("d", [2, 3])
def test_decomposes_as_lapack_does(values, d):
    matrices = turned(values[-d:])
    size = matrices.abs().amax((-2, -1))
    found, axes = symmetric_eigh(matrices)
    allowed = 32 * EPS * size
    assert ((found - torch.linalg.eigvalsh(matrices)).abs().amax(-1) <= allowed).all()
    assert ((axes.mT @ axes - torch.eye(d)).abs() <= 16 * EPS).all()
    assert ((matrices @ axes - axes * found.unsqueeze(-2)).abs().amax((-2, -1)) <= allowed).all()
    assert (found.diff() >= -allowed.unsqueeze(-1)).all()


def test_larger_matrices_and_batches_of_any_shape():
    matrices = turned([0.1, 0.2, 1.0, 3.0], count=6).unflatten(0, (2, 3))
    values, axes = symmetric_eigh(matrices)
    torch.testing.assert_close(axes @ torch.diag_embed(values) @ axes.mT, matrices)
    assert symmetric_eigh(matrices[:0, :, :3, :3])[1].shape == (0, 3, 3, 3)


@pytest.mark.parametrize("d", [2, 3, 4])
def test_derivatives_of_first_and_second_order(d):
    rng = torch.Generator().manual_seed(d)
    root = torch.randn(3, d, d, generator=rng, dtype=torch.float64, requires_grad=True)

    def functions(x):
        values, axes = symmetric_eigh(x @ x.mT)
        return values, axes.square(), axes @ torch.diag_embed(values.sin()) @ axes.mT

    assert torch.autograd.gradcheck(functions, root)
    assert torch.autograd.gradgradcheck(functions, root)


@pytest.mark.parametrize("name", ["equal", "line", "zero", "close above"])
def test_derivatives_stay_finite_where_eigenvalues_meet(name):
    matrices = turned(SPECTRA[name]).requires_grad_()
    values, axes = symmetric_eigh(matrices)
    (values.sum() + (axes * torch.arange(9.0).reshape(3, 3)).sum()).backward()
    assert matrices.grad.isfinite().all()
    assert matrices.grad.abs().max() < 1e10


def test_is_computed_in_float64_whatever_is_given():
    matrices = turned(SPECTRA["simple"]).float()
    values, axes = symmetric_eigh(matrices)
    assert values.dtype == axes.dtype == torch.float32
    exact = torch.linalg.eigvalsh(matrices.double())
    assert ((values.double() - exact).abs() <= torch.finfo(torch.float32).eps * 3).all()


def test_refuses_what_it_cannot_decompose():
    with pytest.raises(ShapeError) as shape:
        symmetric_eigh(torch.zeros(2, 3))
    assert shape.value.expected == "(..., d, d)"
    with pytest.raises(ShapeError):
        symmetric_eigh(torch.zeros(3, 3, dtype=torch.int64))
    with pytest.raises(NumericsError):
        symmetric_eigh(torch.full((3, 3), torch.nan))


# torch 2.13 makes an instance of every autograd function that it traces, and warns of it itself
@pytest.mark.filterwarnings("ignore:.*should not be instantiated.*:DeprecationWarning")
def test_compiles_without_graph_breaks():
    matrices = turned(SPECTRA["simple"], count=4)
    compiled = torch.compile(symmetric_eigh, backend="aot_eager", fullgraph=True)
    for one, other in zip(compiled(matrices), symmetric_eigh(matrices), strict=True):
        torch.testing.assert_close(one, other)
