"""Start a model directory from existing weights, to train them further.

    python -m pretrain.import_weights --from bert-base-uncased --model_dir M
    python -m data.build ... --vocab_file M/initial/vocab.txt --output_dir D
    python -m pretrain.run --gin_file F --data_dir D --model_dir M

The source is a directory in Hugging Face's format (config.json, model.safetensors, vocab.txt), a
TensorFlow checkpoint of tf-models or of Google's BERT (with bert_config.json and vocab.txt next to it),
an export of pretrain.export, or a SavedModel of a BERT encoder from TensorFlow Hub.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from data import schema
from data.cli.main import run_main
from data.cli.parser import CommandParser
from data.errors import UserError, list_names, name_file
from data.files import require_local
from data.vocab import Vocab
from pretrain.checkpoints.warm_start import DIRECTORY, WarmStart, write_warm_start
from pretrain.convert.common import ImportedBert
from pretrain.convert.formats import read_bert
from pretrain.export.atomic_directory import scratch_folder


def import_weights(source: str, model_dir: str, *, vocab_file: str | None = None) -> ImportedBert:
    """Write `initial/` of a new model directory, atomically.

    Args:
      source: see `read_bert`.
      model_dir: local directory, new or with the same import.
      vocab_file: vocabulary, for a source without one.

    Raises:
      UserError: the source cannot be read, or the directory is not empty.
    """
    require_local("--model_dir", model_dir)
    target = Path(model_dir)
    imported = read_bert(source, vocab_file=vocab_file)
    if (existing := WarmStart.load(model_dir)) is not None:
        if existing.origin == imported.origin:
            return imported
        raise UserError(
            f"{target / DIRECTORY} has other weights ({existing.origin['path']}, sha256"
            f" {existing.origin['sha256'][:8]}); choose another --model_dir"
        )
    if target.exists() and any(target.iterdir()):
        raise UserError(f"{model_dir} is not empty; choose another --model_dir")
    target.mkdir(parents=True, exist_ok=True)
    with name_file(target), scratch_folder(target.parent, ".tmp-import-") as scratch:
        finished = scratch / DIRECTORY
        write_warm_start(
            finished,
            encoder=imported.encoder,
            lower_case=imported.lower_case,
            origin=imported.origin,
            values=imported.values,
            vocab=imported.vocab,
        )
        finished.rename(target / DIRECTORY)
    return imported


def describe(imported: ImportedBert, model_dir: str) -> str:
    """Return lines about the imported weights and the next commands."""
    encoder = imported.encoder
    head = (
        "with its MLM head"
        if "head" in imported.parts
        else "without an MLM head (a new one is used)"
    )
    pooler = "with its pooler" if "pooler" in imported.parts else "without a pooler"
    count = sum(value.size for value in imported.values.values())
    lines = [
        f"import: {imported.kind}, {count:,} weights, {head}, {pooler}",
        f"import: L={encoder.num_hidden_layers} H={encoder.hidden_size}"
        f" A={encoder.num_attention_heads}, {encoder.hidden_activation},"
        f" {len(imported.vocab):,} pieces, {'uncased' if imported.lower_case else 'cased'},"
        f" sequences up to {encoder.max_position_embeddings} tokens",
    ]
    if imported.left_out:
        lines.append(f"import: not used: {list_names(imported.left_out)}")
    vocab_file = Path(model_dir, DIRECTORY, schema.VOCAB_FILE)
    lines.append(
        f"import: in {model_dir}; next: python -m data.build ... --vocab_file {vocab_file}, then"
        f" python -m pretrain.run ... --model_dir {model_dir}"
    )
    return "\n".join(lines)


def main(argv: Sequence[str]) -> None:
    """Parse the command line and import."""
    parser = CommandParser(
        prog="python -m pretrain.import_weights",
        description=__doc__,
    )
    parser.add_argument(
        "--from",
        required=True,
        dest="source",
        metavar="S",
        help="what to import",
    )
    parser.add_argument("--model_dir", required=True, help="a new model directory")
    parser.add_argument(
        "--vocab_file", help="vocabulary, for a source without one (default: its own)"
    )
    args = parser.parse_args(argv)
    if args.vocab_file:
        Vocab.load(args.vocab_file)  # fail before the weights, which take longer to read
    imported = import_weights(args.source, args.model_dir, vocab_file=args.vocab_file)
    print(describe(imported, args.model_dir))


if __name__ == "__main__":
    run_main(main)
