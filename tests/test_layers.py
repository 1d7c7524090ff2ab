"""The import directions of docs/architecture.md."""

import graphlib
import re
import sys
from pathlib import Path

import pytest

from tests.support.markdown import table_rows
from tests.support.paths import ROOT
from tests.support.sources import (
    MODULES,
    PACKAGES,
    function_level_imports,
    imports,
    libraries,
)

# Each package, with its modules and sub-packages from the bottom up: a module imports those
# above it in the list, never those below.
ORDER = {
    "data": "errors cli schema hashing config files checked_json samples sources vocab text build_files"
    " manifest storage stages read build_dir pipeline build view",
    "model": "config tracing dropout flops names compute_weights rematerialize kernels attention"
    " layers huggingface encoder loss mlm weights",
    "optim": "config schedule collectives division divided_slot divided_weight gate accumulate adamw"
    " lamb sharded_lamb build",
    "launch": "config accelerators stand_in strategy local supervise jobs worker plan preflight slice"
    " dataflow flink gke vertex tpu node slurm rehearse",
    "pretrain": "console gin_literals strict_gin gin_files checkpoints train config recipe export convert"
    " embed fill_mask import_weights report provenance experiment run",
    "finetune": "config batches model seed_files tasks summary pretrained recipe collapse predict export"
    " report corpus_task seed_run run",
    "bench": "sample_build data demo step learn long_run run slice kernels tpu gpu",
}

# Modules and sub-packages of other packages that each package may import.
ALLOWED = {
    "data": set(),
    "model": set(),
    "optim": set(),
    "launch": {
        *("data.build_files", "data.config", "data.files", "data.manifest", "data.storage"),
        *("data.view", "data.vocab"),
        *("model.config", "model.flops", "model.names", "optim.config"),
        *("pretrain.checkpoints", "pretrain.config", "pretrain.gin_files", "pretrain.recipe"),
        *("pretrain.report", "pretrain.train"),
    },
    "pretrain": {
        *("data.config", "data.files", "data.manifest", "data.read", "data.stages", "data.storage"),
        *("data.view", "data.vocab"),
        *("launch.accelerators", "launch.config", "launch.strategy", "model", "optim"),
    },
    "finetune": {
        *("data.files", "data.hashing", "data.read", "data.sources", "data.text", "data.view"),
        *("data.vocab", "launch.config", "launch.strategy", "model", "optim.config"),
        # What both kinds of runs share.
        *("pretrain.checkpoints", "pretrain.convert", "pretrain.export", "pretrain.gin_files"),
        *("pretrain.report", "pretrain.train"),
    },
    "bench": {
        *("data", "launch.accelerators", "launch.config", "launch.plan", "launch.strategy"),
        *("model", "optim"),
        *("pretrain.checkpoints", "pretrain.config", "pretrain.experiment", "pretrain.gin_files"),
        *("pretrain.fill_mask", "pretrain.recipe", "pretrain.train"),
    },
}
# Every package may import these: standard library only, except for remote files and absl.
FREE = {"data.errors", "data.schema", "data.checked_json", "data.cli"}
# Entry points read gin files through the one module that imports gin.
EXCEPTIONS = {("data.build", "pretrain.gin_files")}
# What the packages above take from launch; nothing else of it, or launch.plan would close a circle.
STANDARD_LIBRARY_ONLY = (
    *("data.schema", "data.errors", "data.config", "model.config", "optim.config"),
    *("launch.accelerators.chips", "launch.accelerators.gpus", "launch.accelerators.tpus"),
    *("launch.config", "pretrain.train.config", "pretrain.config", "finetune.config"),
)


def our_imports(module: str) -> set[str]:
    """Return our modules that a module imports, including the packages that contain them."""
    found = {name for name in imports(module) if name in MODULES}
    parents = {
        ".".join(name.split(".")[:depth])
        for name in found
        for depth in range(1, name.count(".") + 1)
    }
    own_parents = {".".join(module.split(".")[:depth]) for depth in range(1, module.count(".") + 1)}
    return (found | parents) - {module} - own_parents


def is_within(module: str, names) -> bool:
    """Return whether a module is one of these names or inside one of them."""
    return any(module == name or module.startswith(f"{name}.") for name in names)


def test_imports_have_no_cycles():
    graph = {module: our_imports(module) for module in MODULES}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail(f"import circle: {' -> '.join(error.args[1])}")


def test_every_module_is_in_the_order():
    for package, order in ORDER.items():
        units = {name.split(".")[1] for name in MODULES if name.startswith(f"{package}.")}
        assert units == set(order.split()), package


def test_modules_import_only_those_above_them():
    wrong = []
    for module in MODULES:
        package, *rest = module.split(".")
        for name in our_imports(module):
            if not rest or not name.startswith(f"{package}."):
                continue
            order = ORDER[package].split()
            unit, imported = rest[0], name.split(".")[1]
            if order.index(imported) > order.index(unit):
                wrong.append(f"{module} imports {name}")
    assert wrong == []


def test_function_level_imports_delay_large_libraries():
    """Commands report wrong settings before these libraries load, which takes seconds."""
    large = {"apache_beam", "matplotlib", "official", "tensorflow", "tf_keras"}
    needless = [
        f"{module} imports {name}"
        for module in MODULES
        if not module.startswith("bench")
        for name in function_level_imports(module)
        if not (libraries(name) - libraries(module)) & large
    ]
    assert needless == []


def test_packages_import_only_what_they_may():
    wrong = []
    for module in MODULES:
        package = module.partition(".")[0]
        for name in our_imports(module):
            is_other = name.partition(".")[0] != package and name not in PACKAGES
            allowed = ALLOWED[package] | FREE | {to for of, to in EXCEPTIONS if of == module}
            if is_other and not is_within(name, allowed):
                wrong.append(f"{module} imports {name}")
    assert wrong == []


def test_the_architecture_page_has_these_rules():
    """Rows such as "| `package` | all of `model`; `data`: config, files |"."""
    documented = {}
    for name, rule, *_ in table_rows(ROOT / "docs/architecture.md"):
        if name.strip("`") in ALLOWED:
            whole = re.findall(r"all of `(\w+)`", rule)
            parts = re.findall(r"`(\w+)`: ([\w, ]+)", rule)
            documented[name.strip("`")] = {
                *whole,
                *(f"{package}.{part}" for package, names in parts for part in names.split(", ")),
            }
    assert documented == ALLOWED


def test_heavy_libraries_stay_in_their_modules():
    rooms = {
        "apache_beam": {"data.build", "data.pipeline", "data.stages.runner"},
        "gin": {"pretrain.gin_files"},
        "matplotlib": {"data.view.plots"},
        "mwparserfromhell": {"data.sources.wiki.wikitext"},
        "rich": {"data.view.__main__"},
        "seqeval": {"finetune.tasks.metrics"},
        "sklearn": {"finetune.corpus_task", "finetune.tasks.metrics"},
        "safetensors": {
            *("pretrain.export.huggingface_files", "pretrain.convert.formats"),
            *("launch.rehearse.slice", "pretrain.checkpoints.warm_start"),
        },
    }
    for library, allowed in rooms.items():
        importers = {
            module
            for module in MODULES
            if not module.startswith("bench.")  # which measures libraries as such, too
            and any(name.partition(".")[0] == library for name in imports(module))
        }
        assert importers == allowed, library


def test_configurations_need_the_standard_library_only():
    for module in STANDARD_LIBRARY_ONLY:
        others = imports(module) - set(STANDARD_LIBRARY_ONLY)
        assert {name.partition(".")[0] for name in others} <= sys.stdlib_module_names, module


def test_packages_are_listed_where_they_are_installed():
    """setup.cfg lists packages by hand: what is forgotten there is missing from wheels."""
    import configparser

    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    listed = set(setup["options"]["packages"].split())
    ours = {
        name
        for name, path in MODULES.items()
        if path.name == "__init__.py" and not name.startswith("bench")
    }
    assert listed == ours | {"launch.results", "pretrain.gin"}


def test_no_level_has_more_than_a_dozen_modules():
    levels: dict[Path, int] = {}
    for module, path in MODULES.items():
        if path.name != "__init__.py" and module.partition(".")[0] not in ("model", "bench"):
            levels[path.parent] = levels.get(path.parent, 0) + 1
    assert {path: number for path, number in levels.items() if number > 12} == {}


def test_no_file_has_more_than_400_lines():
    long = {m: n for m, p in MODULES.items() if (n := len(p.read_text().splitlines())) > 400}
    assert long == {}
