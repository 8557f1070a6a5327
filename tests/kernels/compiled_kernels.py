"""Triton kernels compiled for NVIDIA's architectures on a machine without one; `test_gpu_compiled.py` starts this file.

Nothing runs: launching is replaced by compiling. What comes out is held to what the kernels promise, as far as machine
code shows it: no atomics, no float32 in what computes float64, no arrays in the memory of a thread.
"""

import importlib
import re

import pytest
import torch
import triton
from interpreted_channelwise import problem as small_problem
from problems import PROBLEMS
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton_checks import MODULES

from intertwine.kernels.gpu.launch import multiply_add

PROBLEMS = PROBLEMS | {"channelwise": small_problem}
POINTERS = {torch.float32: "*fp32", torch.float64: "*fp64", torch.bfloat16: "*bf16", torch.int64: "*i64"}
TARGETS = [(torch.float32, 80), (torch.float64, 90), (torch.bfloat16, 90)]


def compile_kernel(kernel, arguments, constants, warps, architecture):
    """Compile what a launch would run; as there, an integer that is one is written into the code."""
    named = dict(zip(kernel.arg_names, arguments, strict=False)) | constants
    fixed = {name for name, a in named.items() if name in constants or (isinstance(a, int) and a == 1)}
    kinds = {name: POINTERS[a.dtype] if isinstance(a, torch.Tensor) else "i32" for name, a in named.items()}
    signature = {name: "constexpr" if name in fixed else kinds[name] for name in kernel.arg_names}
    places = {name: (place,) for place, name in enumerate(kernel.arg_names)}
    values = {places[name]: named[name] for name in fixed}
    aligned = {places[name]: [["tt.divisibility", 16]] for name, kind in kinds.items() if kind.startswith("*")}
    source = ASTSource(kernel, signature=signature, constexprs=values, attrs=aligned)
    options = {"num_warps": warps, **multiply_add}
    return triton.compile(source, target=GPUTarget("cuda", architecture, 32), options=options)


@pytest.fixture
def compiled(monkeypatch, request):
    """Every kernel that the test launches, compiled."""
    found = []

    def launch(kernel, grid, *arguments, warps=1, **constants):
        if 0 not in grid:
            found.append(compile_kernel(kernel, arguments, constants, warps, request.node.callspec.params["target"]))

    for name in MODULES.values():
        monkeypatch.setattr(importlib.import_module(f"intertwine.kernels.gpu.{name}"), "launch", launch)
    return found


def run_all(name, inputs, static):
    """Launch value, gradient and tangent; the outputs are whatever was in memory."""
    module = importlib.import_module(f"intertwine.kernels.gpu.{MODULES[name]}")
    z = module.value(inputs, static)
    n = len(inputs)
    module.gradient(inputs, z, static, [True] * n)
    module.tangent(inputs, z, inputs, static, [True] * (n + 1))


@pytest.mark.parametrize(("dtype", "target"), TARGETS)
@pytest.mark.parametrize("name", list(MODULES))
def test_kernels_compile_and_keep_their_promises(name, dtype, target, compiled, rng):
    options = {"lmax": 3} if name == "harmonics" else {}
    inputs, static = PROBLEMS[name](rng, dtype, 33, **options)
    run_all(name, inputs, static)
    assert len(compiled) >= 3
    for kernel in compiled:
        text = kernel.asm["ptx"]
        assert len(kernel.asm["cubin"]) > 0
        assert f".target sm_{target}" in text
        assert not re.search(r"\b(atom|red)\.", text), "sums must not depend on the order in which programs end"
        assert not re.search(r"\.local\b", text)
        if dtype == torch.float64:
            assert re.search(r"\b(fma|add|mma)\S*\.f64", text)
            assert not re.search(r"\b(fma|mul|add|cvt)\S*\.f32", text)


@pytest.mark.parametrize("target", [90])
@pytest.mark.parametrize("name", ["channelwise", "symmetric_polynomials", "grid_product"])
def test_sizes_of_one_compile(name, target, compiled, rng):
    options = {"channelwise": {"edges": 1, "nodes": 1}, "symmetric_polynomials": {"atoms": 1, "kinds": 1}}
    inputs, static = PROBLEMS[name](rng, torch.float32, 1, **options.get(name, {"batch": 1, "points": 1}))
    run_all(name, inputs, static)
    assert len(compiled) >= 3


@pytest.mark.parametrize("target", [90])
def test_couplings_are_written_in_full_precision(compiled, target, rng):
    """One third is not a float32: its float64 digits must be in the code."""
    inputs, static = PROBLEMS["channelwise"](rng, torch.float64, 33)
    static[3] = torch.where(static[3] == static[3][0, 3], 1 / 3, static[3])
    importlib.import_module("intertwine.kernels.gpu.channelwise").value(inputs, static)
    assert any("0d3FD5555555555555" in kernel.asm["ptx"] for kernel in compiled)
    assert not any("0d3FD5555560000000" in kernel.asm["ptx"] for kernel in compiled)
