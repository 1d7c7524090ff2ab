import sys

import pytest

from data.sources.recursion import retry_on_empty_stack


def test_the_depth_of_the_caller_does_not_count_against_the_limit():
    def depth(levels: int) -> int:
        return 1 + depth(levels - 1) if levels else 0

    def call_below(levels: int) -> int:
        return call_below(levels - 1) if levels else retry_on_empty_stack(depth, limit * 4 // 5)

    limit = sys.getrecursionlimit()
    assert call_below(0) == call_below(limit // 2) == limit * 4 // 5


def test_recursion_that_exceeds_an_empty_stack_is_an_error():
    def recurse():
        return recurse()

    with pytest.raises(RecursionError):
        retry_on_empty_stack(recurse)
