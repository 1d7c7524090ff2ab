"""Export of the preprocessor SavedModel, which turns text into the encoder's inputs."""

from __future__ import annotations

import os


def export_preprocessor(
    path: str | os.PathLike[str],
    *,
    vocab_file: str | os.PathLike[str],
    lower_case: bool,
    seq_length: int,
) -> None:
    """Write a preprocessor with the interface of the published bert_en_uncased_preprocess.

    The root function turns strings [B] into a dict of int32 [B, seq_length]. `.tokenize`,
    `.bert_pack_inputs` (with `seq_length=`) and `.tokenize.get_special_tokens_dict()` are its parts.

    Args:
      path: directory to write.
      vocab_file: vocabulary; it becomes an asset of the SavedModel.
      lower_case: whether to lower-case text, as in the data build.
      seq_length: default length of the packed inputs, tokens.
    """
    from official.nlp.tools import export_tfhub_lib

    export_tfhub_lib.export_preprocessing(
        os.fspath(path),
        vocab_file=os.fspath(vocab_file),
        do_lower_case=lower_case,
        tokenize_with_offsets=False,
        default_seq_length=seq_length,
    )
