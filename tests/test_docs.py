"""The pages run: code of README and tutorials is executed as it stands, and the site builds strictly.

A fenced ``python`` block always runs; a ``bash`` block runs if its first line is the comment ``# tested``.
The blocks of a page share one namespace and one empty folder. A line ``<!-- slow -->`` before a block leaves
it to `make test-all`.
"""

import doctest
import importlib
import json
import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

CHECKOUT = Path(__file__).parents[1]
PAGES = [
    CHECKOUT / "README.md",
    *sorted((CHECKOUT / "docs" / "tutorials").glob("*.md")),
    *sorted((CHECKOUT / "src" / "intertwine" / "systems").glob("*/README.md")),
]
BLOCK = re.compile(
    r"(?P<slow><!-- slow -->\s*\n)?^```(?P<language>python|bash)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)

DRIVER = """
import json, subprocess, sys
namespace = {"__name__": "__page__"}
for page, line, language, code in json.loads(sys.stdin.read()):
    if language == "python":
        exec(compile("\\n" * (line - 1) + code, page, "exec"), namespace)
    else:
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", code])
        if done.returncode:
            sys.exit(f"{page}:{line}: exit status {done.returncode}")
"""


class Block(NamedTuple):
    page: str
    line: int
    language: str
    code: str
    slow: bool


def blocks(text, page="page"):
    """Return the blocks of a page that are to be run, in order."""
    found = []
    for match in BLOCK.finditer(text):
        language, code = match["language"], match["code"]
        if language == "bash" and not code.startswith("# tested\n"):
            continue
        line = text.count("\n", 0, match.start("code")) + 1
        found.append(Block(page, line, language, code, match["slow"] is not None))
    return found


def run(steps, folder):
    """Run blocks in one fresh interpreter in ``folder``."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return subprocess.run(
        [sys.executable, "-c", DRIVER],
        input=json.dumps([list(step[:4]) for step in steps]),
        cwd=folder,
        env=os.environ | {"PATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def cases():
    """Every page without its slow blocks, and whole in `make test-all` if it has some."""
    for page in PAGES:
        yield pytest.param(page, False, id=page.stem)
        if any(block.slow for block in blocks(page.read_text(encoding="utf-8"))):
            yield pytest.param(page, True, id=f"{page.stem}-whole", marks=pytest.mark.slow)


@pytest.mark.parametrize(("page", "slow"), list(cases()))
def test_the_code_of_a_page_runs(page, slow, tmp_path):
    found = blocks(page.read_text(encoding="utf-8"), page.name)
    done = run([block for block in found if slow or not block.slow], tmp_path)
    assert found, "a page of this list has code"
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]


PAGE = """
```python
x = 2
```
```bash
# tested
echo {word} > said.txt
```
```bash
exit 1  # not marked, not run
```
<!-- slow -->
```python
late = True
```
```text
not code
```
```python
assert open("said.txt").read() == "hello\\n" and x == 2 and "late" not in globals()
```
"""


def test_blocks_are_found_in_order_with_their_lines():
    found = blocks(PAGE)
    assert [(b.language, b.slow) for b in found] == [
        ("python", False),
        ("bash", False),
        ("python", True),
        ("python", False),
    ]
    assert PAGE.splitlines()[found[0].line - 1] == "x = 2"


@pytest.mark.parametrize(("word", "works"), [("hello", True), ("goodbye", False)])
def test_a_page_runs_in_one_namespace_and_one_folder_and_can_fail(word, works, tmp_path):
    done = run([b for b in blocks(PAGE.format(word=word)) if not b.slow], tmp_path)
    assert (done.returncode == 0) is works
    assert works or "AssertionError" in done.stderr


def test_a_failing_command_fails_its_page(tmp_path):
    done = run(blocks("```bash\n# tested\nfalse | true\n```\n"), tmp_path)
    assert done.returncode == 1
    assert "page:2: exit status 1" in done.stderr


def test_the_site_builds_without_a_warning(tmp_path):
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-W",
        "--keep-going",
        "-q",
        "-b",
        "html",
        "docs",
        str(tmp_path),
    ]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    assert (tmp_path / "index.html").exists()


DOCUMENTED = [
    "errors", "groups", "representations", "symmetry", "products", "graphs", "atoms", "nn", "testing", "frames",
    "reporting.numbers", "systems.potential.model", "systems.tetris.model", "systems.segnn.model", "systems.segnn.data",
    "systems.equiformer.model", "systems.equiformer.data",
]  # fmt: skip


def examples() -> list[doctest.DocTest]:
    """The examples in the docstrings of the core and of the networks."""
    finder, found = doctest.DocTestFinder(exclude_empty=True), {}
    for name in DOCUMENTED:
        root = importlib.import_module(f"intertwine.{name}")
        below = pkgutil.walk_packages(root.__path__, root.__name__ + ".") if hasattr(root, "__path__") else []
        for module in [root, *(importlib.import_module(info.name) for info in below)]:
            found |= {test.name: test for test in finder.find(module) if test.examples}
    return list(found.values())


@pytest.mark.parametrize("example", examples(), ids=lambda example: example.name)
def test_docstring_examples(example):
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    output: list[str] = []
    runner.run(example, out=output.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(output)
