"""tf-models: its preparation of pretraining data, and its input pipeline."""

from __future__ import annotations

import itertools
import random

import tensorflow as tf

from bench.data.cases import BATCH_SIZE, COPIES, PREDICTIONS, SEQ_LENGTH
from bench.data.measure import Stopwatch
from bench.data.workspace import Workspace

_BATCHES = 32


def text_to_examples(workspace: Workspace, stopwatch: Stopwatch) -> list[dict]:
    """Measure the program create_pretraining_data with its default settings at S tokens."""
    from official.nlp.data import create_pretraining_data as preparation
    from official.nlp.tools import tokenization

    output = str(workspace.scratch("tf-models") / "examples.tfrecord")
    num_examples = 0

    def prepare():
        nonlocal num_examples
        tokenizer = tokenization.FullTokenizer(vocab_file=str(workspace.vocab), do_lower_case=True)
        instances = preparation.create_training_instances(
            [str(workspace.sentences)],
            tokenizer,
            preparation.get_processor_text_fn(is_sentence_piece=False, do_lower_case=True),
            max_seq_length=SEQ_LENGTH,
            dupe_factor=COPIES,
            short_seq_prob=0.1,
            masked_lm_prob=0.15,
            max_predictions_per_seq=PREDICTIONS,
            rng=random.Random(12345),
        )
        preparation.write_instance_to_example_files(
            instances,
            tokenizer,
            SEQ_LENGTH,
            PREDICTIONS,
            [output],
            gzip_compress=False,
            use_v2_feature_names=True,
        )
        num_examples = len(instances)

    timing = stopwatch.time(prepare)
    return [
        {
            "what": "text to masked TFRecords",
            "setting": f"create_pretraining_data, {SEQ_LENGTH} tokens, dupe_factor {COPIES},"
            " tokenization included; sentences given",
            **timing.rates(examples=num_examples, megabytes=workspace.facts["text_bytes"] / 1e6),
        }
    ]


def reading(workspace: Workspace, stopwatch: Stopwatch) -> list[dict]:
    """Measure reading of batches from our TFRecords."""
    from official.nlp.data import pretrain_dataloader

    params = pretrain_dataloader.BertPretrainDataConfig(
        input_path=str(workspace.build / "masked" / "train" / "*" / "*.tfrecord"),
        global_batch_size=BATCH_SIZE,
        is_training=True,
        seq_length=SEQ_LENGTH,
        max_predictions_per_seq=PREDICTIONS,
        use_next_sentence_label=False,
        use_v2_feature_names=True,
        seed=1,
    )
    batches = iter(
        pretrain_dataloader.BertPretrainDataLoader(params).load(tf.distribute.InputContext())
    )

    def read():
        for _ in itertools.islice(batches, _BATCHES):
            pass

    timing = stopwatch.time(read)
    return [
        {
            "what": "masks materialised",
            "setting": f"BertPretrainDataLoader on our TFRecords, batches of {BATCH_SIZE},"
            " shuffle buffer of 100",
            **timing.rates(sequences=_BATCHES * BATCH_SIZE),
        }
    ]
