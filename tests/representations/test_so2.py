"""Irreps of the plane against complex exponentials, harmonics of the circle and mirrors."""

import math

import pytest
import torch

from intertwine.errors import RepresentationError, ShapeError
from intertwine.groups import SE, SO, CyclicGroup, DihedralGroup, O
from intertwine.groups.rotations import angle_to_matrix
from intertwine.representations.so2 import SO2Entry, SO2Irreps, SO2IrrepsTensor

EPS = torch.finfo(torch.float64).eps
TEXT = "4x0 + 2x0- + 2x1 + 1x3"


def test_text_is_read_and_written():
    irreps = SO2Irreps(TEXT)
    assert str(irreps) == TEXT
    assert SO2Irreps(str(irreps)) == irreps == SO2Irreps(irreps)
    assert repr(irreps) == f"SO2Irreps('{TEXT}')"
    assert SO2Irreps("3 + 2 x 1") == SO2Irreps([(1, 3), SO2Entry(2, 1)])
    assert SO2Irreps("1x0") + "2x1" == SO2Irreps("1x0 + 2x1")
    assert (irreps.dim, irreps.mmax, len(irreps)) == (12, 3, 4)
    assert [s.start for s in irreps.slices()] == [0, 4, 6, 10]
    assert SO2Irreps("").dim == SO2Irreps("").mmax == 0


def test_blocks_are_complex_exponentials(rng):
    angle = 4 * torch.randn(20, generator=rng, dtype=torch.float64)
    for m, block in enumerate(SO2Irreps([(1, m) for m in range(9)]).blocks(angle_to_matrix(angle))):
        phase = torch.exp(1j * m * angle)
        expected = torch.stack([phase.real, -phase.imag, phase.imag, phase.real], -1).unflatten(-1, (2, 2))
        torch.testing.assert_close(block, expected if m else expected[:, :1, :1], rtol=0, atol=64 * EPS)


def test_harmonics_of_the_circle_transform_by_them(rng):
    """(cos m phi, sin m phi) of moved points is the matrix times that of the points, mirrors included."""
    irreps = SO2Irreps("1x0 + 1x1 + 1x2 + 1x5")

    def harmonics(points):
        phi = torch.atan2(points[:, 1], points[:, 0])
        return torch.cat(
            [torch.ones(len(phi), 1)] + [torch.stack([(m * phi).cos(), (m * phi).sin()], 1) for m in (1, 2, 5)],
            1,
        )

    points = torch.randn(30, 2, generator=rng, dtype=torch.float64)
    for g in O(2).sample(10, rng=rng, dtype=torch.float64):
        moved = harmonics(points @ g.mT)
        torch.testing.assert_close(moved, harmonics(points) @ irreps.matrix(g).mT, rtol=0, atol=64 * EPS)
        torch.testing.assert_close(irreps.matrix(g)[1:3, 1:3], g, rtol=0, atol=4 * EPS)


def test_matrices_form_a_representation_and_a_twin_without_mirrors_does_not(rng):
    g, h = O(2).sample(2, 40, rng=rng, dtype=torch.float64)
    matrix = SO2Irreps(TEXT).matrix
    torch.testing.assert_close(matrix(g @ h), matrix(g) @ matrix(h), rtol=0, atol=32 * EPS)
    torch.testing.assert_close(matrix(g) @ matrix(g).mT, torch.eye(12, dtype=torch.float64).expand(40, 12, 12))

    def blind(r):
        return matrix(torch.stack([r[..., 0], torch.stack([-r[..., 1, 0], r[..., 0, 0]], -1)], -1))

    assert (blind(g @ h) - blind(g) @ blind(h)).abs().max() > 0.1


def test_quarter_turns_are_exact():
    matrix = SO2Irreps("1x1 + 1x2 + 1x3 + 1x4").matrix(CyclicGroup(4).linear(torch.tensor(1)))
    assert set(matrix.flatten().tolist()) <= {-1.0, 0.0, 1.0}


def test_convention_pseudoscalars_and_pairs_under_the_mirror():
    matrix = SO2Irreps("1x0 + 1x0- + 1x2").matrix(DihedralGroup(1).linear(torch.tensor([0, 1])))
    assert matrix.diagonal().tolist() == [1, -1, 1, -1]


def test_layouts_differ_by_a_transposition(rng):
    x = torch.randn(5, 3, 2, generator=rng, dtype=torch.float64)
    g = SE(2).sample(rng=rng, dtype=torch.float64)
    slow = SO2IrrepsTensor("3x2").apply(SE(2), g, x.flatten(1))
    fast = SO2IrrepsTensor("3x2", "ir_mul").apply(SE(2), g, x.mT.flatten(1))
    torch.testing.assert_close(slow.unflatten(-1, (3, 2)).mT.flatten(1), fast, rtol=0, atol=4 * EPS)


def test_derivatives_by_the_angle(rng):
    angle = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda t: SO2Irreps(TEXT).matrix(angle_to_matrix(t)), angle)


@pytest.mark.parametrize("text", ["2x", "1e", "2x1-", "x1", "-1", "1x0 +", "2.0x1"])
def test_unreadable_text_is_refused(text):
    with pytest.raises(RepresentationError) as caught:
        SO2Irreps(text)
    assert caught.value.got == repr(text)
    assert caught.value.code == "E201"


def test_impossible_entries_and_wrong_groups_are_refused():
    for entry in ((-1, 2), (1, -2), (1, 2, True)):
        with pytest.raises(RepresentationError):
            SO2Irreps([entry])
    with pytest.raises(RepresentationError):
        SO2IrrepsTensor("1x1").apply(SO(3), torch.eye(3), torch.zeros(2))
    with pytest.raises(ShapeError) as caught:
        SO2Irreps("1x1").matrix(torch.eye(3))
    assert caught.value.got == (3, 3)
    assert SO2Irreps("2x1").matrix(angle_to_matrix(torch.tensor(math.pi))).dtype == torch.float32
