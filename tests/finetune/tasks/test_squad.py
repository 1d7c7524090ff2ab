"""SQuAD's JSON files, and answers in their contexts."""

import json

import pytest

from data.errors import UserError
from finetune.tasks.squad import Answer, find_answer, read_squad


def test_nearest_occurrence_of_an_answer():
    context = "to be or not to be"
    assert find_answer(context, Answer("to be", 13)) == 13
    assert find_answer(context, Answer("to be", 12)) == 13
    assert find_answer(context, Answer("to be", -1)) == 0
    assert find_answer(context, Answer("be", -2)) == 3  # not counted from the end
    assert find_answer(context, Answer("To be", 0)) is None
    assert find_answer(context, Answer(" ", 2)) is None


def one_question(**changes) -> dict:
    """A file with one question, changed in some fields."""
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
        (one_question(id=None), r"qas\[0\]\.id is of type NoneType"),
        (one_question(answers=[{"text": "king"}]), r"qas\[0\]\.answers\[0\] has no 'answer_start'"),
        (one_question(question="\ud800"), "half of a surrogate pair"),
        (one_question(is_impossible="false"), r"qas\[0\]\.is_impossible is of type str"),
        (
            one_question(is_impossible=True),
            r"qas\[0\]: is_impossible is true, and there are answers",
        ),
    ],
)
def test_invalid_file_is_an_error(tmp_path, content, message):
    text = content if isinstance(content, str) else json.dumps(content)
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(UserError, match=message):
        read_squad(tmp_path / "a.json", has_unanswerable=False)


def test_unanswered_questions_and_repeated_ids_are_errors(golden, tmp_path):
    with pytest.raises(UserError, match=r"'5a' has no answer .*TaskConfig\.task='squad_v2'"):
        read_squad(golden / "squad/train-v2.0.json", has_unanswerable=False)
    double = one_question()
    double["data"] *= 2
    (tmp_path / "a.json").write_text(json.dumps(double))
    with pytest.raises(UserError, match="two questions have the id '1'"):
        read_squad(tmp_path / "a.json", has_unanswerable=True)
