"""The import directions of docs/architecture.md."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("data", "model", "optim", "pretrain", "finetune", "launch", "bench")

# Modules of other packages that each package may import. "data.errors" and "data.schema" are free.
ALLOWED = {
    "data": set(),
    "model": set(),
    "optim": set(),
    "launch": {"data.files", "data.manifest"},
    "finetune": {
        "data.documents",
        "data.files",
        "data.graph",
        "data.hashing",
        "data.input_pipeline",
        "data.page",
        "data.sentences",
        "data.sources",
        "data.vocab",
        "data.wordpiece",
        "data.words",
        "launch.config",
        "launch.strategy",
        "model.config",
        "model.dropout",
        "model.encoder",
        "model.layers",
        "model.names",
        "model.weights",
        "pretrain.bad_steps",
        "pretrain.best",
        "pretrain.checkpoint",
        "pretrain.config",
        "pretrain.curves",
        "pretrain.embed",
        "pretrain.export",
        "pretrain.exported",
        "pretrain.failures",
        "pretrain.foreign",
        "pretrain.initial",
        "pretrain.model_dir",
        "pretrain.progress",
        "pretrain.recipe",
        "pretrain.report",
        "pretrain.report_figures",
        "pretrain.report_html",
        "pretrain.run_record",
        "pretrain.session",
        "pretrain.trainer",
    },
    "bench": {
        "data.config",
        "data.contamination",
        "data.documents",
        "data.extract",
        "data.input_pipeline",
        "data.manifest",
        "data.masking",
        "data.packing",
        "data.sentences",
        "data.shards",
        "data.sources",
        "data.vocab",
        "data.wordpiece",
        "model.config",
        "model.flops",
        "model.loss",
        "model.weights",
        "launch.chips",
        "launch.compiled",
        "launch.config",
        "launch.costs",
        "optim.build",
        "optim.config",
        "pretrain.config",
        "pretrain.evaluation",
        "pretrain.initial",
        "pretrain.trainer",
    },
    "pretrain": {
        "data.accounting",
        "data.config",
        "data.files",
        "data.hashing",
        "data.input_pipeline",
        "data.manifest",
        "data.order",
        "data.origins",
        "data.packing",
        "data.page",
        "data.vocab",
        "finetune.config",
        "launch.config",
        "launch.peaks",
        "launch.strategy",
        "model.config",
        "model.copies",
        "model.dropout",
        "model.flops",
        "model.huggingface",
        "model.loss",
        "model.mlm",
        "model.names",
        "model.preprocess",
        "model.weights",
        "optim.accumulate",
        "optim.build",
        "optim.config",
    },
}
# Entry points read gin files through the one module that imports gin.
EXCEPTIONS = {
    ("data/build.py", "pretrain.config"),
    ("launch/commands.py", "pretrain.config"),
    ("launch/commands.py", "pretrain.recipe"),
    ("launch/dataflow.py", "data.config"),
    ("launch/dataflow.py", "pretrain.config"),
    # A plan puts together what others know; only the preflight imports it.
    ("launch/plan.py", "pretrain.config"),
    ("launch/preflight.py", "pretrain.config"),
    *(
        ("launch/plan_settings.py", module)
        for module in ("data.config", "pretrain.config", "pretrain.recipe")
    ),
    *(
        ("launch/planner.py", module)
        for module in (
            "data.config",
            "data.records",
            "data.vocab",
            "pretrain.config",
            "pretrain.recipe",
        )
    ),
    *(("launch/costs.py", f"model.{name}") for name in ("config", "flops", "names")),
    ("launch/scaling_html.py", "data.page"),
    ("launch/scaling_html.py", "pretrain.curves"),
}
FREE = {"data.errors", "data.schema"}
STANDARD_LIBRARY_ONLY = [
    *("data/schema.py", "data/errors.py", "data/config.py"),
    *("model/config.py", "optim/config.py", "launch/config.py", "launch/chips.py"),
    "finetune/config.py",
]


def imports(path: Path) -> set[str]:
    """All modules a file imports, at the top or inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            if node.module in PACKAGES:
                found |= {f"{node.module}.{alias.name}" for alias in node.names}
            else:
                found.add(node.module)
    return found


def files() -> list[str]:
    return [
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
    ]


def test_files_are_found():
    assert {"data/wiki.py", "pretrain/run.py", "optim/lamb.py"} <= set(files())


@pytest.mark.parametrize("file", files())
def test_packages_import_only_what_they_may(file):
    package = file.partition("/")[0]
    foreign = {
        module
        for module in imports(ROOT / file)
        if module.partition(".")[0] in PACKAGES and module.partition(".")[0] != package
    }
    exceptions = {module for exempt, module in EXCEPTIONS if exempt == file}
    assert foreign <= ALLOWED[package] | FREE | exceptions


@pytest.mark.parametrize("stranger", ["model.py", "data/__init__.py"])
def test_a_stranger_of_the_same_name_is_named(tmp_path, stranger):
    (tmp_path / stranger).parent.mkdir(exist_ok=True)
    (tmp_path / stranger).touch()
    done = subprocess.run(
        [sys.executable, "-m", "pretrain.run", "--help"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert f"Python finds {tmp_path / stranger}; run from" in done.stderr.splitlines()[-1]


def test_heavy_libraries_stay_in_their_rooms():
    rooms = {
        "apache_beam": {"data/build.py", "data/pipeline.py", "data/runner.py"},
        "gin": {"pretrain/config.py"},
        "matplotlib": {"data/view_plots.py"},
        "mwparserfromhell": {"data/wikitext.py"},
        "rich": {"data/view.py"},
        "seqeval": {"finetune/metrics.py"},
        "sklearn": {"finetune/corpus_task.py", "finetune/metrics.py"},
        "safetensors": {"pretrain/export.py", "pretrain/foreign.py", "pretrain/initial.py"},
    }
    for library, allowed in rooms.items():
        importers = {
            file
            for file in files()
            if not file.startswith("bench/")  # which measures libraries as such, too
            and any(module.partition(".")[0] == library for module in imports(ROOT / file))
        }
        assert importers == allowed, library


def test_configurations_need_the_standard_library_only():
    for file in STANDARD_LIBRARY_ONLY:
        assert imports(ROOT / file) <= {
            "__future__",
            "collections.abc",
            "data.errors",
            "data.errors.UserError",
            "dataclasses",
            "errno",
            "os",
            "pathlib",
            "re",
            "sys",
        }
