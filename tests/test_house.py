"""The rules of the house: sizes, words, rooms, layers of imports, and the results that pages show."""

import ast
import importlib
import re
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from intertwine.reporting.tables import stale_tables

CHECKOUT = Path(__file__).parents[1]
SOURCE = CHECKOUT / "src" / "intertwine"
FILES = sorted(SOURCE.rglob("*.py"))
PACKAGES = sorted(file.parent for file in FILES if file.name == "__init__.py")
SYSTEMS = sorted(file.parent for file in (SOURCE / "systems").glob("*/__init__.py"))

SCALES = ("", ".cpu", ".smoke")

# Spelled in pieces, so that this file does not contain what it looks for.
MACHINE_PATHS = ["/" + "root/", "/" + "home/", "/" + "work/", "/" + "Users/", "/" + "opt/"]
REGISTRIES = [
    "pypi" + ".org",
    "download." + "pytorch.org",
    "files." + "pythonhosted",
    "--index" + "-url",
    "conda." + "anaconda",
]
# Seeds the global states for code that knows nothing else, and puts them back afterwards.
RESTORES_GLOBAL_STATE = "src/intertwine/training/sampling.py"
TEXT = {".py", ".md", ".yaml", ".yml", ".toml", ".txt", ".sh", ".html", ".css", ".json", ""}


def relative(path):
    return str(path.relative_to(CHECKOUT))


def tracked_files():
    """Every text file that belongs to the checkout, ignored ones left out."""
    command = ["git", "-C", str(CHECKOUT), "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode == 0:
        files = [CHECKOUT / name for name in done.stdout.decode().split("\0") if name]
    else:  # an unpacked archive has no git
        files = [p for p in CHECKOUT.rglob("*") if not any(part.startswith(".venv") for part in p.parts)]
    return [file for file in files if file.is_file() and file.suffix in TEXT]


def documents():
    pages = [CHECKOUT / "README.md", *(CHECKOUT / "docs").rglob("*.md"), *SOURCE.glob("systems/*/README.md")]
    return [page for page in pages if "_build" not in page.parts]


# --- files -----------------------------------------------------------------------------------------------


def test_files_are_short():
    lines = {relative(file): len(file.read_text(encoding="utf-8").splitlines()) for file in FILES}
    assert [name for name, count in lines.items() if count > 500] == []
    long = [name for name, count in lines.items() if count > 350]
    assert len(long) <= len(lines) / 10, long
    bodies = [count for name, count in lines.items() if not name.endswith("__init__.py")]
    assert statistics.median(bodies) <= 200


@pytest.mark.parametrize("forbidden", [MACHINE_PATHS, REGISTRIES], ids=["machine paths", "registries"])
def test_no_file_names_a_machine_or_a_registry(forbidden):
    words = re.compile(r"(?<![\w.~$}])(" + "|".join(map(re.escape, forbidden)) + ")")
    found = [
        f"{relative(file)}:{number}: {line.strip()[:100]}"
        for file in tracked_files()
        for number, line in enumerate(file.read_text(encoding="utf-8", errors="replace").splitlines(), start=1)
        if words.search(line)
    ]
    assert found == []


def statements(tree):
    """Yield what the package must not contain, as (line, words)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert):
            yield node.lineno, "assert"
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            yield node.lineno, "print"
        elif isinstance(node, ast.ImportFrom) and node.module == "__future__":
            yield node.lineno, "from __future__"
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr in {
                "set_default_dtype",
                "set_default_device",
                "manual_seed_all",
                "seed_everything",
            }:
                yield node.lineno, node.func.attr
            elif node.func.attr == "manual_seed" and ast.unparse(node.func.value) == "torch":
                yield node.lineno, "torch.manual_seed"


@pytest.mark.parametrize(
    "line",
    [
        "assert x",
        "print(x)",
        "from __future__ import annotations",
        "torch.manual_seed(1)",
        "torch.set_default_dtype(d)",
    ],
)
def test_forbidden_statements_are_recognised(line):
    assert list(statements(ast.parse(line)))


def test_own_generators_may_be_seeded():
    assert not list(statements(ast.parse("torch.Generator().manual_seed(1)")))


def test_the_package_has_no_asserts_prints_or_global_changes():
    found = [
        f"{relative(file)}:{line}: {words}"
        for file in FILES
        for line, words in statements(ast.parse(file.read_text(encoding="utf-8")))
        if not (words == "torch.manual_seed" and relative(file) == RESTORES_GLOBAL_STATE)
    ]
    assert found == []


@pytest.mark.parametrize("package", PACKAGES, ids=relative)
def test_every_package_says_what_it_is_and_what_it_offers(package):
    tree = ast.parse((package / "__init__.py").read_text(encoding="utf-8"))
    assert (ast.get_docstring(tree) or "").strip()
    stored = (node for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store))
    assert "__all__" in {node.id for node in stored}


@pytest.mark.parametrize("file", FILES, ids=relative)
def test_every_file_says_what_it_is(file):
    docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    first = docstring.strip().partition("\n\n")[0]
    assert len(first.split()) >= 3, "a file begins with a sentence that says what it is"


@pytest.mark.parametrize("package", [p for p in PACKAGES if p.name != "intertwine"], ids=relative)
def test_the_names_a_package_offers_exist(package):
    module = importlib.import_module(".".join(package.relative_to(SOURCE.parent).parts))
    missing = [name for name in module.__all__ if not hasattr(module, name)]
    assert missing == []
    assert list(module.__all__) == list(dict.fromkeys(module.__all__))


# --- imports ---------------------------------------------------------------------------------------------


def modules_after(statement):
    program = f"{statement}\nimport sys\nsys.stdout.write(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {name.partition(".")[0] for name in done.stdout.split()}


def test_importing_the_package_imports_nothing_heavy_and_warns_of_nothing():
    assert not modules_after("import intertwine") & {
        "torch",
        "numpy",
        "lightning",
        "ase",
        "rich",
        "jsonargparse",
    }
    assert "torch" in modules_after("import intertwine; intertwine.groups"), "the probe sees no import at all"


def test_importing_the_core_imports_nothing_optional():
    core = "groups, representations, symmetry, products, graphs, nn"
    optional = {
        "lightning",
        "ase",
        "e3nn",
        "scipy",
        "plotly",
        "jinja2",
        "torchmetrics",
        "pandas",
        "matplotlib",
    }
    assert not modules_after(f"from intertwine import {core}") & optional


# --- systems ---------------------------------------------------------------------------------------------


def test_there_is_a_system():
    assert SYSTEMS


def rooms():
    """The rooms that docs/architecture.md lists: those that every system has, and those where needed."""
    page = (CHECKOUT / "docs" / "architecture.md").read_text(encoding="utf-8")
    paragraph = page.partition("Rooms of a system:")[2].partition("\n\n")[0]
    always, _, where_needed = paragraph.partition("where needed")
    names = [re.findall(r"`([\w.]+?)(?:\.py|/)?`", part) for part in (always, where_needed)]
    return set(names[0]), set(names[1])


def parts(system):
    """The modules that the system's own declaration names, for example those of its commands."""
    declared = importlib.import_module(f"intertwine.systems.{system.name}").SYSTEM
    verbs = [name for verb in declared.verbs.values() for name in (verb.arguments, verb.run)]
    fields = [getattr(declared, field) for field in ("check", "evaluate", "predict", "report", "reproduce")]
    return {name.lstrip(".").partition(":")[0].partition(".")[0] for name in [*verbs, *filter(None, fields)]}


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda path: path.name)
def test_a_system_has_the_rooms_of_the_house(system):
    always, where_needed = rooms()
    present = {p.stem if p.suffix == ".py" else p.name for p in system.iterdir() if not p.name.startswith("__")}
    assert {"README.md", "settings", "model", "recipes"} <= always
    assert sorted(always - present) == []
    others = present - always - where_needed - parts(system)
    assert sorted(others) == [], "the same purpose has the same name everywhere; docs/architecture.md lists them"


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda path: path.name)
def test_recipes_come_in_three_scales(system):
    names = {file.name.partition(".")[0] for file in (system / "recipes").glob("*.yaml")}
    missing = [
        f"{name}{scale}.yaml"
        for name in sorted(names)
        for scale in SCALES
        if not (system / "recipes" / f"{name}{scale}.yaml").exists()
    ]
    assert names
    assert missing == []


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda path: path.name)
def test_a_system_imports_no_other_system(system):
    others = [other.name for other in SYSTEMS if other != system]
    text = "\n".join(file.read_text(encoding="utf-8") for file in system.rglob("*.py"))
    assert [other for other in others if f"intertwine.systems.{other}" in text] == []


# --- pages -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", documents(), ids=relative)
def test_tables_show_what_the_results_files_say(page):
    assert list(map(str, stale_tables(page, CHECKOUT / "results"))) == []


@pytest.mark.parametrize("page", documents(), ids=relative)
def test_links_between_files_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", text)
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_public_package_has_a_page():
    packages = {package.name for package in PACKAGES if package.parent == SOURCE} | {"errors"}
    pages = {file.stem for file in (CHECKOUT / "docs" / "api").glob("*.md")} - {"index"}
    assert pages == packages


def test_targets_of_the_makefile_that_the_readme_names_exist():
    makefile = (CHECKOUT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, flags=re.MULTILINE))
    pages = [CHECKOUT / "README.md", CHECKOUT / "CONTRIBUTING.md"]
    named = {name for page in pages for name in re.findall(r"make ([a-z-]+)", page.read_text(encoding="utf-8"))}
    assert named
    assert named <= targets
