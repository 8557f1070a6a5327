"""Minimal frames: golden canonical form, QR of numpy, the law for every group and kind, order, low rank, bad input."""

import numpy as np
import pytest
import torch

from intertwine.errors import GroupError, NumericsError, ShapeError
from intertwine.frames import FrameAverage, MinimalFrame, PCAFrame
from intertwine.groups import O, SymmetricGroup, parse_group, real_to_complex
from intertwine.symmetry import equivariance_error
from intertwine.testing import tolerance

UNITARY = ["U(1)", "U(2)", "SU(2)", "U(3)", "SU(3)"]
ORTHOGONAL = ["O(2)", "SO(2)", "O(3)", "SO(3)", "E(3)", "SE(3)", "E(1)", "SE(4)", *UNITARY]
LINEAR = ["GL(2)", "GL(3)", "GL+(3)", "SL(2)", "SL(3)", "Affine(2)", "Affine(3)"]


def cloud(rng, d, n=6, batch=3):
    return torch.randn(batch, n, d, generator=rng, dtype=torch.float64)


class Uneven(torch.nn.Module):
    """No symmetry at all, not even that of permutations; one output of each kind that every group has."""

    def __init__(self, d, rng):
        super().__init__()
        self.weight = torch.randn(d, 16, generator=rng, dtype=torch.float64)
        self.out = torch.randn(16, d + 1, generator=rng, dtype=torch.float64)

    def forward(self, x):
        hidden = torch.tanh(x @ self.weight)
        hidden = hidden + hidden.cumsum(-2)
        out = hidden @ self.out
        return {"vector": out[..., :-1], "point": out[..., :-1] ** 2, "scalar": out[..., -1]}


KINDS = {"vector": "vector", "point": "point", "scalar": "scalar"}


def wrapped(frame, rng):
    return FrameAverage(Uneven(frame.dim, rng), frame, inputs={"x": "point"}, output=KINDS)


# --- golden numbers and oracles --------------------------------------------------------------------------


def test_canonical_form_of_the_golden_cloud(golden, polynomial):
    frames = MinimalFrame("E(3)")(golden[None])
    seen = (golden - frames.translation) @ frames.linear[0, 0]
    expected = [[1.360912, 0, 0], [-0.880652, 0.787862, 0], [0.099017, -0.794908, 0.126484]]
    torch.testing.assert_close(seen[:3], torch.tensor(expected, dtype=torch.float64), rtol=0, atol=5e-7)
    network = FrameAverage(polynomial, MinimalFrame("E(3)"), inputs={"x": "point"}, output="scalar")
    assert network(golden[None]).item() == pytest.approx(1.7015798961, abs=1e-10)


def test_the_order_of_the_points_matters_as_documented(golden, polynomial):
    """A backbone that does not mind the order loses that, unless the order is canonical."""
    given = FrameAverage(polynomial, MinimalFrame("E(3)"), inputs={"x": "point"}, output="scalar")
    assert abs(given(golden[None]) - given(golden.flip(0)[None])) > 0.01
    canonical = FrameAverage(
        polynomial, MinimalFrame("E(3)", order="canonical"), inputs={"x": "point"}, output="scalar"
    )
    assert abs(canonical(golden[None]) - canonical(golden.flip(0)[None])) < 1e-13


@pytest.mark.parametrize("name", ["O(3)", "E(3)", "SO(3)", "O(2)", "SE(4)"])
def test_elements_are_q_of_numpy(name, rng):
    frame = MinimalFrame(name)
    points = cloud(rng, frame.dim)
    seen = points - points.mean(1, keepdim=True) if "E" in name else points
    q, r = np.linalg.qr(seen[:, : frame.dim].mT.numpy())
    q = q * np.sign(np.diagonal(r, axis1=1, axis2=2))[:, None, :]
    if name.startswith("S"):
        q[..., -1] *= np.linalg.det(q)[:, None]
    frames = frame(points)
    np.testing.assert_allclose(frames.linear[:, 0].numpy(), q, atol=1e-12)
    assert frames.count == 1
    assert (frames.weights == 1).all()
    assert frames.span.equal(torch.eye(frame.dim, dtype=torch.float64).expand(3, -1, -1))


@pytest.mark.parametrize("name", ["U(2)", "SU(2)", "U(3)", "SU(3)"])
def test_elements_of_unitary_groups_are_complex_q(name, rng):
    frame = MinimalFrame(name)
    n = frame.dim // 2
    points = cloud(rng, frame.dim)
    rows = torch.view_as_complex(points.unflatten(-1, (n, 2)))[:, :n].numpy()
    q, r = np.linalg.qr(rows.transpose(0, 2, 1))
    phases = np.diagonal(r, axis1=1, axis2=2)
    q = q * (phases / np.abs(phases))[:, None, :]
    if name.startswith("S"):
        q[..., -1] *= np.linalg.det(q).conj()[:, None]
    np.testing.assert_allclose(real_to_complex(frame(points).linear[:, 0]).numpy(), q, atol=1e-12)


@pytest.mark.parametrize("name", ["GL(3)", "GL+(3)", "SL(3)", "Affine(3)"])
def test_canonical_forms_of_linear_groups_are_unit_vectors(name, rng):
    frame = MinimalFrame(name)
    points = cloud(rng, 3)
    frames = frame(points)
    seen = (points - frames.translation.unsqueeze(1)) @ frames.inverse[:, 0].mT
    last = seen[:, 2, 2].clone()
    diagonal = torch.ones(3, 3, dtype=torch.float64)
    diagonal[:, 2] = last
    torch.testing.assert_close(seen[:, :3], torch.diag_embed(diagonal), rtol=0, atol=1e-12)
    determinant = torch.linalg.det(points[:, :3].mT)
    expected = {"GL+(3)": determinant.sign(), "SL(3)": determinant}.get(name, torch.ones(3, dtype=torch.float64))
    torch.testing.assert_close(last, expected)


# --- the law ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ORTHOGONAL + LINEAR)
def test_elements_lie_in_the_group_and_move_with_the_cloud(name, rng):
    frame = MinimalFrame(name)
    points = cloud(rng, frame.dim)
    frames = frame(points)
    assert frames.valid.all()
    kind, size = name.split("(")
    inside = parse_group({"E": "O", "SE": "SO", "Affine": "GL"}.get(kind, kind) + "(" + size)
    assert inside.contains(frames.linear, tolerance=1e-12 if inside.orthogonal else None).all()
    g = frame.group.sample(rng=rng, dtype=torch.float64)
    after = frame(frame.group.apply(g, points))
    moved = frame.group.linear(g) @ frames.linear
    torch.testing.assert_close(after.linear, moved, rtol=1e-10, atol=1e-11)
    torch.testing.assert_close(after.translation, frame.group.apply(g, frames.translation))
    identity = torch.eye(frame.dim, dtype=torch.float64).expand_as(after.linear)
    torch.testing.assert_close(after.inverse_linear @ after.linear, identity, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", ORTHOGONAL + LINEAR)
def test_law_of_a_network_without_symmetry(name, rng):
    frame = MinimalFrame(name)
    network = wrapped(frame, rng)
    report = equivariance_error(network, {"x": cloud(rng, frame.dim)}, rng=rng)
    assert report.worst.relative < (1e-11 if frame.group.orthogonal else 1e-9)
    bare = network.backbone
    broken = equivariance_error(bare, {"x": cloud(rng, frame.dim)}, symmetry=network.symmetry, rng=rng)
    assert broken.worst.relative > 1e-2


def test_a_frame_of_rotations_tells_mirror_images(golden, polynomial):
    network = FrameAverage(polynomial, MinimalFrame("SE(3)"), inputs={"x": "point"}, output="scalar")
    mirror = golden * torch.tensor([1.0, 1.0, -1.0])
    assert abs(network(golden[None]) - network(mirror[None])) > 1e-4
    both = FrameAverage(polynomial, MinimalFrame("E(3)"), inputs={"x": "point"}, output="scalar")
    assert abs(both(golden[None]) - both(mirror[None])) < 1e-13


def test_projection_property(rng):
    """The average of a map that has the symmetry is the map."""
    network = FrameAverage(Radial(), MinimalFrame("O(3)"), inputs={"x": "point"}, output="vector")
    points = cloud(rng, 3)
    torch.testing.assert_close(network(points), Radial()(points), **tolerance(torch.float64))


class Radial(torch.nn.Module):
    def forward(self, x):
        return x * torch.sin(x.norm(dim=-1, keepdim=True))


@pytest.mark.parametrize("name", ["E(3)", "SU(2)", "Affine(2)"])
def test_masks_give_what_each_cloud_gives_alone(name, rng):
    frame = MinimalFrame(name)
    points = cloud(rng, frame.dim, n=8)
    mask = torch.rand(3, 8, generator=rng) < 0.7
    together = frame(torch.where(mask.unsqueeze(-1), points, torch.nan), mask)
    for place in range(3):
        alone = frame(points[place : place + 1, mask[place]])
        torch.testing.assert_close(together.linear[place], alone.linear[0], rtol=0, atol=1e-12)
        torch.testing.assert_close(together.translation[place], alone.translation[0])
    segments = frame.of_segments(points[mask], mask.nonzero()[:, 0], 3)
    torch.testing.assert_close(segments.linear, together.linear, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["E(3)", "SU(2)", "SL(2)"])
def test_single_precision(name, rng):
    points = cloud(rng, parse_group(name).n if name != "SU(2)" else 4)
    frames = MinimalFrame(name)(points.float())
    assert frames.linear.dtype == frames.translation.dtype == frames.weights.dtype == torch.float32
    torch.testing.assert_close(frames.linear.double(), MinimalFrame(name)(points).linear, rtol=1e-4, atol=1e-4)


# --- points that span less -------------------------------------------------------------------------------


def of_rank(rng, rank, d, n=6, batch=2):
    basis = O(d).sample(batch, rng=rng, dtype=torch.float64)[:, :rank]
    return torch.randn(batch, n, rank, generator=rng, dtype=torch.float64) @ basis


@pytest.mark.parametrize("rank", [0, 1, 2])
@pytest.mark.parametrize("name", ["O(3)", "SO(3)"])
def test_low_rank_keeps_the_law_for_outputs_of_every_kind(name, rank, rng):
    kinds = ["vector", "pseudovector", "pseudoscalar", "scalar", "matrix", "2x0o + 1x1o + 1x1e + 1x2e + 1x2o + 1x3o"]
    sizes = [3, 3, 1, 1, 9, 2 + 3 + 3 + 5 + 5 + 7]
    weight = torch.randn(3, sum(sizes), generator=rng, dtype=torch.float64)

    class Everything(torch.nn.Module):
        def forward(self, x):
            hidden = torch.tanh(x + 0.5).cumsum(1) @ weight
            parts = list(hidden.split(sizes, dim=-1))
            parts[2], parts[3], parts[4] = parts[2][..., 0], parts[3][..., 0], parts[4].unflatten(-1, (3, 3))
            return tuple(parts)

    points = of_rank(rng, rank, 3)
    frame = MinimalFrame(name)
    network = FrameAverage(Everything(), frame, inputs={"x": "point"}, output=tuple(kinds))
    assert frame(points).rank.tolist() == [rank] * 2
    assert frame(points).valid.all()
    report = equivariance_error(network, {"x": points}, rng=rng)
    assert report.worst.relative < 1e-11
    vector = network(points)[0]
    assert torch.linalg.matrix_rank(torch.cat([points, vector], 1), rtol=1e-10).tolist() == [rank] * 2 or (
        name == "SO(3)" and rank == 2
    )


@pytest.mark.parametrize("rank", [1, 2])
def test_without_projection_the_law_fails(rank, rng):
    """The coordinates complete the axes: what a network gives along them does not move with the cloud."""
    points = of_rank(rng, rank, 3)
    frame = MinimalFrame("O(3)")
    g = O(3).sample(rng=rng, dtype=torch.float64)
    shifted = torch.ones(2, 1, 3, dtype=torch.float64)
    before = shifted @ frame(points).linear[:, 0].mT
    after = shifted @ frame(points @ g.mT).linear[:, 0].mT
    assert (after - before @ g.mT).abs().max() > 0.1


def test_coplanar_points_have_vectors_in_their_plane(rng, tanh_map):
    flat = torch.nn.functional.pad(torch.randn(1, 6, 2, generator=rng, dtype=torch.float64), (0, 1))
    for frame in (MinimalFrame("E(3)"), PCAFrame("E(3)")):
        found = FrameAverage(tanh_map, frame, inputs={"x": "point"}, output="vector")(flat)
        assert found[..., 2].abs().max() < 1e-10
        assert found[..., :2].abs().max() > 0.1


def test_stabiliser_averages_are_those_over_many_of_its_elements(rng):
    """Vectors, pseudovectors, matrices and irreps kept, against draws from the maps that fix the points."""
    from intertwine.frames.stabiliser import kept_irreps, kept_matrices, kept_pseudoscalars, kept_vectors
    from intertwine.representations import Irreps, irreps_matrix

    for rank in (1, 2):
        points = of_rank(rng, rank, 3, batch=1)
        span = torch.linalg.pinv(points[0]) @ points[0]
        basis = torch.linalg.svd(points[0]).Vh
        turns = O(3 - rank).sample(40_000, rng=rng, dtype=torch.float64)
        local = torch.zeros(len(turns), 3, 3, dtype=torch.float64)
        local[:, :rank, :rank] = torch.eye(rank, dtype=torch.float64)
        local[:, rank:, rank:] = turns
        fixing = basis.mT @ local @ basis
        assert (points @ fixing[:1].mT - points).abs().max() < 1e-12
        signs = torch.linalg.det(fixing).sign()
        close = {"rtol": 0, "atol": 0.03}
        torch.testing.assert_close(kept_vectors(span[None])[0], fixing.mean(0), **close)
        pseudo = (signs[:, None, None] * fixing).mean(0)
        torch.testing.assert_close(kept_vectors(span[None], pseudo=True)[0], pseudo, **close)
        assert kept_pseudoscalars(span[None]).item() == pytest.approx(signs.mean().item(), abs=0.03)
        matrix = torch.randn(3, 3, generator=rng, dtype=torch.float64)
        averaged = (fixing @ matrix @ fixing.mT).mean(0)
        torch.testing.assert_close(kept_matrices(span[None], matrix[None])[0], averaged, **close)
        for irrep in ("0e", "0o", "1o", "1e", "2e", "2o", "3o"):
            expected = irreps_matrix(irrep, fixing).mean(0)
            torch.testing.assert_close(kept_irreps(span[None], Irreps(irrep)[0].ir)[0], expected, **close)


def test_other_inputs_beyond_the_plane_are_reported(rng, tanh_map):
    """In the plane of the points a velocity is seen well; across it, its sign would be arbitrary."""

    class Moving(torch.nn.Module):
        def forward(self, x, v):
            return tanh_map(x) + v

    flat = torch.nn.functional.pad(torch.randn(2, 6, 2, generator=rng, dtype=torch.float64), (0, 1))
    flat[1, 0, 2] = 1.0
    velocity = torch.randn(2, 6, 3, generator=rng, dtype=torch.float64)
    network = FrameAverage(Moving(), MinimalFrame("E(3)"), inputs={"x": "point", "v": "vector"}, output="vector")
    assert network.frames({"x": flat, "v": velocity}).valid.tolist() == [False, True]


@pytest.mark.parametrize("name", ["U(2)", "SU(2)", "U(3)", "SU(3)"])
def test_complex_points_that_span_less(name, rng):
    n = int(name[-2])
    frame = MinimalFrame(name)
    rows = torch.randn(2, 5, 1, 2, generator=rng, dtype=torch.float64)
    direction = torch.randn(2, 1, n, 2, generator=rng, dtype=torch.float64)
    points = torch.view_as_real(torch.view_as_complex(rows) * torch.view_as_complex(direction)).flatten(-2)
    network = wrapped(frame, rng)
    assert frame(points).rank.tolist() == [2, 2]
    assert equivariance_error(network, {"x": points}, rng=rng).worst.relative < 1e-11


@pytest.mark.parametrize("number", [0, 1, 2, 5])
@pytest.mark.parametrize("name", ["O(3)", "SO(3)", "E(3)", "SE(3)", "U(2)", "SU(2)"])
def test_few_and_coincident_points(name, number):
    frame = MinimalFrame(name)
    frames = frame(torch.full((2, number, frame.dim), 2.0, dtype=torch.float64))
    assert O(frame.dim).contains(frames.linear).all()
    assert frames.valid.all()
    step = 2 if "U" in name else 1
    assert frames.rank.tolist() == [0 if "E" in name or not number else step] * 2


@pytest.mark.parametrize("name", LINEAR)
@pytest.mark.parametrize("number", [0, 1, 2, 5])
def test_linear_groups_say_where_points_span_too_little(name, number, rng):
    frame = MinimalFrame(name)
    line = torch.randn(2, number, 1, generator=rng, dtype=torch.float64) * torch.ones(frame.dim)
    frames = frame(line.double())
    assert not frames.valid.any()
    assert frames.linear.equal(torch.eye(frame.dim, dtype=torch.float64).expand(2, 1, -1, -1))
    assert (frames.inverse @ frames.linear - torch.eye(frame.dim)).abs().max() == 0


def test_the_tolerance_decides_what_is_independent():
    points = torch.tensor([[[1.0, 0, 0], [1.0, 1e-6, 0], [0, 1.0, 0], [0, 0, 1.0]]], dtype=torch.float64)
    for tolerance_, turned in ((1e-7, True), (1e-5, False)):
        frames = MinimalFrame("O(3)", tolerance=tolerance_)(points * torch.tensor([1.0, -1.0, 1.0]))
        assert frames.linear[0, 0, 1, 1] == -1
        mixed = points.clone()
        mixed[0, 1, 2] = 1e-6
        assert (MinimalFrame("O(3)", tolerance=tolerance_)(mixed).linear[0, 0, 2, 1] > 0.5) == turned


# --- gradients, errors -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["E(3)", "SO(3)", "SU(2)", "Affine(2)", "SL(2)"])
def test_gradients(name, rng):
    frame = MinimalFrame(name, differentiate=True)
    points = cloud(rng, frame.dim, n=4, batch=1).requires_grad_()
    network = wrapped(frame, rng)
    assert torch.autograd.gradcheck(lambda x: tuple(network(x).values()), points)
    still = wrapped(MinimalFrame(name), rng)
    assert not MinimalFrame(name)(points).linear.requires_grad
    still(points)["scalar"].sum().backward()
    assert points.grad.abs().max() > 0


def test_gradients_of_coplanar_and_single_points_are_finite(rng):
    for points in (of_rank(rng, 2, 3), of_rank(rng, 1, 3), torch.zeros(1, 1, 3, dtype=torch.float64)):
        points.requires_grad_()
        for name in ("O(3)", "SE(3)"):
            network = wrapped(MinimalFrame(name, differentiate=True), rng)
            sum(value.sum() for value in network(points).values()).backward()
            assert points.grad.isfinite().all()


def test_other_groups_are_refused_with_a_way_out():
    with pytest.raises(GroupError) as caught:
        MinimalFrame(O(3) * SymmetricGroup(None))
    assert 'order="canonical"' in caught.value.fix
    with pytest.raises(GroupError) as caught:
        MinimalFrame("GL(3)", order="canonical")
    assert caught.value.got == "GL(3)"
    with pytest.raises(GroupError):
        MinimalFrame("O(1,3)")


def test_wrong_shapes_and_numbers_are_refused():
    with pytest.raises(ShapeError) as caught:
        MinimalFrame("U(2)")(torch.zeros(1, 3, 2))
    assert "4" in caught.value.expected
    points = torch.zeros(2, 3, 3)
    points[1, 0, 0] = torch.inf
    with pytest.raises(NumericsError):
        MinimalFrame("E(3)")(points)
