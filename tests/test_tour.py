"""The notebook docs/tour.ipynb runs, and learns what it says."""

import json
import re

import matplotlib.pyplot as plt
import numpy as np
import pytest

from tests.support.paths import ROOT

NOTEBOOK = ROOT / "docs/tour.ipynb"
CONTENT = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
SOURCES = {kind: [] for kind in ("markdown", "code")}
for cell in CONTENT["cells"]:
    SOURCES[cell["cell_type"]].append("".join(cell["source"]))


@pytest.fixture(scope="module")
def names() -> dict:
    """The names after all cells, and the figures that were shown."""
    shown = []

    def show() -> None:
        plt.gcf().canvas.draw()
        shown.append(plt.gcf().axes)
        plt.close("all")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plt, "show", show)
        patch.chdir(ROOT / "docs")
        plt.switch_backend("agg")
        values: dict = {"__name__": "tour"}
        for source in SOURCES["code"]:
            exec(compile(source, str(NOTEBOOK), "exec"), values)  # noqa: S102  our own notebook
    return {**values, "shown": shown}


def test_every_cell_runs(names):
    assert [len(axes) for axes in names["shown"]] == [1, 2, 2]
    mask, losses, attention = (axes[0] for axes in names["shown"])
    assert mask.images[0].get_array().shape == (8, 64)
    assert len(losses.lines[0].get_ydata()) == names["STEPS"]
    weights = attention.images[0].get_array()
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, atol=1e-5)


def test_the_model_learns_the_batch(names):
    (first, _), (last, accuracy) = names["history"][0], names["history"][-1]
    assert first == pytest.approx(7.31, abs=0.1)  # log of 1,500
    assert last < 2
    assert accuracy > 0.6
    sequence = names["sequences"][1]
    assert names["pieces"](sequence[:7]) == "[CLS] from off a h ##ill whose"
    assert names["fill"](sequence, 6)[0].startswith("whose ")
    assert 0 < min(names["ratios"].values()) < max(names["ratios"].values()) < 10


def test_the_notebook_is_short_and_has_no_outputs():
    assert NOTEBOOK.stat().st_size < 100_000
    assert (CONTENT["nbformat"], CONTENT["nbformat_minor"]) == (4, 5)
    ids = [cell["id"] for cell in CONTENT["cells"]]
    assert len(set(ids)) == len(ids)
    code_cells = [cell for cell in CONTENT["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] for cell in code_cells)
    assert all(cell["execution_count"] is None for cell in code_cells)
    assert max(source.count("\n") for source in SOURCES["code"]) < 35


def test_the_notebook_uses_public_names_only():
    private = [
        match
        for source in SOURCES["code"]
        for match in re.findall(r"\._\w+|import _\w+|from \S+\._\w+", source)
    ]
    assert private == []


def test_links_of_the_notebook_have_targets():
    links = re.findall(r"\]\(([^)]+)\)", "\n".join(SOURCES["markdown"]))
    assert "own-corpus.md" in links
    assert [link for link in links if not (ROOT / "docs" / link).is_file()] == []
