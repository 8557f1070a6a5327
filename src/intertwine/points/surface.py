"""Points drawn from the surface of a mesh, uniformly by area."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from intertwine.errors import DataError, NumericsError, ShapeError

__all__ = ["SurfaceSample", "place_on_faces", "sample_surface", "triangle_areas"]


@dataclass(frozen=True)
class SurfaceSample:
    """Points of a surface and where on it they lie.

    Args:
        points: ``sum_c barycentric_c vertex_c`` over the corners c of the face.
        normals: unit normals of the faces, outward where corners are counter-clockwise seen from outside.
        face_index: the face of each point: labels of faces are ``labels[face_index]``.
        barycentric: weights of the three corners; they put the point onto the same mesh in another pose.
    """

    points: Float[Tensor, "*batch points 3"]
    normals: Float[Tensor, "*batch points 3"]
    face_index: Int64[Tensor, "*batch points"]
    barycentric: Float[Tensor, "*batch points 3"]


def sample_surface(
    vertices: Float[Tensor, "*batch vertices 3"],
    faces: Int64[Tensor, "*shape faces 3"],
    count: int,
    rng: torch.Generator,
) -> SurfaceSample:
    """Draw points uniformly by area, as many from each mesh of a batch.

    A face without area is never drawn, so that meshes of different size are padded with faces whose corners agree
    (`pad_meshes`). Areas are added up in float64; the points have the dtype of the vertices.

    Args:
        vertices: of one mesh, or of a batch of them.
        faces: of each mesh of the batch, or (faces, 3) where all share them.
        count: points to draw from each.
        rng: source of the draws, on the CPU or on the device of the vertices.

    Raises:
        ShapeError: if the shapes do not fit.
        NumericsError: if a vertex is not finite.
        DataError: if a mesh has no area.
    """
    batch = vertices.shape[:-2]
    shared = faces.ndim == 2 and bool(batch)
    if vertices.shape[-1:] != (3,) or faces.shape[-1:] != (3,) or (not shared and faces.shape[:-2] != batch):
        raise ShapeError(
            "sampling needs triangles of the same batch of meshes",
            got={"vertices": tuple(vertices.shape), "faces": tuple(faces.shape)},
            expected="(*batch, vertices, 3) and (*batch, faces, 3) or (faces, 3)",
        )
    if count < 0:
        raise ShapeError("the number of points cannot be negative", got=count)
    if not vertices.isfinite().all():
        raise NumericsError("a vertex is not finite", got="NaN or infinity", fix="repair the mesh before sampling")
    corners = _corners(vertices.double(), faces.expand(*batch, *faces.shape[-2:]))
    edges = corners[..., 1:, :] - corners[..., :1, :]
    areas = torch.linalg.vector_norm(_cross(edges), dim=-1) / 2
    draw = torch.rand(*batch, count, generator=rng, dtype=torch.float64, device=rng.device)
    corner = torch.rand(2, *batch, count, generator=rng, dtype=torch.float64, device=rng.device)
    uniform = torch.stack([draw, *corner], dim=-1)
    chosen, weights = place_on_faces(areas.cumsum(-1), uniform.to(areas.device))
    points = (weights.unsqueeze(-1) * _take(corners, chosen)).sum(-2)
    normals = torch.nn.functional.normalize(_cross(_take(edges, chosen)), dim=-1, eps=0.0)
    dtype = vertices.dtype
    return SurfaceSample(points.to(dtype), normals.to(dtype), chosen, weights.to(dtype))


def triangle_areas(
    vertices: Float[Tensor, "*batch vertices 3"], faces: Int64[Tensor, "faces 3"]
) -> Float[Tensor, "*batch faces"]:
    """Return the areas of the triangles of meshes that share their faces, in float64."""
    corners = vertices.double().index_select(-2, faces.flatten()).unflatten(-2, (len(faces), 3))
    return torch.linalg.vector_norm(_cross(corners[..., 1:, :] - corners[..., :1, :]), dim=-1) / 2


def place_on_faces(
    reached: Float[Tensor, "*batch faces"], uniform: Float[Tensor, "*batch points 3"]
) -> tuple[Int64[Tensor, "*batch points"], Float[Tensor, "*batch points 3"]]:
    """Return the faces and the weights of the corners of points that are uniform by area.

    Args:
        reached: running sums of the areas of the faces, in float64.
        uniform: three random numbers for each point, uniform in [0, 1).

    Raises:
        DataError: if a mesh has no area.
    """
    total = reached[..., -1:] if reached.shape[-1] else reached.new_zeros(*reached.shape[:-1], 1)
    if not (total > 0).all():
        empty = (total.flatten() <= 0).nonzero().flatten().tolist()
        raise DataError(
            "a mesh has no area to draw points from",
            got=f"all faces without area, mesh {empty[0]} of the batch",
            expected="at least one triangle whose corners are not on one line",
        )
    draw, first, second = uniform.unbind(-1)
    # below the total even after rounding: else the draw would fall behind the last face that has an area
    height = torch.minimum(draw * total, torch.nextafter(total, torch.zeros_like(total)))
    # the square root makes points uniform in the triangle: the density of a distance to a corner grows with it
    root = first.sqrt()
    weights = torch.stack([1 - root, root * (1 - second), root * second], dim=-1)
    return torch.searchsorted(reached, height.contiguous(), right=True), weights


def _corners(vertices: Tensor, faces: Tensor) -> Float[Tensor, "*batch faces 3 3"]:
    index = faces.flatten(-2).unsqueeze(-1).expand(*faces.shape[:-2], -1, 3)
    return vertices.gather(-2, index).unflatten(-2, (faces.shape[-2], 3))


def _take(values: Tensor, index: Tensor) -> Tensor:
    """Return the entries of (*batch, faces, a, b) at an index (*batch, points)."""
    wide = index[..., None, None].expand(*index.shape, *values.shape[-2:])
    return values.gather(-3, wide)


def _cross(edges: Float[Tensor, "*batch 2 3"]) -> Float[Tensor, "*batch 3"]:
    return torch.linalg.cross(edges[..., 0, :], edges[..., 1, :])
