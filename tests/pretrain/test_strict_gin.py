"""Strict mode reads gin files itself: gin opens and imports nothing, whatever the files contain."""

import os
import subprocess
import sys

import pytest

from data.errors import UserError
from launch.jobs.settings import load_job_config
from pretrain.config import RunConfig
from pretrain.gin_files import load_run_config
from tests.support.paths import ROOT

SHIPPED = sorted(ROOT.glob("gin/lambert_*.gin"))


@pytest.fixture
def inside(tmp_path, monkeypatch):
    """The current directory, with a package that leaves a file if it is imported."""
    folder = tmp_path / "inside"
    (folder / "victim/inner").mkdir(parents=True)
    code = f"import pathlib; pathlib.Path({str(tmp_path / 'ran')!r}).touch()"
    for path in ("evil.py", "victim/__init__.py", "victim/inner/__init__.py"):
        (folder / path).write_text(code)
    (tmp_path / "secret.gin").write_text("TrainConfig.seed = 99")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.chdir(folder)
    yield folder
    assert not (tmp_path / "ran").exists()


def load(text: str, path="a.gin"):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return load_run_config([str(path)], [], strict=True, kind=RunConfig)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import evil", r"^a\.gin imports 'evil', which --strict_gin refuses"),
        (
            "from __gin__ import dynamic_registration\nimport subprocess\n"
            "TrainConfig.precision = @subprocess.getoutput()",
            r"imports '__gin__\.dynamic_registration'",
        ),
        ("TrainConfig.precision = @TrainConfig()", "refers to @TrainConfig, which --strict_gin"),
        ("TrainConfig.precision = [('a', {1: @x})]", "refers to @x"),
        ("gin.singleton.constructor = 3", r"sets gin\.singleton\.constructor, which"),
    ],
)
def test_code_is_refused(inside, text, message):
    with pytest.raises(UserError, match=message):
        load(f"TrainConfig.seed = 1\n{text}\n")


def test_code_in_an_included_file_is_refused(inside):
    (inside / "b.gin").write_text("import evil")
    with pytest.raises(UserError, match=r"b\.gin imports 'evil'"):
        load(f"include '{inside}/b.gin'")


def test_code_in_a_parameter_is_refused():
    with pytest.raises(UserError, match=r"--gin_param 'TrainConfig.seed=@f\(\)' refers to @f"):
        load_run_config([], ["TrainConfig.seed=@f()"], strict=True, kind=RunConfig)


@pytest.mark.parametrize(
    "name", ["victim/that/x.gin", "victim.inner/x.gin", "this/that/x.gin", "victim/x.gin"]
)
@pytest.mark.parametrize("read", ["run", "job", "parameter"])
def test_packages_are_not_searched(inside, name, read):
    """gin would import the package that an included name begins with, and look inside it."""
    (inside / "a.gin").write_text(f"include '{name}'")
    with pytest.raises(UserError, match=rf"the included file '{name}' is not a file in"):
        if read == "run":
            load_run_config(["a.gin"], [], strict=True, kind=RunConfig)
        elif read == "job":
            load_job_config(["a.gin"], [])
        else:
            load_run_config([], [f"include '{name}'"], strict=True, kind=RunConfig)


@pytest.mark.parametrize(
    "name",
    [
        "../secret.gin",
        "{outside}/secret.gin",
        "link.gin",
        "sub/../../secret.gin",
        "gin/../setup.cfg",
    ],
)
def test_files_outside_are_not_read(inside, tmp_path, name):
    (inside / "link.gin").symlink_to(tmp_path / "secret.gin")
    (inside / "sub").mkdir()
    name = name.format(outside=tmp_path)
    with pytest.raises(UserError, match=r"a\.gin, line 1: .* is outside of .* and gin/"):
        load(f"include '{name}'")


def test_special_files_are_not_read(inside):
    os.mkfifo(inside / "pipe.gin")
    for name in ("pipe.gin", "victim", "."):
        with pytest.raises(UserError, match=r"is not a file in|is outside of"):
            load(f"include '{name}'")
        with pytest.raises(UserError, match="is not a file that can be read as gin"):
            load_run_config([name], [], strict=True, kind=RunConfig)
    with pytest.raises(UserError, match=r"^gin file not found: none\.gin$"):
        load_run_config(["none.gin"], [], strict=True, kind=RunConfig)


def test_includes_are_found_next_to_the_including_file_and_in_gin(inside):
    (inside / "sub/deep").mkdir(parents=True)
    (inside / "sub/deep/c.gin").write_text("TrainConfig.log_interval = 3")
    (inside / "sub/b.gin").write_text("include 'deep/c.gin'\ninclude 'gin/lambert_tiny.gin'")
    config = load("include 'sub/b.gin'\nTrainConfig.seed = 4")
    assert (config.train.log_interval, config.encoder.hidden_size, config.train.seed) == (
        50,
        128,
        4,
    )


def test_a_cycle_of_includes_is_named(inside):
    (inside / "b.gin").write_text("include 'a.gin'")
    with pytest.raises(UserError, match=r"a\.gin includes itself: a\.gin > b\.gin > a\.gin$"):
        load("include 'b.gin'")


def test_numbers_and_sizes_of_files_are_bounded(inside):
    for number in range(30):
        (inside / f"{number}.gin").write_text(f"include '{number + 1}.gin'\n" * 2)
    (inside / "30.gin").touch()
    with pytest.raises(UserError, match="included at most 20 deep"):
        load("include '0.gin'")
    with pytest.raises(UserError, match="reads at most 100 files"):
        load("include '20.gin'")
    (inside / "large.gin").write_text("#" * 2**19)
    for text in ("#" * 2**20 + "#", "include 'large.gin'\n" * 3):
        with pytest.raises(UserError, match="--strict_gin reads at most 1,048,576 bytes of gin"):
            load(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("A = %B\nB = %A", r"a\.gin, line 2: macros refer to each other: %A > %B > %A$"),
        ("TrainConfig.seed = %A", r"a\.gin, line 1 refers to %A, which is not set"),
        (
            "\n".join(f"A{n} = [{f'%A{n + 1}, ' * 9}]" for n in range(9)) + "\nA9 = 1",
            "10,000 values",
        ),
        ("\n".join(f"A{n} = %A{n + 1}" for n in range(5000)) + "\nA5000 = 1", "20 deep"),
        (f"OptimizerConfig.exclude_from_weight_decay = [{'1,' * 20_000}]", "has 20,001 values"),
    ],
)
def test_macros_are_bounded(inside, text, message):
    with pytest.raises(UserError, match=message):
        load(text)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_files_are_read_as_gin_reads_them(path, tmp_path):
    macro = tmp_path / "m.gin"
    macro.write_text(f"include '{path}'\nlearning_seed = 5\nTrainConfig.seed = %learning_seed")
    strict, by_gin = (
        load_run_config([str(macro)], ["TrainConfig.log_interval=7"], strict=strict, kind=RunConfig)
        for strict in (True, False)
    )
    assert strict == by_gin
    assert (strict.train.seed, strict.train.log_interval) == (5, 7)


def fuzz(folder, *, seed: int, number: int) -> str:
    command = [sys.executable, "-m", "tests.support.gin_fuzz", "--folder", str(folder)]
    command += ["--seed", str(seed), "--number", str(number)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_random_hostile_files_open_and_import_nothing(tmp_path):
    assert "refused" in fuzz(tmp_path, seed=0, number=2000)


@pytest.mark.slow
def test_many_random_hostile_files_open_and_import_nothing(tmp_path):
    assert "refused" in fuzz(tmp_path, seed=1, number=100_000)
