"""Messages of all programs: absl's log, with time, level and worker, on standard error and in a file.

Modules write `from absl import logging` and `logging.info(...)`. What a program is asked for, its result,
is printed on standard output instead.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import logging
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from absl import logging as absl_logging

LEVELS = ("error", "warning", "info", "debug")  # values of --verbosity
DEFAULT_LEVEL = "info"
_TF_LEVEL = "TF_CPP_MIN_LOG_LEVEL"
# absl::SetMinLogLevel(absl::LogSeverityAtLeast), and the severity of errors.
_SET_MIN_LOG_LEVEL = "_ZN4absl12lts_2025012714SetMinLogLevelENS0_18LogSeverityAtLeastE"
_CPP_ERROR = 2
_ROOT = Path(__file__).resolve().parents[2]
_OURS = tuple(
    f"{_ROOT / name}{os.sep}"
    for name in ("bench", "data", "finetune", "launch", "model", "optim", "pretrain")
)


class _StandardError(logging.Handler):
    """Writes to the standard error of the moment, above a live line."""

    redirected: TextIO | None = None  # instead of standard error

    @property
    def stream(self) -> TextIO:
        """Where messages go now."""
        return self.redirected or sys.stderr

    def emit(self, record: logging.LogRecord) -> None:
        """Write a message; one that cannot be written is lost, and ends no program."""
        stream, text = self.stream, self.format(record)
        with contextlib.suppress(OSError):
            if tqdm := sys.modules.get("tqdm"):
                tqdm.tqdm.write(text, file=stream)
            else:
                print(text, file=stream)
            stream.flush()


_terminal = _StandardError()
_files: list[logging.Handler] = []


def start() -> None:
    """Show messages on standard error, and silence what TensorFlow logs when it starts.

    Processes that this one starts, such as Beam's workers, inherit the silence.
    """
    # Without a GPU, TensorFlow also logs an error about CUDA.
    os.environ.setdefault(_TF_LEVEL, "2" if Path("/dev/nvidia0").exists() else "3")
    logger = absl_logging.get_absl_logger()
    logger.propagate = False
    _terminal.setFormatter(_formatter())
    if _terminal not in logger.handlers:
        logger.addHandler(_terminal)
    set_verbosity(DEFAULT_LEVEL)


def silence_loaded_tensorflow() -> None:
    """Let the C++ code of TensorFlow, once it is loaded, log errors only; not with --verbosity debug.

    XLA logs through absl, which TF_CPP_MIN_LOG_LEVEL does not reach. Python has no function for it; that
    of C++ has the name of TensorFlow 2.20, and with another TensorFlow nothing happens.
    """
    import tensorflow as tf

    if os.environ.get(_TF_LEVEL) == "0":
        return
    for path in Path(tf.sysconfig.get_lib()).glob("libtensorflow_*.so.*"):
        set_level = getattr(ctypes.CDLL(str(path)), _SET_MIN_LOG_LEVEL, None)
        if set_level:
            set_level(_CPP_ERROR)


def set_verbosity(level: str) -> None:
    """Show messages of a level and above; with "debug" those of all libraries.

    Args:
      level: one of LEVELS.
    """
    is_debug = level == "debug"
    absl_logging.set_verbosity(level)
    # Beam, for example, logs missing cloud packages, and a stack trace for every error that we report.
    logging.getLogger().setLevel("INFO" if is_debug else "CRITICAL")
    _terminal.filters.clear()
    if is_debug:
        os.environ[_TF_LEVEL] = "0"
    else:
        _terminal.addFilter(_is_wanted)


def open_file(folder: str, program: str) -> None:
    """Append all messages from now on, and errors, to a file as well.

    Args:
      folder: local folder of the file, which is created.
      program: name of the program, from which that of the file is made.
    """
    index = worker_index()
    name = f"{program}{'' if index is None else f'.worker-{index}'}.log"
    os.makedirs(folder, exist_ok=True)
    handler = logging.FileHandler(Path(folder, name), encoding="utf-8")
    handler.setFormatter(_formatter())
    handler.addFilter(_is_wanted)
    absl_logging.get_absl_logger().addHandler(handler)
    _files.append(handler)


def record_error(message: str, *, exc_info: bool = False) -> None:
    """Write an error to the file of `open_file`; it is printed elsewhere."""
    logger = absl_logging.get_absl_logger()
    details: Any = sys.exc_info() if exc_info else None
    for handler in _files:
        handler.handle(
            logger.makeRecord("absl", logging.ERROR, __file__, 0, message.strip(), (), details)
        )


def terminal() -> TextIO:
    """Return the stream of the messages, where live lines belong, too."""
    return _terminal.stream


@contextlib.contextmanager
def shown_on(stream: TextIO) -> Iterator[None]:
    """Show messages on a stream instead of standard error."""
    previous, _terminal.redirected = _terminal.redirected, stream
    try:
        yield
    finally:
        _terminal.redirected = previous


def worker_index() -> int | None:
    """Return the number of this process in a cluster of several, by TF_CONFIG, else None."""
    try:
        config = json.loads(os.environ.get("TF_CONFIG") or "{}")
        workers = config["cluster"]["worker"]
        return int(config["task"]["index"]) if len(workers) > 1 else None
    except (ValueError, KeyError, TypeError):
        return None  # one process; launch.strategy reports a malformed variable


def _formatter() -> logging.Formatter:
    index = worker_index()
    worker = "" if index is None else f"worker {index}: "
    formatter = logging.Formatter(
        f"%(asctime)s %(levelname)s {worker}%(message)s", datefmt="%Y-%m-%dT%H:%M:%SZ"
    )
    formatter.converter = time.gmtime
    return formatter


def _is_wanted(record: logging.LogRecord) -> bool:
    """Return whether a message is ours, or an error: tf-models and Keras log through absl, too."""
    return record.levelno >= logging.ERROR or record.pathname.startswith(_OURS)
