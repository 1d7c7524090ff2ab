"""Load a directory with transformers; run with the Python of the parity environment.

    python huggingface_load.py DIRECTORY TEXTS.json OUTPUT.npz

Writes token ids and outputs of AutoModelForMaskedLM, or of AutoModel if the directory has no MLM head;
prints the warnings of loading.
"""

import json
import sys

import numpy as np
import torch
from transformers import AutoModel, AutoModelForMaskedLM, AutoTokenizer


def main(directory: str, texts_file: str, output: str) -> None:
    with open(texts_file, encoding="utf-8") as file:
        texts = json.load(file)
    tokenizer = AutoTokenizer.from_pretrained(directory)
    inputs = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    found = {name: tensor.numpy() for name, tensor in inputs.items()}
    with open(f"{directory}/config.json", encoding="utf-8") as file:
        masked_lm = json.load(file)["architectures"] == ["BertForMaskedLM"]
    cls = AutoModelForMaskedLM if masked_lm else AutoModel
    model, report = cls.from_pretrained(directory, output_loading_info=True)
    with torch.no_grad():
        outputs = model.eval()(**inputs, output_hidden_states=True)
    found["hidden"] = np.stack([layer.numpy() for layer in outputs.hidden_states])
    found["output"] = (outputs.logits if masked_lm else outputs.pooler_output).numpy()
    np.savez(output, **found)
    complaints = {name: sorted(map(str, value)) for name, value in report.items() if value}
    print(json.dumps({"complaints": complaints, "tokenizer": type(tokenizer).__name__}))


if __name__ == "__main__":
    main(*sys.argv[1:])
