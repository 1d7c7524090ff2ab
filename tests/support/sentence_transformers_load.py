"""Embed texts with sentence-transformers; run with the Python of the parity environment.

python sentence_transformers_load.py DIRECTORY TEXTS.json OUTPUT.npy
"""

import json
import sys

import numpy as np
from sentence_transformers import SentenceTransformer


def main(directory: str, texts_file: str, output: str) -> None:
    with open(texts_file, encoding="utf-8") as file:
        texts = json.load(file)
    np.save(output, SentenceTransformer(directory).encode(texts))


if __name__ == "__main__":
    main(*sys.argv[1:])
