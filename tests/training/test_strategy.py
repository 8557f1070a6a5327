"""Data-parallel force training gives the weights of one process with the joint batch."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

CASES = [(1, "good"), (2, "good"), (2, "broken")]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Weights by (processes, kind, rank)."""
    folder = tmp_path_factory.mktemp("parallel")
    script = Path(__file__).parent / "two_processes.py"
    done = subprocess.run([sys.executable, str(script), str(folder)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return {(n, kind, r): load_file(folder / f"{n}-{kind}.{r}") for n, kind in CASES for r in range(n)}


def difference(one, other):
    return max((one[name] - other[name]).abs().max().item() for name in one)


def test_two_processes_give_the_weights_of_one(trained):
    one = trained[1, "good", 0]
    assert one["inner.weight"].dtype == torch.float64
    for rank in (0, 1):
        assert difference(one, trained[2, "good", rank]) < 1e-12


def test_the_processes_stay_equal_to_the_bit(trained):
    assert difference(trained[2, "good", 0], trained[2, "good", 1]) == 0


def test_a_twin_without_averaging_is_caught(trained):
    assert difference(trained[1, "good", 0], trained[2, "broken", 0]) > 1e-4
    assert difference(trained[2, "broken", 0], trained[2, "broken", 1]) > 1e-4
