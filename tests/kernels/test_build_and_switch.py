"""Building kernels, the check at first use, and the switch to the reference."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from problems import PROBLEMS

from intertwine.errors import ConfigError
from intertwine.kernels import channelwise, kernels_wanted, use_reference
from intertwine.kernels.build import BuildError, cache_folder, load_library
from intertwine.kernels.family import Family, Implementation

STATE = """
import torch, warnings
from intertwine.kernels import channelwise
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    ready = channelwise.ready("cpu", torch.float32)
print(ready, channelwise.state("cpu", torch.float32), len(seen))
"""


def fresh(code, **variables):
    environment = {**os.environ, **variables}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_reference_inside_the_context():
    assert kernels_wanted()
    with use_reference():
        assert not kernels_wanted()
        assert not channelwise.ready("cpu", torch.float32)
        with use_reference(False):
            assert channelwise.ready("cpu", torch.float32)
    assert channelwise.ready("cpu", torch.float32)


def test_the_context_changes_what_runs(rng, monkeypatch):
    inputs, static = PROBLEMS["channelwise"](rng, torch.float32, 4)
    calls = []
    reference = channelwise.reference
    monkeypatch.setattr(channelwise, "reference", lambda *a: calls.append(1) or reference(*a))
    channelwise(*inputs, *static)
    assert not calls
    with use_reference():
        channelwise(*inputs, *static)
    assert calls


def test_environment_variable(monkeypatch):
    monkeypatch.setenv("INTERTWINE_KERNELS", "reference")
    assert not kernels_wanted()
    monkeypatch.setenv("INTERTWINE_KERNELS", "fast")
    with pytest.raises(ConfigError) as caught:
        kernels_wanted()
    assert caught.value.got == "fast"


def test_without_a_compiler_the_reference_runs_and_says_why(tmp_path):
    text = fresh(STATE, CXX="no-such-compiler", XDG_CACHE_HOME=str(tmp_path))
    assert text.startswith("False")
    assert "no-such-compiler" in text
    assert text.strip().endswith("1"), "one warning, not one a call"


def test_a_compiler_that_fails_is_quoted(tmp_path):
    compiler = tmp_path / "broken"
    compiler.write_text("#!/bin/sh\n[ \"$1\" = --version ] && exit 0\necho 'cannot do that' >&2\nexit 1\n")
    compiler.chmod(0o755)
    text = fresh(STATE, CXX=str(compiler), XDG_CACHE_HOME=str(tmp_path))
    assert "cannot do that" in text


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "intertwine").write_text("a file where a folder should be")
    assert "cannot be written" in fresh(STATE, XDG_CACHE_HOME=str(tmp_path))


def test_libraries_lie_in_the_cache_and_are_built_once(monkeypatch):
    load_library("harmonics")
    found = sorted(Path(cache_folder(), "kernels").glob("harmonics-*.so"))
    assert found
    load_library.cache_clear()
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: pytest.fail("built again"))
    load_library("harmonics")


def test_a_damaged_library_is_not_used(tmp_path, monkeypatch):
    library = Path(load_library("harmonics")._name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    target = tmp_path / "intertwine" / "kernels" / library.name
    target.parent.mkdir(parents=True)
    target.write_bytes(b"not a library")
    load_library.cache_clear()
    try:
        with pytest.raises(BuildError):
            load_library("harmonics")
    finally:
        load_library.cache_clear()


def _square(name, factor):
    """A family for x^2 whose kernel is wrong by a factor in one place."""
    family = Family(
        name,
        inputs=("x",),
        static="",
        reference=lambda x: x * x,
        shape=lambda inputs, static: inputs[0].shape,
        example=lambda dtype, device: ([torch.linspace(-1, 2, 7, dtype=dtype, device=device)], []),
    )
    value, gradient, tangent = factor
    family.implement(
        "cpu",
        Implementation(
            lambda inputs, static: value * inputs[0] * inputs[0],
            lambda inputs, g, static, wanted: [gradient * 2 * inputs[0] * g],
            lambda inputs, g, along, static, wanted: [tangent * 2 * g * along[0], 2 * inputs[0] * along[0]],
        ),
    )
    return family


def test_a_right_kernel_passes_its_check_at_first_use():
    family = _square("test_right", (1.0, 1.0, 1.0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert family.ready("cpu", torch.float64)
    x = torch.tensor([1.0, 3.0])
    torch.testing.assert_close(family(x), x * x)


@pytest.mark.parametrize("place", [0, 1, 2], ids=["value", "gradient", "tangent"])
def test_a_kernel_that_is_wrong_by_a_thousandth_is_refused(place):
    factors = [1.0, 1.0, 1.0]
    factors[place] = 1.001
    family = _square(f"test_wrong_{place}", factors)
    with pytest.warns(UserWarning, match="differs from the reference"):
        assert not family.ready("cpu", torch.float64)
    x = torch.tensor([1.0, 3.0], dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(family(x), x * x)
    torch.testing.assert_close(torch.autograd.grad(family(x).sum(), x)[0], 2 * x.detach())


FIRST_USE_IN_EXPORT = """
import torch
from intertwine.kernels import grid_product
class Module(torch.nn.Module):
    def forward(self, x, y, t): return grid_product(x, y, t, t, t)
inputs = torch.randn(2, 4, 3), torch.randn(2, 4, 3), torch.randn(9, 4)
exported = torch.export.export(Module(), inputs)
print(grid_product.state("cpu", torch.float32), "grid_product" in str(exported.graph))
"""


def test_first_use_inside_of_export_is_checked_outside_of_the_trace():
    assert fresh(FIRST_USE_IN_EXPORT).strip() == "ready True"


def test_transforms_of_functions_get_the_reference():
    family = _square("test_transformed", (1.0, 1.0, 1.0))
    x = torch.tensor([1.0, 3.0], dtype=torch.float64)
    torch.testing.assert_close(torch.func.grad(lambda a: family(a).sum())(x), 2 * x)
    torch.testing.assert_close(torch.func.vmap(family)(x), x * x)


def test_other_dtypes_and_devices_run_the_reference(rng):
    inputs, static = PROBLEMS["channelwise"](rng, torch.bfloat16, 4)
    assert not channelwise.ready("cpu", torch.bfloat16)
    assert channelwise.state("cpu", torch.bfloat16) == "no kernel for torch.bfloat16"
    assert channelwise.state("meta", torch.float32) == "no kernel for meta"
    assert channelwise(*inputs, *static).dtype == torch.bfloat16
