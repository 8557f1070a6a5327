"""Points of the skin of posed bodies, with the part that each belongs to; and which poses are kept for the test."""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from intertwine.errors import DataError
from intertwine.points import place_on_faces, triangle_areas
from intertwine.systems.apen.data.batch import CloudSet, PartBatch, make_batch
from intertwine.systems.apen.data.human import Bodies, blend, merged_sides, one_hot_largest
from intertwine.systems.apen.settings import DataSettings
from intertwine.training.sampling import generator

__all__ = ["HumanClouds", "split_bodies"]


class HumanClouds(CloudSet):
    """Clouds of points of posed bodies.

    Points are uniform on the skin at rest, so that those of a body are the same in all its poses but for chance. The
    true parts are always all parts of the body, also where labels do not tell left from right.

    Args:
        bodies: with their motions.
        subject, pose: number of the body and of the pose (`Bodies.poses`) of each cloud.
        points: of each cloud.
        labels: classes of points: 14, with left and right as one, or 22.
        kind: how skin follows the joints.
    """

    def __init__(
        self,
        bodies: Bodies,
        subject: Int64[Tensor, " clouds"],
        pose: Int64[Tensor, " clouds"],
        points: int,
        *,
        labels: Literal[14, 22] = 22,
        kind: Literal["smooth", "rigid"] = "smooth",
    ) -> None:
        frames = [f"{name} frame {frame}" for name, motion in bodies.motions.items() for frame in range(len(motion))]
        super().__init__([f"subject {s}, {frames[p]}" for s, p in zip(subject.tolist(), pose.tolist(), strict=True)])
        self.bodies = bodies
        self.subject = subject
        self.pose = pose
        self.points = points
        self.kind = kind
        self.class_names, self._label = bodies.parts, torch.arange(len(bodies.parts))
        if labels == 14:
            self.class_names, self._label = merged_sides(bodies.parts)
        self._reached = triangle_areas(bodies.vertices, bodies.faces).cumsum(-1)
        self._faces = bodies.faces

    def draw(self, indices: Sequence[int], rngs: Sequence[torch.Generator]) -> PartBatch:
        """Return newly drawn points of some clouds, in single precision."""
        batch, _ = self.draw_in(indices, rngs, torch.float32)
        return batch

    def draw_in(
        self, indices: Sequence[int], rngs: Sequence[torch.Generator], dtype: torch.dtype
    ) -> tuple[PartBatch, Float[Tensor, "points 3"]]:
        """Return drawn points computed in a dtype, and where the same points are when the body is at rest."""
        chosen = torch.as_tensor(indices)
        subject, pose = self.subject[chosen], self.pose[chosen]
        uniform = torch.stack([torch.rand(self.points, 3, generator=rng, dtype=torch.float64) for rng in rngs])
        face, corner = place_on_faces(self._reached[subject], uniform)
        vertex, corner = self._faces[face], corner.to(dtype)
        rest = self.bodies.vertices.to(dtype)[subject.view(-1, 1, 1), vertex]
        weights = self.bodies.weights.to(dtype)[vertex]
        joined = (corner.unsqueeze(-2) @ weights).squeeze(-2)
        at_rest = (corner.unsqueeze(-1) * rest).sum(-2)
        rotations, shifts = (maps.to(dtype) for maps in self.bodies.transforms(subject, pose))
        if self.kind == "rigid":
            placed = blend(rotations, shifts, one_hot_largest(joined), at_rest)
        else:
            # corners are posed, so that points are on the faces of the posed mesh
            corners = blend(rotations, shifts, weights.flatten(1, 2), rest.flatten(1, 2)).unflatten(1, vertex.shape[1:])
            placed = (corner.unsqueeze(-1) * corners).sum(-2)
        part = joined.argmax(-1).flatten()
        batch = make_batch(
            placed.flatten(0, 1),
            torch.arange(len(chosen)).repeat_interleave(self.points),
            len(chosen),
            labels=self._label[part],
            parts=part,
            subjects=subject,
        )
        return batch, at_rest.flatten(0, 1)


def split_bodies(bodies: Bodies, settings: DataSettings) -> tuple[Int64[Tensor, "2 train"], Int64[Tensor, "2 test"]]:
    """Return numbers of bodies and poses, those to train on and those to test on, as the settings divide them.

    Raises:
        DataError: if there is no such motion, it is to be tested and trained on, or nothing is left to train on.
    """
    sequence = torch.arange(len(bodies.motions)).repeat_interleave(
        torch.tensor([len(m) for m in bodies.motions.values()])
    )
    names = list(bodies.motions)
    trained = _known(settings.train_sequences, names)
    everyone = torch.arange(len(bodies.subjects))
    pairs = torch.cartesian_prod(everyone, torch.arange(len(sequence))).T
    of_pair = sequence[pairs[1]]
    if settings.split == "unseen_sequence":
        tested = _known(settings.test_sequences, names)
        both = [name for name in trained if name in tested]
        if both or not tested:
            raise DataError(
                "a motion is to be trained on and tested on" if both else "no motion is to be tested on",
                got=", ".join(both) or "test_sequences is empty",
                expected="data.train_sequences and data.test_sequences apart",
            )
        test = _among(of_pair, tested, names)
        train = _among(of_pair, trained, names) if trained else ~test
    else:
        allowed = _among(of_pair, trained or names, names)
        if settings.split == "random":
            order = torch.randperm(int(allowed.sum()), generator=generator(settings.seed, "split"))
            held = torch.zeros(len(order), dtype=torch.bool).index_fill(0, order[: max(len(order) // 10, 1)], True)
            test = torch.zeros_like(allowed).masked_scatter(allowed, held)
        else:
            choice = torch.tensor([names.index(name) for name in (trained or names)])
            drawn = torch.randint(len(choice), (len(everyone),), generator=generator(settings.seed, "split"))
            test = allowed & (of_pair == choice[drawn][pairs[0]])
        train = allowed & ~test
    if not bool(train.any()):
        raise DataError("no body is left to train on", got=f"split {settings.split}", expected="more motions")
    return pairs[:, train], pairs[:, test]


def _among(of_pair: Tensor, asked: Sequence[str], names: list[str]) -> Tensor:
    return torch.isin(of_pair, torch.tensor([names.index(name) for name in asked], dtype=torch.int64))


def _known(asked: Sequence[str], names: list[str]) -> list[str]:
    unknown = [name for name in asked if name not in names]
    if unknown:
        raise DataError("there is no such motion", got=", ".join(unknown), expected=f"some of {', '.join(names)}")
    return list(dict.fromkeys(asked))
