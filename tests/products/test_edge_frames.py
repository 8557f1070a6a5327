"""Edge frames: rotations onto the axis on both charts, Wigner matrices, features in and out, all derivatives."""

import pytest
import torch

from intertwine.errors import RepresentationError, ShapeError
from intertwine.groups import SO
from intertwine.groups.rotations import axis_rotation
from intertwine.products.so2.edge_frames import EdgeFrameMap, EdgeFrames, edge_rotation
from intertwine.representations import Irreps, SO2Irreps, spherical_harmonics, wigner_D_upto
from intertwine.testing import DTYPES, tolerance

DOUBLE = torch.float64
UP = torch.tensor([0.0, 1.0, 0.0], dtype=DOUBLE)


def special_vectors():
    """Poles, vectors next to them, the equator where the charts meet, and a vector of length zero."""
    rows = [
        [0, 1, 0], [0, -1, 0], [0, -3, 0], [1e-9, -1, 1e-9], [-1e-9, 1, 1e-9], [1e-4, 1, 0], [0, -1, 1e-4],
        [1, 0, 0], [0, 0, -2], [0.6, 0, 0.8], [0.6, 1e-12, 0.8], [0.6, -1e-12, 0.8], [0, 0, 0],
    ]  # fmt: skip
    return torch.tensor(rows, dtype=DOUBLE)


def vectors_with(rng, count=100):
    return torch.cat([special_vectors(), torch.randn(count, 3, dtype=DOUBLE, generator=rng)])


@pytest.mark.parametrize("turned", [False, True])
def test_the_rotation_takes_every_vector_to_the_axis(turned, rng):
    vectors = vectors_with(rng)
    gamma = 6 * torch.rand(len(vectors), dtype=DOUBLE, generator=rng) if turned else None
    rotation = edge_rotation(vectors, gamma)
    assert SO(3).contains(rotation).all()
    lengths = vectors.norm(dim=-1, keepdim=True)
    torch.testing.assert_close((rotation @ vectors.unsqueeze(-1)).squeeze(-1), lengths * UP, rtol=1e-15, atol=4e-15)


def test_gamma_turns_about_the_axis(rng):
    vectors, gamma = vectors_with(rng, 5), torch.tensor(0.7, dtype=DOUBLE)
    expected = axis_rotation("Y", gamma) @ edge_rotation(vectors)
    torch.testing.assert_close(edge_rotation(vectors, gamma.expand(len(vectors))), expected, rtol=0, atol=1e-15)


@pytest.mark.parametrize("dtype", DTYPES)
def test_matrices_are_wigner_matrices_of_the_rotation(dtype, rng):
    vectors = vectors_with(rng).to(dtype)
    frame = EdgeFrames(6).to(dtype)(vectors)
    for degree, (got, expected) in enumerate(
        zip(frame.matrices, wigner_D_upto(6, edge_rotation(vectors)), strict=True)
    ):
        torch.testing.assert_close(got, expected, **tolerance(dtype, epsilons=16 * (degree + 1)))
    assert frame.present.tolist() == [float(bool(v.any())) for v in vectors]


def test_harmonics_of_an_edge_have_one_component_in_its_frame(rng):
    vectors = torch.randn(20, 3, dtype=DOUBLE, generator=rng)
    for degree, matrix in enumerate(EdgeFrames(6).double()(vectors).matrices):
        seen = (matrix @ spherical_harmonics(degree, vectors).unsqueeze(-1)).squeeze(-1)
        expected = torch.zeros_like(seen)
        expected[:, degree] = ((2 * degree + 1) / (4 * torch.pi)) ** 0.5
        torch.testing.assert_close(seen, expected, rtol=0, atol=1e-13)


def test_derivatives_of_the_rotation_are_those_of_its_chart():
    """At and near the poles, where Euler angles fail; on the equator the charts differ by a turn about the edge."""
    vectors = special_vectors()[:7].requires_grad_()
    assert torch.autograd.gradcheck(edge_rotation, vectors)
    assert torch.autograd.gradgradcheck(edge_rotation, vectors)
    everything = special_vectors().requires_grad_()
    (first,) = torch.autograd.grad(edge_rotation(everything).square().sum(), everything, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), everything)
    assert first.isfinite().all()
    assert second.isfinite().all()
    assert not first[-1].any()


@pytest.mark.parametrize("layout", ["mul_ir", "ir_mul"])
def test_in_and_out_is_the_identity_without_truncation(layout, rng):
    irreps = Irreps("3x0e + 2x1o + 4x2e + 1x1e + 2x3o")
    vectors = vectors_with(rng, 10)
    frame = EdgeFrames(3).double()(vectors)
    mapping = EdgeFrameMap(irreps, layout=layout)
    assert mapping.so2_irreps == SO2Irreps("12x0 + 9x1 + 6x2 + 2x3")
    x = irreps.random(len(vectors), rng=rng, dtype=DOUBLE)
    torch.testing.assert_close(mapping.out_of(mapping.into(x, frame), frame), x, rtol=0, atol=1e-13)


def test_truncation_keeps_exactly_the_small_m(rng):
    """In the frame of the axis itself, where D is the identity, the rows can be read off."""
    mapping = EdgeFrameMap("1x0e + 2x2e", mmax=1, layout="ir_mul")
    frame = EdgeFrames(2).double()(UP[None])
    x = torch.arange(11, dtype=DOUBLE)[None]  # 0e, then components -2 .. 2 of two channels
    inside = mapping.into(x, frame)
    assert (inside - torch.tensor([[0, 5, 6, 7, 8, 3, 4]])).abs().max() < 1e-14
    kept = mapping.out_of(inside, frame)
    assert (kept - torch.tensor([[0, 0, 0, 3, 4, 5, 6, 7, 8, 0, 0]])).abs().max() < 1e-14


def test_a_turn_of_the_frame_acts_by_frequencies(rng):
    """What `representation` declares: gamma turns the pair (+m, -m) by m gamma."""
    irreps = Irreps("2x0e + 1x1o + 3x2e + 1x3o")
    vectors = torch.randn(4, 3, dtype=DOUBLE, generator=rng)
    frames, mapping = EdgeFrames(3).double(), EdgeFrameMap(irreps)
    x = irreps.random(4, rng=rng, dtype=DOUBLE)
    angle = torch.tensor(0.9, dtype=DOUBLE)
    turned = mapping.into(x, frames(vectors, angle.expand(4)))
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()]).reshape(2, 2)
    expected = mapping.representation.apply(SO(2), turn, mapping.into(x, frames(vectors)))
    torch.testing.assert_close(turned, expected, rtol=0, atol=1e-14)


def test_misuse_is_refused():
    with pytest.raises(ShapeError) as caught:
        edge_rotation(torch.zeros(4, 2))
    assert caught.value.got == (4, 2)
    with pytest.raises(RepresentationError):
        EdgeFrames(-1)
    with pytest.raises(RepresentationError):
        EdgeFrameMap("1o", mmax=-1)
    frame = EdgeFrames(1)(torch.ones(2, 3))
    with pytest.raises(RepresentationError) as degrees:
        EdgeFrameMap("1x2e").into(torch.zeros(2, 5), frame)
    assert "EdgeFrames(2)" in str(degrees.value)
    with pytest.raises(ShapeError):
        EdgeFrameMap("1x1o").out_of(torch.zeros(2, 4), frame)
