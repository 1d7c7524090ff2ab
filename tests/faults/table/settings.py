"""Rows about gin files, and jobs on other machines."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from tests.faults import commands as run
from tests.faults import damage as d
from tests.faults.case import Apply, Command, refused, refused_or_goes_on, row

AREA = "Settings and jobs"
FILE, JOB = "run.gin", "job/job.json"
_INTEGERS = (
    *("TrainConfig.seed", "TrainConfig.train_steps", "TrainConfig.global_batch_size"),
    *("TrainConfig.eval_batch_size", "TrainConfig.micro_batch_size", "TrainConfig.log_interval"),
    *("TrainConfig.checkpoint_interval", "TrainConfig.keep_checkpoints", "InputConfig.prefetch"),
    *("TrainConfig.eval_interval", "EncoderConfig.hidden_size", "EncoderConfig.vocab_size"),
    *("EncoderConfig.num_hidden_layers", "EncoderConfig.num_attention_heads"),
    *("EncoderConfig.intermediate_size", "EncoderConfig.max_position_embeddings"),
    *("OptimizerConfig.warmup_steps", "TrainConfig.steps_per_loop", "TrainConfig.keep_every"),
)
_FLOATS = (
    *("OptimizerConfig.peak_learning_rate", "OptimizerConfig.beta_2", "OptimizerConfig.epsilon"),
    *("EncoderConfig.hidden_dropout_prob", "EncoderConfig.initializer_range"),
    *("OptimizerConfig.weight_decay_rate", "TrainConfig.spike_threshold"),
)
_STRICT = dataclasses.replace(run.DRY_RUN, args=(*run.DRY_RUN.args, "--strict_gin"))
# Readers of a job may also wait for a `gcloud`, which is not there.
_SLURM = Command(
    module="launch.slurm",
    args=("create", "--gin_file=run.gin", "--gin_file=job.gin", "--print", "--work_dir=new"),
    needs=("run.gin",),
    writes=("new*",),
)
_TPU = dataclasses.replace(_SLURM, module="launch.tpu")


def rows() -> list:
    """Return the rows."""
    return [*_numbers(), *_texts(), *_includes(), *_jobs(), *_names()]


def _more(*lines: str) -> Apply:
    return d.append(FILE, "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogatepass"))


def _numbers() -> list:
    integers = (10**30, -(10**30), 2**63, -1, "1.5", "'7'", "None", "[1]", "True")
    floats = ("float('nan')", "1e999", "-1e999", "-1.0", "1e300", "'0.1'", "None", "(1.0,)")
    return [
        row(
            *(AREA, "a gin file", f"a whole number is {value}"),
            *(d.each(**{name: _more(f"{name} = {value}") for name in _INTEGERS}), _STRICT),
            *(refused_or_goes_on(),),
            each=True,
        )
        for value in integers
    ] + [
        row(
            *(AREA, "a gin file", f"a number is {value}"),
            *(d.each(**{name: _more(f"{name} = {value}") for name in _FLOATS}), run.DRY_RUN),
            *(refused_or_goes_on(),),
            each=True,
        )
        for value in floats
    ]


_REFUSED_TEXTS = {
    "a cycle of two macros": "A = %B\nB = %A\nTrainConfig.seed = %A",
    "a macro that is itself": "A = %A\nTrainConfig.seed = %A",
    "a macro that is not set": "TrainConfig.seed = %NOWHERE",
    "gin.REQUIRED": "TrainConfig.seed = %gin.REQUIRED",
    "5,000 brackets": "TrainConfig.seed = " + "(" * 5000,
    "5,000 closed brackets": "TrainConfig.seed = " + "(" * 5000 + ")" * 5000,
    "a number of 5,000 digits": "TrainConfig.seed = " + "9" * 5000,
    "a number that is a program": "TrainConfig.seed = __import__('os').getpid()",
    "a reference to a function": "TrainConfig.seed = @os.getpid()",
    "a reference to a class": "TrainConfig.seed = @TrainConfig()",
    "an unknown class": "TrainingConfig.seed = 1",
    "an unknown setting": "TrainConfig.sead = 1",
    "an attribute": "TrainConfig.__class__ = 1",
    "an unfinished text": "TrainConfig.precision = 'float32",
    "an unknown precision": "TrainConfig.precision = 'float33'",
    "a precision of a megabyte": f"TrainConfig.precision = '{'x' * 10**6}'",
    "text with a control character": "TrainConfig.precision = 'a\x1b[2J'",
    "an escape for a control character": r"TrainConfig.precision = '\x1b[2J'",
    "an escape for a surrogate": r"TrainConfig.wandb_project = '\ud800'",
    "a NUL": "TrainConfig.seed = 1\x00",
    "half of a surrogate pair": "# \ud800",
    "an import": "import os",
    "an import of a module beside the file": "import victim",
    "an import of a name": "from os import path",
    "a dictionary": "TrainConfig.seed = {1: 2}",
    "a comprehension": "TrainConfig.seed = [x for x in (1,)]",
    "a binding without a value": "TrainConfig.seed =",
    "nothing but an equals sign": "= 1",
}


def _texts() -> list:
    victim = d.write("victim.py", "raise SystemExit('a gin file ran code')\n")
    damages = {name: d.all_of(victim, _more(text)) for name, text in _REFUSED_TEXTS.items()}
    sound = {
        "a byte order mark": d.edit(FILE, lambda c: b"\xef\xbb\xbf" + c),
        "line ends of Windows": d.edit(FILE, lambda c: c.replace(b"\n", b"\r\n")),
        "a hundred thousand comments": d.append(FILE, b"# a comment\n" * 10**5),
        "a setting twice": _more("TrainConfig.seed = 1", "TrainConfig.seed = 12345"),
        "a hundred macros": _more(
            "M0 = 12345", *(f"M{n} = %M{n - 1}" for n in range(1, 10)), "TrainConfig.seed = %M9"
        ),
    }
    found = [
        row(
            *(AREA, "a gin file", "statements that nobody may make"),
            *(d.each(**damages), _STRICT, refused()),
            each=True,
        ),
        row(
            *(AREA, "a gin file", "statements that cannot be meant"),
            d.each(**{k: v for k, v in damages.items() if "import" not in k and "refe" not in k}),
            *(run.DRY_RUN, refused_or_goes_on()),
            each=True,
        ),
        row(AREA, "a gin file", "unusual but sound", d.each(**sound), _STRICT, _SOUND, each=True),
        row(
            AREA,
            "a gin file",
            "not UTF-8",
            d.append(FILE, b"# \xff\n"),
            _STRICT,
            refused("run.gin"),
        ),
        row(
            AREA,
            "a gin file",
            "not UTF-8",
            d.append(FILE, b"# \xff\n"),
            run.DRY_RUN,
            refused("run.gin"),
        ),
    ]
    found += [
        row(
            *(AREA, "a gin file", "not a file"),
            d.no_file(FILE),
            command,
            refused("run.gin"),
            each=True,
        )
        for command in (_STRICT, run.DRY_RUN)
    ]
    return found


_SOUND = refused_or_goes_on()


def _includes() -> list:
    other = d.write("outside.gin", "TrainConfig.seed = 99\n")
    includes = {
        "itself": "run.gin",
        "a file above": "../outside/canary",
        "an absolute path": "/etc/passwd",
        "a device": "/dev/zero",
        "memory of the process": "/proc/self/environ",
        "a folder": "sub",
        "the folder itself": ".",
        "a pipe": "pipe.gin",
        "a link to a file above": "link.gin",
        "a link to itself": "loop.gin",
        "a package": "json/x.gin",
        "a package of the folder": "victim/x.gin",
        "a package by name": "victim.inner/x.gin",
        "two folders that are a package": "this/that/x.gin",
        "nothing": "",
        "a home": "~/x.gin",
        "a bucket": "gs://bucket/x.gin",
        "no such file": "nowhere.gin",
        "a module": "victim/__init__.py",
        "a very long name": "a/" * 3000 + "x.gin",
    }
    place = d.all_of(
        other,
        d.write("victim/__init__.py", "raise SystemExit('a gin file ran code')\n"),
        d.write("victim/inner/__init__.py", "raise SystemExit('a gin file ran code')\n"),
        d.write("sub/x.gin", ""),
        d.instead("pipe.gin", os.mkfifo),
        d.instead("link.gin", lambda path: path.symlink_to("../outside/canary")),
        d.instead("loop.gin", lambda path: path.symlink_to("loop.gin")),
    )
    return [
        row(
            *(AREA, "a gin file", "includes what it may not"),
            d.each(**{k: d.all_of(place, _more(f"include '{v}'")) for k, v in includes.items()}),
            *(_STRICT, refused()),
            each=True,
        ),
        row(
            *(AREA, "a gin file", "includes a cycle of files"),
            d.all_of(
                _more("include 'a.gin'"),
                d.write("a.gin", "include 'b.gin'\n"),
                d.write("b.gin", "include 'a.gin'\n"),
            ),
            *(_STRICT, refused("includes itself")),
        ),
        row(
            *(AREA, "a gin file", "includes a cycle of files"),
            d.all_of(
                _more("include 'a.gin'"),
                d.write("a.gin", "include 'b.gin'\n"),
                d.write("b.gin", "include 'a.gin'\n"),
            ),
            *(run.DRY_RUN, refused()),
        ),
        row(
            *(AREA, "a gin file", "includes a thousand files"),
            d.all_of(
                _more("include 'f0.gin'"),
                *(d.write(f"f{n}.gin", f"include 'f{n + 1}.gin'\n") for n in range(1000)),
            ),
            *(_STRICT, refused("--strict_gin reads at most")),
        ),
        row(
            *(AREA, "a gin file", "includes each file twice, forty deep"),
            d.all_of(
                _more("include 'f0.gin'"),
                *(d.write(f"f{n}.gin", f"include 'f{n + 1}.gin'\n" * 2) for n in range(40)),
                d.write("f40.gin", ""),
            ),
            *(_STRICT, refused("--strict_gin reads at most")),
        ),
    ]


def _jobs() -> list:
    right = refused_or_goes_on("job.json")
    found = [
        row(AREA, "job.json", damage, apply, run.JOB, right, each=True)
        for damage, apply in (
            ("values of all other types in each field", d.wrong_types(JOB, all_types=True)),
            ("an absurd number in each field", d.huge_numbers(JOB)),
        )
    ]
    found.append(
        row(
            *(AREA, "job.json", "each field is missing"),
            *(d.missing_fields(JOB), run.JOB, refused_or_goes_on()),
            each=True,
        )
    )
    hostile = (
        "; touch /tmp/x",
        "$(touch x)",
        "`id`",
        "a b",
        "a\nb",
        "'",
        '"',
        "a&b",
        "\x1b[2J",
        "-é",
    )
    texts = ("name", "bucket", "data_dir", "model_dir", "scratch_dir", "accelerator", "image")
    found += [  # `{}` is a job of which each setting has its default
        row(
            AREA,
            "job.json",
            "not a record",
            d.no_json(JOB),
            run.JOB,
            refused(),
            each=True,
        ),
        row(AREA, "job.json", "not a file", d.no_file(JOB), run.JOB, refused("job"), each=True),
        row(
            *(AREA, "job.json", "a field that no job has"),
            *(d.at(JOB, ("evil",), 1), run.JOB, refused("job.json", "evil")),
        ),
        row(
            *(AREA, "job.json", "commands of a shell in a field"),
            d.each(
                **{
                    f"{name} is {value!r}": d.at(JOB, (name,), value)
                    for name in texts
                    for value in hostile
                }
            ),
            *(run.JOB, refused("job.json")),
            each=True,
        ),
        row(
            *(AREA, "run.gin of a job", "damaged"),
            d.each(
                missing=d.remove("job/run.gin"),
                a_folder=d.instead("job/run.gin", Path.mkdir),
                not_UTF8=d.append("job/run.gin", b"# \xff\n"),
            ),
            *(run.JOB, refused("run.gin")),
            each=True,
        ),
    ]
    return found


def _names() -> list:
    """Rows about settings of a job that become parts of commands."""
    base = "".join(
        f"LaunchConfig.{name} = {value!r}\n"
        for name, value in {
            "bucket": "/shared/jobs",
            "data_dir": "/shared/data",
            "accelerator": "cpu",
            "project": "p",
            "zone": "us-west4-a",
        }.items()
    )
    hostile = (
        "a; id",
        "$(id)",
        "`id`",
        "a b",
        "a\nb",
        "'a",
        "../a",
        "a|b",
        "",
        "A",
        "x" * 99,
        "-a",
    )
    names = {
        value[:9]: d.write("job.gin", f"{base}LaunchConfig.name = {value!r}\n") for value in hostile
    }
    injected = {
        f"{name} {value}": d.write("job.gin", f"{base}LaunchConfig.{name} = {value!r}\n")
        for name in (
            "bucket",
            "data_dir",
            "image",
            "service_account",
            "network",
            "queue",
            "project",
        )
        for value in ("/a; id", "/$(id)", "/a b", "/a\nb", "/'")
    }
    return [
        row(
            *(AREA, "LaunchConfig.name", "commands and paths in it"),
            *(d.each(**names), command, refused("LaunchConfig.name")),
            each=True,
        )
        for command in (_SLURM, _TPU)
    ] + [
        row(
            *(AREA, "LaunchConfig", "commands in other settings"),
            *(d.each(**injected), _SLURM, refused("LaunchConfig.")),
            each=True,
        ),
        row(
            *(AREA, "LaunchConfig", "sound settings"),
            d.write("job.gin", f"{base}LaunchConfig.name = 'ab-1'\n"),
            *(_SLURM, refused_or_goes_on()),
        ),
    ]
