"""The documents are true: their commands are accepted, what they name is there, links lead somewhere."""

import argparse
import configparser
import contextlib
import dataclasses
import importlib
import inspect
import json
import re
import subprocess
from collections.abc import Sequence
from importlib.util import find_spec
from unittest import mock

import pytest

from data.stages.runner import pipeline_options
from pretrain.gin_files import config_classes
from tests.support.markdown import (
    DOCUMENTS,
    LEFT_OUT,
    ROOT,
    Command,
    anchors,
    commands,
    internal_links,
    table_rows,
)

COMMANDS = [command for document in DOCUMENTS for command in commands(document)]
OURS = ("bench", "data", "finetune", "launch", "model", "optim", "pretrain")
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))


class Parsed(Exception):  # noqa: N818  nothing is wrong
    """A program has read its command line; it does no more than that here."""


@contextlib.contextmanager
def only_parse():
    """Programs stop after their command line was read, and take no abbreviated flags."""
    depth = 0

    def stopping(parse):
        def parse_and_stop(parser, args, namespace=None):
            nonlocal depth
            parser.allow_abbrev = False
            if LEFT_OUT in args:
                args = [argument for argument in args if argument != LEFT_OUT]
                for action in parser._actions:
                    action.required = False
            depth += 1  # to parse is to call one another, and parsers of subcommands
            try:
                result = parse(parser, args, namespace)
            finally:
                depth -= 1
            if depth == 0:
                raise Parsed(result)
            return result

        return parse_and_stop

    with contextlib.ExitStack() as patches:
        for name in ("parse_args", "parse_known_args"):
            real = getattr(argparse.ArgumentParser, name)
            patches.enter_context(mock.patch.object(argparse.ArgumentParser, name, stopping(real)))
        yield


def check_program(name: str, arguments: list[str]) -> None:
    """Lets a program of ours read its arguments. What follows `--` is a command of its own."""
    spec = find_spec(name)
    assert spec, f"there is no module {name}"
    module = importlib.import_module(
        f"{name}.__main__" if spec.submodule_search_locations else name
    )
    if not inspect.signature(module.main).parameters:
        assert set(arguments) <= {LEFT_OUT}, f"{name} takes no arguments"
        return
    with pytest.raises(Parsed) as parsed, only_parse():
        module.main(arguments)
    if name == "data.build":
        ((_, beam_args),) = parsed.value.args
        beam_args = [flag for flag in beam_args if flag != LEFT_OUT]
        pipeline_options(beam_args, output_dir="gs://B", paths=[])
    if "--" in arguments:
        check_python(arguments[arguments.index("--") + 1 :])


def check_python(words: Sequence[str]) -> None:
    if words[0] not in ("python", ".venv/bin/python") or words[1:] == (LEFT_OUT,):
        return  # another program, another environment, or none of ours in particular
    if words[1] != "-m":
        assert (ROOT / words[1]).is_file()
    elif words[2].partition(".")[0] in OURS:
        check_program(words[2], list(words[3:]))
    else:
        assert find_spec(words[2])


def check_make(words: Sequence[str]) -> None:
    for word in set(words[1:]) - {LEFT_OUT}:
        variable = re.match(r"([A-Z_]+)=", word)
        if variable:
            assert re.search(rf"^{variable[1]} \??= ?", MAKEFILE, re.MULTILINE), word
        else:
            assert word in TARGETS, f"make has no target {word}"


def check_pip(words: Sequence[str]) -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    for extras in re.findall(r"\.\[(.+)\]", " ".join(words)):
        assert set(extras.split(",")) <= set(setup["options.extras_require"]), extras


def test_commands_are_found():
    shown = {" ".join(command.words) for command in COMMANDS}
    assert {"make demo", "python -m data.view D", "make lint test"} <= shown
    assert len(shown) > 60


@pytest.mark.parametrize("command", dict.fromkeys(COMMANDS), ids=str)
def test_every_command_is_accepted(command: Command):
    checks = {"make": check_make, "pip": check_pip}
    checks.get(command.words[0], check_python)(command.words)


@pytest.mark.parametrize(
    "words", ["data.view D --splt train", "data.view", "data.build --ouput_dir D", "data.vew D"]
)
def test_a_wrong_command_is_noticed(words):
    with pytest.raises((SystemExit, AssertionError, ValueError)):
        check_python(("python", "-m", *words.split()))


def test_every_target_is_explained():
    done = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True
    )
    shown = set(re.findall(r"^  make ([a-z-]+) +\S", done.stdout, re.MULTILINE))
    assert shown == TARGETS
    phony = " ".join(re.findall(r"^\.PHONY: (.*)", MAKEFILE, re.MULTILINE)).split()
    assert sorted(phony) == sorted(TARGETS)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document):
    for link in internal_links(document):
        path, _, anchor = link.partition("#")
        target = document.parent / path if path else document
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_files_and_settings_that_are_named_exist(document):
    text = document.read_text()
    packages = "|".join((*OURS, "docs", "gin", "tests"))
    # Files of benchmarks' results appear when they are measured; "*" and "{" stand for several files.
    for path in re.findall(rf"(?<![\w/])(?:{packages})/[\w./-]+\.[a-zA-Z]+\b(?![*{{])", text):
        assert path.startswith("bench/results/") or (ROOT / path).is_file(), path
    for name, field in re.findall(r"\b([A-Z]\w+Config)\.([a-z]\w+)", text):
        fields = {field.name for field in dataclasses.fields(config_classes()[name])}
        assert field in fields, f"{name}.{field}"


def test_the_readme_lists_every_page_once():
    listed = [re.search(r"\]\((.*?)\)", row[0]) for row in table_rows(ROOT / "README.md")]
    pages = [link[1] for link in listed if link]
    assert sorted(pages) == sorted(
        path.relative_to(ROOT).as_posix() for path in DOCUMENTS if path.name != "README.md"
    )


def test_the_architecture_page_lists_every_package():
    text = (ROOT / "docs/architecture.md").read_text()
    packages = [path.parent for name in OURS for path in (ROOT / name).glob("**/__init__.py")]
    folders = [path for path in packages if path.relative_to(ROOT).parts[0] != "bench"]
    missing = [path.name for path in folders if f"{path.name}/`" not in text]
    assert missing == []


def measured(file: str, figure: str, **choice: object) -> dict[str, float]:
    """The best figure of each implementation, of the rows of a file that match."""
    best: dict[str, float] = {}
    for row in json.loads((ROOT / "bench/results" / file).read_text()):
        if figure in row and all(row.get(name) == value for name, value in choice.items()):
            name = row["implementation"]
            best[name] = max(best.get(name, 0), row[figure])
    return best


def test_the_readme_gives_the_figures_that_were_measured():
    shown = {row[0]: " ".join(row[1:3]) for row in table_rows(ROOT / "README.md") if len(row) == 4}

    def numbers(start: str) -> list[str]:
        (text,) = (cells for name, cells in shown.items() if name.startswith(start))
        return re.findall(r"[\d.,]*\d", text)

    speed = measured("data.json", "megabytes_per_second", stage="text-to-examples")
    assert numbers("text to masked examples") == [
        f"{speed['lambert']:.1f}",
        f"{speed['tf-models']:.2f}",
    ]
    speed = measured("data.json", "tokens_per_second", stage="packing")
    assert numbers("packing") == [
        f"{speed['lambert'] / 1e6:.1f}",
        f"{speed['huggingface'] / 1e6:.2f}",
    ]
    for size, shape in (("L=4 H=512", "H=512 A=8 L=4"), ("L=4 H=1024", "H=1024 A=16 L=4")):
        rows = json.loads((ROOT / "bench/results/step.json").read_text())
        (setting,) = {row["setting"] for row in rows if row["setting"].startswith(shape)}
        speed = measured(
            "step.json", "tokens_per_second", setting=setting, precision="mixed_bfloat16"
        )
        peers = [speed[name] for name in ("lambert", "tf-models", "huggingface") if name in speed]
        assert numbers(f"training step, {size}") == [f"{figure:,.0f}" for figure in peers]
