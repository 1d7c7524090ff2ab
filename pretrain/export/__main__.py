"""Export a trained encoder.

    python -m pretrain.export --model_dir M --output_dir E [--hf_dir H] [--tf_models_dir T]

E/encoder is a SavedModel with the interface of the published Lambert and BERT encoders and a
trainable `.mlm`; E/preprocessor turns text into its inputs; E/README.md is a model card. H is the same
model in Hugging Face's format: AutoModelForMaskedLM and AutoTokenizer load H, AutoModel loads H/encoder.
T is a tf-models checkpoint, for the export and the fine-tuning of tf-models (task.init_checkpoint).
"""

from __future__ import annotations

from collections.abc import Sequence

from data.cli.main import run_main
from data.cli.parser import CommandParser
from pretrain.export.publish import POOLERS, export


def main(argv: Sequence[str]) -> None:
    """Parse the command line and export."""
    # Keras warns that the saved models are not compiled; they are not meant to be.
    parser = CommandParser(
        prog="python -m pretrain.export",
        description=__doc__,
    )
    parser.add_argument(
        "--model_dir", required=True, metavar="M", help="model directory of the run"
    )
    parser.add_argument("--output_dir", required=True, metavar="E", help="directory of the export")
    parser.add_argument(
        "--checkpoint",
        default="latest",
        metavar="C",
        help="best on held-out text, latest (default), or a step",
    )
    parser.add_argument("--hf_dir", help="directory for Hugging Face's format, too (default: none)")
    parser.add_argument(
        "--tf_models_dir", help="directory for a tf-models checkpoint, too (default: none)"
    )
    parser.add_argument(
        "--pooler",
        choices=POOLERS,
        help="pooler weights, which MLM training leaves alone (default: imported if available, else initial)",
    )
    args = parser.parse_args(argv)
    step = export(
        args.model_dir,
        args.output_dir,
        checkpoint=args.checkpoint,
        hf_dir=args.hf_dir,
        tf_models_dir=args.tf_models_dir,
        pooler=args.pooler,
    )
    print(f"export: step {step:,} in {args.output_dir} (encoder/, preprocessor/, README.md)")
    if args.hf_dir:
        print(f"export: step {step:,} in {args.hf_dir}, in Hugging Face's format")
    if args.tf_models_dir:
        print(f"export: step {step:,} in {args.tf_models_dir}, a tf-models checkpoint")


if __name__ == "__main__":
    run_main(main)
