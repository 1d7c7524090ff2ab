"""SQuAD in its published files, beside the code that tf-models ships."""

import json
import math
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
from finetune.tasks.squad import Answer, find_answer, read_squad
from finetune.tasks.tables import Skip
from finetune.tasks.task import entropy, place_entropy
from finetune.tasks.windows import tokens_of

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
    """Logits [N, S, 2] that put 9 at these tokens of the contexts, by question."""
    spans = split.examples
    outputs = np.zeros((len(split), S, 2), np.float32)
    outputs[:, 0] = no_answer
    for n, question in enumerate(spans.windows.question):
        for which, token in enumerate(tokens.get(spans.questions[question].id, ())):
            place = token - spans.windows.start[n]
            if 0 <= place < spans.windows.length[n]:
                outputs[n, spans.windows.offset[n] + place, which] = 9
    return outputs


def answer_tokens(split) -> dict[str, tuple[int, int]]:
    """Tokens of the first answer of every question, found by comparing characters."""
    found = {}
    for question in split.examples.questions:
        if question.answers:
            answer = question.answers[0]
            begins, ends = split.examples.offsets(question.context)
            start = find_answer(split.examples.contexts[question.context], answer)
            stop = start + len(answer.text)
            inside = [t for t in range(len(begins)) if begins[t] < stop and ends[t] > start]
            found[question.id] = (inside[0], inside[-1])
    return found


def test_positions_of_the_answers(tasks, golden, vocab):
    train = tasks["squad_v1"].load(golden / "squad", "train")
    spans = train.examples
    texts: dict[str, set[str]] = {}
    for n, question in enumerate(spans.windows.question):
        first, last = (train.features[f"{end}_positions"][n] for end in ("start", "end"))
        pieces = [vocab.pieces[i] for i in train.features["input_word_ids"][n, first : last + 1]]
        texts.setdefault(spans.questions[question].id[-4:], set()).add(" ".join(pieces))
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
        "answers found at another place of the context than said": 1,
    }


def test_answers_come_back_as_they_were(tasks, golden, tmp_path):
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
    found = tokens_of(*dev.examples.offsets(0), start, start + len("bread there for"))
    born = tokens_of(*dev.examples.offsets(1), 0, len("King Henry was born in"))
    tokens = answer_tokens(dev) | {"58": found, "59": born}
    # The first is exact. "bread there for" for "bread there": precision 2/3, recall 1.
    scores = task.metrics(outputs_for(dev, tokens), dev)
    assert scores["exact_match"] == pytest.approx(1 / 3)
    # "King Henry was born in" for "King Henry": precision 2/5, recall 1.
    assert scores["f1"] == pytest.approx((1 + 4 / 5 + 2 * 0.4 / 1.4) / 3)
    assert task.baseline(dev) == {"exact_match": 0.0, "f1": 0.0}


def test_the_loss_of_learning_nothing(tasks, golden):
    """By hand: 3 of 4 at place 0, 1 at place 2, of 5 places."""
    expected = -(3 * math.log(3 / 8) + math.log(1 / 8)) / 4
    assert place_entropy(np.array([0, 0, 2, 0]), 5) == pytest.approx(expected)
    # Of all different ones nothing can be known: that is no better than all places alike.
    assert place_entropy(np.arange(5), 5) == pytest.approx(math.log(5))
    # Of many it is the entropy.
    places = np.repeat([0, 3], [30_000, 10_000])
    assert place_entropy(places, 5) == pytest.approx(entropy(places), abs=2e-4)
    train = tasks["squad_v1"].load(golden / "squad", "train")
    found = tasks["squad_v1"].majority_entropy(train)
    assert found == pytest.approx(
        np.mean([place_entropy(train.features[f"{end}_positions"], S) for end in ("start", "end")])
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


def test_threshold_when_silence_is_best(tasks, golden, tmp_path):
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


def test_threshold_when_silence_is_best_for_a_third(tasks, tmp_path):
    """A share that no float holds: 100 * (1 / 3) is a little less than 100 * 1 / 3."""
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
    assert scores["null_threshold"] < -18.0  # by how much the wrong answers exceed no answer


def to_ascii(source, target):
    """A copy of a file in which every context can be taken apart and put together at blanks."""
    content = source.read_text().translate(str.maketrans("éëü“”–ﬁ", "eeu''-f"))
    assert set(content) <= set(string.printable)
    target.write_text(content)


@pytest.fixture(scope="module")
def official(golden, vocab, tmp_path_factory):
    """tf-models' own reading of the training and dev files: (examples, features) of each."""
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
    """With as many starts and ends as there are places, tf-models scores all spans as we do."""
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
        theirs = [record["text"] for record in n_best[name]]
        assert [record["text"] for record in records][:10] == theirs[:10]


_WORDS = st.lists(
    st.text(st.sampled_from("abczéÅßﬁñ1895(“”)-.,$東가"), min_size=1, max_size=6),
    min_size=1,
    max_size=40,
)


@settings(max_examples=200, deadline=None)
@given(_WORDS, st.sampled_from([" ", "  ", "\n", "\u00a0"]), st.data())
def test_any_words_come_back_as_they_were(tokenizer, words, blank, data):
    first = data.draw(st.integers(0, len(words) - 1))
    last = data.draw(st.integers(first, len(words) - 1))
    context, answer = blank.join(words), blank.join(words[first : last + 1])
    start = len(blank.join([*words[:first], ""]))
    _, _, begins, ends = tokenizer.encode_with_offsets([context])
    begin, end = tokens_of(begins, ends, start, start + len(answer))
    assert context[begins[begin] : ends[end]] == answer


def test_where_an_answer_is():
    context = "to be or not to be"
    assert find_answer(context, Answer("to be", 13)) == 13
    assert find_answer(context, Answer("to be", 12)) == 13
    assert find_answer(context, Answer("to be", -1)) == 0
    assert find_answer(context, Answer("be", -2)) == 3  # not counted from the end
    assert find_answer(context, Answer("To be", 0)) is None
    assert find_answer(context, Answer(" ", 2)) is None


def test_a_test_file_without_answers(tasks, golden, tmp_path):
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


def test_empty_contexts_and_long_questions(tasks, vocab, tmp_path):
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
    with pytest.raises(UserError, match="1 questions and no answer occurs in its context"):
        tasks["squad_v1"].load(tmp_path, "train")


def one(**changes) -> dict:
    qa = {"id": "1", "question": "Who?", "answers": [{"text": "king", "answer_start": 0}]}
    return {"data": [{"paragraphs": [{"context": "king", "qas": [qa | changes]}]}]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ('{"data": [', "is not JSON"),
        ({"version": "1.1"}, "has no 'data'; there are version"),
        ({"data": []}, "has no questions"),
        ({"data": [{"paragraphs": [{"qas": []}]}]}, r"data\[0\]\.paragraphs\[0\] has no 'context'"),
        (one(id=None), r"qas\[0\]\.id is of type NoneType"),
        (one(answers=[{"text": "king"}]), r"qas\[0\]\.answers\[0\] has no 'answer_start'"),
        (one(question="\ud800"), "half of a character"),
        (one(is_impossible="false"), r"qas\[0\]\.is_impossible is of type str"),
        (one(is_impossible=True), r"qas\[0\]: is_impossible is true, and there are answers"),
    ],
)
def test_broken_files(tmp_path, content, message):
    (tmp_path / "a.json").write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(UserError, match=message):
        read_squad(tmp_path / "a.json", has_unanswerable=False)


def test_files_of_the_wrong_version(golden, tmp_path):
    with pytest.raises(UserError, match=r"'5a' has no answer .*TaskConfig\.task='squad_v2'"):
        read_squad(golden / "squad/train-v2.0.json", has_unanswerable=False)
    double = one()
    double["data"] *= 2
    (tmp_path / "a.json").write_text(json.dumps(double))
    with pytest.raises(UserError, match="two questions have the id '1'"):
        read_squad(tmp_path / "a.json", has_unanswerable=True)
