"""Every check of intertwine.testing passes a sound module and catches a twin that breaks its contract."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from intertwine.errors import SymmetryError
from intertwine.groups import O, SymmetricGroup
from intertwine.representations import Invariant, Permuted, Vector
from intertwine.symmetry import Symmetry
from intertwine.testing import (
    DTYPES,
    ContractViolation,
    ModuleContract,
    check_batch_equals_single,
    check_compile,
    check_conservative,
    check_empty_batch,
    check_equivariance,
    check_gradients_finite,
    check_permutation,
    check_precision,
    check_pretrained,
    check_save_load,
    tolerance,
)


class Sound(nn.Module):
    """Rotation-equivariant, item by item; ``fault`` breaks one contract and no other."""

    symmetry = Symmetry(
        O(3) * SymmetricGroup(None),
        inputs={"v": Permuted((0,), Vector())},
        output={"scaled": Permuted((0,), Vector()), "size": Permuted()},
    )

    def __init__(self, fault=None):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([0.7, -0.4, 0.2]))
        self.fault, self.hidden = fault, float(torch.rand(())) if fault == "unsaved" else 1.0

    def forward(self, v):
        square = v.square().sum(-1)
        size = torch.sqrt(square) if self.fault == "gradient" else torch.sqrt(square + 1)
        if self.fault == "second order":
            size = size + (square + 1e-300) ** 0.75
        if self.fault == "batch":
            size = size + size.mean()
        if self.fault == "order":
            size = size + torch.arange(len(v), dtype=v.dtype)
        if self.fault == "rotation":
            size = size + v[:, 0]
        if self.fault == "precision":
            size = size + 1e4 - 1e4
        if self.fault == "dtype":
            size = size.double()
        if self.fault == "graph break" and float(size.detach().sum()) > 0:
            size = size + 1
        if self.fault == "compiled" and torch.compiler.is_compiling():
            size = size * 1.01
        if self.fault == "empty":
            size = size - size.max()
        if self.fault == "empty mean":
            size = size.mean(0, keepdim=True)
        gain = self.weight[0] + self.weight[1] * size + self.weight[2] * size**2
        return {"scaled": self.hidden * gain[:, None] * v, "size": size}


def vectors(rng, count=5, dtype=torch.float64):
    return {"v": torch.randn(count, 3, generator=rng, dtype=dtype)}


def join(singles):
    return {"v": torch.cat([single["v"] for single in singles])}


def test_equivariance(rng):
    check_equivariance(Sound(), vectors(rng), rng=rng)
    for fault in ("rotation", "order"):
        with pytest.raises(ContractViolation) as caught:
            check_equivariance(Sound(fault), vectors(rng), rng=rng)
        assert caught.value.contract == "equivariance"
    with pytest.raises(ContractViolation, match="every output is zero"):
        check_equivariance(lambda v: v * 0, vectors(rng), symmetry=ZERO, rng=rng)


ZERO = Symmetry(O(3), inputs={"v": Vector()}, output=Vector())


def test_permutation(rng):
    check_permutation(Sound(), vectors(rng), rng=rng)
    check_permutation(Sound("rotation"), vectors(rng), rng=rng)
    with pytest.raises(ContractViolation) as caught:
        check_permutation(Sound("order"), vectors(rng), rng=rng)
    assert caught.value.contract == "permutation"
    with pytest.raises(ContractViolation, match="permutes nothing"):
        check_permutation(lambda v: v, vectors(rng), symmetry=ZERO)


def test_batch_equals_single(rng):
    singles = [vectors(rng, count) for count in (2, 3, 1)]
    check_batch_equals_single(Sound().double(), singles, join)
    with pytest.raises(ContractViolation) as caught:
        check_batch_equals_single(Sound("batch").double(), singles, join)
    assert caught.value.details["output"] == "scaled"
    with pytest.raises(ContractViolation, match="two members"):
        check_batch_equals_single(Sound().double(), singles[:1], join)


def test_gradients_finite(rng):
    at_zero = {"v": torch.cat([vectors(rng)["v"], torch.zeros(1, 3, dtype=torch.float64)])}
    check_gradients_finite(Sound().double(), at_zero)
    check_gradients_finite(nn.Identity(), {"input": at_zero["v"]})
    with pytest.raises(ContractViolation) as caught:
        check_gradients_finite(Sound("gradient").double(), at_zero)
    assert caught.value.details == {"order": 1, "by": "v"}
    check_gradients_finite(Sound("second order").double(), at_zero, order=1)
    with pytest.raises(ContractViolation) as caught:
        check_gradients_finite(Sound("second order").double(), at_zero, order=2)
    assert caught.value.details["order"] == 2

    class Detached(nn.Module):
        def forward(self, v):
            return v.detach()

    with pytest.raises(ContractViolation, match="detached"):
        check_gradients_finite(Detached(), at_zero)


def test_save_and_load(rng):
    inputs = vectors(rng, dtype=torch.float32)
    check_save_load(Sound(), Sound(), inputs)
    with pytest.raises(ContractViolation) as caught:
        check_save_load(Sound("unsaved"), Sound("unsaved"), inputs)
    assert caught.value.contract == "save and load"
    with pytest.raises(ContractViolation, match="does not fit"):
        check_save_load(Sound(), nn.Linear(3, 3), inputs)


class Published(Sound):
    """Stores its state next to nothing else; the broken one forgets a factor."""

    def save_pretrained(self, folder):
        torch.save(self.state_dict(), folder / "weights.pt")

    @classmethod
    def from_pretrained(cls, folder):
        loaded = cls()
        loaded.load_state_dict(torch.load(folder / "weights.pt", weights_only=True))
        return loaded


def test_pretrained(rng):
    inputs = vectors(rng, dtype=torch.float32)
    module = Published()
    check_pretrained(module, inputs)
    module.hidden = 1.0001
    with pytest.raises(ContractViolation) as caught:
        check_pretrained(module, inputs)
    assert caught.value.contract == "pretrained"
    with pytest.raises(ContractViolation, match="no such method"):
        check_pretrained(Sound(), inputs)


def test_compile(rng):
    inputs = vectors(rng)
    check_compile(Sound().double(), inputs)
    with pytest.raises(ContractViolation, match="graph break"):
        check_compile(Sound("graph break").double(), inputs)
    with pytest.raises(ContractViolation, match="disagree"):
        check_compile(Sound("compiled").double(), inputs)


def test_precision(rng):
    check_precision(Sound(), vectors(rng))
    with pytest.raises(ContractViolation, match="disagree"):
        check_precision(Sound("precision"), vectors(rng), epsilons=64)
    with pytest.raises(ContractViolation) as caught:
        check_precision(Sound("dtype"), vectors(rng))
    assert caught.value.details["got"] == torch.float64


def test_empty_batch():
    nothing = {"v": torch.zeros(0, 3)}
    assert check_empty_batch(Sound(), nothing, shapes={"scaled": (0, 3)})["size"].shape == (0,)
    with pytest.raises(ContractViolation, match="fails on an empty batch"):
        check_empty_batch(Sound("empty"), nothing)
    with pytest.raises(ContractViolation, match="wrong shape"):
        check_empty_batch(Sound(), nothing, shapes={"size": (1,)})
    with pytest.raises(ContractViolation, match="nothing was taken"):
        check_empty_batch(lambda v: v.mean(0), nothing)


class Well(nn.Module):
    symmetry = Symmetry(O(3), {"positions": Vector()}, {"energy": Invariant(), "forces": Vector()})

    def __init__(self, factor=1.0):
        super().__init__()
        self.factor = factor

    def forward(self, positions):
        return {"energy": (positions**2).sum() / 2, "forces": -self.factor * positions}


def test_conservative(rng):
    inputs = {"positions": torch.randn(4, 3, generator=rng)}
    check_conservative(Well(), inputs, rng=rng)
    with pytest.raises(ContractViolation) as caught:
        check_conservative(Well(1.01), inputs, rng=rng)
    assert caught.value.contract == "conservative forces"
    check_conservative(Sound(), vectors(rng), required=False)
    with pytest.raises(ContractViolation, match="does not take positions"):
        check_conservative(Sound(), vectors(rng))


class TestSound(ModuleContract):
    """The suite itself, on a sound module: all checks on."""

    def build(self):
        return Sound()

    def inputs(self, rng, dtype):
        return vectors(rng, dtype=dtype)

    def singles(self, rng, dtype):
        return [vectors(rng, count, dtype) for count in (1, 4)]

    def join(self, singles):
        return join(singles)

    def empty_inputs(self, dtype):
        return {"v": torch.zeros(0, 3, dtype=dtype)}


@pytest.mark.parametrize(
    ("fault", "check"),
    [
        ("rotation", "test_equivariance"),
        ("order", "test_permutation"),
        ("batch", "test_batch_equals_single"),
        ("unsaved", "test_save_and_load"),
        ("graph break", "test_compile_equals_eager"),
        ("dtype", "test_float32_equals_float64"),
        ("empty", "test_empty_batch"),
    ],
)
def test_the_suite_catches_a_broken_twin(fault, check):
    suite = TestSound()
    suite.build = lambda: Sound(fault)
    with pytest.raises(ContractViolation):
        getattr(suite, check)()


def test_the_suite_catches_infinite_gradients_and_false_forces():
    suite = TestSound()
    suite.build = lambda: Sound("gradient")
    suite.inputs = lambda rng, dtype: {"v": torch.zeros(2, 3, dtype=dtype)}
    with pytest.raises(ContractViolation, match="finite gradients"):
        suite.test_gradients_are_finite()
    suite.build = lambda: Well(1.01)
    suite.inputs = lambda rng, dtype: {"positions": torch.randn(4, 3, generator=rng, dtype=dtype)}
    with pytest.raises(ContractViolation, match="conservative forces"):
        suite.test_equivariance()


def test_a_flag_takes_its_check_out_and_no_other():
    class Partial(ModuleContract):
        permutes = accepts_empty = False

    assert Partial.test_permutation is None
    assert Partial.test_empty_batch is None
    assert callable(Partial.test_equivariance)
    with pytest.raises(NotImplementedError, match="must define build"):
        Partial().test_equivariance()
    with pytest.raises(NotImplementedError, match="or set batches = False"):
        Partial().singles(torch.Generator(), torch.float64)


@pytest.mark.parametrize("dtype", DTYPES)
def test_tolerance_is_relative_in_machine_epsilons(dtype):
    eps = torch.finfo(dtype).eps
    assert tolerance(dtype, epsilons=3) == {"rtol": 3 * eps, "atol": 3 * eps}
    assert tolerance(dtype, epsilons=3, size=10)["atol"] == 30 * eps
    assert 0 < tolerance(dtype)["rtol"] < 1e-4
    one = torch.ones((), dtype=dtype)
    torch.testing.assert_close(one + 2 * eps, one, **tolerance(dtype, epsilons=3))
    with pytest.raises(AssertionError):
        torch.testing.assert_close(one + 8 * eps, one, **tolerance(dtype, epsilons=3))


def test_tolerance_of_other_types():
    assert tolerance(torch.complex128) == tolerance(torch.float64)
    assert tolerance(torch.int64) == {"rtol": 0.0, "atol": 0.0}
    with pytest.raises(SymmetryError):
        tolerance(torch.float8_e4m3fn)


def test_importing_the_package_imports_no_test_runner():
    code = "import sys, intertwine.testing; sys.exit('pytest' in sys.modules or 'hypothesis' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
