"""What fresh interpreters import, and how long the help takes."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

HEAVY = {"torch", "numpy", "lightning", "ase", "jsonargparse", "rich", "yaml", "plotly", "e3nn", "scipy"}
LIST = "import json, sys; json.dump(sorted({name.partition('.')[0] for name in sys.modules}), sys.stderr)"
HELP = "from intertwine.cli.main import main; main(['--help'])"


def fresh(code):
    """Run code in a new interpreter; warnings are errors there."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=120, check=True
    )


def imported(code):
    return set(json.loads(fresh(f"{code}\n{LIST}").stderr))


@pytest.mark.parametrize(
    "code",
    [
        "import intertwine; intertwine.__version__, dir(intertwine)",
        "import intertwine.training; intertwine.training.TrainingSettings()",
        "import intertwine.systems as s; [s.get_system(n) for n in s.system_names()]",
        HELP,
    ],
)
def test_names_help_and_lists_import_nothing_heavy(code):
    assert not imported(code) & HEAVY


def test_the_check_would_notice():
    assert "yaml" in imported("import intertwine.training.recipes") & HEAVY


def test_recipes_are_read_without_torch():
    assert "torch" not in imported("from intertwine import load_recipe")


def test_every_public_name_exists():
    fresh(
        "import intertwine, intertwine.training as t\n"
        "missing = [n for n in intertwine.__all__ if not hasattr(intertwine, n)]\n"
        "missing += [n for n in t.__all__ if not hasattr(t, n)]\n"
        "assert not missing, missing"
    )


def test_unknown_names_are_attribute_errors():
    import intertwine
    import intertwine.training

    for module in (intertwine, intertwine.training):
        with pytest.raises(AttributeError, match="nonsense"):
            module.nonsense  # noqa: B018


def test_help_takes_less_than_four_tenths_of_a_second():
    command = Path(sys.executable).parent / "intertwine"
    words = [str(command)] if command.exists() else [sys.executable, "-m", "intertwine.cli.main"]
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        done = subprocess.run([*words, "--help"], capture_output=True, text=True, timeout=60)
        seconds.append(time.perf_counter() - began)
        assert done.returncode == 0
        assert "reproduce" in done.stdout
    assert min(seconds) < 0.4, seconds


def test_help_is_plain_off_the_terminal():
    assert "\x1b" not in subprocess.run(
        [sys.executable, "-m", "intertwine.cli.main", "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"TERM": "xterm-256color"},
    ).stdout  # fmt: skip
