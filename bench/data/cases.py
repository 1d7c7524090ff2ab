"""Table of benchmarks: stages, implementations, their environments, and our targets.

Both environments read it, so it imports none of the measured libraries.
"""

from __future__ import annotations

import dataclasses

# Masked copies of every sequence in the stage "text-to-examples".
COPIES = 2
SEQ_LENGTH = 512
PREDICTIONS = 76
BATCH_SIZE = 256


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """One implementation of one stage.

    Attributes:
      stage: stage of the data build.
      implementation: library or program that is measured.
      function: "module:name" inside bench.data, called with (Workspace, Stopwatch).
      distributions: installed packages whose versions are recorded with the figures.
      is_peer: whether it runs in the environment of the peers instead of the product's.
    """

    stage: str
    implementation: str
    function: str
    distributions: tuple[str, ...]
    is_peer: bool = False

    @property
    def name(self) -> str:
        """Name in messages and files."""
        return f"{self.stage}-{self.implementation}"


_OURS = ("numpy", "sentencex", "tensorflow", "tensorflow-text")
_MODELS = ("tensorflow", "tf-models-official")
_FACE = ("datasets", "tokenizers", "transformers")


def _ours(stage: str, distributions: tuple[str, ...] = _OURS) -> Case:
    function = f"lambert:{stage}"
    return Case(
        stage=stage, implementation="lambert", function=function, distributions=distributions
    )


def _peer(stage: str, implementation: str, function: str, *distributions: str) -> Case:
    return Case(
        stage=stage,
        implementation=implementation,
        function=function,
        distributions=distributions,
        is_peer=implementation != "tf-models",  # a dependency of the product
    )


CASES = (
    _ours("extraction", ("mwparserfromhell",)),
    _peer("extraction", "gensim", "cleaners:gensim", "gensim"),
    _peer("extraction", "mwparserfromhell", "cleaners:mwparserfromhell", "mwparserfromhell"),
    _peer("extraction", "wikiextractor", "cleaners:wikiextractor", "wikiextractor"),
    _ours("sentences", ("sentencex",)),
    _peer("sentences", "blingfire", "segmenters:blingfire", "blingfire"),
    _peer("sentences", "nupunkt", "segmenters:nupunkt", "nupunkt"),
    _peer("sentences", "nupunkt-rs", "segmenters:nupunkt_rs", "nupunkt-rs"),
    _peer("sentences", "pysbd", "segmenters:pysbd", "pysbd"),
    _ours("packing"),
    _peer("packing", "huggingface", "huggingface:packing", *_FACE),
    _ours("masking", ("numpy", "tensorflow")),
    _peer("masking", "huggingface", "huggingface:masking", *_FACE),
    _ours("text-to-examples"),
    _peer("text-to-examples", "tf-models", "tf_models:text_to_examples", *_MODELS),
    _ours("reading", ("numpy", "tensorflow")),
    _peer("reading", "tf-models", "tf_models:reading", *_MODELS),
    Case(
        stage="forms",
        implementation="lambert",
        function="forms:forms",
        distributions=(*_OURS, "pyarrow", "zstandard"),
    ),
    _ours("memory", ("apache-beam", "numpy", "tensorflow")),
    Case(
        stage="corpus",
        implementation="lambert",
        function="corpus:corpus",
        distributions=("apache-beam", "numpy", "tensorflow"),
    ),
)
STAGES = tuple(dict.fromkeys(case.stage for case in CASES))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Target:
    """Target for one of our figures: a bound, and a multiple of a peer's figure.

    Attributes:
      stage: stage of our row.
      what: value of `what` in our row.
      figure: key of the figure.
      bound: minimum (for memory: maximum).
      peer: (implementation, stage, factor) of the peer's row, for the same figure.
    """

    stage: str
    what: str
    figure: str
    bound: float
    peer: tuple[str, str, float] | None = None


TARGETS = (
    Target(
        stage="packing",
        what="in memory",
        figure="tokens_per_second",
        bound=3e6,
        peer=("huggingface", "packing", 8),
    ),
    Target(
        stage="masking",
        what="masked TFRecords on disk",
        figure="examples_per_second",
        bound=40_000,
        peer=("tf-models", "text-to-examples", 40),
    ),
    Target(
        stage="reading",
        what="masks materialised",
        figure="sequences_per_second",
        bound=60_000,
    ),
    Target(stage="reading", what="masks online", figure="sequences_per_second", bound=30_000),
    Target(stage="memory", what="growth", figure="peak_bytes_per_token", bound=4),
    Target(stage="memory", what="growth", figure="peak_own_bytes_per_token", bound=4),
)
