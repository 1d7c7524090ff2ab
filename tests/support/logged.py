"""Messages in what a program wrote on standard error."""

import re

_PREFIX = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ (?:INFO|WARNING|ERROR) ")


def messages(err: str) -> list[str]:
    """Return the lines without time and level."""
    return [_PREFIX.sub("", line) for line in err.splitlines()]
