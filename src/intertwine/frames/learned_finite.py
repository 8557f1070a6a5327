"""Learned frames of finite groups: one of their elements, the one with the highest score.

Source: Kaba, Mondal, Zhang, Bengio and Ravanbakhsh, Equivariance with Learned Canonicalization Functions, ICML 2023.
"""

from typing import Literal, final

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from intertwine.errors import ConfigError, GroupError, ShapeError
from intertwine.frames.finite import matrices_of
from intertwine.frames.frame import Frame, Frames
from intertwine.frames.moments import check_clouds
from intertwine.groups import FiniteGroup, Group, parse_group

__all__ = ["LearnedFiniteFrame", "OrbitScores", "choose_element", "identity_cross_entropy"]

Estimator = Literal["straight-through", "gumbel"]


class OrbitScores(nn.Module):
    """Scores of the elements of a finite group by any network: that of g is the network's value of ``g^-1 X``.

    Law: the score of ``k g`` for ``k X`` is that of g for X, whatever the network is. It runs once, on a copy of the
    clouds for each element.

    Args:
        network: takes clouds ``(batch, n, d)``, and ``mask`` where there is one, to one number each, ``(batch,)``.
        group: C_n, D_n or S_n (which permutes coordinates), or its name.
    """

    matrices: Tensor

    def __init__(self, network: nn.Module, group: str | Group) -> None:
        super().__init__()
        self.network = network
        self.group = _finite(group)
        self.register_buffer("matrices", matrices_of(self.group), persistent=False)

    def forward(
        self, points: Float[Tensor, "batch n d"], mask: Bool[Tensor, "batch n"] | None = None
    ) -> Float[Tensor, "batch order"]:
        """Return the scores, in the order of ``group.elements()``."""
        matrices = self.matrices.to(points)
        copies = (points.unsqueeze(1) @ matrices).flatten(0, 1)  # rows x are g^-1 x as x M, M orthogonal
        more = () if mask is None else (mask.repeat_interleave(len(matrices), dim=0),)
        scores = self.network(copies, *more)
        if scores.numel() != len(copies):
            expected = f"({len(copies)},)"
            raise ShapeError("a score is one number for each cloud", got=tuple(scores.shape), expected=expected)
        return scores.reshape(len(points), len(matrices))


@final
class LearnedFiniteFrame(nn.Module, Frame):
    """The element of a finite group with the highest score; gradients pass through a softmax of the scores.

    Law: ``h(g X) = g h(X)`` if scores follow the group (`OrbitScores` sees to that). Where two scores are equal, as for
    clouds that an element keeps in place, the first is taken and ``valid`` is False: invariants do not depend on the
    choice if the cloud has this symmetry, vectors do.

    Args:
        scores: module from points ``(batch, n, d)``, and a mask, to scores ``(batch, order)``.
        group: C_n, D_n or S_n (which permutes coordinates), or its name.
        estimator: in training ``straight-through`` takes the highest score, ``gumbel`` draws an element with
            probabilities as the softmax says, and the law then holds in distribution. In evaluation the highest score
            is taken.
        temperature: of the softmax.

    Raises:
        GroupError: for a group that is not finite.
        ConfigError: for another estimator or a temperature that is not positive.
    """

    group: Group
    matrices: Tensor

    def __init__(
        self,
        scores: nn.Module,
        group: str | Group,
        *,
        estimator: Estimator = "straight-through",
        temperature: float = 1.0,
    ) -> None:
        super().__init__()
        if estimator not in ("straight-through", "gumbel") or not temperature > 0:
            raise ConfigError(
                "elements cannot be chosen in this way",
                got={"estimator": estimator, "temperature": temperature},
                expected="straight-through or gumbel, and a positive temperature",
            )
        self.scores = scores
        self.group = _finite(group)
        self.estimator: Estimator = estimator
        self.temperature = temperature
        self.register_buffer("matrices", matrices_of(self.group), persistent=False)

    @property
    def dim(self) -> int:
        """Coordinates of a point."""
        return self.matrices.shape[-1]

    def __str__(self) -> str:
        return f"learned elements of {self.group}"

    def forward(
        self,
        points: Float[Tensor, "batch points d"],
        mask: Bool[Tensor, "batch points"] | None = None,
        *,
        rng: torch.Generator | None = None,
    ) -> Frames:
        """Return the frames of a batch of clouds; see `Frame`. ``rng`` draws elements (``gumbel``)."""
        check_clouds(points, mask, self.dim, str(self))
        scores = self.scores(points) if mask is None else self.scores(points, mask)
        if scores.shape != (len(points), len(self.matrices)):
            raise ShapeError(
                f"scores do not fit {self.group}",
                got=tuple(scores.shape),
                expected=f"({len(points)}, {len(self.matrices)})",
            )
        drawn = self.estimator == "gumbel" and self.training
        chosen = choose_element(scores, self.temperature, drawn=drawn, rng=rng)
        linear = torch.einsum("bg,gij->bij", chosen, self.matrices.to(chosen)).unsqueeze(1).to(points.dtype)
        return Frames(
            linear,
            points.new_zeros(len(points), self.dim),
            points.new_ones(len(points), 1),
            _single(scores.detach()),
        )


def choose_element(
    scores: Float[Tensor, "batch order"],
    temperature: float = 1.0,
    *,
    drawn: bool = False,
    rng: torch.Generator | None = None,
) -> Float[Tensor, "batch order"]:
    """Return one-hot rows whose derivative is that of the softmax.

    Args:
        scores: of the elements.
        temperature: of the softmax.
        drawn: whether to draw by the softmax (with Gumbel noise) instead of taking the highest score.
        rng: of the draw.
    """
    if drawn:
        device = rng.device if rng is not None else scores.device
        uniform = torch.rand(scores.shape, generator=rng, dtype=torch.float64, device=device)
        noise = -(-uniform.clamp(min=torch.finfo(torch.float64).tiny).log()).log()
        scores = scores + temperature * noise.to(scores)
    soft = (scores / temperature).softmax(-1)
    hard = torch.zeros_like(soft).scatter(-1, soft.detach().argmax(-1, keepdim=True), 1.0)
    return hard + (soft - soft.detach())


def identity_cross_entropy(scores: Float[Tensor, "batch order"]) -> Float[Tensor, ""]:
    """Return the cross-entropy of the identity: a penalty that keeps learned elements where the data come from."""
    return -scores.log_softmax(-1)[:, 0].mean()


def _finite(group: str | Group) -> FiniteGroup:
    chosen = parse_group(group) if isinstance(group, str) else group
    if not isinstance(chosen, FiniteGroup):
        raise GroupError("elements with scores are those of a finite group", got=str(chosen), expected="C_n, D_n, S_n")
    return chosen


def _single(scores: Tensor) -> Bool[Tensor, " batch"]:
    """Return where the highest score is not shared, up to rounding."""
    if scores.shape[-1] < 2:
        return torch.ones(len(scores), dtype=torch.bool, device=scores.device)
    first, second = scores.topk(2, dim=-1).values.unbind(-1)
    size = scores.abs().amax(-1)
    return first - second > 64 * torch.finfo(scores.dtype).eps * size
