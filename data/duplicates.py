"""Which documents and paragraphs occurred before, anywhere in the corpus.

Everything here works on hashes, in an order that depends on content alone: of equal texts the one
whose document has the smallest hash stays, whoever was read first.

Legend: D documents, R paragraphs, H hash functions of a signature.
"""

from __future__ import annotations

import hashlib

import numpy as np

from data.hashing import mix64

# Text (128 bits), document (64 bits) and place of every paragraph that may be a duplicate.
PARAGRAPH = np.dtype([("text", "<u8", 2), ("document", "<u8"), ("paragraph", "<u4")])
_NUM_HASHES = 64
_SHINGLE_WORDS = 5
# Of every document; the signature is there if near duplicates are looked for.
_DOCUMENT = [("text", "<u8", 2), ("document", "<u8")]


def document_dtype(*, with_signature: bool) -> np.dtype:
    """Type of the record that `find_duplicate_documents` needs of each document."""
    return np.dtype(_DOCUMENT + ([("signature", "<u4", _NUM_HASHES)] if with_signature else []))


def text_hash(text: str) -> tuple[int, int]:
    """128-bit hash of a text, as two integers."""
    digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
    return int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little")


def signature(text: str) -> np.ndarray:
    """MinHash of a document's shingles of five words, uint32 [H].

    Two signatures agree in as many places, on average, as the sets of shingles overlap (Jaccard
    similarity: Broder, "On the resemblance and containment of documents", 1997). By datasketch.
    """
    from datasketch import MinHash

    words = text.lower().split()
    last = max(1, len(words) - _SHINGLE_WORDS + 1)
    shingles = {" ".join(words[i : i + _SHINGLE_WORDS]).encode() for i in range(last)}
    minhash = MinHash(num_perm=_NUM_HASHES, seed=1)
    minhash.update_batch(sorted(shingles))
    return minhash.hashvalues.astype(np.uint32)


def find_duplicate_documents(
    documents_D: np.ndarray, *, near_threshold: float
) -> tuple[np.ndarray, np.ndarray]:
    """Documents to drop.

    Args:
      documents_D: records of `document_dtype`.
      near_threshold: signatures that agree in at least this share of their places are near
        duplicates; 0 looks for exact duplicates only.

    Returns:
      (exact, near): sorted hashes of the documents to drop, uint64. Of near duplicates, and near
      duplicates of near duplicates, the one with the smallest hash stays.
    """
    repeats = _repeats(documents_D["text"], documents_D["document"])
    exact = np.sort(documents_D["document"][repeats])
    near = np.zeros(0, np.uint64)
    if near_threshold > 0:
        rest = np.sort(documents_D[~repeats], order="document")
        group = _near_groups(rest["signature"], near_threshold)
        _, first = np.unique(group, return_index=True)  # smallest hash of each group
        is_first = np.zeros(len(rest), bool)
        is_first[first] = True
        near = rest["document"][~is_first]
    return exact, near


def find_duplicate_paragraphs(paragraphs_R: np.ndarray, dropped: np.ndarray) -> np.ndarray:
    """The paragraphs to drop.

    Args:
      paragraphs_R: records of PARAGRAPH, with all that share a text.
      dropped: sorted hashes of the documents that are dropped as a whole; their paragraphs are no
        reason to drop another.

    Returns:
      The records of those that occurred before, PARAGRAPH [n].
    """
    paragraphs_R = paragraphs_R[~np.isin(paragraphs_R["document"], dropped)]
    paragraphs_R = np.sort(paragraphs_R, order=["document", "paragraph"])
    rank = np.arange(len(paragraphs_R), dtype=np.uint64)
    return paragraphs_R[_repeats(paragraphs_R["text"], rank)]


def _repeats(text: np.ndarray, rank: np.ndarray) -> np.ndarray:
    """Which entries have the text of another one with a smaller rank, bool."""
    order = np.lexsort([rank, text[:, 1], text[:, 0]])
    same = (text[order[1:]] == text[order[:-1]]).all(axis=1)
    repeats = np.zeros(len(text), bool)
    repeats[order[1:][same]] = True
    return repeats


def _near_groups(signature_DH: np.ndarray, threshold: float) -> np.ndarray:
    """Numbers the groups of documents that are connected by near-duplicate pairs, int [D].

    Candidates share all values of a band of the signature (Leskovec, Rajaraman and Ullman, "Mining
    of massive datasets", section 3.4); of each band's equals, neighbours and first are compared.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    num_documents = len(signature_DH)
    rows = _band_rows(threshold)
    pairs = [np.zeros((0, 2), np.int64)]
    for start in range(0, _NUM_HASHES, rows):
        key = np.zeros(num_documents, np.uint64)
        for column in signature_DH[:, start : start + rows].T:
            key = mix64(key ^ column)
        order = np.argsort(key, kind="stable")
        key = key[order]
        first = order[np.searchsorted(key, key)]  # of the documents with this key
        same = np.concatenate([[False], key[1:] == key[:-1]])
        previous = np.concatenate([order[:1], order[:-1]])
        pairs += [np.stack([first, order], 1)[same], np.stack([previous, order], 1)[same]]
    left, right = np.unique(np.concatenate(pairs), axis=0).T
    agreement = np.array(
        [(signature_DH[a] == signature_DH[b]).mean() for a, b in zip(left, right, strict=True)]
    )
    similar = agreement >= threshold if len(agreement) else np.zeros(0, bool)
    edges = (np.ones(similar.sum(), bool), (left[similar], right[similar]))
    graph = coo_array(edges, shape=(num_documents, num_documents))
    return connected_components(graph, directed=False)[1]


def _band_rows(threshold: float) -> int:
    """The most rows a band may have so that a pair at the threshold shares one 19 times in 20."""
    return max(
        rows
        for rows in range(1, _NUM_HASHES + 1)
        if rows == 1 or 1 - (1 - threshold**rows) ** (_NUM_HASHES // rows) >= 0.95
    )
