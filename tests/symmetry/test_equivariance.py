"""equivariance_error passes e3nn and textbook maps, and catches one broken twin for every kind of element."""

import json

import pytest
import torch
from e3nn import o3
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from intertwine.errors import SymmetryError
from intertwine.groups import SE, SO, DihedralGroup, E, O, SymmetricGroup
from intertwine.representations import Invariant, IrrepsTensor, NodeIndices, Permuted, Point, Vector
from intertwine.symmetry import Symmetry, equivariance_error

IN, OUT = "4x0e + 3x1o + 2x2e", "2x0e + 5x1o + 1x2e"
LINEAR = Symmetry(O(3), inputs={"features": IrrepsTensor(IN)}, output=IrrepsTensor(OUT))
VECTOR = Symmetry(O(3), inputs={"v": Vector()}, output=Vector())
CLOUD = Symmetry(E(3) * SymmetricGroup(None), inputs={"x": Permuted((0,), Point())}, output=Permuted((0,), Vector()))


def features(rng, irreps=IN):
    return torch.randn(6, o3.Irreps(irreps).dim, generator=rng)


def test_e3nn_linear_keeps_its_law_to_rounding(rng):
    report = equivariance_error(o3.Linear(IN, OUT), features(rng), symmetry=LINEAR, rng=rng)
    assert report.worst.epsilons < 64
    assert {entry.part for entry in report.entries} == {"all", "rotations", "reflections"}
    assert report.passed()
    assert "rounding" in report.explain()


@pytest.fixture
def default_float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def test_e3nn_tensor_product_keeps_its_law_to_rounding(rng, default_float64):
    report = product_report(rng)
    assert report.worst.epsilons < 256, report.explain()


def test_e3nn_couplings_of_a_product_built_in_float32_are_seen(rng):
    """e3nn rounds couplings to the default precision when built; conversion does not bring digits back."""
    report = product_report(rng)
    assert report.worst.verdict == "low precision"
    assert report.worst.relative < 1e-6


def product_report(rng):
    product = o3.FullyConnectedTensorProduct(IN, "1x0e + 1x1o + 1x1e", OUT)
    law = Symmetry(O(3), {"x": IrrepsTensor(IN), "y": IrrepsTensor("1x0e + 1x1o + 1x1e")}, IrrepsTensor(OUT))
    return equivariance_error(product, (features(rng), torch.randn(6, 7, generator=rng)), symmetry=law, rng=rng)


def test_wrong_component_order_is_caught(rng):
    linear = o3.Linear(IN, OUT)
    report = equivariance_error(lambda features: linear.double()(features.flip(-1)), features(rng), symmetry=LINEAR)
    assert report.worst.verdict == "broken"
    assert report.worst.relative > 1e-2
    cyclic = equivariance_error(lambda v: v[:, [1, 2, 0]], torch.randn(5, 3, generator=rng), symmetry=VECTOR)
    assert cyclic.worst.verdict == "broken"


def test_missing_inversion_parity_breaks_only_reflections(rng):
    axis = torch.randn(5, 3, generator=rng)
    law = Symmetry(O(3), {"a": Vector(), "b": Vector()}, Vector())
    report = equivariance_error(lambda a, b: torch.linalg.cross(a, b), (axis, axis.roll(1, 0)), symmetry=law)
    assert report.part("rotations").verdict == "rounding"
    assert report.part("reflections").relative == pytest.approx(2.0)
    assert "Only reflections break the law; rotations keep it." in report.explain()
    with pytest.raises(SymmetryError):
        report.part("translations")


@pytest.mark.parametrize(
    ("function", "broken"),
    [
        (lambda x: x - x.mean(0), set()),
        (lambda x: x - 0.9 * x.mean(0), {"translations"}),
        (lambda x: (x - x.mean(0)) * torch.arange(len(x))[:, None], {"permutations"}),
        (lambda x: (x - x.mean(0)) * (1 + x[:, :1] - x.mean(0)[:1]), {"rotations", "reflections"}),
        (
            lambda x: (x - x.mean(0)) * (1 + torch.linalg.det((x - x.mean(0)).mT @ (x - x.mean(0)) ** 3)),
            {"rotations", "reflections"},
        ),
    ],
)
def test_each_part_of_the_group_is_reported_apart(function, broken, rng):
    report = equivariance_error(function, torch.randn(5, 3, generator=rng), symmetry=CLOUD, rng=rng)
    failing = {entry.part for entry in report.entries if entry.verdict == "broken"} - {"all"}
    assert failing == broken
    assert report.passed() == (not broken)


def test_float32_constants_are_low_precision_not_broken(rng):
    def third_in_float32(v):
        return torch.stack(
            [v[..., 0] * torch.tensor(1 / 3, dtype=torch.float32).to(v), v[..., 1] / 3, v[..., 2] / 3], -1
        )

    report = equivariance_error(third_in_float32, torch.randn(5, 3, generator=rng), symmetry=VECTOR)
    assert report.worst.verdict == "low precision"
    assert 1e-9 < report.worst.relative < 1e-7
    assert not report.passed()
    assert report.passed(1e-6)


def test_a_planted_error_is_measured_to_its_size(rng):
    scale = torch.tensor([1.0, 1.0, 1.01], dtype=torch.float64)
    v = torch.randn(50, 3, generator=rng)
    report = equivariance_error(lambda v: v * scale, v, symmetry=VECTOR, trials=16, rng=rng)
    assert 2e-3 < report.worst.relative < 2e-2


def test_not_a_number_is_a_failure_and_plain_in_json(rng):
    report = equivariance_error(lambda v: v / (v * 0), torch.randn(5, 3, generator=rng), symmetry=VECTOR)
    assert report.worst.verdict == "not finite"
    assert not report.passed(1e9)
    assert json.loads(json.dumps(report.to_dict(), allow_nan=False))["worst"]["relative"] is None
    assert "NaN" in report.explain()


def test_zero_is_trivial_and_said_so(rng):
    report = equivariance_error(lambda v: v * 0, torch.randn(5, 3, generator=rng), symmetry=VECTOR)
    assert report.passed()
    assert report.worst.verdict == "zero"
    assert "Trivially satisfied: the output is zero" in report.explain()
    law = Symmetry(O(3), {"v": Vector()}, (Vector(), Vector()))
    partly = equivariance_error(lambda v: (v, v * 0), torch.randn(5, 3, generator=rng), symmetry=law)
    assert "Trivially satisfied: output is zero (1)." in partly.explain()


def test_an_output_that_ignores_its_inputs_is_warned_about(rng):
    law = Symmetry(O(3), {"v": Vector()}, Invariant())
    constant = equivariance_error(lambda v: torch.ones(5).to(v), torch.randn(5, 3, generator=rng), symmetry=law)
    assert constant.passed()
    assert any("ignores its inputs" in warning for warning in constant.warnings)
    assert "Warning: output did not change" in constant.explain()
    assert equivariance_error(lambda v: v.norm(dim=-1), torch.randn(5, 3, generator=rng), symmetry=law).warnings == ()


def test_randomness_and_lost_precision_are_warned_about(rng):
    noise = torch.Generator().manual_seed(3)
    noisy = equivariance_error(
        lambda v: v + torch.randn(v.shape, generator=noise), torch.randn(5, 3, generator=rng), symmetry=VECTOR
    )
    assert any("randomness" in warning for warning in noisy.warnings)
    lossy = equivariance_error(lambda v: v.float(), torch.randn(5, 3, generator=rng), symmetry=VECTOR)
    assert any("torch.float32 although" in warning for warning in lossy.warnings)


class Potential(nn.Module):
    """Pair potential with forces by autograd; one float32 parameter, one buffer, dropout that must be off."""

    symmetry = Symmetry(
        E(3) * SymmetricGroup(None),
        inputs={"positions": Permuted((0,), Point()), "species": Permuted(), "edge_index": NodeIndices()},
        output={"energy": Invariant(), "forces": Permuted((0,), Vector())},
    )

    def __init__(self):
        super().__init__()
        self.charge = nn.Parameter(torch.tensor([1.0, -0.3, 0.7]))
        self.register_buffer("width", torch.tensor(0.4))
        self.dropout = nn.Dropout(0.5)

    def forward(self, positions, species, edge_index):
        positions.requires_grad_(True)
        source, target = edge_index
        square = (positions[source] - positions[target]).square().sum(-1)
        charges = self.dropout(self.charge[species])
        energy = (charges[source] * charges[target] * torch.exp(-self.width * square)).sum()
        return {"energy": energy, "forces": -torch.autograd.grad(energy, positions)[0]}


def cloud(rng, atoms=6):
    edges = torch.cartesian_prod(torch.arange(atoms), torch.arange(atoms))
    return {
        "positions": torch.randn(atoms, 3, generator=rng),
        "species": torch.arange(atoms) % 3,
        "edge_index": edges[edges[:, 0] != edges[:, 1]].T,
    }


def test_a_force_model_is_checked_in_float64_and_left_untouched(rng):
    model, inputs = Potential(), cloud(rng)
    with torch.no_grad():
        report = equivariance_error(model, inputs, rng=rng)
    assert report.worst.epsilons < 256, report.explain()
    assert report.group == "E(3) x S_6"
    assert {entry.part for entry in report.entries} == {
        "all", "rotations", "reflections", "translations", "permutations",
    }  # fmt: skip
    assert model.training
    assert model.charge.dtype == torch.float32
    assert model.charge.grad is None
    assert not inputs["positions"].requires_grad


def test_own_precision_can_be_kept(rng):
    report = equivariance_error(Potential().eval(), cloud(rng), rng=rng, dtype=None)
    assert report.dtype == torch.float32
    assert 1e-9 < report.worst.relative < 1e-4
    assert report.passed()


def test_a_constant_that_does_not_follow_the_module_is_explained(rng):
    class Fixed(nn.Module):
        symmetry = VECTOR

        def forward(self, v):
            return v @ torch.eye(3)

    with pytest.raises(SymmetryError) as caught:
        equivariance_error(Fixed(), torch.randn(5, 3, generator=rng))
    assert "dtype=None" in caught.value.fix
    assert equivariance_error(Fixed(), torch.randn(5, 3, generator=rng), dtype=None).passed()


def test_a_changing_shape_is_refused(rng):
    with pytest.raises(SymmetryError) as caught:
        equivariance_error(lambda v: v[v[:, 0] > 0], torch.randn(40, 3, generator=rng), symmetry=VECTOR, rng=rng)
    assert caught.value.expected[1] == 3


def test_integer_and_boolean_inputs_without_floats(rng):
    law = Symmetry(SymmetricGroup(None), {"a": Permuted((0, 1))}, Permuted())
    adjacency = torch.rand(5, 5, generator=rng) > 0.5
    assert equivariance_error(lambda a: a.sum(1), adjacency, symmetry=law).passed()
    assert not equivariance_error(lambda a: a.cumsum(0).sum(1), adjacency, symmetry=law).passed()


def test_finite_groups_of_the_plane(rng):
    law = Symmetry(DihedralGroup(4), {"v": Vector()}, Vector())
    assert equivariance_error(lambda v: v**3, torch.randn(5, 2, generator=rng), symmetry=law).passed()
    turns = Symmetry(SO(2), {"v": Vector()}, Vector())
    report = equivariance_error(lambda v: v**3, torch.randn(5, 2, generator=rng), symmetry=turns)
    assert report.worst.verdict == "broken"


@settings(max_examples=15, deadline=None)
@given(size=st.floats(1e-6, 0.5), axis=st.integers(0, 2), seed=st.integers(0, 1000))
def test_any_anisotropy_is_caught(size, axis, seed):
    rng = torch.Generator().manual_seed(seed)
    scale = torch.ones(3, dtype=torch.float64)
    scale[axis] += size
    report = equivariance_error(lambda v: v * scale, torch.randn(8, 3, generator=rng), symmetry=VECTOR, rng=rng)
    assert not report.passed()
    assert report.worst.relative <= 2 * size


def test_the_same_generator_gives_the_same_report(rng):
    x = torch.randn(4, 3, generator=rng)
    law = Symmetry(SE(3), {"x": Point()}, Point())
    first, second = (
        equivariance_error(lambda x: x * 2, x, symmetry=law, rng=torch.Generator().manual_seed(5)) for _ in range(2)
    )
    assert first == second
    assert first.part("rotations").verdict == "rounding"
    assert first.part("translations").verdict == "broken"
