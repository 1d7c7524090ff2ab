"""The programs that run on GPU machines: one row each.

A program is a training step that `bench.gpu.export` writes as three files:

    NAME.mlir.gz  StableHLO text. Arguments are the inputs, then the variables.
    NAME.json     what arguments and results are, and how the first value of each variable is made
    NAME.npz      (checks only) inputs, outputs and variables of the first steps, as TensorFlow computed
                  them on a CPU

To measure another form of the step, such as one with another setting, add it to FORMS and to PROGRAMS.
"""

from __future__ import annotations

import dataclasses
from typing import Any

# What a program computes. "gradients" is the part that TrainConfig.jit_compile compiles on GPUs: forward
# and backward pass of a replica's batch.
IMPLEMENTATIONS = ("lambert", "lambert-gradients", "tf-models")
# Settings by form, of TrainConfig and of EncoderConfig. The form "" leaves attention to XLA: the exporter
# does not ask for the defaults of a certain GPU.
FORMS: dict[str, dict[str, Any]] = {
    "": {},
    "undropped": {},
    "rematerialized": {"rematerialize_blocks": True},
    "kernel": {"attention": "kernel"},
    "kernel-undropped": {"attention": "kernel"},
    "cudnn": {"attention": "cudnn"},
}
ENCODERS: dict[str, dict[str, Any]] = {
    form: {"attention_probs_dropout_prob": 0.0}
    for form in ("undropped", "kernel-undropped", "cudnn")
}
_HEAD_SIZE, _VOCAB_SIZE = 64, 30522
_PREDICTIONS_OF_512 = 76  # of the recipe; longer sequences have proportionally more


@dataclasses.dataclass(frozen=True, kw_only=True)
class Program:
    """A training step with its sizes.

    Attributes:
      implementation: one of IMPLEMENTATIONS.
      layers: number of Transformer blocks.
      batch: sequences of a step.
      positions: tokens of a sequence.
      hidden: width of the model.
      precision: "mixed_bfloat16" or "float32".
      form: key of FORMS.
      reference_steps: steps that TensorFlow makes on the CPU and records, to be compared with.
    """

    implementation: str
    layers: int
    batch: int
    positions: int = 512
    hidden: int = 1024
    precision: str = "mixed_bfloat16"
    form: str = ""
    reference_steps: int = 0

    @property
    def name(self) -> str:
        """Name of the files; sizes that are Lambert-large's are left out."""
        parts = [self.implementation, f"L{self.layers}", f"B{self.batch}"]
        parts += [f"H{self.hidden}"] * (self.hidden != 1024)
        parts += [f"S{self.positions}"] * (self.positions != 512)
        parts += [self.precision] * (self.precision != "mixed_bfloat16")
        parts += [self.form] * bool(self.form)
        return "-".join(parts)

    @property
    def sizes(self) -> dict[str, int]:
        """Sizes of the model and the batch, as in bench.step."""
        return {
            "hidden": self.hidden,
            "heads": self.hidden // _HEAD_SIZE,
            "layers": self.layers,
            "positions": self.positions,
            "predictions": _PREDICTIONS_OF_512 * self.positions // 512,
            "vocab": _VOCAB_SIZE,
            "batch": self.batch,
        }


# Compared with the numbers of the CPU.
CHECKS = (
    *(
        Program(
            implementation="lambert",
            layers=2,
            batch=2,
            hidden=128,
            precision=precision,
            reference_steps=3,
        )
        for precision in ("float32", "mixed_bfloat16")
    ),
    *(
        Program(
            implementation="lambert",
            layers=4,
            batch=2,
            hidden=512,
            precision=precision,
            reference_steps=2,
        )
        for precision in ("float32", "mixed_bfloat16")
    ),
    # Compared with what XLA's form of attention computes on the CPU, which cannot run the kernels.
    *(
        Program(
            implementation="lambert", layers=2, batch=2, hidden=128, form=form, reference_steps=3
        )
        for form in ("kernel", "cudnn")
    ),
)
# Lambert-large.
LARGE = (
    *(
        Program(implementation=implementation, layers=24, batch=batch)
        for batch in (32, 64, 8, 16)
        for implementation in ("lambert", "tf-models")
    ),
    Program(implementation="lambert-gradients", layers=24, batch=32),
    *(
        Program(implementation="lambert", layers=24, batch=batch, form="kernel")
        for batch in (32, 64, 8, 16)
    ),
    *(
        Program(implementation="lambert", layers=24, batch=32, form=form)
        for form in ("cudnn", "kernel-undropped")
    ),
)
# As many tokens as 32 sequences of 512.
LONG = (
    Program(implementation="lambert", layers=24, batch=16, positions=1024),
    Program(implementation="lambert", layers=24, batch=8, positions=2048),
    Program(implementation="lambert", layers=24, batch=16, positions=1024, form="kernel"),
    Program(implementation="lambert", layers=24, batch=8, positions=2048, form="kernel"),
)
# Those that GPU machines run.
MEASURED = (*CHECKS, *LARGE, *LONG)
# Only compiled, by bench.gpu.check: they compile faster than Lambert-large.
FOUR_LAYERS = (
    *(
        Program(implementation=implementation, layers=4, batch=batch)
        for batch in (8, 16, 32, 64)
        for implementation in ("lambert", "tf-models")
    ),
    *(
        Program(implementation="lambert", layers=4, batch=32, form=form)
        for form in ("kernel", "cudnn")
    ),
    *(dataclasses.replace(program, layers=4) for program in LONG),
)
PROGRAMS = {program.name: program for program in (*MEASURED, *FOUR_LAYERS)}
