"""Learned frames: an equivariant network gives the axes of each cloud, and learns them with the task.

Source: Kaba, Mondal, Zhang, Bengio and Ravanbakhsh, Equivariance with Learned Canonicalization Functions, ICML 2023.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from intertwine.errors import GroupError, ShapeError, SymmetryError
from intertwine.frames.frame import Frame, Frames, pad_segments, rounded_origin
from intertwine.frames.gram_schmidt import complete_axes, gram_schmidt, projection, turn_last
from intertwine.frames.moments import about_origin, check_clouds
from intertwine.frames.spectrum import spanned_dimensions
from intertwine.groups import SE, SO, E, Group, O, ProductGroup, parse_group

__all__ = ["LearnedFrame", "identity_prior"]

_INDEPENDENT = {torch.float64: 1e-7, torch.float32: 1e-4}
"""Share of the longest vector that must be new in a vector to give an axis."""


@final
class LearnedFrame(nn.Module, Frame):
    """One element for each cloud, from vectors that a network gives, by Gram-Schmidt; gradients flow into the network.

    Law: if the vectors turn with the cloud, ``h(g X) = g h(X)``. It is the network that must see to it: its maps of
    vectors must have no bias, and a vector product is a vector under rotations only. `intertwine.nn.VectorDeepSets` is
    such a network.

    The network is called with points ``(batch, n, d)``, seen from their centroid (E, SE) or from the origin (O, SO),
    and by name with ``mask``, where there is one, and with the inputs that ``reads`` lists. It returns vectors
    ``(batch, vectors, d)``. The first d give the axes (for SO and SE the first d - 1, which fix the last); with
    ``translation`` the last vector is the step from the centroid to the origin of the frame.

    Few points: vectors of coplanar or collinear points mostly lie in their span, so that axes are missing. With
    ``relaxed`` this is allowed where the axes span at least what the points do: they are completed by axes that mean
    nothing, vectors are projected (`Frames.span`), and the law holds up to maps that keep the cloud in place. Without
    it, and where the network gives too little, ``valid`` is False: no points, one point, coincident points have no
    axes at all.

    Args:
        network: equivariant, as above.
        group: O(d), SO(d), E(d) or SE(d), or its name.
        reads: names of further inputs of the network, such as velocities, that `FrameAverage` passes on.
        translation: whether the last vector moves the origin.
        relaxed: whether missing axes are allowed, as above.

    Raises:
        GroupError: for another group, or a translation in a group without any.
        SymmetryError: if the network declares less symmetry than the group has.
    """

    group: Group

    def __init__(
        self,
        network: nn.Module,
        group: str | Group = "E(3)",
        *,
        reads: tuple[str, ...] = (),
        translation: bool = False,
        relaxed: bool = True,
    ) -> None:
        super().__init__()
        chosen = parse_group(group) if isinstance(group, str) else group
        if not isinstance(chosen, E | SE | O | SO):
            raise GroupError(
                "there are no learned frames of this group", got=str(chosen), expected="O(d), SO(d), E(d) or SE(d)"
            )
        if translation and isinstance(chosen, O | SO):
            raise GroupError(f"{chosen} has no translations", got="translation=True", expected="E(d) or SE(d)")
        declared = getattr(getattr(network, "symmetry", None), "group", None)
        factors = declared.factors if isinstance(declared, ProductGroup) else (declared,)
        if isinstance(chosen, E | O) and any(isinstance(factor, SE | SO) for factor in factors):
            raise SymmetryError(
                "the vectors of this network do not follow reflections",
                got=f"a network of {declared} for frames of {chosen}",
                expected="a network of O or E",
                fix=f"use S{chosen}, or leave out vector products",
            )
        self.network = network
        self.group = chosen
        self.reads = tuple(reads)
        self.translation = translation
        self.relaxed = relaxed

    @property
    def dim(self) -> int:
        """Coordinates of a point."""
        return self.group.n  # pyright: ignore[reportAttributeAccessIssue] - all four groups have it

    def __str__(self) -> str:
        return f"learned frames of {self.group}"

    def reading(self, inputs: Mapping[str, Any]) -> Frame:
        """Return this frame with the inputs that it reads; see `Frame`."""
        missing = [name for name in self.reads if inputs.get(name) is None]
        if missing:
            raise ShapeError(
                f"{self} miss inputs that their network reads", got=", ".join(inputs), expected=", ".join(self.reads)
            )
        return _Reading(self, {name: inputs[name] for name in self.reads}) if self.reads else self

    def forward(
        self,
        points: Float[Tensor, "batch points d"],
        mask: Bool[Tensor, "batch points"] | None = None,
        *,
        rng: torch.Generator | None = None,
        **features: Tensor,
    ) -> Frames:
        """Return the frames of a batch of clouds; see `Frame`.

        Args:
            points, mask: as for any frame.
            rng: not used; what a network draws (dropout) comes from torch's own generator.
            features: further inputs of the network.

        Raises:
            ShapeError: if the network does not give enough vectors.
        """
        check_clouds(points, mask, self.dim, str(self))
        origin, seen = about_origin(points, mask, centred=isinstance(self.group, E | SE))
        known = features if mask is None else features | {"mask": mask}
        vectors = self.network(seen.to(points.dtype), **known)
        size = self.dim - isinstance(self.group, SO | SE)
        self._check(vectors, points, size)
        axes, lengths = gram_schmidt(vectors[:, :size].double())
        longest = vectors.detach().double().norm(dim=-1).amax(-1, keepdim=True)
        found = lengths.detach() > _INDEPENDENT.get(points.dtype, 1e-2) * longest
        linear = complete_axes(axes, found)
        if size < self.dim:
            linear = turn_last(linear)
            found = torch.cat([found, found.all(-1, keepdim=True)], dim=-1)
        rank = found.sum(-1)
        if self.translation:
            origin = origin + vectors[:, -1].double()
        translation, rest = rounded_origin(origin, points.dtype)
        return Frames(
            linear.unsqueeze(1).to(points.dtype),
            translation,
            points.new_ones(len(points), 1),
            found.all(-1) | (rank >= spanned_dimensions(seen, points, mask)) if self.relaxed else found.all(-1),
            rank=rank,
            span=projection(linear, found).to(points.dtype),
            rest=rest,
        )

    def _check(self, vectors: Tensor, points: Tensor, size: int) -> None:
        needed = size + self.translation
        if vectors.ndim != 3 or vectors.shape[::2] != points.shape[::2] or vectors.shape[1] < needed:
            raise ShapeError(
                f"the network of {self} gives too few vectors, or none",
                got=tuple(vectors.shape),
                expected=f"({len(points)}, at least {needed}, {self.dim})",
            )


@final
@dataclass(frozen=True, eq=False)
class _Reading(Frame):
    """A learned frame with further inputs of its network."""

    frame: LearnedFrame
    features: Mapping[str, Tensor]

    @property
    def group(self) -> Group:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.frame.group

    @property
    def dim(self) -> int:
        return self.frame.dim

    def __call__(self, points: Tensor, mask: Tensor | None = None, *, rng: torch.Generator | None = None) -> Frames:
        return self.frame(points, mask, rng=rng, **self.features)

    def of_segments(
        self, points: Tensor, index: Int64[Tensor, " points"], count: int, *, rng: torch.Generator | None = None
    ) -> Frames:
        padded, mask = pad_segments(points, index, count)
        features = {name: pad_segments(values, index, count)[0] for name, values in self.features.items()}
        return self.frame(padded, mask, rng=rng, **features)


def identity_prior(frames: Frames) -> Float[Tensor, ""]:
    """Return the mean squared difference of the axes from those of the coordinates.

    As a penalty it keeps learned frames near the orientation in which the data come, which a pretrained network knows
    (Mondal et al., Equivariant Adaptation of Large Pretrained Models, NeurIPS 2023).
    """
    identity = torch.eye(frames.linear.shape[-1], dtype=frames.linear.dtype, device=frames.linear.device)
    return (frames.linear - identity).square().mean()
