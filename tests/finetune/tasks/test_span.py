"""SQuAD's published files, compared with the code in tf-models."""

import json
import string
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import UserError
from data.text.wordpiece import WordPieceTokenizer
from finetune.config import TaskConfig
from finetune.tasks.registry import open_task
from finetune.tasks.squad import find_answer
from finetune.tasks.tables import Skip
from finetune.tasks.task import position_entropy
from finetune.tasks.windows import overlapping_tokens

S = 40
SETTINGS = {"max_seq_length": S, "doc_stride": 10, "max_query_length": 16, "max_answer_length": 12}


@pytest.fixture(scope="module")
def tasks(vocab):
    return {
        name: open_task(TaskConfig(task=name, **SETTINGS), vocab, lower_case=True)
        for name in ("squad_v1", "squad_v2")
    }


@pytest.fixture(scope="module")
def tokenizer(vocab):
    return WordPieceTokenizer(vocab, lower_case=True)


def outputs_for(split, tokens: dict[str, tuple[int, int]], no_answer: float = 0.0) -> np.ndarray:
    """Logits [N, S, 2] with 9 at these context tokens, by question."""
    examples = split.examples
    outputs = np.zeros((len(split), S, 2), np.float32)
    outputs[:, 0] = no_answer
    windows = examples.windows
    for n, question in enumerate(windows.question):
        for which, token in enumerate(tokens.get(examples.questions[question].id, ())):
            index = token - windows.start[n]
            if 0 <= index < windows.length[n]:
                outputs[n, windows.offset[n] + index, which] = 9
    return outputs


def answer_tokens(split) -> dict[str, tuple[int, int]]:
    """First and last token of every question's first answer, by comparing characters."""
    tokens = {}
    for question in split.examples.questions:
        if question.answers:
            answer = question.answers[0]
            begins, ends = split.examples.offsets(question.context)
            start = find_answer(split.examples.contexts[question.context], answer)
            stop = start + len(answer.text)
            inside = [t for t in range(len(begins)) if begins[t] < stop and ends[t] > start]
            tokens[question.id] = (inside[0], inside[-1])
    return tokens


def test_positions_of_the_answers(tasks, golden, vocab):
    train = tasks["squad_v1"].load(golden / "squad", "train")
    examples = train.examples
    texts: dict[str, set[str]] = {}
    for n, question in enumerate(examples.windows.question):
        first, last = (train.features[f"{end}_positions"][n] for end in ("start", "end"))
        pieces = [vocab.pieces[i] for i in train.features["input_word_ids"][n, first : last + 1]]
        texts.setdefault(examples.questions[question].id[-4:], set()).add(" ".join(pieces))
    assert texts == {
        "9063": {"1 ##8 ##9 ##5", "[CLS]"},
        "9065": {"z ##o ##e mu ##ll ##er", "[CLS]"},
        "9066": {"the c ##ity of lo ##nd ##on", "[CLS]"},
        "9600": {"1 ##3 ##8 ##7"},
        "9602": {"the king"},
    }
    assert train.features["start_positions"].dtype == np.int32
    assert train.skipped == (
        Skip(
            f"{golden}/squad/train-v1.1.json, question 56bf6b0f3aeaaa14008c9601",
            "the answer 'Monmouth' does not occur in its context",
        ),
    )
    assert train.notes == {
        "questions whose context is seen through several windows": 3,
        "answers found at another position of the context than the file gives": 1,
    }


def test_right_outputs_give_the_answers_of_the_file(tasks, golden, tmp_path):
    task = tasks["squad_v1"]
    train = task.load(golden / "squad", "train")
    outputs = outputs_for(train, answer_tokens(train))
    assert task.metrics(outputs, train) == {"exact_match": 1.0, "f1": 1.0}
    paths = [*map(Path, task.write_predictions(outputs, train, tmp_path))]
    assert [path.name for path in paths] == ["predictions.json", "nbest_predictions.json"]
    predictions, n_best = (json.loads(path.read_text()) for path in paths)
    assert list(predictions.values()) == [
        "1895",
        "Zoë Müller",
        "the city of London",
        "1387",
        "the king",
    ]
    for name, text in predictions.items():
        assert n_best[name][0]["text"] == text
        assert set(n_best[name][0]) == {"text", "probability", "start_logit", "end_logit"}
        assert sum(record["probability"] for record in n_best[name]) == pytest.approx(1.0)


def test_official_scores_of_version_1(tasks, golden):
    task = tasks["squad_v1"]
    dev = task.load(golden / "squad", "dev")
    start = dev.examples.contexts[0].index("bread there for")
    bread = overlapping_tokens(*dev.examples.offsets(0), start, start + len("bread there for"))
    born = overlapping_tokens(*dev.examples.offsets(1), 0, len("King Henry was born in"))
    tokens = answer_tokens(dev) | {"58": bread, "59": born}
    # The first is exact. "bread there for" for "bread there": precision 2/3, recall 1.
    scores = task.metrics(outputs_for(dev, tokens), dev)
    assert scores["exact_match"] == pytest.approx(1 / 3)
    # "King Henry was born in" for "King Henry": precision 2/5, recall 1.
    assert scores["f1"] == pytest.approx((1 + 4 / 5 + 2 * 0.4 / 1.4) / 3)
    assert task.baseline(dev) == {"exact_match": 0.0, "f1": 0.0}


def test_majority_entropy_is_the_mean_of_starts_and_ends(tasks, golden):
    train = tasks["squad_v1"].load(golden / "squad", "train")
    assert tasks["squad_v1"].majority_entropy(train) == pytest.approx(
        np.mean(
            [position_entropy(train.features[f"{end}_positions"], S) for end in ("start", "end")]
        )
    )


def test_threshold_of_version_2(tasks, golden, tmp_path):
    task = tasks["squad_v2"]
    dev = task.load(golden / "squad", "dev")
    outputs = outputs_for(dev, answer_tokens(dev) | {"5b": (0, 0)}, no_answer=4.0)
    is_false = dev.examples.windows.question == 3
    outputs[is_false, 1:] *= 10 / 9
    # No answer scores 8, the three true ones 18, the false one of "5b" 20, all of "5c" 0.
    scores = task.metrics(outputs, dev)
    assert scores == {
        "exact_match": 0.8,
        "f1": 0.8,
        "has_answer_f1": 1.0,
        "no_answer_f1": 0.5,
        "null_threshold": -10.0,
    }
    paths = [*map(Path, task.write_predictions(outputs, dev, tmp_path, null_threshold=-10.0))]
    assert [path.name for path in paths] == [
        "predictions.json",
        "nbest_predictions.json",
        "null_odds.json",
    ]
    predictions, n_best, odds = (json.loads(path.read_text()) for path in paths)
    assert predictions == {
        "57": "1895",
        "58": "bread",
        "59": "King Henry",
        "5b": "King",
        "5c": "",
    }
    assert odds == {"57": -10.0, "58": -10.0, "59": -10.0, "5b": -12.0, "5c": 8.0}
    assert n_best["5c"][0]["text"] == ""
    paths = [*map(Path, task.write_predictions(outputs, dev, tmp_path, null_threshold=-11.0))]
    assert [name for name, text in json.loads(paths[0].read_text()).items() if text] == ["5b"]


def test_threshold_when_no_answer_is_best(tasks, golden, tmp_path):
    task = tasks["squad_v2"]
    dev = task.load(golden / "squad", "dev")
    wrong = {q.id: (3, 3) for q in dev.examples.questions}
    outputs = outputs_for(dev, wrong)
    scores = task.metrics(outputs, dev)
    assert scores["f1"] == scores["exact_match"] == pytest.approx(2 / 5)
    assert (scores["has_answer_f1"], scores["no_answer_f1"]) == (0.0, 1.0)
    paths = [
        *map(
            Path,
            task.write_predictions(outputs, dev, tmp_path, null_threshold=scores["null_threshold"]),
        )
    ]
    assert set(json.loads(paths[0].read_text()).values()) == {""}
    assert task.baseline(dev)["f1"] == pytest.approx(2 / 5)


def test_threshold_when_no_answer_is_best_for_a_third(tasks, tmp_path):
    """Rounding matters: 100 * (1 / 3) is less than 100 * 1 / 3."""
    qas = [
        {"id": "1", "question": "Who?", "answers": [{"text": "king", "answer_start": 4}]},
        {"id": "2", "question": "Whose?", "answers": [{"text": "king", "answer_start": 4}]},
        {"id": "3", "question": "When?", "answers": [], "is_impossible": True},
    ]
    data = {"data": [{"paragraphs": [{"context": "the king of the sea", "qas": qas}]}]}
    (tmp_path / "dev-v2.0.json").write_text(json.dumps(data))
    dev = tasks["squad_v2"].load(tmp_path, "dev")
    outputs = outputs_for(dev, dict.fromkeys("123", (4, 4)))
    scores = tasks["squad_v2"].metrics(outputs, dev)
    assert scores["f1"] == pytest.approx(1 / 3)
    assert (scores["has_answer_f1"], scores["no_answer_f1"]) == (0.0, 1.0)
    assert scores["null_threshold"] < -18.0  # wrong answers score 18 more than no answer


def to_ascii(source, target):
    """Copy a file, with ASCII contexts that tf-models can split and join at spaces."""
    content = source.read_text().translate(str.maketrans("éëü“”–ﬁ", "eeu''-f"))
    assert set(content) <= set(string.printable)
    target.write_text(content)


@pytest.fixture(scope="module")
def official(golden, vocab, tmp_path_factory):
    """Folder of train and dev, and (examples, features) of each as read by tf-models."""
    from official.nlp.data import squad_lib
    from official.nlp.tools import tokenization

    folder = tmp_path_factory.mktemp("ascii")
    (folder / "vocab.txt").write_text(vocab.text)
    tokenizer = tokenization.FullTokenizer(str(folder / "vocab.txt"), do_lower_case=True)
    read = {}
    for split in ("train", "dev"):
        file = folder / f"{split}-v2.0.json"
        to_ascii(golden / "squad" / file.name, file)
        examples = squad_lib.read_squad_examples(str(file), split == "train", True)
        features = []
        squad_lib.convert_examples_to_features(
            examples,
            tokenizer,
            max_seq_length=S,
            doc_stride=10,
            max_query_length=16,
            is_training=split == "train",
            output_fn=lambda feature, to=features, **kwargs: (
                to.append(feature) if not kwargs.get("is_padding") else None
            ),
            batch_size=1,
        )
        read[split] = examples, features
    return folder, read


def test_windows_and_positions_are_those_of_tf_models(tasks, official):
    folder, read = official
    for split in ("train", "dev"):
        ours = tasks["squad_v2"].load(folder, split).features
        features = read[split][1]
        assert len(features) == len(ours["input_word_ids"]) > 15
        assert [f.input_ids for f in features] == ours["input_word_ids"].tolist()
        assert [f.input_mask for f in features] == ours["input_mask"].tolist()
        assert [f.segment_ids for f in features] == ours["input_type_ids"].tolist()
    features = read["train"][1]
    ours = tasks["squad_v2"].load(folder, "train").features
    assert [f.start_position for f in features] == ours["start_positions"].tolist()
    assert [f.end_position for f in features] == ours["end_positions"].tolist()


@pytest.mark.parametrize("seed", range(20))
def test_answers_are_those_of_tf_models(tasks, official, seed, tmp_path):
    """With as many best starts and ends as positions, tf-models scores all spans, too."""
    from official.nlp.data import squad_lib

    folder, read = official
    examples, features = read["dev"]
    dev = tasks["squad_v2"].load(folder, "dev")
    logits = np.random.default_rng(seed).normal(scale=3, size=(len(dev), S, 2)).astype(np.float32)
    Result = namedtuple("Result", "unique_id start_logits end_logits")
    results = [
        Result(feature.unique_id, *row.T.tolist())
        for feature, row in zip(features, logits, strict=True)
    ]
    texts, n_best, odds = squad_lib.postprocess_output(
        examples, features, results, n_best_size=S, max_answer_length=12, do_lower_case=True,
        version_2_with_negative=True,
    )  # fmt: skip
    paths = [*map(Path, tasks["squad_v2"].write_predictions(logits, dev, tmp_path))]
    ours, our_n_best, our_odds = (json.loads(path.read_text()) for path in paths)
    assert ours == texts
    assert our_odds == pytest.approx(odds, abs=1e-5)
    for name, records in our_n_best.items():
        expected = [record["text"] for record in n_best[name]]
        assert [record["text"] for record in records][:10] == expected[:10]


_WORDS = st.lists(
    st.text(st.sampled_from("abczéÅßﬁñ1895(“”)-.,$東가"), min_size=1, max_size=6),
    min_size=1,
    max_size=40,
)


@settings(max_examples=200, deadline=None)
@given(_WORDS, st.sampled_from([" ", "  ", "\n", "\u00a0"]), st.data())
def test_answer_of_any_words_is_recovered_from_its_tokens(tokenizer, words, blank, data):
    first = data.draw(st.integers(0, len(words) - 1))
    last = data.draw(st.integers(first, len(words) - 1))
    context, answer = blank.join(words), blank.join(words[first : last + 1])
    start = len(blank.join([*words[:first], ""]))
    _, _, begins, ends = tokenizer.encode_with_offsets([context])
    begin, end = overlapping_tokens(begins, ends, start, start + len(answer))
    assert context[begins[begin] : ends[end]] == answer


def test_only_test_files_may_have_no_answers(tasks, golden, tmp_path):
    assert tasks["squad_v1"].load(golden / "squad", "test") is None
    content = json.loads((golden / "squad/dev-v1.1.json").read_text())
    for paragraph in content["data"][0]["paragraphs"]:
        for qa in paragraph["qas"]:
            del qa["answers"]
    for split in ("test", "dev"):
        (tmp_path / f"{split}-v1.1.json").write_text(json.dumps(content))
    assert not tasks["squad_v1"].load(tmp_path, "test").is_labelled
    with pytest.raises(UserError, match=r"dev-v1\.1\.json: the questions have no answers"):
        tasks["squad_v1"].load(tmp_path, "dev")


def test_empty_context_and_truncated_question(tasks, vocab, tmp_path):
    qa = {"id": "1", "question": "who " * 30, "answers": [{"text": "x", "answer_start": 0}]}
    data = {"data": [{"paragraphs": [{"context": " \n", "qas": [qa]}]}]}
    (tmp_path / "dev-v1.1.json").write_text(json.dumps(data))
    dev = tasks["squad_v1"].load(tmp_path, "dev")
    assert dev.notes == {"questions cut to 16 tokens": 1}
    (path, _) = map(
        Path, tasks["squad_v1"].write_predictions(np.zeros((1, S, 2), np.float32), dev, tmp_path)
    )
    assert json.loads(path.read_text()) == {"1": ""}
    (tmp_path / "train-v1.1.json").write_text(json.dumps(data))
    with pytest.raises(UserError, match="none of the 1 answers occurs in its context"):
        tasks["squad_v1"].load(tmp_path, "train")
