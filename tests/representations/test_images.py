"""Images: pixels moved exactly, interpolation against torch and scipy, and the law of composition."""

import math

import pytest
import torch
from scipy import ndimage

from intertwine.errors import RepresentationError, ShapeError
from intertwine.groups import SE, SO, CyclicGroup, DihedralGroup, E, GLPlus, O, SymmetricGroup, homogeneous
from intertwine.groups.rotations import angle_to_matrix
from intertwine.representations.actions import Blocks, Invariant, Vector
from intertwine.representations.images import Image
from intertwine.representations.so2 import SO2IrrepsTensor

EPS = torch.finfo(torch.float64).eps
PADDINGS = ["zeros", "border", "reflection", "circular"]


def shift(x: float, y: float) -> torch.Tensor:
    return homogeneous(torch.eye(2, dtype=torch.float64), torch.tensor([x, y], dtype=torch.float64))


@pytest.mark.parametrize("size", [1, 4, 5])
def test_convention_turns_are_counter_clockwise_and_the_flip_is_upside_down(size):
    x = torch.arange(2 * size * size).view(2, size, size)
    group = DihedralGroup(4)
    for turns in range(4):
        assert Image().apply(group, torch.tensor([turns, 0]), x).equal(torch.rot90(x, turns, (-2, -1)))
        flipped = torch.rot90(x.flip(-2), turns, (-2, -1))
        assert Image().apply(group, torch.tensor([turns, 1]), x).equal(flipped)


def test_convention_x_points_right_and_y_up():
    x = torch.zeros(5, 5, dtype=torch.int64)
    x[2, 2] = 1
    moved = Image().apply(SE(2), shift(1, 2), x)
    assert moved.nonzero().tolist() == [[0, 3]]


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("group", [CyclicGroup(4), DihedralGroup(4)], ids=str)
@pytest.mark.parametrize("inner", [None, Vector(), SO2IrrepsTensor("1x2")], ids=str)
def test_composition_is_exact_for_quarter_turns(group, inner, padding, rng):
    rep = Image(padding, inner)
    x = torch.randn(3, 2, 6, 6, generator=rng)
    for g in group.elements():
        for h in group.elements():
            twice = rep.apply(group, g, rep.apply(group, h, x))
            assert twice.equal(rep.apply(group, group.compose(g, h), x))


@pytest.mark.parametrize("size", [5, 6])
def test_interpolation_agrees_with_moving_pixels(size, rng):
    """An angle off by less than a rounding error takes the other path and must land on the same picture."""
    x = torch.randn(size, size, generator=rng, dtype=torch.float64)
    for turns in range(4):
        almost = angle_to_matrix(torch.tensor(turns * math.pi / 2 + 4e-16, dtype=torch.float64))
        interpolated = Image().apply(SO(2), almost, x)
        moved = Image().apply(CyclicGroup(4), torch.tensor(turns), x)
        torch.testing.assert_close(interpolated, moved, rtol=0, atol=64 * EPS)


@pytest.mark.parametrize("shape", [(7, 7), (5, 8)])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
def test_interpolation_matches_grid_sample(shape, padding, rng):
    x = torch.randn(2, 3, *shape, generator=rng, dtype=torch.float64)
    g = E(2, translation_scale=2.0).sample(rng=rng, dtype=torch.float64)
    height, width = shape
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    place = torch.stack([columns - (width - 1) / 2, (height - 1) / 2 - rows], -1).double()
    source = E(2).apply(E(2).inverse(g), place)
    grid = source * torch.tensor([2 / (width - 1), -2 / (height - 1)], dtype=torch.float64)
    want = torch.nn.functional.grid_sample(
        x, grid.expand(2, -1, -1, -1), mode="bilinear", padding_mode=padding, align_corners=True
    )
    torch.testing.assert_close(Image(padding).apply(E(2), g, x), want, rtol=0, atol=256 * EPS)


def test_circular_translations_match_scipy_and_compose(rng):
    rep = Image("circular")
    x = torch.randn(6, 9, generator=rng, dtype=torch.float64)
    want = ndimage.shift(x.numpy(), (-1.25, 3.5), order=1, mode="grid-wrap")
    torch.testing.assert_close(rep.apply(SE(2), shift(3.5, 1.25), x), torch.from_numpy(want), rtol=0, atol=16 * EPS)
    whole = rep.apply(SE(2), shift(-4, 7), x)
    assert whole.equal(torch.roll(x, (-7, -4), (0, 1)))
    assert rep.apply(SE(2), shift(4, -7), whole).equal(x)


def test_smooth_pictures_compose_up_to_interpolation(rng):
    """A picture that is smooth and small in its frame: the error is that of bilinear interpolation."""
    grid = torch.linspace(-3, 3, 64, dtype=torch.float64)
    x = torch.exp(-(grid.unsqueeze(1) - 0.3).square() - 2 * grid.square())
    g, h = SO(2).sample(2, rng=rng, dtype=torch.float64)
    rep = Image()
    once, twice = rep.apply(SO(2), g @ h, x), rep.apply(SO(2), g, rep.apply(SO(2), h, x))
    assert (once - twice).abs().max() < 0.01
    wrong = rep.apply(SO(2), g.mT, rep.apply(SO(2), h, x))
    assert (once - wrong).abs().max() > 0.1


def test_vector_fields_turn_with_the_picture(rng):
    """The gradient of a turned picture is the turned gradient field."""
    x = torch.randn(7, 7, generator=rng, dtype=torch.float64)

    def gradient(image):
        along_row, along_column = torch.gradient(image)
        return torch.stack([along_column, -along_row])

    for g in DihedralGroup(4).elements():
        turned = gradient(Image().apply(DihedralGroup(4), g, x))
        assert turned.equal(Image(inner=Vector()).apply(DihedralGroup(4), g, gradient(x)))


def test_channels_on_another_axis(rng):
    x = torch.randn(3, 4, 6, 6, generator=rng, dtype=torch.float64)
    inner = Blocks([(1, Invariant()), (2, Vector())])
    g = SE(2).sample(rng=rng, dtype=torch.float64)
    there = Image(inner=inner, channel_axis=-4).apply(SE(2), g, x)
    torch.testing.assert_close(there, Image(inner=inner).apply(SE(2), g, x.transpose(0, 1)).transpose(0, 1))


def test_derivatives_up_to_second_order(rng):
    x = torch.randn(4, 5, generator=rng, dtype=torch.float64, requires_grad=True)
    g = SE(2).sample(rng=rng, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda image: Image().apply(SE(2), g, image), x)
    assert torch.autograd.gradgradcheck(lambda image: Image().apply(SE(2), g, image).square(), x)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.complex64])
def test_images_keep_their_dtype(dtype, rng):
    x = torch.randn(2, 5, 5, generator=rng).to(dtype)
    g = SO(2).sample(rng=rng)
    moved = Image().apply(SO(2), g, x)
    assert moved.dtype == dtype
    assert moved.shape == x.shape
    wide = Image().apply(SO(2), g, x.to(torch.complex128 if dtype.is_complex else torch.float64))
    assert (moved - wide).abs().max() < 4 * torch.finfo(dtype).eps * x.abs().max()


def test_stretches_are_undone_by_the_inverse_matrix():
    x = torch.zeros(9, 9)
    x[4, 5] = 1
    moved = Image().apply(GLPlus(2), torch.diag(torch.tensor([2.0, 1.0])), x)
    assert moved[4].tolist() == [0, 0, 0, 0, 0, 0.5, 1, 0.5, 0]


def test_groups_that_leave_the_plane_alone(rng):
    x = torch.randn(4, 4, generator=rng)
    group = SymmetricGroup(3)
    assert Image().apply(group, group.sample(rng=rng), x).equal(x)
    assert Image().apply(SO(2), torch.eye(2), x[:0]).shape == (0, 4)


def test_what_cannot_be_done_is_refused(rng):
    with pytest.raises(ShapeError) as caught:
        Image().apply(CyclicGroup(8), torch.tensor(1), torch.zeros(4, 4, dtype=torch.uint8))
    assert caught.value.got == "torch.uint8"
    with pytest.raises(ShapeError) as caught:
        Image().apply(O(3), torch.eye(3), torch.zeros(4, 4))
    assert caught.value.got["linear"] == (3, 3)
    with pytest.raises(ShapeError):
        Image().apply(SO(2), SO(2).sample(3, rng=rng), torch.zeros(4, 4))
    for rep, x in ((Image(), torch.zeros(4)), (Image(inner=Vector()), torch.zeros(4, 4))):
        with pytest.raises(ShapeError) as caught:
            rep.apply(SO(2), torch.eye(2), x)
        assert caught.value.got == tuple(x.shape)
    with pytest.raises(RepresentationError) as caught:
        Image(padding="mirror")
    assert caught.value.got == "'mirror'"
    with pytest.raises(RepresentationError):
        Image(inner=Vector(), channel_axis=1)
