"""Whether a force field is the gradient of one energy: F = -dE/dx exactly if the Jacobian dF/dx is symmetric.

The Jacobian J is probed, not built: for random directions u_1 .. u_k the numbers A_ij = u_i . J u_j form a
small matrix that is symmetric if J is. With a few probes this costs a few backward passes, whatever the
number of atoms. The directions are longer where J is small, so that every atom has a say and the stiffest
pair does not hide the rest. A factor common to all forces keeps J symmetric; only the comparison with the
energy sees it.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.errors import ShapeError, SymmetryError
from intertwine.symmetry.evaluate import Evaluation

__all__ = ["ConservativenessReport", "conservativeness_error"]

Method = Literal["autograd", "finite_difference"]
"""How derivatives are taken: central differences are for forces or energies without a gradient graph."""

_METHODS = ("autograd", "finite_difference")
_SCOUTS = 4
"""Directions spent on finding the size of every row of the Jacobian."""
# Measured in float32 by autograd on 80 Lennard-Jones and 80 Morse clusters of 30 atoms: correct forces stay below 3e-7,
# one force component of ninety wrong by 1 % gives 1.3e-5 or more. By finite differences, on 3 Lennard-Jones clusters:
# correct forces stay below 8e-5, and such a single component can be missed.
_JACOBIAN_TOLERANCE = {
    ("autograd", torch.float64): 1e-9,
    ("autograd", torch.float32): 1e-5,
    ("finite_difference", torch.float64): 1e-7,
    ("finite_difference", torch.float32): 3e-4,
}
_ENERGY_TOLERANCE = {
    ("autograd", torch.float64): 1e-9,
    ("autograd", torch.float32): 5e-5,
    ("finite_difference", torch.float64): 1e-7,
    ("finite_difference", torch.float32): 1e-3,
}


@dataclass(frozen=True)
class ConservativenessReport:
    """How far forces are from being the gradient of one energy.

    Args:
        jacobian_asymmetry: size of the antisymmetric part of dF/dx relative to its symmetric part.
        energy_mismatch: size of F + dE/dx relative to F; None without an energy.
        jacobian_tolerance: what counts as rounding in ``jacobian_asymmetry``, for the method and the
            precision used.
        energy_tolerance: the same for ``energy_mismatch``; for finite differences it grows with the size of
            the energy.
        method: how dF/dx was taken.
        energy_method: how dE/dx was taken; None without an energy.
        dtype: the precision used.
        probes: number of random directions.
    """

    jacobian_asymmetry: float
    energy_mismatch: float | None
    jacobian_tolerance: float
    energy_tolerance: float | None
    method: Method
    energy_method: Method | None
    dtype: torch.dtype
    probes: int

    def passed(self, tolerance: float | None = None) -> bool:
        """Return whether both errors are within ``tolerance``, by default what counts as rounding."""
        return self._symmetric(tolerance) and self._matches(tolerance)

    def _symmetric(self, tolerance: float | None = None) -> bool:
        return self.jacobian_asymmetry <= (self.jacobian_tolerance if tolerance is None else tolerance)

    def _matches(self, tolerance: float | None = None) -> bool:
        if self.energy_mismatch is None:
            return True
        limit = self.energy_tolerance if tolerance is None else tolerance
        return limit is not None and self.energy_mismatch <= limit

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain values."""
        return asdict(self) | {"dtype": str(self.dtype).removeprefix("torch."), "passed": self.passed()}

    def explain(self) -> str:
        """Return plain lines: the two errors, against what is allowed, and what they usually mean."""
        lines = [
            f"The force Jacobian is asymmetric by {self.jacobian_asymmetry:.2e} of its size "
            f"(up to {self.jacobian_tolerance:.0e} is rounding)."
        ]
        if not self._symmetric():
            lines.append(
                "No energy has these forces as its gradient: molecular dynamics will not conserve energy. Usual "
                "causes: forces from a separate output head, one component or one kind of pair treated differently, a "
                "detached term, or a fused kernel with a wrong derivative."
            )
        if self.energy_mismatch is not None:
            lines.append(
                f"Forces and -dE/dx differ by {self.energy_mismatch:.2e} of the forces "
                f"(up to {self.energy_tolerance:.0e} is rounding)."
            )
            if self._symmetric() and not self._matches():
                lines.append(
                    "The forces are the gradient of some energy, not of this one. Usual causes: a wrong unit or "
                    "scale, or a term that enters the energy and not the forces."
                )
        if self.passed():
            energy = "an energy" if self.energy_mismatch is None else "this energy"
            lines.append(
                f"At this configuration, in {self.probes} random directions, the forces cannot be told from the "
                f"gradient of {energy}."
            )
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.explain()


def conservativeness_error(
    forces: Callable[[Tensor], Tensor],
    positions: Float[Tensor, "*batch n"],
    *,
    energy: Callable[[Tensor], Tensor] | None = None,
    probes: int = 6,
    rng: torch.Generator | None = None,
    dtype: torch.dtype | None = None,
    method: Method = "autograd",
    step: float | None = None,
) -> ConservativenessReport:
    """Return how far ``forces(positions)`` are from the gradient of one energy.

    Args:
        forces: function or module from positions to forces of the same shape. With ``method="autograd"`` the
            forces must themselves be differentiable (a force model has to use ``create_graph=True``).
        positions: where to test; a configuration away from equilibrium, so that forces are not near zero.
        energy: function from positions to an energy (a tensor is summed). Differentiated by autograd, or by
            central differences along the force and along random directions where it is not differentiable.
        probes: number of random directions, at least 2.
        rng: source of the directions; a fixed seed if not given.
        dtype: precision of the check; the one of the positions if not given.
        method: how dF/dx is taken.
        step: length of the finite-difference step, in the unit of the positions; chosen from the precision
            if not given.

    Raises:
        SymmetryError: if autograd is asked for and the forces are not differentiable.
        ShapeError: if the forces do not have the shape of the positions.
    """
    if method not in _METHODS or probes < 2:
        raise SymmetryError(
            "conservativeness_error needs a known method and at least two probes",
            got={"method": method, "probes": probes},
            expected=f"method one of {', '.join(_METHODS)}; probes >= 2",
        )
    dtype = dtype or positions.dtype
    positions = positions.detach().to(dtype)
    step = float(0.5 * torch.finfo(dtype).eps ** 0.25) if step is None else step
    rng = rng or torch.Generator().manual_seed(0)
    directions = torch.randn(probes + _SCOUTS, *positions.shape, generator=rng, dtype=dtype, device=rng.device)
    directions = directions.to(positions.device)
    forces = Evaluation.prepare(forces, True, dtype).module
    value, columns = _force_jacobian(forces, positions, method, step)
    directions = directions[_SCOUTS:] * _lengths(columns(directions[:_SCOUTS]))
    asymmetry = _asymmetry(columns(directions).flatten(1) @ directions.flatten(1).mT)
    limit = _JACOBIAN_TOLERANCE.get((method, dtype), 5e-2)
    if energy is None:
        return ConservativenessReport(asymmetry, None, limit, None, method, None, dtype, probes)
    energy = Evaluation.prepare(energy, True, dtype).module
    mismatch, energy_limit, energy_method = _energy_mismatch(energy, value, positions, directions, step)
    return ConservativenessReport(asymmetry, mismatch, limit, energy_limit, method, energy_method, dtype, probes)


def _force_jacobian(
    forces: Callable[[Tensor], Tensor], positions: Tensor, method: Method, step: float
) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """The forces, and the function from directions u to J^T u (autograd) or J u (finite differences)."""
    leaf = positions.clone().requires_grad_(True)
    with torch.enable_grad():
        value = forces(leaf)
    if value.shape != positions.shape:
        raise ShapeError(
            "forces must have the shape of the positions",
            got=tuple(value.shape),
            expected=tuple(positions.shape),
        )

    def by_differences(directions: Tensor) -> Tensor:
        return torch.stack([_slope(lambda x: _detached(forces, x), positions, u, step) for u in directions])

    def by_autograd(directions: Tensor) -> Tensor:
        columns = [
            torch.autograd.grad(value, leaf, u, retain_graph=True, allow_unused=True, materialize_grads=True)
            for u in directions
        ]
        return torch.stack([column for (column,) in columns])

    if method == "finite_difference":
        return value.detach(), by_differences
    if not value.requires_grad:
        raise SymmetryError(
            "the forces are not differentiable, so their Jacobian cannot be taken by autograd",
            got="forces without a gradient graph",
            expected="forces that depend on the positions through differentiable operations",
            fix='use create_graph=True where the model takes its gradient, or method="finite_difference" '
            "here (slower and less sharp, needs nothing of the model)",
        )
    return value.detach(), by_autograd


def _lengths(columns: Float[Tensor, "k *batch"]) -> Float[Tensor, "*batch"]:
    """Length of the directions: for each atom the inverse root of the size of its rows of the Jacobian."""
    size = columns.square().mean((0, -1)).sqrt()[..., None].expand(columns.shape[1:])
    if not size.max() > 0:
        return torch.ones_like(size)
    return (size / size.max()).clamp_min(1e-4).rsqrt()


def _detached(function: Callable[[Tensor], Tensor], positions: Tensor) -> Tensor:
    """Value at new positions of a function that may differentiate inside."""
    with torch.enable_grad():
        return function(positions.detach().requires_grad_(True)).detach()


def _asymmetry(probed: Float[Tensor, "k k"]) -> float:
    """Size of the antisymmetric part of A over that of the symmetric part, both off the diagonal."""
    symmetric, antisymmetric = (probed + probed.mT) / 2, (probed - probed.mT) / 2
    size = (symmetric - symmetric.diag().diag()).norm()
    error = antisymmetric.norm()
    if error == 0:
        return 0.0
    return float(error / size) if size > 0 else float("inf")


def _slope(
    function: Callable[[Tensor], Tensor], positions: Tensor, direction: Tensor, step: float
) -> Float[Tensor, "*out"]:
    """Derivative along ``direction``: central differences of fourth order with moves up to ``2 step``."""
    length = direction.abs().max()
    move = direction * (step / length)
    inner = function(positions + move) - function(positions - move)
    outer = function(positions + 2 * move) - function(positions - 2 * move)
    return (8 * inner - outer) * (length / (12 * step))


def _energy_mismatch(
    energy: Callable[[Tensor], Tensor], forces: Tensor, positions: Tensor, directions: Tensor, step: float
) -> tuple[float, float, Method]:
    """Size of F + dE/dx over that of F, and what counts as rounding; slopes if there is no gradient."""
    size, dtype = float(forces.norm()), positions.dtype
    leaf = positions.clone().requires_grad_(True)
    with torch.enable_grad():
        value = energy(leaf).sum()
        gradient = _gradient(value, leaf)
        level = abs(float(value.detach()))
    if gradient is not None:
        limit = _ENERGY_TOLERANCE.get(("autograd", dtype), 5e-2)
        return _ratio(float((forces + gradient).norm()), size), limit, "autograd"
    if size > 0:
        directions = torch.cat([(forces / size)[None], directions])
    worst, rounding = 0.0, 0.0
    for direction in directions:
        direction = direction / direction.norm()
        slope = _slope(lambda x: _detached(energy, x).sum(), positions, direction, step)
        worst = max(worst, abs(float((forces * direction).sum() + slope)))
        rounding = max(rounding, level * float(direction.abs().max()) * torch.finfo(dtype).eps / step)
    limit = max(_ENERGY_TOLERANCE.get(("finite_difference", dtype), 5e-2), _ratio(rounding, size))
    return _ratio(worst, size), limit, "finite_difference"


def _gradient(value: Tensor, leaf: Tensor) -> Tensor | None:
    """Gradient by autograd, or None where there is no graph, or a model has spent it on its forces."""
    if not value.requires_grad:
        return None
    try:
        return torch.autograd.grad(value, leaf, allow_unused=True, materialize_grads=True)[0]
    except RuntimeError as error:
        if "second time" not in str(error):
            raise
        return None


def _ratio(error: float, size: float) -> float:
    if error == 0:
        return 0.0
    return error / size if size > 0 else float("inf")
