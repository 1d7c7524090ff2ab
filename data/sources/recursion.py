"""Retry deep recursion on the empty stack of a new thread."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def retry_on_empty_stack(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function, a second time in a new thread if it exceeds the recursion limit.

    The limit includes the frames of the caller, and their number differs between Beam runners. A new
    thread starts from an empty stack, so whether a document is rejected depends on the document
    alone.

    Raises:
      RecursionError: the call does not fit on an empty stack either.
    """
    try:
        return function(*args, **kwargs)
    except RecursionError:
        with ThreadPoolExecutor(max_workers=1) as executor:
            return executor.submit(function, *args, **kwargs).result()
