"""Find documents and paragraphs that occur more than once in the corpus.

Everything here works on hashes. Among equal texts the one whose document ranks first is kept, so the
result does not depend on the order of reading. The rank is a hash of the document's hash. The
document's hash itself also selects the held-out split; ranking by it would collect all frequent
texts there.

Legend: D documents, R paragraphs, H hash functions of a signature.
"""

from __future__ import annotations

import hashlib

import numpy as np

from data.hashing import mix64
from data.text.words import words

# Hash of the text (128 bits) and of the document (64 bits), and number in the document, of every
# paragraph that may be a duplicate.
PARAGRAPH = np.dtype([("text", "<u8", 2), ("document", "<u8"), ("paragraph", "<u4")])
_NUM_HASHES = 64
_SHINGLE_WORDS = 5
_PAIRS_PER_CHUNK = 2**16  # pairs of signatures compared in one numpy call
_DOCUMENT = [("text", "<u8", 2), ("document", "<u8")]


def document_dtype(*, with_signature: bool) -> np.dtype:
    """Return the type of a document's record, with a signature if near duplicates are looked for."""
    return np.dtype(_DOCUMENT + ([("signature", "<u4", _NUM_HASHES)] if with_signature else []))


def text_hash(text: str) -> tuple[int, int]:
    """Return the 128-bit hash of a text as two integers."""
    digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
    return int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little")


def signature(text: str) -> np.ndarray:
    """Return the MinHash of a document's shingles of five words, uint32 [H], by datasketch.

    The expected share of positions in which two signatures agree is the Jaccard similarity of the
    sets of shingles (Broder, "On the resemblance and containment of documents", 1997).
    """
    from datasketch import MinHash

    text_words = words(text)
    last = max(1, len(text_words) - _SHINGLE_WORDS + 1)
    shingles = {" ".join(text_words[i : i + _SHINGLE_WORDS]).encode() for i in range(last)}
    minhash = MinHash(num_perm=_NUM_HASHES, seed=1)
    minhash.update_batch(sorted(shingles))
    return minhash.hashvalues.astype(np.uint32)


def find_duplicate_documents(
    documents_D: np.ndarray, *, near_threshold: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the documents to drop.

    Args:
      documents_D: records of `document_dtype`.
      near_threshold: minimum share of equal positions in the signatures of near duplicates; 0 looks
        for exact duplicates only.

    Returns:
      (exact, near): sorted hashes of the documents to drop, uint64. A near duplicate is similar to
      a document that ranks before it and is kept.
    """
    rank_D = mix64(documents_D["document"])
    repeats_D = _repeats(documents_D["text"], rank_D)
    exact = np.sort(documents_D["document"][repeats_D])
    near = np.zeros(0, np.uint64)
    if near_threshold > 0:
        rest = np.flatnonzero(~repeats_D)
        rest = rest[np.argsort(rank_D[rest])]
        is_near = _near_earlier(documents_D["signature"][rest], near_threshold)
        near = np.sort(documents_D["document"][rest[is_near]])
    return exact, near


def find_duplicate_paragraphs(paragraphs_R: np.ndarray, dropped: np.ndarray) -> np.ndarray:
    """Return the paragraphs to drop.

    Args:
      paragraphs_R: records of PARAGRAPH; all paragraphs with the same text must be among them.
      dropped: sorted hashes of documents that are dropped as a whole; their paragraphs do not count
        as earlier occurrences.

    Returns:
      The records of repeated paragraphs, PARAGRAPH [n].
    """
    paragraphs_R = paragraphs_R[~np.isin(paragraphs_R["document"], dropped)]
    order = np.lexsort([paragraphs_R["paragraph"], mix64(paragraphs_R["document"])])
    paragraphs_R = paragraphs_R[order]
    return paragraphs_R[_repeats(paragraphs_R["text"], np.arange(len(paragraphs_R)))]


def _repeats(text: np.ndarray, rank: np.ndarray) -> np.ndarray:
    """Return whether each entry repeats the text of an entry with a smaller rank, bool."""
    order = np.lexsort([rank, text[:, 1], text[:, 0]])
    same = (text[order[1:]] == text[order[:-1]]).all(axis=1)
    repeats = np.zeros(len(text), bool)
    repeats[order[1:][same]] = True
    return repeats


def _near_earlier(signature_DH: np.ndarray, threshold: float) -> np.ndarray:
    """Return whether each document is a near duplicate of an earlier one that is kept, bool [D].

    Candidate pairs share all values of a band of the signature (Leskovec, Rajaraman and Ullman,
    "Mining of massive datasets", section 3.4). Each document that shares a band with others is
    compared with the first of them and with the one before it.
    """
    rows = _band_rows(threshold)
    earlier, later = [], []
    for start in range(0, _NUM_HASHES - rows + 1, rows):
        key_D = np.zeros(len(signature_DH), np.uint64)
        for column_D in signature_DH[:, start : start + rows].T:
            key_D = mix64(key_D ^ column_D)
        order = np.argsort(key_D, kind="stable")
        key_D = key_D[order]
        same = np.flatnonzero(key_D[1:] == key_D[:-1]) + 1
        earlier += [order[same - 1], order[np.searchsorted(key_D, key_D[same])]]
        later += [order[same], order[same]]
    pairs = np.unique(np.stack([np.concatenate(later), np.concatenate(earlier)], axis=1), axis=0)
    is_near = np.zeros(len(signature_DH), bool)
    for chunk in np.array_split(pairs, 1 + len(pairs) // _PAIRS_PER_CHUNK):
        agreement = (signature_DH[chunk[:, 0]] == signature_DH[chunk[:, 1]]).mean(axis=1)
        for document, kept in chunk[agreement >= threshold].tolist():
            is_near[document] |= not is_near[kept]
    return is_near


def _band_rows(threshold: float) -> int:
    """Return the most rows of a band with which a pair at the threshold shares a band 95% of times."""
    return max(
        rows
        for rows in range(1, _NUM_HASHES + 1)
        if rows == 1 or 1 - (1 - threshold**rows) ** (_NUM_HASHES // rows) >= 0.95
    )
