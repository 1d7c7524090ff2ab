"""Duplicate documents and paragraphs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.hashing import mix64
from data.stages import duplicates
from data.stages.duplicates import (
    PARAGRAPH,
    document_dtype,
    find_duplicate_documents,
    find_duplicate_paragraphs,
    signature,
    text_hash,
)

# Hashes of documents in the order of their rank; document i in the tests is RANKED[i].
RANKED = sorted(range(100), key=lambda number: int(mix64(np.uint64(number))))


def document_numbers(hashes) -> list[int]:
    return sorted(RANKED.index(number) for number in hashes.tolist())


def documents(*texts, with_signature=False):
    dtype = document_dtype(with_signature=with_signature)
    extra = [(signature(text),) if with_signature else () for text in texts]
    return np.array(
        [
            (text_hash(text), RANKED[i], *more)
            for i, (text, more) in enumerate(zip(texts, extra, strict=True))
        ],
        dtype,
    )


def paragraphs(*rows):
    """Rows of (text, document, paragraph)."""
    return np.array([(text_hash(t), RANKED[document], p) for t, document, p in rows], PARAGRAPH)


def paragraph_positions(found) -> list[tuple[int, int]]:
    return sorted((RANKED.index(d), p) for d, p in found[["document", "paragraph"]].tolist())


def test_first_of_equal_documents_is_kept():
    exact, near = find_duplicate_documents(documents("a", "b", "a", "c", "a"), near_threshold=0.0)
    assert document_numbers(exact) == [2, 4]
    assert near.tolist() == []


def test_first_of_equal_paragraphs_is_kept():
    found = find_duplicate_paragraphs(
        paragraphs(("x", 5, 0), ("y", 2, 1), ("x", 2, 3), ("x", 2, 2), ("z", 7, 0), ("y", 9, 9)),
        np.array([], np.uint64),
    )
    assert paragraph_positions(found) == [(2, 3), (5, 0), (9, 9)]


def test_paragraphs_of_dropped_documents_do_not_count():
    rows = paragraphs(("x", 1, 0), ("x", 2, 0), ("x", 3, 0))
    found = find_duplicate_paragraphs(rows, np.array([RANKED[1]], np.uint64))
    assert paragraph_positions(found) == [(3, 0)]


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 5), st.integers(0, 3)), unique=True),
    st.randoms(),
)
def test_every_text_is_kept_once_in_any_order_of_reading(rows, random):
    rows = list({row[1:]: row for row in rows}.values())  # one text for each paragraph
    if not rows:
        return
    none = np.array([], np.uint64)
    found = find_duplicate_paragraphs(paragraphs(*rows), none)
    dropped = set(paragraph_positions(found))
    kept = sorted(row for row in rows if row[1:] not in dropped)
    assert [text for text, *_ in kept] == sorted({text for text, *_ in rows})
    for text, *position in kept:
        assert position == min(list(other) for same, *other in rows if same == text)
    random.shuffle(rows)
    np.testing.assert_array_equal(find_duplicate_paragraphs(paragraphs(*rows), none), found)


def test_signature_estimates_the_overlap_of_real_texts(paragraphs):
    text = " ".join(paragraphs[:300])
    words = text.split()
    changed = " ".join(words[: len(words) * 9 // 10] + ["other", "words"] * (len(words) // 20))
    sets = []
    for version in (text, changed):
        split = version.lower().split()
        sets.append({tuple(split[i : i + 5]) for i in range(len(split) - 4)})
    true = len(sets[0] & sets[1]) / len(sets[0] | sets[1])
    estimate = (signature(text) == signature(changed)).mean()
    assert 0.8 < true < 0.95
    assert abs(estimate - true) < 3 * (true * (1 - true) / 64) ** 0.5


def test_near_duplicates_are_found_and_other_documents_are_not(paragraphs):
    texts = [" ".join(paragraphs[i : i + 40]) for i in range(0, 400, 40)]
    texts.append(texts[3] + " One more sentence at the end of it.")
    texts.append("Something new before. " + texts[3])
    exact, near = find_duplicate_documents(
        documents(*texts, with_signature=True), near_threshold=0.8
    )
    assert exact.tolist() == []
    assert document_numbers(near) == [10, 11]
    _, near = find_duplicate_documents(documents(*texts, with_signature=True), near_threshold=0.0)
    assert near.tolist() == []


def test_near_duplicate_of_a_dropped_document_is_kept():
    """Each document is similar to the previous one, but the third is not similar to the first."""
    base = np.arange(64, dtype=np.uint32)
    signatures = np.stack([base, base, base])
    signatures[1, 48:] += 100
    signatures[2, 48:] += 100
    signatures[2, :16] += 200
    assert duplicates._near_earlier(signatures, 0.7).tolist() == [False, True, False]


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.8, 0.9, 1.0])
def test_bands_find_pairs_at_the_threshold(threshold):
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(50):
        pair = np.repeat(rng.integers(0, 2**31, 64, np.uint32)[None], 2, axis=0)
        differ = rng.choice(64, 64 - int(np.ceil(threshold * 64)), replace=False)
        pair[1, differ] += 1
        found += duplicates._near_earlier(pair, threshold).tolist() == [False, True]
    assert found >= 40
