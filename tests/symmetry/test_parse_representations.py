"""Representations as text."""

import pytest

from intertwine.errors import SymmetryError
from intertwine.representations import (
    AlongAxis,
    Cartesian,
    Invariant,
    IrrepsTensor,
    NodeIndices,
    Permuted,
    Point,
    Vector,
)
from intertwine.symmetry import format_representation, parse_representation, parse_representations


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("invariant", Invariant()),
        ("Vector", Vector()),
        (" point ", Point()),
        ("vector()", Vector()),
        ("pseudovector", Vector(pseudo=True)),
        ("pseudoscalar", Cartesian(0, pseudo=True)),
        ("cartesian(2)", Cartesian(2)),
        ("Cartesian(2, pseudo)", Cartesian(2, pseudo=True)),
        ("permuted(point)", Permuted((0,), Point())),
        ("Permuted", Permuted()),
        ("permuted(0, 1, invariant)", Permuted((0, 1), Invariant())),
        ("permuted(-1)", Permuted((-1,))),
        ("permuted(irreps(2x0e + 1x1o, ir_mul))", Permuted((0,), IrrepsTensor("2x0e+1x1o", "ir_mul"))),
        ("irreps(8x0e+4x1o)", IrrepsTensor("8x0e+4x1o")),
        ("nodes", NodeIndices()),
        ("permuted(along(-2, vector))", Permuted((0,), AlongAxis(-2, Vector()))),
    ],
)
def test_every_form_is_read(text, expected):
    assert parse_representation(text) == expected
    assert parse_representation(format_representation(expected)) == expected


@pytest.mark.parametrize(
    "text",
    ["", "vektor!", "point(3)", "cartesian", "cartesian(two)", "permuted(point", "permuted)(", "irreps()",
     "permuted(point, vector)", "cartesian(2, odd)", "along(vector)"],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_with_the_forms(text):
    with pytest.raises(SymmetryError) as caught:
        parse_representation(text)
    assert caught.value.code == "E401"
    assert caught.value.expected


def test_the_nearest_name_is_suggested():
    with pytest.raises(SymmetryError) as caught:
        parse_representation("vektor")
    assert caught.value.fix == "did you mean 'vector'?"


def test_named_representations():
    assert parse_representations("x=Permuted(0, 1, Vector), s = invariant") == {
        "x": Permuted((0, 1), Vector()),
        "s": Invariant(),
    }
    assert parse_representations("") == {}
    for text in ("point", "x=point, x=point", "1x=point", "=point"):
        with pytest.raises(SymmetryError):
            parse_representations(text)
