"""The Triton kernels compile for NVIDIA's architectures; `compiled_kernels.py` holds the tests."""

import sys

import pytest
from triton_checks import run_file

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Triton is for Linux")


def test_compiled_for_ampere_and_hopper(tmp_path):
    status, said = run_file("compiled_kernels.py", interpret=False, folder=tmp_path)
    assert status == 0, said
