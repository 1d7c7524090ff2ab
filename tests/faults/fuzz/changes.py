"""Change JSON records at random: their fields, their bytes, or both."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

from tests.faults.damage import fields

_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 7, 2**31, 2**63, -(2**63), 10**30, 10**400, 0.5, -0.0, 1e308),
    *(float("inf"), float("-inf"), float("nan"), "", "a", "7", "0.5", "../../x", "/etc/passwd"),
    *("\ud800", "a\0b", "a\nb", "gs://b/x", ".", "a/" * 3000, "ab" * 32, "\u2028", "%s{}"),
    *([], [[]], {}, {"": {}}, [None], ["a"], [1, 2], {"a": 1}, {"step": 1}),
)
_TOKENS = (b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"1e999", b"NaN", b"-", b"\0", b"\xff")


def change(base: Any, text: bytes, rng: random.Random) -> bytes:
    """Return a record with a few changes: of its fields, of its bytes, or of both.

    Args:
      base: content of the record.
      text: the same as JSON.
      rng: draws the changes.
    """
    if rng.random() < 0.75:
        content = copy.deepcopy(base)
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            _change_field(content, rng)
        text = json.dumps(content).encode()
    if rng.random() < 0.35:
        for _ in range(rng.choice((1, 1, 2, 8))):
            text = _change_bytes(text, rng)
    if rng.random() < 0.002:
        text = rng.choice((b"[", b'{"a":', b"[{")) * 100_000
    return text


def _change_field(content: Any, rng: random.Random) -> None:
    found = list(fields(content))
    if not found:
        return
    keys, value = rng.choice(found)
    parent = content
    for key in keys[:-1]:
        parent = parent[key]
    kind = rng.randrange(6)
    if kind == 0 and isinstance(parent, dict):
        del parent[keys[-1]]
    elif kind == 1 and isinstance(parent, dict):
        parent[rng.choice(("other", "", "step", "../x", "a" * 500))] = rng.choice(_VALUES)
    elif kind == 2 and isinstance(value, int):
        parent[keys[-1]] = value + rng.choice((-1, 1, 2**32, -(2**32)))
    elif kind == 3 and isinstance(value, list):
        parent[keys[-1]] = value * rng.choice((0, 2, 50))
    elif kind == 4:
        parent[keys[-1]] = copy.deepcopy(rng.choice(found)[1])
    else:
        parent[keys[-1]] = copy.deepcopy(rng.choice(_VALUES))


def _change_bytes(text: bytes, rng: random.Random) -> bytes:
    at = rng.randint(0, len(text))
    end = min(len(text), at + rng.choice((0, 1, 1, 5, 200)))
    piece = rng.choice((rng.choice(_TOKENS), rng.randbytes(1), text[at:end] * 2, b""))
    return text[:at] + piece + text[end:]
