"""SQuAD 1.1 and 2.0: questions that are answered by a span of their context."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np

from data import files
from data.errors import UserError
from data.text.wordpiece import WordPieceTokenizer
from data.vocab import Vocab
from finetune.config import TaskConfig
from finetune.tasks import squad
from finetune.tasks.answers import DecodedAnswers, decode
from finetune.tasks.sequences import Segment, assemble
from finetune.tasks.tables import Skip
from finetune.tasks.task import TARGETS, Split, Task, find_file, position_entropy
from finetune.tasks.windows import Windows, divide_contexts, overlapping_tokens


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpanExamples:
    """The questions of a split, their contexts and windows.

    Attributes:
      questions: questions that were not skipped.
      contexts: contexts of the file.
      token_start: bounds of each context's tokens in `begins` and `ends`, [contexts + 1].
      begins: first character of each token in its context, all contexts concatenated.
      ends: character after the last one of each token, likewise.
      windows: one window for each sequence of the split.
    """

    questions: list[squad.Question]
    contexts: list[str]
    token_start: np.ndarray
    begins: np.ndarray
    ends: np.ndarray
    windows: Windows

    def offsets(self, context: int) -> tuple[np.ndarray, np.ndarray]:
        """Return (begins, ends) of the tokens of one context."""
        tokens = slice(*self.token_start[context : context + 2])
        return self.begins[tokens], self.ends[tokens]


class SpanTask(Task):
    """SQuAD, scored by the official scripts in tf-models."""

    kind = "spans"
    labels = ()
    main_metric = "f1"

    def __init__(self, config: TaskConfig, vocab: Vocab, *, lower_case: bool):
        self._config, self._vocab = config, vocab
        self._tokenizer = WordPieceTokenizer(vocab, lower_case=lower_case)
        self.name = config.task
        self.splits = tuple(squad.FILES[config.task])
        self._has_unanswerable = config.task == "squad_v2"

    def load(self, task_data_dir: str | Path, split: str) -> Split | None:
        """See `Task.load`."""
        names = squad.FILES[self.name][split]
        path = find_file(task_data_dir, names, must_exist=split == "train")
        if path is None:
            return None
        content = squad.read_squad(path, has_unanswerable=self._has_unanswerable)
        if not content.is_labelled and split != "test":
            raise UserError(f"{path}: the questions have no answers")
        examples, features, notes = self._tokenize(content)
        skipped: list[Skip] = []
        if split == "train":
            examples, features, skipped = self._with_targets(path, examples, features, notes)
        return Split(
            name=split,
            features=features,
            examples=examples,
            is_labelled=content.is_labelled,
            skipped=tuple(skipped),
            notes=notes,
        )

    def metrics(self, outputs: np.ndarray, split: Split) -> dict[str, float]:
        """See `Task.metrics`.

        For SQuAD 2.0 the scores are those at the best thresholds for no answer, which the official
        script determines on the same split: one for "exact_match", one for "f1". The latter is
        "null_threshold", in units of logits.
        """
        decoded = self._decode(outputs, split)
        questions = split.examples.questions
        texts = {q.id: d.text for q, d in zip(questions, decoded, strict=True)}
        odds = {q.id: d.null_odds for q, d in zip(questions, decoded, strict=True)}
        return self._scores(questions, texts, odds)

    def write_predictions(
        self,
        outputs: np.ndarray,
        split: Split,
        directory: str | Path,
        *,
        null_threshold: float = 0.0,
    ) -> list[str]:
        """Write predictions.json, nbest_predictions.json and, for SQuAD 2.0, null_odds.json."""
        decoded = {
            question.id: answers
            for question, answers in zip(
                split.examples.questions, self._decode(outputs, split), strict=True
            )
        }
        contents = {
            "predictions.json": {
                question_id: answers.text
                if not self._has_unanswerable or answers.null_odds <= null_threshold
                else ""
                for question_id, answers in decoded.items()
            },
            "nbest_predictions.json": {
                question_id: answers.records() for question_id, answers in decoded.items()
            },
        }
        if self._has_unanswerable:
            contents["null_odds.json"] = {
                question_id: answers.null_odds for question_id, answers in decoded.items()
            }
        paths = []
        for name, content in contents.items():
            paths.append(files.join(directory, name))
            text = json.dumps(content, ensure_ascii=False, indent=2)
            files.write_atomically(paths[-1], f"{text}\n".encode())
        return paths

    def majority_entropy(self, split: Split) -> float:
        """See `Task.majority_entropy`."""
        num_positions = split.features["input_word_ids"].shape[1]
        starts, ends = (split.features[name] for name in TARGETS["spans"])
        return (position_entropy(starts, num_positions) + position_entropy(ends, num_positions)) / 2

    def baseline(self, split: Split) -> dict[str, float]:
        """See `Task.baseline`: the scores of never giving an answer."""
        questions = split.examples.questions
        texts = {question.id: "" for question in questions}
        return self._scores(questions, texts, {question.id: 0.0 for question in questions})

    def _decode(self, outputs: np.ndarray, split: Split) -> list[DecodedAnswers]:
        examples: SpanExamples = split.examples
        windows = examples.windows
        decoded = []
        for question, of_question in zip(
            examples.questions, windows.slices(len(examples.questions)), strict=True
        ):
            begins, ends = examples.offsets(question.context)
            decoded.append(
                decode(
                    outputs[of_question],
                    starts_W=windows.start[of_question],
                    lengths_W=windows.length[of_question],
                    offset=int(windows.offset[of_question.start]),
                    context=examples.contexts[question.context],
                    begins=begins,
                    ends=ends,
                    n_best_size=self._config.n_best_size,
                    max_answer_length=self._config.max_answer_length,
                    with_null=self._has_unanswerable,
                )
            )
        return decoded

    def _scores(
        self, questions: list[squad.Question], texts: dict[str, str], odds: dict[str, float]
    ) -> dict[str, float]:
        """Compute the scores with the official scripts."""
        from official.nlp.tools import squad_evaluate_v1_1, squad_evaluate_v2_0

        qas = [
            {"id": question.id, "answers": [{"text": a.text} for a in question.answers]}
            for question in questions
        ]
        dataset = [{"paragraphs": [{"qas": qas}]}]
        if not self._has_unanswerable:
            scores = squad_evaluate_v1_1.evaluate(dataset, texts)
            return {"exact_match": scores["exact_match"], "f1": scores["final_f1"]}
        best = squad_evaluate_v2_0.evaluate(dataset, texts, odds)
        threshold = best["final_f1_thresh"]
        num_unanswerable = sum(not question.answers for question in questions)
        # The same arithmetic as in the script, so that equal scores compare as equal.
        if best["final_f1"] <= 100.0 * num_unanswerable / len(questions):
            # No threshold beats giving no answers. The script then returns 0, which admits answers.
            threshold = min(odds.values()) - 1.0
        given = {q: text if odds[q] <= threshold else "" for q, text in texts.items()}
        at_threshold = squad_evaluate_v2_0.evaluate(dataset, given)
        names = {"has_answer_f1": "HasAns_f1", "no_answer_f1": "NoAns_f1"}
        return {
            "exact_match": best["final_exact"] / 100,
            "f1": best["final_f1"] / 100,
            **{
                name: at_threshold[official] / 100
                for name, official in names.items()
                if official in at_threshold
            },
            "null_threshold": threshold,
        }

    def _tokenize(
        self, content: squad.SquadFile
    ) -> tuple[SpanExamples, dict[str, np.ndarray], dict[str, int]]:
        config, notes = self._config, {}
        context_ids, context_lengths, begins, ends = self._tokenizer.encode_with_offsets(
            content.contexts
        )
        token_start = np.append(0, np.cumsum(context_lengths.astype(np.int64)))
        queries = Segment.from_texts(
            *self._tokenizer.encode([question.text.strip() for question in content.questions])
        )
        if num_truncated := np.count_nonzero(queries.lengths > config.max_query_length):
            notes[f"questions cut to {config.max_query_length} tokens"] = int(num_truncated)
        queries = queries.truncate(np.minimum(queries.lengths, config.max_query_length))
        context_Q = np.array([question.context for question in content.questions])
        windows = divide_contexts(
            np.diff(token_start)[context_Q],
            queries.lengths,
            max_seq_length=config.max_seq_length,
            doc_stride=config.doc_stride,
        )
        if num_divided := np.count_nonzero(np.bincount(windows.question) > 1):
            notes["questions whose context is seen through several windows"] = int(num_divided)
        features = assemble(
            Segment(
                ids=queries.ids,
                starts=queries.starts[windows.question],
                lengths=queries.lengths[windows.question],
            ),
            Segment(
                ids=context_ids,
                starts=token_start[context_Q[windows.question]] + windows.start,
                lengths=windows.length,
            ),
            vocab=self._vocab,
            max_seq_length=config.max_seq_length,
        )
        examples = SpanExamples(
            questions=content.questions,
            contexts=content.contexts,
            token_start=token_start,
            begins=begins,
            ends=ends,
            windows=windows,
        )
        return examples, features, notes

    def _with_targets(
        self,
        path: str,
        examples: SpanExamples,
        features: dict[str, np.ndarray],
        notes: dict[str, int],
    ) -> tuple[SpanExamples, dict[str, np.ndarray], list[Skip]]:
        """Add start and end positions; skip questions whose answer is not in their context."""
        skipped: list[Skip] = []
        num_moved = 0
        first_Q, last_Q = np.full((2, len(examples.questions)), -1, np.int64)
        keep_Q = np.ones(len(examples.questions), bool)
        for number, question in enumerate(examples.questions):
            if not question.answers:
                continue
            answer = question.answers[0]
            context = examples.contexts[question.context]
            first, last = 0, -1
            if (start := squad.find_answer(context, answer)) is not None:
                num_moved += start != answer.start
                offsets = examples.offsets(question.context)
                first, last = overlapping_tokens(*offsets, start, start + len(answer.text))
            keep_Q[number] = first <= last
            if not keep_Q[number]:
                reason = f"the answer {answer.text[:80]!r} does not occur in its context"
                skipped.append(Skip(f"{path}, question {question.id}", reason))
            first_Q[number], last_Q[number] = first, last
        if num_moved:
            notes["answers found at another position of the context than the file gives"] = (
                num_moved
            )
        windows = examples.windows
        first_N = first_Q[windows.question] - windows.start
        last_N = last_Q[windows.question] - windows.start
        is_inside_N = (first_N >= 0) & (last_N < windows.length)
        # Both positions are that of [CLS] in a window without the whole answer.
        features = features | {
            "start_positions": np.where(is_inside_N, windows.offset + first_N, 0).astype(np.int32),
            "end_positions": np.where(is_inside_N, windows.offset + last_N, 0).astype(np.int32),
        }
        if not keep_Q.any():
            raise UserError(f"{path}: none of the {len(skipped)} answers occurs in its context")
        return (*_select_questions(keep_Q, examples, features), skipped)


def _select_questions(
    keep_Q: np.ndarray, examples: SpanExamples, features: dict[str, np.ndarray]
) -> tuple[SpanExamples, dict[str, np.ndarray]]:
    """Return examples and features of the questions where `keep_Q` is true."""
    if keep_Q.all():
        return examples, features
    windows = examples.windows
    keep_N = keep_Q[windows.question]
    new_index_Q = np.cumsum(keep_Q) - 1
    windows = Windows(
        question=new_index_Q[windows.question[keep_N]],
        start=windows.start[keep_N],
        length=windows.length[keep_N],
        offset=windows.offset[keep_N],
    )
    questions = [q for q, keep in zip(examples.questions, keep_Q, strict=True) if keep]
    features = {name: array[keep_N] for name, array in features.items()}
    return dataclasses.replace(examples, questions=questions, windows=windows), features
