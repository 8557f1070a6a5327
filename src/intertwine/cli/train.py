"""``intertwine train``: trains a recipe; every field of the recipe is an option of the command."""

import json
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

import yaml
from jsonargparse import ArgumentParser
from rich.console import Console

from intertwine.cli.parsing import command_parser, first_positional, refuse_unknown
from intertwine.errors import ConfigError
from intertwine.training.memory import keep_freed_memory
from intertwine.training.recipes import LoadedRecipe, load_recipe
from intertwine.training.run import open_run
from intertwine.training.schema import describe, field_docs, json_schema, plain, section_type
from intertwine.training.system import SCALES
from intertwine.training.trainer import is_first_process, train
from intertwine.training.yaml_lines import parse_scalar

__all__ = ["main"]

_FLAGS = ("--print_config", "--print_schema")
_OWN = ("--help", "--scale", "--output", "--resume", "--devices", "--nodes", *_FLAGS)


def main(words: list[str], console: Console) -> int | None:
    """Train a recipe, go on with a run, or print a recipe or its schema."""
    keep_freed_memory()
    name, resume = first_positional(words, _FLAGS), _value_of("--resume", words)
    if name is None and resume is None:
        parser = _parser(None)
        parser.parse_args([w for w in words if w in ("-h", "--help")])
        raise ConfigError(
            "train needs a recipe, or a run to resume",
            expected="intertwine train SYSTEM/RECIPE, or intertwine train --resume RUN",
            fix="`intertwine recipes` lists the recipes",
        )
    if name is not None and resume is not None:
        raise ConfigError(
            "a resumed run has its own recipe",
            got={"recipe": name, "--resume": resume},
            fix="leave one of them out; options such as --training.epochs still apply",
        )
    loaded = open_run(resume).loaded() if resume else load_recipe(str(name), _value_of("--scale", words))
    options = dict(_options(loaded.recipe))
    refuse_unknown("train", words, [*_OWN, *(f"--{key}" for key in options)])
    args = _parser(loaded).parse_args([word for word in words if word not in _FLAGS])
    loaded = loaded.changed(_overrides(args, options))
    if "--print_config" in words:
        console.file.write(yaml.safe_dump(loaded.to_dict(), sort_keys=False))
        return 0
    if "--print_schema" in words:
        console.file.write(json.dumps(json_schema(type(loaded.recipe)), indent=2) + "\n")
        return 0
    if resume:
        overrides = _overrides(args, options)
        run = train(resume=resume, overrides=overrides, console=console)
    else:
        run = train(loaded, args.output, console=console)
    if is_first_process():
        _summary(run.folder, console)
    return 0


def _parser(loaded: LoadedRecipe | None) -> ArgumentParser:
    parser = command_parser(
        "train",
        "Train a recipe, or go on with a run that was cut off; every field of the recipe is an option",
        usage="RECIPE [--scale SCALE] [--model.FIELD VALUE ...]   or   --resume RUN",
    )
    parser.add_argument("recipe", nargs="?", help="SYSTEM/RECIPE, or a YAML file.")
    parser.add_argument("--scale", type=str, help=f"One of {', '.join(SCALES)}.")
    parser.add_argument("--output", type=str, help="Folder of the run (default: runs/<name>).")
    parser.add_argument("--resume", type=str, help="A run to go on with, from its last whole epoch.")
    parser.add_argument("--devices", type=str, help="Short for --training.devices.")
    parser.add_argument("--nodes", type=str, help="Short for --training.nodes.")
    parser.add_argument("--print_config", action="store_true", help="Print the resolved recipe, and stop.")
    parser.add_argument("--print_schema", action="store_true", help="Print the recipe's JSON schema, and stop.")
    if loaded is None:
        return parser
    group = parser.add_argument_group(f"fields of {loaded.name} ({loaded.scale})")
    for key, (annotation, doc, value) in _options(loaded.recipe):
        shown = "empty" if value is None else json.dumps(plain(value), ensure_ascii=False)
        text = f"{doc} ({describe(annotation)}; here {shown})"
        group.add_argument(f"--{key}", type=str, metavar="VALUE", help=text.replace("%", "%%"))
    return parser


def _options(settings: Any, prefix: str = "") -> Iterator[tuple[str, tuple[Any, str, Any]]]:
    """Yield dotted name, type, help text and present value of every field that is not a section."""
    hints, docs = get_type_hints(type(settings)), field_docs(type(settings))
    for item in fields(settings):
        value = getattr(settings, item.name)
        if section_type(hints[item.name]) is not None and value is not None:
            yield from _options(value, f"{prefix}{item.name}.")
        else:
            yield f"{prefix}{item.name}", (hints[item.name], docs.get(item.name, ""), value)


def _overrides(args: Any, options: dict[str, Any]) -> dict[str, Any]:
    """Return the given fields; values are read as in a recipe's file, and checked with it."""
    given = {key: args[key] for key in options if args[key] is not None}
    for short in ("devices", "nodes"):
        if args[short] is not None:
            given[f"training.{short}"] = args[short]
    return {key: parse_scalar(text) for key, text in given.items()}


def _value_of(option: str, words: list[str]) -> str | None:
    for place, word in enumerate(words):
        if word == option and place + 1 < len(words):
            return words[place + 1]
        if word.startswith(option + "="):
            return word.partition("=")[2]
    return None


def _summary(folder: Path, console: Console) -> None:
    rows = open_run(folder).metrics()
    best = min((loss for row in rows if (loss := row.get("validation_loss")) is not None), default=None)
    loss = "" if best is None else f", best validation loss {best:.4g}"
    console.print(f"trained {len(rows)} epochs{loss}", highlight=False)
    console.print(f"the run is in {folder}", highlight=False, soft_wrap=True)
    console.print(f"next: intertwine evaluate, check or report {folder}", style="dim", highlight=False, soft_wrap=True)
