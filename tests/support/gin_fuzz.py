"""Feed hostile gin files to the strict reader, and check that it opens and imports nothing.

    python -m tests.support.gin_fuzz --seed 0 --number 10000 --folder EMPTY_FOLDER

Every input must be read as gin itself reads it, or be refused with one line.
"""

from __future__ import annotations

import argparse
import collections
import os
import random
import sys
from contextlib import suppress
from pathlib import Path

from data.errors import UserError
from pretrain.config import RunConfig
from pretrain.gin_files import config_text, load_run_config
from tests.support.paths import ROOT
from tests.support.watch import Watch

VALID = (
    *("TrainConfig.seed = 7", "TrainConfig.train_steps = %STEPS", "STEPS = 20_000", "B = %A"),
    *("OptimizerConfig.exclude_from_weight_decay = ['bias', 'Layer''Norm',]", "A = [%STEPS, (1,)]"),
    *("OptimizerConfig.epsilon = 1e-6 # comment", "TrainConfig.precision = 'float32'", "# text"),
    *("TrainConfig.rematerialize_blocks = True", "include 'good.gin'", "include 'sub/good.gin'"),
    *(
        "include 'gin/lambert_tiny.gin'",
        "TrainConfig.seed = \\\n  0x10",
        "OptimizerConfig.beta_2 = (.9)",
    ),
    r"OptimizerConfig.exclude_from_weight_decay = [r'\d', '\x41\u00e9\n', '\.']",
)
HOSTILE = (
    *("import victim", "import victim as os", "from victim import inner", "import\\\nvictim"),
    *(
        "from __gin__ import dynamic_registration\nimport victim",
        "\fimport victim",
        "  import victim",
    ),
    *("include 'victim/inner/x.gin'", "include 'victim.inner/x.gin'", "include 'this/that/x.gin'"),
    *("include 'victim/../../outside/secret.gin'", "include '../outside/secret.gin'", "include ''"),
    *("include 'link.gin'", "include 'loop.gin'", "include 'pipe.gin'", "include '/dev/zero'"),
    *("include '/proc/self/environ'", "include '/etc/passwd'", "include 'sub'", "include '.'"),
    *(
        "include 'self.gin'",
        "include 'fuzzed.gin'",
        "include 'gin/../pretrain/run.py'",
        "include 'json'",
    ),
    *(
        "include 'json/x.gin'",
        "include 'gin/torch/x.gin'",
        "include 'good.gin\\0'",
        "include '~/x'",
    ),
    *("TrainConfig.precision = @victim.inner.run()", "TrainConfig.seed = @TrainConfig()", "A = %A"),
    *("TrainConfig.seed = %gin.REQUIRED", "gin.singleton.constructor = @os.system", "A = %B"),
    *(
        "TrainConfig:\n  seed = 1",
        "a/TrainConfig.seed = 1",
        "lambert.TrainConfig.seed = 1",
        "%A = 1",
    ),
    *("TrainConfig.seed = " + "(" * 3000, "TrainConfig.seed = " + "9" * 5000, "A = 1e999"),
    *(
        "TrainConfig.seed = '\\N{SNOWMAN}'",
        "A = '''\nimport victim\n'''",
        "TrainConfig.seed = {1: 2}",
    ),
    *(
        "A = [%B, %B, %B, %B]\nB = [%A2] * 9",
        "TrainConfig.__class__ = 1",
        "TrainConfig.seed = f'{1}'",
    ),
    *("TrainConfig.seed = b'1'", "TrainConfig.seed = 1j", "TrainConfig.seed = 1 if 1 else 2"),
    *("TrainConfig.seed = __import__('victim')", "TrainConfig.wandb_project = '\\ud800'", "\ufeff"),
)
_CHARACTERS = "\n\r\t\f\v\\'\"`#%@()[]{}=.,:;/-+_ \x00\x1b\x85\u2028\u00e9\U0001f600a0eEx"


def make_folder(folder: Path) -> Path:
    """Write what inputs may point to, and return the folder of the inputs."""
    inside = folder / "inside"
    for part in (inside / "sub", folder / "outside", inside / "victim/inner"):
        part.mkdir(parents=True)
    (folder / "outside/secret.gin").write_text("TrainConfig.seed = 99\n")
    (inside / "good.gin").write_text("TrainConfig.log_interval = 3\n")
    (inside / "sub/good.gin").write_text("include '../good.gin'\n")
    (inside / "self.gin").write_text("include 'self.gin'\n")
    (inside / "link.gin").symlink_to(folder / "outside/secret.gin")
    (inside / "loop.gin").symlink_to(inside / "loop.gin")
    os.mkfifo(inside / "pipe.gin")
    for module in (inside / "victim/__init__.py", inside / "victim/inner/__init__.py"):
        module.write_text("raise SystemExit('a gin file ran code')\n")
    (inside / "victim/inner/x.gin").write_text("import victim\n")
    (inside / "harmless").mkdir()
    (inside / "harmless/__init__.py").touch()
    sys.path.insert(0, str(inside))
    os.chdir(inside)
    return inside


def make_input(rng: random.Random) -> str:
    """Return statements, some hostile, some with characters changed."""
    lines = [rng.choice(VALID) for _ in range(rng.randint(0, 4))]
    lines += [rng.choice(HOSTILE) for _ in range(rng.choice((0, 0, 1, 1, 2)))]
    rng.shuffle(lines)
    text = rng.choice("\n\n\n\r;").join(lines)
    for _ in range(rng.choice((0, 0, 1, 2, 5))):
        at, end = sorted(rng.randint(0, len(text)) for _ in range(2))
        piece = rng.choice((rng.choice(_CHARACTERS), text[at : min(end, at + 20)], ""))
        cut = rng.choice((at, at + 1, min(end, at + 9)))
        text = text[:at] + piece + text[cut:]
    return text


def check(text: str, inside: Path, watch: Watch) -> str:
    """Read one input, and return what became of it: "read" or "refused"."""
    file = inside / "fuzzed.gin"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    with watch.on():
        try:
            config = load_run_config([str(file)], [], kind=RunConfig, strict=True)
            outcome = "read"
        except UserError as error:
            outcome, message = "refused", str(error)
    assert watch.imports == [], watch.imports
    roots = (inside, ROOT / "gin")
    outside = [p for p in watch.opened if not any(Path(p).is_relative_to(root) for root in roots)]
    assert outside == [], outside
    if outcome == "refused":
        assert message.isprintable() and len(message) < 2000, message
    else:
        again = load_run_config([], [config_text()], kind=RunConfig, strict=True)
        assert again == config
    # gin may have these texts: it would open and run nothing. It reads a little more than strict mode.
    if not any(word in text for word in ("include", "import", "from", "@")):
        try:
            as_gin_reads = load_run_config([str(file)], [], kind=RunConfig)
        except UserError as error:
            assert outcome == "refused", error
        else:
            assert outcome == "refused" or as_gin_reads == config
    return outcome


def check_watch(inside: Path, watch: Watch) -> None:
    """Raise an AssertionError unless the watch sees what gin does without strict mode."""
    with watch.on():
        with suppress(UserError):  # the package has no such file
            load_run_config([], ["include 'harmless/inner/x.gin'"], kind=RunConfig)
        load_run_config([], [f"include '{inside}/link.gin'"], kind=RunConfig)
    assert "harmless" in watch.imports
    assert f"{inside}/link.gin" in watch.opened


def main() -> None:
    """Run the number of inputs that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--number", type=int, default=10_000)
    parser.add_argument("--folder", type=Path, required=True)
    args = parser.parse_args()
    load_run_config([], [], kind=RunConfig, strict=True)  # imports the modules of all settings
    inside, watch = make_folder(args.folder.resolve()), Watch()
    check_watch(inside, watch)
    outcomes: collections.Counter[str] = collections.Counter()
    for number in range(args.number):
        text = make_input(random.Random(f"{args.seed}/{number}"))
        try:
            outcomes[check(text, inside, watch)] += 1
        except BaseException:
            print(f"input {number} of seed {args.seed}: {text[:500]!r}", file=sys.stderr)
            raise
    print(*(f"{number} {outcome}" for outcome, number in sorted(outcomes.items())), sep=", ")


if __name__ == "__main__":
    main()
