"""The documentation is true: commands are accepted, links and named files and settings exist."""

import ast
import dataclasses
import json
import re
import subprocess

import pytest

from pretrain.gin_files import config_classes
from tests.support.documented_commands import MAKEFILE, TARGETS, command_error
from tests.support.markdown import (
    DOCUMENTS,
    ROOT,
    anchors,
    commands,
    internal_links,
    table_rows,
)
from tests.support.sources import MODULES, PACKAGES

# Printed by TensorFlow, not by our code.
TENSORFLOW_MESSAGES = {"gs://...: Error executing an HTTP request"}
COMMANDS = dict.fromkeys(command for document in DOCUMENTS for command in commands(document))


def test_the_documentation_has_commands():
    shown = {" ".join(command.words) for command in COMMANDS}
    assert {"make demo", "python -m data.view D", "make lint test"} <= shown
    assert len(shown) > 60


def test_every_command_is_accepted():
    errors = {str(command): command_error(command.words) for command in COMMANDS}
    assert {command: error for command, error in errors.items() if error} == {}


@pytest.mark.parametrize(
    ("command", "error"),
    [
        ("python -m data.view D --splt train", "unrecognized arguments: --splt"),
        ("python -m data.view D --numb 1", "unrecognized arguments: --numb"),
        ("python -m data.view", "the following arguments are required"),
        ("python -m data.build --ouput_dir D", "--ouput_dir is neither an option"),
        ("python -m data.vew D", "there is no module data.vew"),
        ("python docs/no_such_file.py", "there is no file docs/no_such_file.py"),
        ("make dmo", "make has no target dmo"),
        ("make data DTA=D", "make has no variable DTA"),
        ("pip install -e .[gpus]", "gpus"),
    ],
)
def test_a_wrong_command_is_an_error(command, error):
    assert error in command_error(tuple(command.split()))


def test_make_help_explains_every_target():
    done = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True
    )
    shown = set(re.findall(r"^  make ([a-z-]+) +\S", done.stdout, re.MULTILINE))
    assert shown == TARGETS
    phony = " ".join(re.findall(r"^\.PHONY: (.*)", MAKEFILE, re.MULTILINE)).split()
    assert sorted(phony) == sorted(TARGETS)


def test_links_have_targets():
    broken = []
    for document in DOCUMENTS:
        for link in internal_links(document):
            path, _, anchor = link.partition("#")
            target = document.parent / path if path else document
            if not target.exists() or (anchor and anchor not in anchors(target)):
                broken.append(f"{document.name}: {link}")
    assert broken == []


def test_named_files_and_settings_exist():
    folders = "|".join((*PACKAGES, "docs", "gin", "tests"))
    # "*" and "{" stand for several files.
    path_pattern = rf"(?<![\w/])(?:{folders})/[\w./-]+\.[a-zA-Z]+\b(?![*{{])"
    missing = []
    for document in DOCUMENTS:
        text = document.read_text()
        # Files and settings that the code of docs/extending.md adds.
        new_files = re.findall(r"^# (\S+): new file$", text, re.MULTILINE)
        new_fields = set(re.findall(r"^(\w+): \w+ = ", text, re.MULTILINE))
        for path in re.findall(path_pattern, text):
            if path in new_files:
                continue
            # Benchmarks write their results when they run.
            if not path.startswith("bench/results/") and not (ROOT / path).is_file():
                missing.append(f"{document.name}: {path}")
        for name, field in re.findall(r"\b([A-Z]\w+Config)\.([a-z]\w+)", text):
            fields = {field.name for field in dataclasses.fields(config_classes()[name])}
            if field not in fields | new_fields:
                missing.append(f"{document.name}: {name}.{field}")
    assert missing == []


def test_messages_quoted_in_operations_exist():
    constants = "\n".join(
        node.value
        for path in MODULES.values()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
    missing = []
    for symptom, *_ in table_rows(ROOT / "docs/operations.md"):
        for message in re.findall(r'"([^"]+)"', symptom):
            # "..." and words in capitals stand for values.
            parts = (part.strip(" ,:;?") for part in re.split(r"\.\.\.|\b[A-Z]+\b", message))
            if not all(part in constants for part in parts) and message not in TENSORFLOW_MESSAGES:
                missing.append(message)
    assert missing == []


def test_the_readme_lists_every_page_once():
    listed = [re.search(r"\]\((.*?)\)", row[0]) for row in table_rows(ROOT / "README.md")]
    pages = [link[1] for link in listed if link]
    assert sorted(pages) == sorted(
        path.relative_to(ROOT).as_posix() for path in DOCUMENTS if path.name != "README.md"
    )


def test_the_architecture_page_lists_every_package():
    text = (ROOT / "docs/architecture.md").read_text()
    folders = [path.parent for name in PACKAGES for path in (ROOT / name).glob("**/__init__.py")]
    folders = [path for path in folders if path.relative_to(ROOT).parts[0] != "bench"]
    assert [path.name for path in folders if f"{path.name}/`" not in text] == []


def best_figures(file: str, figure: str, **choice: object) -> dict[str, float]:
    """Return the best figure of each implementation, over the matching rows of a result file."""
    best: dict[str, float] = {}
    for row in json.loads((ROOT / "bench/results" / file).read_text()):
        if figure in row and all(row.get(name) == value for name, value in choice.items()):
            name = row["implementation"]
            best[name] = max(best.get(name, 0), row[figure])
    return best


def test_the_readme_has_the_measured_figures():
    shown = {row[0]: " ".join(row[1:3]) for row in table_rows(ROOT / "README.md") if len(row) == 4}

    def numbers(start: str) -> list[str]:
        (text,) = (cells for name, cells in shown.items() if name.startswith(start))
        return re.findall(r"[\d.,]*\d", text)

    speed = best_figures("data.json", "megabytes_per_second", stage="text-to-examples")
    assert numbers("text to masked examples") == [
        f"{speed['lambert']:.1f}",
        f"{speed['tf-models']:.2f}",
    ]
    # Hugging Face reads and writes files, so ours must too.
    packing = {"figure": "tokens_per_second", "stage": "packing"}
    ours = best_figures("data.json", what="through files", **packing)["lambert"]
    theirs = best_figures("data.json", **packing)["huggingface"]
    assert numbers("packing") == [f"{ours / 1e6:.1f}", f"{theirs / 1e6:.2f}"]
    for size, shape in (("L=4 H=512", "H=512 A=8 L=4"), ("L=4 H=1024", "H=1024 A=16 L=4")):
        rows = json.loads((ROOT / "bench/results/step.json").read_text())
        (setting,) = {row["setting"] for row in rows if row["setting"].startswith(shape)}
        speed = best_figures(
            "step.json", "tokens_per_second", setting=setting, precision="mixed_bfloat16"
        )
        peers = [speed[name] for name in ("lambert", "tf-models", "huggingface") if name in speed]
        assert numbers(f"training step, {size}") == [f"{figure:,.0f}" for figure in peers]


def test_the_readme_has_the_estimates_for_each_tpu():
    shown = {row[0]: row[1] for row in table_rows(ROOT / "README.md") if len(row) == 4}
    cycles: dict[tuple, dict[str, float]] = {}
    for row in json.loads((ROOT / "bench/results/tpu.json").read_text()):
        if "estimated_cycles_per_sequence" in row and row.get("attention", "xla") == "xla":
            key = (row["chip"], row["micro_batch_size"], row["batch_per_core"])
            cycles.setdefault(key, {})[row["implementation"]] = row["estimated_cycles_per_sequence"]
    for chip in ("v5e", "v4", "v3"):
        ratios = [
            both["lambert"] / both["tf-models"]
            for key, both in cycles.items()
            if key[0] == chip and len(both) == 2
        ]
        ends = dict.fromkeys(f"{ratio:.2f}" for ratio in (min(ratios), max(ratios)))
        assert shown[chip] == " to ".join(ends)
    (accumulated,) = (text for name, text in shown.items() if name.startswith("v5e, with"))
    ours, theirs = cycles["v5e", 8, 32]["lambert"], cycles["v5e", 0, 8]["tf-models"]
    assert accumulated == f"{ours / theirs:.2f}"
