"""A family of operators that is closed under differentiation: the value of a function, its gradient, its tangent.

For ``z = f(a, b, ...)`` and the scalar ``S = <g, f(a, b, ...)>`` a family has three operators:

- value:     ``z``
- gradient:  the derivatives of S by ``a, b, ...``
- tangent:   the derivative of the gradient, and of z, along ``(ta, tb, ...)``

The backward of the value is the gradient. The backward of the gradient, given cotangents ``(ta, tb, ...)``, is the
tangent, because second derivatives are symmetric. So these three are enough for training on forces; derivatives of
higher order go through the reference, plain PyTorch that `torch.autograd` differentiates any number of times. All three
are custom operators with fake implementations, so that ``torch.compile`` and ``torch.export`` see them.
"""

import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

from intertwine.errors import ShapeError
from intertwine.kernels.build import BuildError
from intertwine.kernels.switch import kernels_wanted

__all__ = ["Family", "Implementation"]

# Not by `torch.library.custom_op`: it looks for outputs that alias inputs at every call, which small graphs feel.
_LIBRARY = torch.library.Library("intertwine", "FRAGMENT")
_SUFFIXES = ("", "_gradient", "_tangent")


class Implementation:
    """The three operators of a family on one kind of device.

    Each takes the tensors ``inputs`` (contiguous), then what its own name says, then the static arguments as a list.

    Args:
        value: ``(inputs, static) -> Tensor``.
        gradient: ``(inputs, g, static, wanted) -> list``, None where not wanted.
        tangent: ``(inputs, g, tangents, static, wanted) -> list``, one an input and then the tangent of the value.
        dtypes: what it can compute with.
    """

    def __init__(
        self,
        value: Callable[..., Tensor],
        gradient: Callable[..., list[Tensor | None]],
        tangent: Callable[..., list[Tensor | None]],
        dtypes: tuple[torch.dtype, ...] = (torch.float32, torch.float64),
    ) -> None:
        self.value, self.gradient, self.tangent, self.dtypes = value, gradient, tangent, dtypes


class Family:
    """The three operators of one function, on all devices that have an implementation.

    Args:
        name: name of the operators below ``torch.ops.intertwine``.
        inputs: names of the tensors to differentiate by.
        static: the other arguments, as in a schema, such as ``Tensor? index, int rows``.
        reference: ``(*inputs, *static) -> Tensor`` in plain PyTorch.
        shape: ``(inputs, static) -> shape`` of the value.
        example: ``(dtype, device) -> (inputs, static)``, a small problem for the check at first use.
    """

    def __init__(
        self,
        name: str,
        *,
        inputs: Sequence[str],
        static: str,
        reference: Callable[..., Tensor],
        shape: Callable[[Sequence[Tensor], Sequence[Any]], Sequence[int]],
        example: Callable[[torch.dtype, str], tuple[list[Tensor], list[Any]]],
    ) -> None:
        self.name, self.reference, self.example = name, reference, example
        self._count, self._shape = len(inputs), shape
        self._implementations: dict[str, Implementation] = {}
        self._state: dict[tuple[str, torch.dtype], str] = {}
        self._define(inputs, static)

    def implement(self, device: str, implementation: Implementation) -> None:
        """Add the implementation for one kind of device, ``cpu`` or ``cuda``."""
        self._implementations[device] = implementation
        n = self._count

        def value(*args: Any) -> Tensor:
            return implementation.value(self._inputs(args[:n]), _static(args[n:]))

        def gradient(*args: Any) -> tuple[Tensor, ...]:
            tensors, (*static, wanted) = self._inputs(args[: n + 1]), _static(args[n + 1 :])
            found = implementation.gradient(tensors[:n], tensors[n], static, _flags(wanted, n))
            # one output is not a tuple for the dispatcher, so a function of one input gets an empty second one
            return tuple(_filled(part, args[0]) for part in (found if n > 1 else [*found, None]))

        def tangent(*args: Any) -> tuple[Tensor, ...]:
            tensors, (*static, wanted) = self._inputs(args[: 2 * n + 1]), _static(args[2 * n + 1 :])
            found = implementation.tangent(tensors[:n], tensors[n], tensors[n + 1 :], static, _flags(wanted, n + 1))
            return tuple(_filled(part, args[0]) for part in found)

        for suffix, function in zip(_SUFFIXES, (value, gradient, tangent), strict=True):
            _LIBRARY.impl(self.name + suffix, function, device.upper())

    def __call__(self, *args: Any) -> Tensor:
        """Return the value: by a kernel where there is one that passed its check, else by the reference."""
        if self.ready(args[0].device.type, args[0].dtype):
            return self._operators[0](*args)
        return self.reference(*args)

    def _inputs(self, tensors: Sequence[Tensor | None]) -> list[Any]:
        """Return the tensors contiguous; compiled code reads them as if all were of the first one's kind."""
        given = [a for a in tensors if a is not None]
        if any(a.dtype != given[0].dtype or a.device != given[0].device for a in given):
            raise ShapeError(
                f"the inputs of {self.name} need one dtype and one device",
                got=[f"{a.dtype} on {a.device}" for a in given],
                expected=f"{given[0].dtype} on {given[0].device} throughout",
            )
        return [a if a is None else a.contiguous() for a in tensors]

    def ready(self, device: str, dtype: torch.dtype) -> bool:
        """Return whether a kernel runs for this device and dtype; the first call builds it and checks it.

        Transforms of `torch.func` cannot look into operators that hold their own derivatives: they get the reference.
        """
        if not kernels_wanted() or device not in self._implementations or torch._C._are_functorch_transforms_active():
            return False
        return self.state(device, dtype) == "ready"

    # what torch.compiler.assume_constant_result does, which would import the compiler, and Triton where it is there
    ready._dynamo_marked_constant = True  # pyright: ignore[reportFunctionMemberAccess]

    def state(self, device: str, dtype: torch.dtype) -> str:
        """Return ``ready``, or the reason why the reference runs instead of a kernel."""
        implementation = self._implementations.get(device)
        if implementation is None:
            return f"no kernel for {device}"
        if dtype not in implementation.dtypes:
            return f"no kernel for {dtype}"
        key = (device, dtype)
        if key not in self._state:
            self._state[key] = "in check"  # so that a check that comes back here ends
            # in a thread of its own, where no tracing of the caller (export, fake tensors) is active
            with ThreadPoolExecutor(max_workers=1) as apart:
                self._state[key] = apart.submit(self._examine, device, dtype).result()
            if self._state[key] != "ready":
                warnings.warn(
                    f"intertwine: the {self.name} kernel for {device}, {dtype} does not run here, the slower reference "
                    f"does: {self._state[key]}",
                    stacklevel=4,
                )
        return self._state[key]

    def _examine(self, device: str, dtype: torch.dtype) -> str:
        """Compare all three operators with the reference in float64 on a small problem."""
        try:
            with torch.enable_grad(), torch.inference_mode(False):
                inputs, static = self.example(dtype, device)
                exact = [a.double() if isinstance(a, Tensor) and a.is_floating_point() else a for a in static]
                results = []
                for function, fixed, kind in (
                    (self._operators[0], static, dtype),
                    (self.reference, exact, torch.float64),
                ):
                    leaves = [a.detach().to(kind, copy=True).requires_grad_() for a in inputs]
                    value = function(*leaves, *fixed)
                    seeds = torch.linspace(-1, 1, value.numel(), dtype=kind, device=device).reshape(value.shape)
                    g = seeds.clone().requires_grad_()
                    first = torch.autograd.grad(value, leaves, g, create_graph=True)
                    along = [part.detach().flip(0) for part in first]
                    second = torch.autograd.grad(first, [*leaves, g], along, allow_unused=True)
                    results.append([value, *first, *second])
        except BuildError as error:
            return str(error)
        bound = 1e-4 if dtype == torch.float32 else 1e-12 if dtype == torch.float64 else 5e-2
        for ours, expected in zip(*results, strict=True):
            if expected is None:
                expected = torch.zeros_like(ours)
            size = max(float(expected.detach().abs().max()), 1.0)
            error = float((ours.detach().to(expected.dtype) - expected.detach()).abs().max())
            if not error <= bound * size:
                return f"it differs from the reference by {error:.1e} of {size:.1e}: please report this"
        return "ready"

    def _define(self, inputs: Sequence[str], static: str) -> None:
        n, tail = self._count, f", {static}" if static else ""
        tensors = ", ".join(f"Tensor {name}" for name in inputs)
        tangents = ", ".join(f"Tensor? t{name}" for name in inputs)
        schemas = (
            f"({tensors}{tail}) -> Tensor",
            f"({tensors}, Tensor g{tail}, int wanted) -> ({', '.join(['Tensor'] * n)})"
            if n > 1
            else f"({tensors}, Tensor g{tail}, int wanted) -> (Tensor, Tensor)",
            f"({tensors}, Tensor g, {tangents}{tail}, int wanted) -> ({', '.join(['Tensor'] * (n + 1))})",
        )
        for suffix, schema in zip(_SUFFIXES, schemas, strict=True):
            _LIBRARY.define(self.name + suffix + schema, tags=(torch.Tag.pt2_compliant_tag,))
        self._operators = tuple(getattr(torch.ops.intertwine, self.name + suffix).default for suffix in _SUFFIXES)
        self._register_fakes(n)
        self._register_backwards(n)

    def _register_fakes(self, n: int) -> None:
        value, gradient, tangent = (f"{_LIBRARY.ns}::{self.name}{suffix}" for suffix in _SUFFIXES)

        def like(tensors: Sequence[Tensor], wanted: int) -> tuple[Tensor, ...]:
            flags = _flags(wanted, len(tensors))
            return tuple(
                torch.empty_like(a, memory_format=torch.contiguous_format) if flag else a.new_empty(0)
                for a, flag in zip(tensors, flags, strict=True)
            )

        @torch.library.register_fake(value, lib=_LIBRARY)
        def _(*args: Any) -> Tensor:
            return args[0].new_empty(self._shape(args[:n], args[n:]))

        @torch.library.register_fake(gradient, lib=_LIBRARY)
        def _(*args: Any) -> tuple[Tensor, ...]:
            found = like(args[:n], args[-1])
            return found if n > 1 else (*found, args[0].new_empty(0))

        @torch.library.register_fake(tangent, lib=_LIBRARY)
        def _(*args: Any) -> tuple[Tensor, ...]:
            return like(args[: n + 1], args[-1])

    def _register_backwards(self, n: int) -> None:
        _, gradient, tangent = self._operators

        def keep_value(ctx: Any, inputs: tuple, output: Any) -> None:
            ctx.static = inputs[n:]
            ctx.save_for_backward(*inputs[:n])

        def back_value(ctx: Any, g: Tensor) -> tuple:
            flags = ctx.needs_input_grad[:n]
            found = gradient(*ctx.saved_tensors, g, *ctx.static, _mask(flags))
            return (*_given(found, flags), *[None] * len(ctx.static))

        def keep_gradient(ctx: Any, inputs: tuple, output: Any) -> None:
            *ctx.static, ctx.wanted = inputs[n + 1 :]
            ctx.set_materialize_grads(False)
            ctx.save_for_backward(*inputs[: n + 1])

        def back_gradient(ctx: Any, *cotangents: Tensor | None) -> tuple:
            flags = ctx.needs_input_grad[: n + 1]
            along = _given(cotangents, _flags(ctx.wanted, n))
            if all(part is None for part in along):
                return (*[None] * (n + 1), *[None] * len(ctx.static), None)
            found = tangent(*ctx.saved_tensors, *along, *ctx.static, _mask(flags))
            return (*_given(found, flags), *[None] * len(ctx.static), None)

        def keep_tangent(ctx: Any, inputs: tuple, output: Any) -> None:
            *ctx.static, ctx.wanted = inputs[2 * n + 1 :]
            ctx.set_materialize_grads(False)
            ctx.save_for_backward(*inputs[: 2 * n + 1])

        def back_tangent(ctx: Any, *cotangents: Tensor | None) -> tuple:
            found = self._third_order(ctx.saved_tensors, ctx.static, _given(cotangents, _flags(ctx.wanted, n + 1)))
            return (*found, *[None] * len(ctx.static), None)

        rules = ((back_value, keep_value), (back_gradient, keep_gradient), (back_tangent, keep_tangent))
        for suffix, (backward, keep) in zip(_SUFFIXES, rules, strict=True):
            name = f"{_LIBRARY.ns}::{self.name}{suffix}"
            torch.library.register_autograd(name, backward, setup_context=keep, lib=_LIBRARY)

    def _third_order(self, saved: Sequence[Tensor | None], static: Sequence[Any], cotangents: Sequence) -> list:
        """Differentiate the reference's tangent; itself differentiable, so that any order is there."""
        n, keep = self._count, torch.is_grad_enabled()
        with torch.enable_grad():
            # a cotangent may itself depend on an input: each gets a node of its own, so that no path is counted twice
            given = [
                None if a is None else a.view_as(a) if a.requires_grad else a.detach().requires_grad_() for a in saved
            ]
            inputs, along = [a for a in given[: n + 1] if a is not None], given[n + 1 :]
            value = self.reference(*inputs[:n], *static)
            first = torch.autograd.grad(value, inputs[:n], inputs[n], create_graph=True, materialize_grads=True)
            firsts, seeds = _paired(first, along)
            second = torch.autograd.grad(firsts, inputs, seeds, create_graph=True, materialize_grads=True)
            ends, seeds = _paired(second, cotangents)
            if not ends:
                return [None] * len(given)
            wanted = [a for a in given if a is not None]
            third = iter(torch.autograd.grad(ends, wanted, seeds, create_graph=keep, allow_unused=True))
        return [None if a is None else next(third) for a in given]


def _paired(outputs: Sequence[Tensor], cotangents: Sequence[Tensor | None]) -> tuple[list[Tensor], list[Tensor]]:
    """Return the outputs that have both a graph and a cotangent, and these cotangents."""
    pairs = [(a, c) for a, c in zip(outputs, cotangents, strict=True) if c is not None and a.requires_grad]
    return [a for a, _ in pairs], [c for _, c in pairs]


def _static(values: Sequence[Any]) -> list[Any]:
    """Return static arguments as compiled code reads them: tensors contiguous, indices of 64 bits."""
    plain = []
    for value in values:
        if isinstance(value, Tensor):
            value = value.contiguous() if value.is_floating_point() else value.long().contiguous()
        plain.append(value)
    return plain


def _mask(flags: Sequence[bool]) -> int:
    return sum(1 << place for place, flag in enumerate(flags) if flag)


def _flags(mask: int, count: int) -> list[bool]:
    return [bool(mask >> place & 1) for place in range(count)]


def _given(parts: Sequence[Tensor | None], flags: Sequence[bool]) -> list[Tensor | None]:
    return [part if flag else None for part, flag in zip(parts, flags, strict=False)]


def _filled(part: Tensor | None, like: Tensor) -> Tensor:
    return like.new_empty(0) if part is None else part
