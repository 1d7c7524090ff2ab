"""docs/recipe.md has the values of the gin files of the published recipe."""

import ast
import dataclasses
import re

from data.config import BuildConfig
from pretrain.config import RunConfig
from pretrain.gin_files import load_config, load_run_config
from tests.support.markdown import ROOT, table_rows

FILES = ["gin/lambert_large.gin", "gin/data_lambert.gin"]
SOURCES = {"card", "BERT", "RoBERTa", "LAMB", "tf-models", "ours"}


def rows() -> dict[str, list[str]]:
    """Return the cells of every row about a setting, by its name."""
    cells = [row for row in table_rows(ROOT / "docs/recipe.md") if "Config." in row[0]]
    names = [row[0].strip("`") for row in cells]
    assert len(set(names)) == len(names)
    return dict(zip(names, cells, strict=True))


def test_values_equal_those_of_the_gin_files():
    run = load_run_config(FILES[:1], [], kind=RunConfig)
    configs = [getattr(run, field.name) for field in dataclasses.fields(run)]
    configs += load_config(FILES[1:], [], BuildConfig)
    by_name = {type(config).__name__: config for config in configs}
    for name, (_, value, source, _) in rows().items():
        config, _, field = name.partition(".")
        documented = ast.literal_eval(value.strip("`"))
        if isinstance(documented, list):
            documented = tuple(documented)
        assert documented == getattr(by_name[config], field), name
        assert source in SOURCES, name


def test_every_setting_of_the_gin_files_is_documented():
    lines = "".join((ROOT / file).read_text() for file in FILES)
    bound = re.findall(r"^(\w+\.\w+) = ", lines, re.MULTILINE)
    assert len(bound) > 35
    assert set(bound) <= set(rows())
