"""Localisation: one layer of a network is broken, and that layer is named."""

import json

import pytest
import torch
from e3nn import o3
from e3nn.nn import Gate
from torch import nn

from intertwine.errors import SymmetryError
from intertwine.groups import E, O, SymmetricGroup
from intertwine.representations import Invariant, IrrepsTensor, Permuted, Point, Vector
from intertwine.symmetry import Symmetry, localise

HIDDEN = "4x0e + 4x1o"
LAW = Symmetry(O(3), inputs={"x": IrrepsTensor(HIDDEN)}, output=IrrepsTensor(HIDDEN))


class Layer(nn.Module):
    """Linear, gate; broken by a bias on vectors, a non-linearity on components, or a wrong order."""

    def __init__(self, fault=None):
        super().__init__()
        self.gate = Gate("4x0e", [torch.tanh], "4x0e", [torch.sigmoid], "4x1o")
        self.linear = o3.Linear(HIDDEN, self.gate.irreps_in)
        self.fault = fault

    def forward(self, x):
        x = self.gate(self.linear(x))
        if self.fault == "bias":
            return x + 0.01
        if self.fault == "scale":
            return x * torch.linspace(1, 1.01, x.shape[-1], dtype=x.dtype)
        if self.fault == "roll":
            return torch.cat([x[:, :4], x[:, 4:].roll(1, -1)], -1)
        return x


class Network(nn.Module):
    symmetry = LAW

    def __init__(self, fault=None, at=1):
        super().__init__()
        self.layers = nn.ModuleList([Layer(fault if place == at else None) for place in range(3)])

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


def hidden(rng):
    return torch.randn(7, 16, generator=rng)


def test_a_sound_network_has_no_culprit(rng):
    report = localise(Network(), hidden(rng), rng=rng)
    assert report.culprit is None
    assert all(finding.verdict == "keeps" for finding in report.findings if finding.name.count(".") < 2)
    assert "no submodule is to blame" in report.explain()


@pytest.mark.parametrize(("fault", "at"), [("bias", 0), ("bias", 1), ("scale", 1), ("roll", 2)])
def test_the_broken_layer_of_three_is_named(fault, at, rng):
    report = localise(Network(fault, at), hidden(rng), rng=rng)
    assert report.culprit.name == f"layers.{at}"
    assert report.culprit.kind == "Layer"
    assert report.culprit.law_in == "x: irreps(4x0e + 4x1o)"
    assert "the code of its own forward" in report.explain()
    assert json.loads(json.dumps(report.to_dict(), allow_nan=False))["culprit"] == f"layers.{at}"


def test_an_innermost_module_is_named(rng):
    network = Network()
    network.layers[1].linear = nn.Linear(16, 20)
    report = localise(network, hidden(rng), rng=rng)
    assert report.culprit.name == "layers.1.linear"
    assert report.culprit.kind == "Linear"


class Scale(nn.Module):
    """Declares that it keeps vectors; the broken one does not."""

    symmetry = Symmetry(O(3), inputs={"v": Vector()}, output=Vector())

    def __init__(self, broken):
        super().__init__()
        self.broken = broken

    def forward(self, v):
        return v * v.abs() if self.broken else v * v.norm(dim=-1, keepdim=True)


def test_a_violated_declaration_is_named(rng):
    chain = nn.Sequential(Scale(False), Scale(True), Scale(False))
    law = Symmetry(O(3), inputs={"input": Vector()}, output=Vector())
    report = localise(chain, torch.randn(5, 3, generator=rng), law, rng=rng)
    assert report.culprit.name == "1"
    assert report.culprit.declared
    assert "violates it" in report.explain()


class Encoder(nn.Module):
    """Points to features (items, 3, channels), vectors along the middle axis; may leak origin or order."""

    def __init__(self, leak):
        super().__init__()
        self.leak = leak

    def forward(self, x):
        centred = x - x.mean(0)
        if self.leak == "origin":
            centred = x
        if self.leak == "order":
            centred = centred * torch.arange(1, len(x) + 1, dtype=x.dtype)[:, None]
        return centred[:, :, None] * torch.linspace(1, 2, 4, dtype=x.dtype)


class Decoder(nn.Module):
    def forward(self, v):
        return v.square().sum((0, 1))


class Cloud(nn.Module):
    symmetry = Symmetry(
        E(3) * SymmetricGroup(None), inputs={"x": Permuted((0,), Point())}, output={"energy": Invariant()}
    )

    def __init__(self, leak=None):
        super().__init__()
        self.encoder, self.decoder = Encoder(leak), Decoder()

    def forward(self, x):
        return {"energy": self.decoder(self.encoder(x))}


def test_translation_and_permutation_leaks_are_named(rng):
    x = torch.randn(6, 3, generator=rng)
    assert localise(Cloud(), x, rng=rng).culprit is None
    assert localise(Cloud("order"), x, rng=rng).culprit.name == "encoder"
    # Without the mean subtracted the features are scaled points, which obey no law that a shape suggests.
    assert localise(Cloud("origin"), x, rng=rng).culprit.name == "encoder"


def test_laws_along_inner_axes_are_recognised(rng):
    report = localise(Cloud(), torch.randn(6, 3, generator=rng), rng=rng)
    encoder = next(finding for finding in report.findings if finding.name == "encoder")
    assert encoder.law_in == "x: permuted(point)"
    assert encoder.law_out == "output: permuted(along(1, vector))"


class Hidden(nn.Module):
    """Hides vectors in a basis of its own and shows them again: no law that is tried holds in between."""

    symmetry = Symmetry(O(3), inputs={"v": Vector()}, output=Vector())

    def __init__(self, broken):
        super().__init__()
        self.hide, self.show, self.last = (
            nn.Linear(3, 5, bias=False),
            nn.Linear(5, 3, bias=False),
            Scale(broken),
        )
        with torch.no_grad():
            self.hide.weight.copy_(torch.eye(5, 3) + torch.eye(5, 3).roll(2, 0) + torch.eye(5, 3).roll(3, 0))
            gram = self.hide.weight.mT @ self.hide.weight
            self.gram = nn.Buffer(gram.double())
            self.show.weight.copy_(self.hide.weight.mT)

    def forward(self, v):
        v = self.show(self.hide(v @ torch.linalg.inv(self.gram)))
        return self.last(v)


def test_a_law_that_was_not_tried_is_not_blamed(rng):
    v = torch.randn(5, 3, generator=rng)
    assert localise(Hidden(False), v, rng=rng).culprit is None
    assert localise(Hidden(True), v, rng=rng).culprit.name == "last"


class Between(nn.Module):
    symmetry = Symmetry(O(3), inputs={"v": Vector()}, output=Vector())

    def __init__(self):
        super().__init__()
        self.first, self.last = Scale(False), Scale(False)

    def forward(self, v):
        return self.last(self.first(v).abs())


class Masked(nn.Module):
    """Sums the entries that a mask keeps, by a submodule that gets the mask; broken by weights of the places."""

    symmetry = Symmetry(SymmetricGroup(None), inputs={"x": Permuted((0,)), "mask": Permuted((0,))}, output=Invariant())

    def __init__(self):
        super().__init__()
        self.inner = MaskedSum()

    def forward(self, x, mask):
        return self.inner(x, mask)


class MaskedSum(nn.Module):
    def forward(self, x, mask):
        return (torch.arange(1, len(x) + 1) * x * mask).sum()


def test_modules_with_masks_are_searched_too(rng):
    inputs = {"x": torch.rand(6, generator=rng), "mask": torch.tensor([True, False, True, True, False, True])}
    assert localise(Masked(), inputs, rng=rng).culprit.name == "inner"


def test_code_between_submodules_is_blamed_on_the_module_that_holds_it(rng):
    report = localise(Between(), torch.randn(5, 3, generator=rng), rng=rng)
    assert report.culprit.name == "(whole module)"
    assert "the code of its own forward" in report.explain()


def test_hooks_are_removed_and_the_module_is_untouched(rng):
    network = Network("bias")
    before = {name: value.clone() for name, value in network.state_dict().items()}
    localise(network, hidden(rng), rng=rng)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_calls_that_depend_on_the_element_are_refused(rng):
    class Branch(nn.Module):
        symmetry = Symmetry(O(3), inputs={"v": Vector()}, output=Vector())

        def __init__(self):
            super().__init__()
            self.inner = nn.Identity()

        def forward(self, v):
            return self.inner(v) if v[0, 0] > 0 else v

    with pytest.raises(SymmetryError):
        localise(Branch(), torch.randn(5, 3, generator=rng), rng=rng, trials=8)
    with pytest.raises(SymmetryError):
        localise(lambda v: v, torch.randn(5, 3, generator=rng), LAW)
