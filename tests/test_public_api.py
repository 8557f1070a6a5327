"""The public names are those of tests/api_surface.json; `make api` writes it after a change that is meant."""

import importlib.util
import json
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]


def load_script():
    spec = importlib.util.spec_from_file_location("api_surface", CHECKOUT / "scripts" / "api_surface.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def changes(before, after):
    """Return one line for each name that is gone, new, or called differently."""
    old = {(package, name): text for package, names in before.items() for name, text in names.items()}
    new = {(package, name): text for package, names in after.items() for name, text in names.items()}
    lines = [f"gone     {package}.{name}" for package, name in old.keys() - new.keys()]
    lines += [f"new      {package}.{name}" for package, name in new.keys() - old.keys()]
    for key in old.keys() & new.keys():
        if old[key] != new[key]:
            lines.append(f"changed  {'.'.join(key)}: {old[key]} -> {new[key]}")
    return sorted(lines)


def test_public_names_are_those_of_the_inventory():
    script = load_script()
    stored = json.loads(script.STORED.read_text(encoding="utf-8"))
    assert changes(stored, script.surface()) == [], "if this is meant, run `make api` and note it in CHANGELOG.md"


def test_the_comparison_sees_every_kind_of_change():
    before = {"a": {"f": "function(x)", "g": "function(x)", "h": "function(x)"}}
    after = {"a": {"f": "function(x)", "g": "function(y)"}, "b": {"k": "class()"}}
    assert changes(before, before) == []
    assert changes(before, after) == [
        "changed  a.g: function(x) -> function(y)",
        "gone     a.h",
        "new      b.k",
    ]


def test_a_description_names_the_parameters():
    def example(a, b=1, *rest, c, d=2, **more):
        pass

    describe = load_script().describe
    assert describe(example) == "function(a, b=, *rest, c, d=, **more)"
    assert describe(lambda a, *, b=0: a) == "function(a, *, b=)"
    assert describe(json) == "module"
    assert describe(3) == "int"
