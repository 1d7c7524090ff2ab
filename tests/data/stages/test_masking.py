"""Masks: examples, a reference implementation, statistics."""

import dataclasses
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data import schema
from data.config import BuildConfig
from data.errors import UserError
from data.hashing import derive_key, mix64
from data.stages.masking import (
    SCHEMES,
    MaskingRule,
    choose_spans,
    fingerprints,
    mask_sequences,
    span_lengths,
)
from data.vocab import Vocab

M64 = 2**64 - 1
VOCAB = Vocab((*schema.SPECIAL_TOKENS, "[unused0]", *(f"w{i}" for i in range(94))))
PAD, UNK, CLS, SEP, MASK = (VOCAB.ids[token] for token in schema.SPECIAL_TOKENS)
FIRST_WORD = VOCAB.ids["w0"]


def rule(**changes) -> MaskingRule:
    config = BuildConfig(**{"max_seq_length": 512, "max_predictions": 76, "seed": 3, **changes})
    return MaskingRule.create(config, VOCAB)


def random_sequences(count: int, length: int = 512, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    tokens = rng.integers(FIRST_WORD, len(VOCAB), (count, length)).astype(np.uint16)
    tokens[:, 0], tokens[:, -1] = CLS, SEP
    return tokens


def mask(tokens, copy=0, **changes):
    tokens = np.asarray(tokens, np.uint16)
    return mask_sequences(tokens, np.full(len(tokens), copy), rule(**changes))


# --- An independent implementation on Python integers, after the description. ---


def mix(x: int) -> int:
    x = (x + 0x9E3779B97F4A7C15) & M64
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & M64
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & M64
    return x ^ (x >> 31)


def key_of(*parts: int) -> int:
    key = 0
    for part in parts:
        key = mix(key ^ part)
    return key


def reference_mask(tokens: list[int], copy: int, *, seed: int, max_predictions: int):
    """(masked tokens, positions, labels) at the default rates."""
    fingerprint = mix(sum((t + 1) * (mix(i) | 1) for i, t in enumerate(tokens)) & M64)
    key = key_of(seed, fingerprint, copy)
    special = {i for i, p in enumerate(VOCAB.pieces) if p.startswith("[")}
    words = [i for i in range(len(VOCAB)) if i not in special]
    ranks = {
        i: ((mix(key_of(key, 1) ^ mix(i)) >> 1) >> 16, i)
        for i, token in enumerate(tokens)
        if token not in special
    }
    length = sum(token != PAD for token in tokens)
    count = min(max_predictions, max(1, (length * 15 + 50) // 100), len(ranks))
    positions = sorted(sorted(ranks, key=ranks.__getitem__)[:count])
    masked = list(tokens)
    for i in positions:
        choice = mix(key_of(key, 2) ^ mix(i)) >> 32
        if choice < 2**32 * 8 // 10:
            masked[i] = MASK
        elif choice < 2**32 * 9 // 10:
            masked[i] = words[((mix(key_of(key, 3) ^ mix(i)) >> 32) * len(words)) >> 32]
    return masked, positions, [tokens[i] for i in positions]


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.integers(FIRST_WORD, len(VOCAB) - 1), min_size=1, max_size=30),
    st.integers(0, 99),
    st.integers(0, 2**63 - 1),
)
def test_masks_equal_those_of_a_reference_on_python_integers(words, copy, seed):
    tokens = [CLS, *words, SEP] + [PAD] * (32 - len(words) - 2 + 1)
    found = mask([tokens], copy, seed=seed, max_seq_length=33, max_predictions=6)
    masked, positions, labels = reference_mask(tokens, copy, seed=seed, max_predictions=6)
    n = len(positions)
    assert found["input_word_ids"][0].tolist() == masked
    assert found["masked_lm_positions"][0].tolist() == positions + [0] * (6 - n)
    assert found["masked_lm_ids"][0].tolist() == labels + [0] * (6 - n)
    assert found["masked_lm_weights"][0].tolist() == [1.0] * n + [0.0] * (6 - n)


def test_masks_of_an_example_are_pinned():
    """Other masks for the same seed would make every existing build unreadable."""
    words = list(range(FIRST_WORD, FIRST_WORD + 28))
    found = mask([[CLS, *words, SEP, PAD, PAD]], copy=1, max_seq_length=32, max_predictions=6)
    assert {name: values[0].tolist() for name, values in found.items()} == {
        "input_word_ids": [
            2,
            6,
            7,
            8,
            9,
            10,
            4,
            12,
            13,
            14,
            15,
            16,
            17,
            18,
            19,
            20,
            21,
            22,
            23,
            24,
            25,
            26,
            27,
            4,
            29,
            4,
            4,
            32,
            4,
            3,
            0,
            0,
        ],
        "input_mask": [1] * 30 + [0] * 2,
        "input_type_ids": [0] * 32,
        "masked_lm_positions": [6, 23, 25, 26, 28, 0],
        "masked_lm_ids": [11, 28, 30, 31, 33, 0],
        "masked_lm_weights": [1.0] * 5 + [0.0],
    }


def test_features_have_the_shapes_and_types_of_the_schema():
    found = mask(random_sequences(3))
    assert list(found) == [feature.name for feature in schema.FEATURES]
    for feature in schema.FEATURES:
        size = feature.size(max_seq_length=512, max_predictions=76)
        assert found[feature.name].shape == (3, size)
        dtype = np.float32 if feature.dtype == "float32" else np.int32
        assert found[feature.name].dtype == dtype


def test_masks_do_not_depend_on_the_batch():
    tokens = random_sequences(8)
    whole = mask_sequences(tokens, np.arange(8), rule())
    for i in range(8):
        one = mask_sequences(tokens[i : i + 1], np.array([i]), rule())
        for name, values in whole.items():
            np.testing.assert_array_equal(values[i : i + 1], one[name])


def test_wide_and_narrow_token_types_give_the_same_masks():
    tokens = random_sequences(4)
    narrow, wide = mask(tokens), mask_sequences(tokens.astype(np.uint32), np.zeros(4, int), rule())
    for name, values in narrow.items():
        np.testing.assert_array_equal(values, wide[name])


def test_labels_restore_the_sequence():
    tokens = random_sequences(20)
    found = mask(tokens)
    restored = found["input_word_ids"].copy()
    for row, positions, labels, weights in zip(
        restored,
        found["masked_lm_positions"],
        found["masked_lm_ids"],
        found["masked_lm_weights"],
        strict=True,
    ):
        row[positions[weights > 0]] = labels[weights > 0]
    np.testing.assert_array_equal(restored, tokens)


@pytest.mark.parametrize(("length", "count"), [(3, 1), (10, 2), (100, 15), (511, 76), (512, 76)])
def test_number_of_predictions(length, count):
    tokens = np.full((1, 512), PAD)
    tokens[0, :length] = random_sequences(1, length)
    assert mask(tokens)["masked_lm_weights"].sum() == count


def test_special_tokens_are_neither_masked_nor_drawn():
    tokens = random_sequences(2000)
    tokens[:, 5:500:7] = UNK
    tokens[:, 6:500:7] = SEP
    found = mask(tokens)
    used = found["masked_lm_weights"] > 0
    assert (found["masked_lm_ids"][used] >= FIRST_WORD).all()
    shown = np.take_along_axis(found["input_word_ids"], found["masked_lm_positions"], axis=1)[used]
    assert set(np.unique(shown)) == {MASK, *range(FIRST_WORD, len(VOCAB))}


def test_a_sequence_of_special_tokens_has_no_prediction():
    found = mask([[CLS, UNK, UNK, SEP]], max_seq_length=8, max_predictions=2)
    assert found["masked_lm_weights"].sum() == 0
    assert found["input_word_ids"].tolist() == [[CLS, UNK, UNK, SEP]]


def test_statistics_over_a_million_tokens():
    """Every count is within five standard deviations of the binomial distribution."""
    tokens = random_sequences(2000)
    found = mask(tokens)
    n = 2000 * 76
    shown = np.take_along_axis(found["input_word_ids"], found["masked_lm_positions"], axis=1)
    is_mask, is_same = shown == MASK, shown == found["masked_lm_ids"]

    def within(count, probability, trials):
        spread = np.sqrt(trials * probability * (1 - probability))
        assert abs(count - trials * probability) < 5 * spread, (count, trials * probability)

    words = len(VOCAB) - FIRST_WORD
    within(is_mask.sum(), 0.8, n)
    within(is_same.sum(), 0.1 + 0.1 / words, n)
    # Every position is chosen equally often: 76 of the 510 that may be.
    counts = np.bincount(found["masked_lm_positions"].ravel(), minlength=512)
    assert counts[0] == counts[511] == 0
    for count in counts[1:511]:
        within(count, 76 / 510, 2000)
    # Every word replaces equally often.
    random = shown[~is_mask & ~is_same]
    for count in np.bincount(random, minlength=len(VOCAB))[FIRST_WORD:]:
        within(count, 1 / words, len(random))


def test_copies_seeds_and_sequences_have_independent_masks():
    """The overlap of two masks is hypergeometric: 76 * 76 / 510 = 11.3 positions on average."""
    tokens = random_sequences(400)

    def positions(found):
        return [set(row.tolist()) for row in found["masked_lm_positions"]]

    first = positions(mask(tokens))
    changed = tokens.copy()
    changed[:, 3] = np.where(changed[:, 3] == FIRST_WORD, FIRST_WORD + 1, FIRST_WORD)
    for other in (mask(tokens, copy=1), mask(tokens, seed=4), mask(changed)):
        overlap = [len(a & b) for a, b in zip(first, positions(other), strict=True)]
        assert abs(np.mean(overlap) - 76 * 76 / 510) < 5 * 2.9 / np.sqrt(400)


def test_fingerprints_depend_on_every_token_and_its_position():
    tokens = random_sequences(1)
    swapped = tokens.copy()
    swapped[0, [10, 11]] = tokens[0, [11, 10]] if tokens[0, 10] != tokens[0, 11] else (7, 8)
    changed = tokens.copy()
    changed[0, 200] ^= 1
    distinct = {int(fingerprints(t)[0]) for t in (tokens, swapped, changed)}
    assert len(distinct) == 3


def test_an_unknown_scheme_is_an_error():
    with pytest.raises(UserError, match=r"'entity' is unknown; .* 'token', 'whole_word'"):
        dataclasses.replace(rule(), scheme="entity")


# --- Words and spans. ---

PIECES = Vocab(
    (*schema.SPECIAL_TOKENS, *(f"w{i}" for i in range(20)), *(f"##s{i}" for i in range(20)))
)


def test_ngrams_of_a_unit_without_them_are_an_error(monkeypatch):
    monkeypatch.delitem(SCHEMES, "token_ngram")
    assert MaskingRule.create(BuildConfig(), PIECES).scheme == "token"
    with pytest.raises(
        UserError, match=r"max_ngram=3: must be 1 with BuildConfig.mask_unit='token'"
    ):
        MaskingRule.create(BuildConfig(max_ngram=3), PIECES)


@pytest.mark.parametrize(
    ("mask_unit", "max_ngram", "scheme"),
    [
        ("token", 1, "token"),
        ("whole_word", 1, "whole_word"),
        ("token", 2, "token_ngram"),
        ("whole_word", 3, "whole_word_ngram"),
    ],
)
def test_settings_select_the_scheme(mask_unit, max_ngram, scheme):
    config = BuildConfig(mask_unit=mask_unit, max_ngram=max_ngram)
    assert MaskingRule.create(config, PIECES).scheme == scheme


def mask_pieces(tokens, copy=0, **changes):
    config = BuildConfig(**{"max_seq_length": 512, "max_predictions": 76, "seed": 3, **changes})
    tokens = np.asarray(tokens, np.uint16)
    copies = np.full(len(tokens), copy)
    return mask_sequences(tokens, copies, MaskingRule.create(config, PIECES))


def reference_choice(tokens, copy, *, seed, max_predictions, mask_unit, max_ngram):
    """Return predicted positions after the description: units, then spans of units by rank."""
    fingerprint = mix(sum((t + 1) * (mix(i) | 1) for i, t in enumerate(tokens)) & M64)
    key = key_of(seed, fingerprint, copy)
    runs, units = [], []  # units of a run follow each other without a special token between
    for i, token in enumerate(tokens):
        if PIECES.pieces[token].startswith("["):
            units = []
        elif mask_unit == "whole_word" and PIECES.pieces[token].startswith("##") and units:
            units[-1].append(i)
        else:
            if not units:
                runs.append(units)
            units.append([i])
    weights = [Fraction(1, n) for n in range(1, max_ngram + 1)]
    spans = []
    for units in runs:
        for number, unit in enumerate(units):
            first = unit[0]
            drawn = Fraction(mix(key_of(key, 4) ^ mix(first)) >> 32, 2**32)
            length = 1
            while length < max_ngram and drawn >= Fraction(
                int(sum(weights[:length]) / sum(weights) * 2**32), 2**32
            ):
                length += 1
            rank = (mix(key_of(key, 1) ^ mix(first)) >> 1) >> 16, first
            spans.append((rank, [i for unit in units[number : number + length] for i in unit]))
    count = min(max_predictions, max(1, (sum(t != PAD for t in tokens) * 15 + 50) // 100))
    taken = set()
    for _, span in sorted(spans):
        if not taken & set(span) and len(taken) + len(span) <= count:
            taken |= set(span)
    return sorted(taken)


OPTIONS = st.fixed_dictionaries(
    {"mask_unit": st.sampled_from(["token", "whole_word"]), "max_ngram": st.integers(1, 5)}
)


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.integers(1, len(PIECES) - 1), min_size=0, max_size=60),
    OPTIONS,
    st.integers(0, 99),
    st.integers(0, 2**63 - 1),
)
def test_words_and_spans_equal_the_reference(ids, options, copy, seed):
    tokens = ids + [PAD] * (60 - len(ids))
    found = mask_pieces([tokens], copy, seed=seed, max_seq_length=60, max_predictions=8, **options)
    positions = reference_choice(tokens, copy, seed=seed, max_predictions=8, **options)
    n = len(positions)
    assert found["masked_lm_positions"][0].tolist() == positions + [0] * (8 - n)
    assert found["masked_lm_weights"][0].tolist() == [1.0] * n + [0.0] * (8 - n)
    assert found["masked_lm_ids"][0].tolist() == [tokens[i] for i in positions] + [0] * (8 - n)
    shown = found["input_word_ids"][0].tolist()
    assert [i for i in range(60) if shown[i] != tokens[i] and i not in positions] == []


def test_spans_of_single_tokens_equal_the_token_scheme():
    """The general scheme and the fast one for single tokens choose the same positions."""
    tokens = random_sequences(50)
    keys = derive_key(3, fingerprints(tokens), 0)[:, None]
    candidates = tokens >= FIRST_WORD
    nothing = np.zeros_like(candidates)
    taken = choose_spans(keys, candidates, nothing, np.full(50, 76), ())
    expected = mask(tokens)["masked_lm_positions"]
    np.testing.assert_array_equal(np.nonzero(taken)[1].reshape(50, 76), expected)


def test_a_word_is_predicted_whole_or_skipped():
    w, s = PIECES.ids["w0"], PIECES.ids["##s0"]
    # Count 3 of 20: the word of four pieces never fits, the words of one and two do.
    tokens = [CLS, w, s, s, s, w, s, SEP, s, s, w, SEP, *([UNK] * 8)]
    seen = set()
    for copy in range(200):
        found = mask_pieces(
            [tokens], copy, max_seq_length=20, max_predictions=5, mask_unit="whole_word"
        )
        n = int(found["masked_lm_weights"].sum())
        seen.add(tuple(found["masked_lm_positions"][0, :n].tolist()))
    assert seen == {(5, 6, 10), (8, 9, 10)}


def test_a_sequence_of_one_long_word_has_no_prediction():
    w, s = PIECES.ids["w0"], PIECES.ids["##s0"]
    found = mask_pieces(
        [[CLS, w, s, s, s, s, s, SEP]], max_seq_length=8, max_predictions=2, mask_unit="whole_word"
    )
    assert found["masked_lm_weights"].sum() == 0


@pytest.mark.parametrize(
    ("mask_unit", "max_ngram"), [("whole_word", 1), ("token", 3), ("whole_word", 3)]
)
def test_statistics_of_words_and_spans_over_a_million_tokens(mask_unit, max_ngram):
    """The rate is reached except for spans that do not fit, and each piece is split 80/10/10."""
    rng = np.random.default_rng(1)
    tokens = rng.integers(5, len(PIECES), (2000, 512)).astype(np.uint16)
    tokens[:, 0], tokens[:, -1] = CLS, SEP
    found = mask_pieces(tokens, mask_unit=mask_unit, max_ngram=max_ngram)
    used = found["masked_lm_weights"] > 0
    n = used.sum()
    assert used.sum(axis=1).max() == 76
    assert n > 0.999 * 2000 * 76
    shown = np.take_along_axis(found["input_word_ids"], found["masked_lm_positions"], axis=1)[used]
    for count, share in (
        ((shown == MASK).sum(), 0.8),
        ((shown == found["masked_lm_ids"][used]).sum(), 0.1 + 0.1 / 40),
    ):
        assert abs(count - n * share) < 5 * np.sqrt(n * share * (1 - share))


def test_span_lengths_follow_the_harmonic_law():
    keys = mix64(np.arange(2000, dtype=np.uint64))[:, None]
    rule = MaskingRule.create(BuildConfig(max_ngram=4), PIECES)
    lengths = span_lengths(keys, np.arange(512), rule.length_from)
    n = lengths.size
    for length, share in zip((1, 2, 3, 4), (12 / 25, 6 / 25, 4 / 25, 3 / 25), strict=True):
        count = (lengths == length).sum()
        assert abs(count - n * share) < 5 * np.sqrt(n * share * (1 - share))


def test_masks_do_not_depend_on_blocks_of_a_large_batch():
    tokens = random_sequences(300)
    whole = mask(tokens)
    for i in (0, 127, 128, 299):
        one = mask(tokens[i : i + 1])
        for name, values in whole.items():
            np.testing.assert_array_equal(values[i : i + 1], one[name])
    assert {len(values) for values in mask(tokens[:0]).values()} == {0}
