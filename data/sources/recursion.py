"""Recursion that goes as deep as ever, whoever calls."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def with_full_stack(function: Callable[..., T], *args) -> T:
    """Calls a function; a RecursionError means that it needs more than a whole stack.

    How deep a function may recurse depends on how deep its caller is, which differs from one runner
    of a pipeline to the next. What does not fit is tried again on the empty stack of a new thread:
    so whether a document is refused depends on the document alone.
    """
    try:
        return function(*args)
    except RecursionError:
        with ThreadPoolExecutor(max_workers=1) as executor:
            return executor.submit(function, *args).result()
