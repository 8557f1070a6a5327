"""Triton kernels without a device: families that run them through the interpreter, and tests in a process of its own.

Triton reads ``TRITON_INTERPRET`` when it is imported. Files named ``interpreted_*`` and ``compiled_*`` hold tests for
such a process; the ``test_gpu_*`` files start it, so that no other test of the session sees the variable or Triton.
"""

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import torch
from problems import FAMILIES, draw

from intertwine.kernels.family import Family
from intertwine.testing import tolerance

MODULES = {
    "channelwise": "channelwise",
    "symmetric_polynomials": "symmetric",
    "harmonics": "harmonics",
    "grid_product": "grid",
}


def run_file(name, *, interpret, folder):
    """Run a file of tests next to this one in a fresh process; return its exit status and what it said."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("TRITON", "PYTEST"))}
    environment |= {"OMP_NUM_THREADS": "1", "TRITON_CACHE_DIR": str(folder)}
    environment |= {"TRITON_INTERPRET": "1"} if interpret else {}
    file = Path(__file__).parent / name
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=file.parents[2], check=False)
    return done.returncode, done.stdout + done.stderr


def twin(name, implementation, label="interpreted"):
    """Return a family like the one of this name, whose kernel for CPU tensors is another one."""
    family = FAMILIES[name]
    schema = str(family._operators[0]._schema)
    arguments = schema.partition("(")[2].rpartition(") ->")[0].split(", ")
    inputs = [argument.split()[-1] for argument in arguments[: family._count]]
    static = ", ".join(arguments[family._count :])
    parts = {"reference": family.reference, "shape": family._shape, "example": family.example}
    other = Family(f"{name}_{label}", inputs=inputs, static=static, **parts)
    other.implement("cpu", implementation)
    return other


@cache
def interpreted(name):
    """Return the family of this name with its Triton kernels for CPU tensors."""
    from intertwine.kernels.gpu import implementation

    return twin(name, implementation(MODULES[name]))


def derivatives(reference, inputs, g, along, static):
    """Return value, gradient and tangent of a reference by automatic differentiation."""
    leaves = [a.detach().clone().requires_grad_() for a in inputs]
    seed = g.detach().clone().requires_grad_()
    value = reference(*leaves, *static)
    first = torch.autograd.grad(value, leaves, seed, create_graph=True, materialize_grads=True)
    given = [torch.zeros_like(a) if t is None else t for a, t in zip(first, along, strict=True)]
    second = torch.autograd.grad(first, [*leaves, seed], given, materialize_grads=True)
    return value, first, second


def close(got, wanted, dtype, order):
    """Compare with the tolerance of a derivative of some order."""
    size = wanted.detach().abs().max().item() if wanted.numel() else 1.0
    torch.testing.assert_close(got, wanted, **tolerance(dtype, size=size, epsilons=64 * 4**order))


def check_parts(name, inputs, static, rng):
    """Ask an implementation for each derivative alone and each tangent alone, and compare with all at once."""
    from intertwine.kernels.gpu import implementation

    ours, reference = implementation(MODULES[name]), FAMILIES[name].reference
    dtype, n = inputs[0].dtype, len(inputs)
    g = draw(rng, *reference(*inputs, *static).shape, dtype=dtype)
    tangents = [draw(rng, *a.shape, dtype=dtype) for a in inputs]
    for index in range(n):
        wanted = [i == index for i in range(n)]
        _, first, _ = derivatives(reference, inputs, g, tangents, static)
        got = ours.gradient(inputs, g, static, wanted)
        assert [part is not None for part in got] == wanted
        close(got[index], first[index], dtype, 1)
    choices = [[i == index for i in range(n)] for index in range(n)] + [[False] * n]
    for choice in choices:
        along = [t if flag else None for t, flag in zip(tangents, choice, strict=True)]
        _, _, second = derivatives(reference, inputs, g, along, static)
        got = ours.tangent(inputs, g, along, static, [True] * (n + 1))
        for a, b in zip(got, second, strict=True):
            close(a, b, dtype, 2)
        for index in range(n + 1):
            part = ours.tangent(inputs, g, along, static, [i == index for i in range(n + 1)])
            assert [a is not None for a in part] == [i == index for i in range(n + 1)]
            assert torch.equal(part[index], got[index])
