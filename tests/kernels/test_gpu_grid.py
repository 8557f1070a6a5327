"""The product on a grid in Triton without a GPU: through the interpreter; `interpreted_grid.py` has the tests."""

import sys

import pytest
from triton_checks import run_file

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Triton is for Linux")


def test_through_the_interpreter(tmp_path):
    status, said = run_file("interpreted_grid.py", interpret=True, folder=tmp_path)
    assert status == 0, said
