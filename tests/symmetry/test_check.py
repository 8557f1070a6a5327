"""check_module and check_factory: the whole report, and targets by import path."""

import json
import sys
from dataclasses import replace

import pytest
import torch
from torch import nn

from intertwine.errors import SymmetryError
from intertwine.groups import E, SymmetricGroup
from intertwine.representations import Invariant, Permuted, Point, Vector
from intertwine.symmetry import Symmetry, check_factory, check_module, load_target

SOURCE = """
import torch
from torch import nn

class Norm(nn.Module):
    def __init__(self, power=1):
        super().__init__()
        self.power = power
    def forward(self, v):
        return v * v.norm(dim=-1, keepdim=True) ** self.power
    def example_inputs(self):
        return {"v": torch.randn(4, 3, generator=torch.Generator().manual_seed(0))}

class NeedsWidth(nn.Module):
    def __init__(self, width):
        super().__init__()

def pair():
    return Norm(), (torch.ones(4, 3),)

def absolute():
    return nn.Sequential(Norm(), Abs()), torch.randn(4, 3, generator=torch.Generator().manual_seed(0))

class Abs(nn.Module):
    def forward(self, v):
        return v.abs()

def no_module():
    return 3

instance = Norm()
bare = nn.Identity()
number = 7
"""


@pytest.fixture
def user_code(tmp_path, monkeypatch):
    (tmp_path / "my_models.py").write_text(SOURCE)
    (tmp_path / "needs_missing.py").write_text("import not_installed_anywhere\n")
    monkeypatch.chdir(tmp_path)
    yield "my_models"
    sys.modules.pop("my_models", None)


class Pair(nn.Module):
    symmetry = Symmetry(
        E(3) * SymmetricGroup(None),
        inputs={"positions": Permuted((0,), Point())},
        output={"energy": Invariant(), "forces": Permuted((0,), Vector())},
    )

    def __init__(self, factor=1.0, detach=False):
        super().__init__()
        self.factor, self.detach = factor, detach

    def forward(self, positions):
        positions = positions if positions.requires_grad else positions.requires_grad_(True)
        distance = (positions[:, None] - positions).square().sum(-1)
        energy = torch.exp(-distance).sum()
        forces = -torch.autograd.grad(energy, positions, create_graph=not self.detach)[0]
        return {"energy": energy, "forces": self.factor * forces}


def test_a_force_field_passes_with_all_three_parts(rng):
    report = check_module(Pair(), torch.randn(5, 3, generator=rng), rng=rng)
    assert report.passed
    assert report.localisation is None
    assert report.conservativeness.energy_mismatch < 1e-14
    assert "Pair: passed" in report.text
    assert json.loads(json.dumps(report.to_dict(), allow_nan=False))["passed"] is True


def test_scaled_forces_fail_although_they_are_equivariant(rng):
    report = check_module(Pair(1.01), torch.randn(5, 3, generator=rng), rng=rng)
    assert report.equivariance.passed()
    assert not report.passed
    assert "failed" in report.text


def test_forces_without_an_energy_are_not_called_conservative(rng):
    """Forces alone, of a head of their own: what was not measured is said."""
    law = Pair().symmetry
    alone = replace(law, output={"forces": law.output["forces"]})

    def forces(positions):
        return {"forces": Pair()(positions)["forces"] * 2}

    report = check_module(forces, torch.randn(5, 3, generator=rng), symmetry=alone, rng=rng)
    assert report.passed, report.text
    assert report.conservativeness is None
    assert "whether they are conservative was not measured" in report.text


def test_detached_forces_are_checked_by_differences_and_noted(rng):
    report = check_module(Pair(detach=True), {"positions": torch.randn(5, 3, generator=rng)}, rng=rng)
    assert report.passed, report.text
    assert report.conservativeness.method == "finite_difference"
    assert "finite differences" in report.text
    assert not check_module(Pair(1.01, detach=True), torch.randn(5, 3, generator=rng), rng=rng).passed


def test_a_broken_module_is_localised(user_code):
    report = check_factory("my_models:absolute", group="O(3)", inputs="input=vector", output="vector")
    assert not report.passed
    assert report.localisation.culprit.name == "1"
    assert "`1` breaks the symmetry" in report.text


@pytest.mark.parametrize("name", ["Norm", "instance", "pair"])
def test_instances_classes_and_functions_are_targets(user_code, name):
    report = check_factory(f"my_models:{name}", group="O(3)", inputs="v=vector", output="vector", trials=2)
    assert report.passed
    assert report.name == f"my_models:{name}"
    assert report.conservativeness is None


def test_the_path_is_searched_only_while_loading(user_code):
    before = list(sys.path)
    target = load_target("my_models:pair")
    assert isinstance(target.module, nn.Module)
    assert sys.path == before


@pytest.mark.parametrize(
    ("path", "code", "says"),
    [
        ("my_models", "E410", "colon"),
        ("my_modules:pair", "E411", "folder"),
        ("needs_missing:x", "E411", "install not_installed_anywhere"),
        ("my_models:pairs", "E412", "pair"),
        ("my_models:number", "E413", ""),
        ("my_models:no_module", "E413", ""),
        ("my_models:NeedsWidth", "E413", "function that builds"),
    ],
)
def test_targets_that_do_not_work_say_why(user_code, path, code, says):
    with pytest.raises(SymmetryError) as caught:
        load_target(path)
    assert caught.value.code == code
    assert says in (caught.value.fix or "")


def test_missing_inputs_or_symmetry_are_refused(user_code):
    with pytest.raises(SymmetryError) as caught:
        check_factory("my_models:bare", group="O(3)", inputs="input=vector", output="vector")
    assert "(module, inputs)" in caught.value.fix
    with pytest.raises(SymmetryError):
        check_factory("my_models:pair")
    with pytest.raises(SymmetryError):
        check_factory("my_models:pair", inputs="v=vector")
