"""Names of groups: what is written is read back, and what is misspelt gets a suggestion."""

import subprocess
import sys

import pytest
from test_axioms import GROUPS

from intertwine.errors import GroupError
from intertwine.groups import (
    GL,
    SE,
    SO,
    SU,
    CyclicGroup,
    DihedralGroup,
    E,
    Embedded,
    GLPlus,
    Lorentz,
    O,
    ProperLorentz,
    SymmetricGroup,
    U,
    parse_group,
)


@pytest.mark.parametrize("group", [*GROUPS, SymmetricGroup(None), O(3) * SymmetricGroup(None)], ids=str)
def test_names_are_read_back(group):
    assert parse_group(str(group)) == group


@pytest.mark.parametrize(
    ("text", "group"),
    [
        ("SE(3)", SE(3)),
        (" SO( 3 ) ", SO(3)),
        ("SO3", SO(3)),
        ("O(3) x S_5", O(3) * SymmetricGroup(5)),
        ("O(3)*S(5)", O(3) * SymmetricGroup(5)),
        ("O(3) × S_n", O(3) * SymmetricGroup(None)),  # noqa: RUF001
        ("C_4", CyclicGroup(4)),
        ("D_6", DihedralGroup(6)),
        ("GL(2)", GL(2)),
        ("GL+(2)", GLPlus(2)),
        ("O(1,3)", Lorentz(4)),
        ("SO( 1, 2 )", ProperLorentz(3)),
        ("O(1,3) x S_n", Lorentz(4) * SymmetricGroup(None)),
        ("U(2)", U(2)),
        ("SU3", SU(3)),
        ("E(2) in 3D", Embedded(E(2), 3)),
        ("S(n)", SymmetricGroup(None)),
    ],
)
def test_spellings(text, group):
    assert parse_group(text) == group


@pytest.mark.parametrize(
    ("text", "suggestion"),
    [
        ("so(3)", "SO(3)"),
        ("su(2)", "SU(2)"),
        ("gl+(2)", "GL+(2)"),
        ("GL(1,2)", "GL(2)"),
        ("O(2,3)", "O(1,3)"),
        ("E(1,3)", "O(1,3)"),
        ("affine(3)", "Affine(3)"),
        ("C4v", "C_4"),
        ("O(n)", "O(3)"),
        ("O(3) x Sn_5", "S_5"),
        ("", "SO(3)"),
    ],
)
def test_unknown_names_get_the_list_and_the_nearest(text, suggestion):
    with pytest.raises(GroupError) as caught:
        parse_group(text)
    assert caught.value.got == text
    assert "SE(n)" in caught.value.expected
    if text != "O(3) x Sn_5" and text:
        assert suggestion in caught.value.fix
    assert parse_group(caught.value.fix.split("'")[1])


def test_import_brings_in_nothing_optional():
    code = (
        "import sys, intertwine.groups, intertwine.representations.images, intertwine.representations.so2\n"
        "sys.exit(bool({'scipy', 'e3nn', 'lightning', 'ase'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-W", "error", "-c", code], check=False).returncode == 0
