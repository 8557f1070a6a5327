"""Samples of surfaces, neighbours and sizes of clouds, against closed forms and slow searches."""

import math

import numpy as np
import pytest
import torch

from intertwine.errors import ConfigError, DataError, NumericsError, ShapeError
from intertwine.groups import O
from intertwine.points import (
    Mesh,
    nearest_neighbours,
    normalise,
    pad_meshes,
    ragged_neighbours,
    read_meshes,
    sample_surface,
)
from intertwine.training import find_data

SQUARE = torch.tensor([[0, 0, 0], [2, 0, 0], [2, 1, 0], [0, 1, 0]], dtype=torch.float64)
HALVES = torch.tensor([[0, 1, 2], [0, 2, 3]])


# --- surfaces ---------------------------------------------------------------------------------------------


def test_points_lie_where_face_and_weights_say(rng):
    vertices = torch.randn(5, 9, 3, dtype=torch.float64, generator=rng)
    faces = torch.randint(0, 9, (5, 14, 3), generator=rng)
    drawn = sample_surface(vertices, faces, 50, rng)
    for cloud in range(5):
        corners = vertices[cloud][faces[cloud][drawn.face_index[cloud]]]
        torch.testing.assert_close(drawn.points[cloud], torch.einsum("pc,pcd->pd", drawn.barycentric[cloud], corners))
        flat = torch.linalg.vecdot(drawn.normals[cloud].unsqueeze(1), corners - drawn.points[cloud].unsqueeze(1))
        torch.testing.assert_close(flat, torch.zeros_like(flat), atol=1e-13, rtol=0)
    torch.testing.assert_close(drawn.barycentric.sum(-1), torch.ones(5, 50, dtype=torch.float64))
    assert drawn.barycentric.min() >= 0
    torch.testing.assert_close(drawn.normals.norm(dim=-1), torch.ones(5, 50, dtype=torch.float64))


def test_density_is_uniform_by_area(rng):
    """Moments of a 2 x 1 rectangle whose halves are triangles of unequal shape; five standard errors."""
    count = 200_000
    points = sample_surface(SQUARE, HALVES, count, rng).points
    want = {"mean": (1.0, 0.5), "variance": (4 / 12, 1 / 12)}
    for axis in (0, 1):
        x = points[:, axis]
        assert abs(x.mean() - want["mean"][axis]) < 5 * math.sqrt(want["variance"][axis] / count)
        assert abs(x.var() - want["variance"][axis]) < 5 * want["variance"][axis] * math.sqrt(0.8 / count)
    product = (points[:, 0] - 1) * (points[:, 1] - 0.5)
    assert abs(product.mean()) < 5 * math.sqrt(4 / 144 / count)


def test_faces_are_drawn_by_area_and_those_without_never(rng):
    vertices = torch.tensor([[0, 0, 0], [3, 0, 0], [0, 1, 0], [0, 0, 1], [5, 5, 5]], dtype=torch.float64)
    faces = torch.tensor([[4, 4, 4], [0, 1, 2], [0, 1, 1], [0, 2, 3], [4, 4, 4]])
    drawn = sample_surface(vertices, faces, 40_000, rng)
    counts = torch.bincount(drawn.face_index, minlength=5)
    assert counts[[0, 2, 4]].tolist() == [0, 0, 0]
    assert abs(counts[1] / 40_000 - 0.75) < 5 * math.sqrt(0.75 * 0.25 / 40_000)
    assert drawn.normals[drawn.face_index == 3][0].tolist() == [1, 0, 0]


def test_one_set_of_faces_serves_many_poses(rng):
    """The same draw in another pose: weights and faces carry points from one to the other."""
    poses = torch.stack([SQUARE, SQUARE @ O(3).sample(rng=rng, dtype=torch.float64).T])
    drawn = sample_surface(poses, HALVES, 10, rng)
    assert drawn.points.shape == (2, 10, 3)
    moved = (drawn.barycentric[0].unsqueeze(-1) * poses[1][HALVES[drawn.face_index[0]]]).sum(1)
    expected = torch.linalg.lstsq(poses[0][:3], poses[1][:3]).solution
    torch.testing.assert_close(moved, drawn.points[0] @ expected)


def test_padding_changes_nothing(rng):
    triangle = Mesh(SQUARE[:3].numpy(), HALVES[:1].numpy())
    batch = pad_meshes([Mesh(SQUARE.numpy(), HALVES.numpy()), triangle], torch.float64)
    drawn = sample_surface(*batch, 100, rng)
    assert drawn.face_index[1].unique().tolist() == [0]
    assert drawn.points.dtype == torch.float64


def test_the_same_seed_gives_the_same_points():
    draws = [sample_surface(SQUARE.float(), HALVES, 20, torch.Generator().manual_seed(3)).points for _ in range(2)]
    assert torch.equal(*draws)
    assert draws[0].dtype == torch.float32


def test_surfaces_without_area_or_with_wrong_numbers_are_refused(rng):
    line = SQUARE.clone()
    line[:, 1] = 0
    with pytest.raises(DataError, match="no area") as caught:
        sample_surface(torch.stack([SQUARE, line]), HALVES, 5, rng)
    assert "mesh 1" in caught.value.got
    with pytest.raises(DataError, match="no area"):
        sample_surface(SQUARE, HALVES[:0], 5, rng)
    with pytest.raises(NumericsError, match="not finite"):
        sample_surface(SQUARE / 0, HALVES, 5, rng)
    with pytest.raises(ShapeError) as shapes:
        sample_surface(SQUARE.expand(2, 4, 3), HALVES.expand(3, 2, 3), 5, rng)
    assert shapes.value.got == {"vertices": (2, 4, 3), "faces": (3, 2, 3)}


@pytest.mark.data("fa_cad/cad_real.npz")
def test_normals_of_real_parts_point_outward(rng):
    """The volume of a closed mesh is a third of the mean of x . n times the area."""
    box = next(mesh for mesh in read_meshes(find_data("fa_cad/cad_real.npz")) if "box" in mesh.name)
    vertices, faces = pad_meshes([box], torch.float64)
    drawn = sample_surface(vertices, faces, 4000, rng)
    corners = box.vertices[box.faces]
    volume = np.linalg.det(corners).sum() / 6
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1).sum() / 2
    estimate = float((drawn.points * drawn.normals).sum(-1).mean()) * area / 3
    assert estimate == pytest.approx(volume, rel=0.05)


# --- neighbours -------------------------------------------------------------------------------------------


def slow_neighbours(points, k, mask, include_self):
    rows = []
    for i, x in enumerate(points):
        order = sorted(
            (j for j in range(len(points)) if mask[j] and (include_self or j != i)),
            key=lambda j: (j != i, float((x - points[j]).square().sum())),
        )
        rows.append(order[:k])
    return rows


@pytest.mark.parametrize("dim", [2, 3, 24])
@pytest.mark.parametrize("include_self", [True, False])
@pytest.mark.parametrize("chunk", [1, 50, 2**24])
def test_neighbours_are_those_of_a_slow_search(rng, dim, include_self, chunk):
    points = torch.randn(3, 12, dim, dtype=torch.float64, generator=rng) + 100
    mask = torch.rand(3, 12, generator=rng) < 0.8
    found = nearest_neighbours(points, 4, mask, include_self=include_self, chunk=chunk)
    for cloud in range(3):
        want = slow_neighbours(points[cloud], 4, mask[cloud].tolist(), include_self)
        for i in mask[cloud].nonzero().flatten().tolist():
            assert found[cloud, i].tolist() == want[i]


@pytest.mark.parametrize("dim", [3, 16])
def test_a_point_is_its_own_first_neighbour_even_among_coincident_ones(dim):
    points = torch.full((1, 6, dim), 1e4)
    assert nearest_neighbours(points, 2)[0, :, 0].tolist() == list(range(6))
    alone = nearest_neighbours(points, 5, include_self=False)
    assert all(i not in row for i, row in enumerate(alone[0].tolist()))


def test_neighbours_do_not_depend_on_the_pose(rng):
    points = torch.randn(2, 40, 3, dtype=torch.float64, generator=rng)
    turned = points @ O(3).sample(rng=rng, dtype=torch.float64).T + 5
    assert torch.equal(nearest_neighbours(points, 7), nearest_neighbours(turned, 7))


def test_padded_points_may_be_anything_and_those_present_may_not(rng):
    points = torch.randn(2, 5, 3, generator=rng)
    points[0, 4] = torch.nan
    mask = torch.ones(2, 5, dtype=torch.bool)
    mask[0, 4] = False
    assert 4 not in nearest_neighbours(points, 4, mask)[0, :4]
    with pytest.raises(NumericsError, match="cloud 0"):
        nearest_neighbours(points, 2)


def test_too_few_points_are_named(rng):
    points, mask = torch.randn(2, 5, 3, generator=rng), torch.ones(2, 5, dtype=torch.bool)
    mask[1, 3:] = False
    with pytest.raises(ShapeError) as caught:
        nearest_neighbours(points, 4, mask)
    assert caught.value.got == {"k": 4, "points": 3, "cloud": 1, "include_self": True}
    for k, include_self in ((6, True), (5, False), (0, True)):
        with pytest.raises(ShapeError):
            nearest_neighbours(points, k, include_self=include_self)
    with pytest.raises(ShapeError, match="batch"):
        nearest_neighbours(points[0], 2)
    assert nearest_neighbours(points[:0], 2).shape == (0, 5, 2)


def test_neighbours_in_one_tensor_are_those_of_each_cloud(rng):
    """Clouds of different sizes whose points are shuffled, against a slow search among the points of each."""
    points = torch.randn(30, 3, dtype=torch.float64, generator=rng)
    batch = torch.tensor([0, 2, 2, 3, 3, 3])[torch.arange(30) % 6]  # cloud 1 is empty
    for rows, want in zip(
        ragged_neighbours(points, 4, batch), slow_neighbours(points, 30, [True] * 30, True), strict=True
    ):
        own = [j for j in want if batch[j] == batch[want[0]]]
        assert rows.tolist() == own[:4]
    with pytest.raises(ShapeError) as caught:
        ragged_neighbours(points, 6, batch)
    assert caught.value.got["cloud"] == 0
    assert ragged_neighbours(points[:0], 4, batch[:0]).shape == (0, 4)


# --- sizes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", ["rms", "max_norm", "norm_std", "none"])
def test_clouds_have_the_size_asked_for_and_come_back(rng, size):
    points = torch.randn(4, 30, 3, dtype=torch.float64, generator=rng) * 7 + 3
    mask = torch.rand(4, 30, generator=rng) < 0.7
    points[~mask] = torch.nan
    found = normalise(points, size, mask)
    for cloud in range(4):
        own = found.points[cloud][mask[cloud]].numpy()
        norms = np.linalg.norm(own, axis=1)
        measured = {"rms": np.sqrt((norms**2).mean()), "max_norm": norms.max(), "norm_std": norms.std()}
        assert measured.get(size, 1.0) == pytest.approx(1, rel=1e-12)
        np.testing.assert_allclose(own.mean(0), 0, atol=1e-13)
        back = found.points[cloud] * found.scale[cloud] + found.centre[cloud]
        torch.testing.assert_close(back[mask[cloud]], points[cloud][mask[cloud]])
    assert (found.points[~mask] == 0).all()


def test_clouds_without_a_size_are_refused(rng):
    points = torch.randn(2, 10, 3, generator=rng)
    same = points.clone()
    same[1] = 1e3
    for size in ("rms", "max_norm", "norm_std"):
        with pytest.raises(DataError, match="cloud 1 has no size"):
            normalise(same, size)
    assert torch.equal(normalise(same, "none").points[1], torch.zeros(10, 3))
    sphere = torch.nn.functional.normalize(torch.randn(1, 50, 3, dtype=torch.float64, generator=rng), dim=-1)
    sphere = torch.cat([sphere, -sphere], 1)
    with pytest.raises(DataError, match="no size"):
        normalise(sphere, "norm_std")
    normalise(sphere, "rms")
    with pytest.raises(DataError, match="without points"):
        normalise(points, mask=torch.zeros(2, 10, dtype=torch.bool))
    with pytest.raises(ConfigError, match="unknown"):
        normalise(points, "volume")
    with pytest.raises(ShapeError):
        normalise(points[0])
